"""OpenAI's keys, request ids and HTTP errors, in its own words and white space."""

import math
import random
from collections.abc import Mapping
from typing import Final

import msgspec

from rxlapce.simulator.options import Fault
from rxlapce.simulator.tokenizer import hexadecimal
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

INVALID: Final = "invalid_request_error"

ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(
        401,
        INVALID,
        "Incorrect API key provided: {key}. You can find your API key at https://platform.openai.com/account/api-keys.",
        "invalid_api_key",
    ),
    Fault.QUOTA: Said(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
    ),
    Fault.RATE_LIMIT: Said(
        429,
        "tokens",
        "Rate limit reached for {model} in organization org-simulator on tokens per min (TPM): Limit 30000, "
        "Used 29800, Requested 600. Please try again in 800ms. Visit "
        "https://platform.openai.com/account/rate-limits to learn more.",
        "rate_limit_exceeded",
    ),
    Fault.OVERLOADED: Said(
        503,
        "server_error",
        "The server is currently overloaded with other requests. Sorry about that! You can retry your request, or "
        "contact us through our help center at help.openai.com if the error persists.",
        "server_is_overloaded",
    ),
    Fault.CONTEXT_LENGTH: Said(
        400,
        INVALID,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130513 tokens. "
        "Please reduce the length of the messages.",
        "context_length_exceeded",
        "messages",
    ),
    Fault.BLOCKED: Said(
        400,
        INVALID,
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a "
        "different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
        "invalid_prompt",
    ),
    400: Said(400, INVALID, "Invalid request."),
    402: Said(402, "insufficient_quota", "Your credit balance is exhausted.", "credit_balance_exhausted"),
    403: Said(
        403,
        "request_forbidden",
        "Country, region, or territory not supported",
        "unsupported_country_region_territory",
    ),
    404: Said(404, INVALID, "The model `{model}` does not exist or you do not have access to it.", "model_not_found"),
    408: Said(408, "server_error", "Request timed out.", "request_timeout"),
    500: Said(
        500,
        "server_error",
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        "contact us through our help center at help.openai.com if you keep seeing this error. "
        "(Please include the request ID in your email.)",
    ),
}


def error_body(said: Said) -> bytes:
    """Indented by four from the layer that checks keys, by two from the one that checks requests."""
    error = {"message": said.message, "type": said.type, "param": said.param, "code": said.code}
    indent = 4 if said.status in (401, 429) else 2
    return msgspec.json.format(msgspec.json.encode({"error": error}), indent=indent) + b"\n"


def wait_headers(wait: Wait) -> dict[str, str]:
    """In whole seconds, and exactly in milliseconds beside it."""
    if wait.wait_s is None:
        return {}
    return {"retry-after-ms": str(round(wait.wait_s * 1000)), "retry-after": str(math.ceil(wait.wait_s))}


def _render(said: Said, wait: Wait) -> HttpError:
    return HttpError(said.status, error_body(said), wait_headers(wait))


def bad_request(message: str, param: str | None) -> Said:
    """A missing member has a code of its own."""
    code = "missing_required_parameter" if message.startswith("Missing") else None
    return Said(400, INVALID, message, code, param)


def not_found(method: str, path: str) -> Said:
    """An address that does not exist."""
    return Said(404, INVALID, f"Invalid URL ({method} {path})")


def request_id(chance: random.Random) -> dict[str, str]:
    """The header with the request's id."""
    return {"x-request-id": f"req_{hexadecimal(chance, 32)}"}


OPENAI: Final = Vendor(
    name="openai",
    home="/",
    errors=ERRORS,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=bad_request,
    not_found=not_found,
    request_id=request_id,
    key=key_in("authorization"),
)
