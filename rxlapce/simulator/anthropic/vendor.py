"""Anthropic's keys, request ids and HTTP errors, in its own words and white space."""

import random
from collections.abc import Mapping
from typing import Final

import msgspec

from rxlapce.simulator.options import Fault
from rxlapce.simulator.tokenizer import base58
from rxlapce.simulator.vendor import REQUEST_ID, HttpError, Said, Vendor, Wait, key_in

_INVALID: Final = "invalid_request_error"

_ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(401, "authentication_error", "invalid x-api-key"),
    Fault.QUOTA: Said(
        402,
        "billing_error",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
        "purchase credits.",
    ),
    Fault.RATE_LIMIT: Said(
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 30,000 input tokens per minute (model: {model}). "
        "For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for "
        "current usage. Please reduce the prompt length or the maximum tokens requested, or try again later.",
    ),
    Fault.OVERLOADED: Said(529, "overloaded_error", "Overloaded"),
    Fault.CONTEXT_LENGTH: Said(400, _INVALID, "prompt is too long: 208310 tokens > 200000 maximum"),
    Fault.BLOCKED: Said(400, _INVALID, "Output blocked by content filtering policy"),
    400: Said(400, _INVALID, "Invalid request."),
    403: Said(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    404: Said(404, "not_found_error", "model: {model}"),
    413: Said(413, "request_too_large", "Request exceeds the maximum size"),
    500: Said(500, "api_error", "Internal server error"),
    504: Said(504, "timeout_error", "Request timed out."),
}


def _render(said: Said, wait: Wait) -> HttpError:
    """Compact JSON with the request's id at the end; the headers say whether and when to come again."""
    error = {"type": said.type, "message": said.message}
    body = msgspec.json.encode({"type": "error", "error": error, "request_id": REQUEST_ID})
    headers = {"x-should-retry": "true" if wait.retryable else "false"}
    if wait.wait_s is not None:
        headers["retry-after"] = f"{wait.wait_s:g}"
    return HttpError(said.status, body, headers)


def _bad_request(message: str, _param: str | None) -> Said:
    return Said(400, _INVALID, message)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "not_found_error", "Not found")


def _request_id(chance: random.Random) -> dict[str, str]:
    return {"request-id": f"req_011C{base58(chance, 20)}"}


ANTHROPIC: Final = Vendor(
    name="anthropic",
    home="/v1/messages",
    errors=_ERRORS,
    by_status={401: Fault.AUTH, 402: Fault.QUOTA, 429: Fault.RATE_LIMIT, 529: Fault.OVERLOADED},
    render=_render,
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=_request_id,
    key=key_in("x-api-key", "authorization"),
    demands={"anthropic-version": "anthropic-version: header is required"},
)
