"""xAI's keys, request ids and HTTP errors: three shapes of body, by the layer that refuses."""

import math
import random
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rxlapce.simulator.options import Fault
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

_INVALID: Final = "Client specified an invalid argument"

#: With a type: an object as OpenAI's. With a code alone: a code and words. With neither: words.
_ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(
        400,
        "",
        "Incorrect API key provided: {key}. You can obtain an API key from https://console.x.ai.",
        _INVALID,
    ),
    Fault.QUOTA: Said(
        403,
        "",
        "Your newly created team doesn't have any credits or licenses yet. You can purchase those on "
        "https://console.x.ai.",
        "The caller does not have permission to execute the specified operation",
    ),
    Fault.RATE_LIMIT: Said(
        429,
        "",
        "Too many requests for team simulator and model {model}. Your team's rate limit is 1 request per second.",
        "Some resource has been exhausted",
    ),
    Fault.OVERLOADED: Said(
        503,
        "",
        "The model is at capacity and currently cannot serve this request. Please try again later.",
        "The service is currently unavailable",
    ),
    Fault.CONTEXT_LENGTH: Said(
        400,
        "invalid_request_error",
        "This model's maximum prompt length is 131072 but the request contains 140513 tokens.",
        "context_length_exceeded",
        "messages",
    ),
    Fault.BLOCKED: Said(
        403,
        "",
        "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_SIMULATED",
        "The caller does not have permission to execute the specified operation",
    ),
    400: Said(400, "", "Invalid request.", _INVALID),
    401: Said(401, "", "No Authorization header or an invalid authorization token is provided."),
    404: Said(
        404,
        "",
        "The model {model} does not exist or your team simulator does not have access to it.",
        "Some requested entity was not found",
    ),
    500: Said(500, "", "Internal server error"),
}


def _render(said: Said, wait: Wait) -> HttpError:
    body: dict[str, Any] = {"error": said.message}
    if said.type:
        error = {"message": said.message, "type": said.type, "param": said.param, "code": said.code}
        body = {"error": error}
    elif said.code:
        body = {"code": said.code, "error": said.message}
    headers = {} if wait.wait_s is None else {"retry-after": str(math.ceil(wait.wait_s))}
    return HttpError(said.status, msgspec.json.encode(body), headers)


def _bad_request(message: str, _param: str | None) -> Said:
    return Said(400, "", message, _INVALID)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "", "Not found")


def _request_id(chance: random.Random) -> dict[str, str]:
    return {"x-request-id": str(uuid.UUID(bytes=chance.randbytes(16)))}


XAI: Final = Vendor(
    name="xai",
    home="/xai/",
    errors=_ERRORS,
    by_status={429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=_request_id,
    key=key_in("authorization"),
)
