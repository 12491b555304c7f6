"""The vendors' HTTP errors: status, headers and body, in each vendor's own words and white space."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from rxlapce.simulator.options import Fault


class Vendor(StrEnum):
    """Whose format a route speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class HttpError(msgspec.Struct, frozen=True):
    """An HTTP answer that is an error."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Said(msgspec.Struct, frozen=True):
    """What a vendor says in an error. `code` and `param` are OpenAI's only."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None


_INVALID: Final = "invalid_request_error"

_OPENAI: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(
        401,
        _INVALID,
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
        _INVALID,
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130513 tokens. "
        "Please reduce the length of the messages.",
        "context_length_exceeded",
        "messages",
    ),
    400: Said(400, _INVALID, "Invalid request."),
    402: Said(402, "insufficient_quota", "Your credit balance is exhausted.", "credit_balance_exhausted"),
    403: Said(
        403,
        "request_forbidden",
        "Country, region, or territory not supported",
        "unsupported_country_region_territory",
    ),
    404: Said(404, _INVALID, "The model `{model}` does not exist or you do not have access to it.", "model_not_found"),
    408: Said(408, "server_error", "Request timed out.", "request_timeout"),
    500: Said(
        500,
        "server_error",
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        "contact us through our help center at help.openai.com if you keep seeing this error. "
        "(Please include the request ID in your email.)",
    ),
}

_ANTHROPIC: Final[Mapping[Fault | int, Said]] = {
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
    400: Said(400, _INVALID, "Invalid request."),
    403: Said(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    404: Said(404, "not_found_error", "model: {model}"),
    413: Said(413, "request_too_large", "Request exceeds the maximum size"),
    500: Said(500, "api_error", "Internal server error"),
    504: Said(504, "timeout_error", "Request timed out."),
}

#: The status that stands for a named error, where `status=` asks for it.
_BY_STATUS: Final[Mapping[Vendor, Mapping[int, Fault]]] = {
    Vendor.OPENAI: {401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    Vendor.ANTHROPIC: {401: Fault.AUTH, 402: Fault.QUOTA, 429: Fault.RATE_LIMIT, 529: Fault.OVERLOADED},
}
_TABLES: Final = {Vendor.OPENAI: _OPENAI, Vendor.ANTHROPIC: _ANTHROPIC}

#: What the proxy in front of either vendor answers itself, in HTML.
_PROXY_REASONS: Final = {502: "Bad Gateway", 520: "Web server is returning an unknown error", 524: "A timeout occurred"}
_SERVER_ERROR: Final = 500
_TRANSIENT: Final = frozenset({408, 409, 429})


def error_for(
    vendor: Vendor, fault: Fault | int, *, model: str = "", key: str = "", wait_s: float | None = None
) -> HttpError:
    """The vendor's answer for a fault, or for any HTTP status of 400 to 599; `wait_s` is told in its headers."""
    if isinstance(fault, int) and fault in _PROXY_REASONS:
        return _proxy_page(fault, wait_s)
    table = _TABLES[vendor]
    named = _BY_STATUS[vendor].get(fault, fault) if isinstance(fault, int) else fault
    said = table.get(named)
    if said is None:
        status = fault if isinstance(fault, int) else _SERVER_ERROR
        general = table[500 if status >= _SERVER_ERROR else 400]
        said = Said(status, general.type, general.message, general.code, general.param)
    message = said.message.replace("{model}", model).replace("{key}", _masked(key))
    retryable = (said.status in _TRANSIENT or said.status >= _SERVER_ERROR) and fault is not Fault.QUOTA
    return render(vendor, said, message, headers=_wait(vendor, wait_s, retryable=retryable))


def bad_request(vendor: Vendor, message: str, param: str | None = None) -> HttpError:
    """The vendor's HTTP 400 with a message of ours."""
    code = "missing_required_parameter" if message.startswith("Missing") else None
    return render(vendor, Said(400, _INVALID, message, code, param), message)


def not_found(vendor: Vendor, method: str, path: str) -> HttpError:
    """The vendor's HTTP 404 for an address that it does not have."""
    if vendor is Vendor.ANTHROPIC:
        return render(vendor, Said(404, "not_found_error", "Not found"), "Not found")
    message = f"Invalid URL ({method} {path})"
    return render(vendor, Said(404, _INVALID, message), message)


def render(vendor: Vendor, said: Said, message: str, *, headers: Mapping[str, str] | None = None) -> HttpError:
    """The vendor's JSON around a message. The request id of the body is put in by the server's `with_request_id`."""
    return HttpError(said.status, _BODIES[vendor](said, message), headers or {})


#: Stands in Anthropic's bodies for the request's id, which is as long.
REQUEST_ID: Final = "req_011C____________________"


def _openai_body(said: Said, message: str) -> bytes:
    """Indented by four from the layer that checks keys, by two from the one that checks requests."""
    error = {"message": message, "type": said.type, "param": said.param, "code": said.code}
    indent = 4 if said.status in (401, 429) else 2
    return msgspec.json.format(msgspec.json.encode({"error": error}), indent=indent) + b"\n"


def _anthropic_body(said: Said, message: str) -> bytes:
    """Compact, with the request's id at the end."""
    error: dict[str, Any] = {"type": said.type, "message": message}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": REQUEST_ID})


_BODIES: Final[Mapping[Vendor, Callable[[Said, str], bytes]]] = {
    Vendor.OPENAI: _openai_body,
    Vendor.ANTHROPIC: _anthropic_body,
}


def _proxy_page(status: int, wait_s: float | None) -> HttpError:
    title = f"{status} {_PROXY_REASONS[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    headers = {} if wait_s is None else {"retry-after": _seconds(wait_s)}
    return HttpError(status, page.encode(), headers, "text/html")


def _seconds(wait_s: float) -> str:
    return f"{wait_s:g}"


def _wait(vendor: Vendor, wait_s: float | None, *, retryable: bool) -> dict[str, str]:
    """How each vendor says when to come again; OpenAI in whole seconds, and exactly in milliseconds beside it."""
    headers = {"x-should-retry": "true" if retryable else "false"} if vendor is Vendor.ANTHROPIC else {}
    if wait_s is None:
        return headers
    if vendor is Vendor.ANTHROPIC:
        return headers | {"retry-after": _seconds(wait_s)}
    return {"retry-after-ms": str(round(wait_s * 1000)), "retry-after": str(math.ceil(wait_s))}


def _masked(key: str) -> str:
    """A key as OpenAI repeats it: the first eight and the last four characters."""
    kept = 12
    return f"{key[:8]}{'*' * (len(key) - kept)}{key[-4:]}" if len(key) > kept else "*" * len(key)
