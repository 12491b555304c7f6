"""OpenRouter's keys, ids and HTTP errors: the code is the status, the cause stands in the metadata.

A unary request whose provider fails is answered with status 200 and the error in the body.
"""

import math
import random
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rxlapce.simulator.openrouter.chat import PROVIDER
from rxlapce.simulator.options import Fault
from rxlapce.simulator.tokenizer import alphanumeric
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

_UPSTREAM: Final = "Provider returned error"

#: `param` is what the provider behind it said; `code` is the error's code, where that is not the status.
_ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(401, "", "No auth credentials found"),
    Fault.QUOTA: Said(
        402,
        "",
        "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    ),
    Fault.RATE_LIMIT: Said(
        429, "", _UPSTREAM, param="{model} is temporarily rate-limited upstream. Please retry shortly."
    ),
    Fault.OVERLOADED: Said(503, "", "No instances available", param="upstream overloaded"),
    Fault.CONTEXT_LENGTH: Said(
        400,
        "",
        "This endpoint's maximum context length is 128000 tokens. However, you requested about 130513 tokens. Please "
        'reduce the length of either one, or use the "middle-out" transform to compress your prompt automatically.',
    ),
    Fault.BLOCKED: Said(403, "", "Your input was flagged by moderation.", param="violence"),
    Fault.ERROR: Said(200, "", _UPSTREAM, "502", "upstream connect error"),
    400: Said(400, "", "Invalid request."),
    402: Said(402, "", "This request requires more credits, or fewer max_tokens."),
    404: Said(404, "", "No endpoints found for {model}."),
    500: Said(500, "", "Internal Server Error"),
    502: Said(502, "", _UPSTREAM, param="upstream connect error"),
}


def _render(said: Said, wait: Wait) -> HttpError:
    error: dict[str, Any] = {"message": said.message, "code": int(said.code or said.status)}
    if said.param is not None:
        error["metadata"] = {"raw": said.param, "provider_name": PROVIDER}
    headers = {} if wait.wait_s is None else {"retry-after": str(math.ceil(wait.wait_s))}
    return HttpError(said.status, msgspec.json.encode({"error": error, "user_id": "user_simulator"}), headers)


def _bad_request(message: str, _param: str | None) -> Said:
    return Said(400, "", message)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "", "Not Found")


def _generation_id(chance: random.Random) -> dict[str, str]:
    return {"x-generation-id": f"gen-{chance.randrange(10**9, 2 * 10**9)}-{alphanumeric(chance, 20)}"}


OPENROUTER: Final = Vendor(
    name="openrouter",
    home="/openrouter/",
    errors=_ERRORS,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=_generation_id,
    key=key_in("authorization"),
    proxied=False,
)
