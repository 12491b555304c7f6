"""A vendor: whose keys, request ids and HTTP errors a route has. All that differs stands in one `Vendor` a file."""

import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from rxlapce.secret import Secret
from rxlapce.simulator.journal import Received
from rxlapce.simulator.options import Fault


class HttpError(msgspec.Struct, frozen=True):
    """An HTTP answer that is an error."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Said(msgspec.Struct, frozen=True):
    """What a vendor says in an error; `{model}` and `{key}` stand in `message` for the request's own.

    `type` is the vendor's word for the class of error (`rate_limit_error`, `RESOURCE_EXHAUSTED`,
    `ThrottlingException`). `code` and `param` are for the vendors that have them.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None


class Wait(msgspec.Struct, frozen=True):
    """What is said about trying again: whether it can help, and after how many seconds (None: not said)."""

    retryable: bool
    wait_s: float | None = None


#: Stands in an error's body for the request's id, which the server puts in; as long as Anthropic's.
REQUEST_ID: Final = "req_011C____________________"


#: What Anthropic says of `prefill=0`.
NO_PREFILL: Final = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)


def key_in(*headers: str) -> Callable[[Received], str]:
    """Reads the key from the first of these headers that came; from `authorization` without its `Bearer `."""

    def read(request: Received) -> str:
        for header in headers:
            value = request.headers.get(header)
            if value is not None:
                return value.removeprefix("Bearer ").strip()
        return ""

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Everything by which one vendor's HTTP differs from another's.

    `errors` has what is said for a named fault or a status; 400 and 500 must be there and stand for the others of
    their class, and `Fault.ERROR` is what a unary request gets for `fault=error` (else 500). `by_status` names the
    fault that a `status=` means. `render` makes the answer of what is said; `REQUEST_ID` in its body becomes the
    request's id. `bad_request` is given a message and the member at fault. `not_found` a method and a path; it is said
    for unknown paths that begin with `home`. `request_id` makes the header with the request's id. `demands` names the
    headers without which a request is refused, and what is said then. `proxied`: 502, 520 and 524 are HTML pages of a
    proxy in front. Whether a request may pass is decided by `admits`, which gets the demanded key or None; without it,
    by comparing the demanded key, if there is one, with what `key` reads. `no_prefill` is the message of `prefill=0`;
    Anthropic's stands for those of the vendors who take any conversation.
    """

    name: str
    home: str
    errors: Mapping[Fault | int, Said]
    by_status: Mapping[int, Fault]
    render: Callable[[Said, Wait], HttpError]
    bad_request: Callable[[str, str | None], Said]
    not_found: Callable[[str, str], Said]
    request_id: Callable[[random.Random], Mapping[str, str]]
    key: Callable[[Received], str]
    demands: Mapping[str, str] = field(default_factory=dict[str, str])
    proxied: bool = True
    admits: Callable[[Received, Secret | None], bool] | None = None
    no_prefill: str = NO_PREFILL

    def accepts(self, request: Received, demanded: Secret | None) -> bool:
        """Whether the request carries the key that it must."""
        if self.admits is not None:
            return self.admits(request, demanded)
        return demanded is None or hmac.compare_digest(self.key(request).encode(), demanded.reveal().encode())


#: What the proxy in front of a vendor answers itself, in HTML.
_PROXY_REASONS: Final = {502: "Bad Gateway", 520: "Web server is returning an unknown error", 524: "A timeout occurred"}
_SERVER_ERROR: Final = 500
_TRANSIENT: Final = frozenset({408, 409, 429})


def error_for(
    vendor: Vendor, fault: Fault | int, *, model: str = "", key: str = "", wait_s: float | None = None
) -> HttpError:
    """The vendor's answer for a fault, or for any HTTP status of 400 to 599; `wait_s` is told in its way."""
    if vendor.proxied and isinstance(fault, int) and fault in _PROXY_REASONS:
        return _proxy_page(fault, wait_s)
    named = vendor.by_status.get(fault, fault) if isinstance(fault, int) else fault
    said = vendor.errors.get(named)
    if said is None and fault is Fault.BLOCKED:
        said = vendor.bad_request("The prompt was blocked by the content filter.", None)
    if said is None:
        status = fault if isinstance(fault, int) else _SERVER_ERROR
        general = vendor.errors[_SERVER_ERROR if status >= _SERVER_ERROR else 400]
        said = msgspec.structs.replace(general, status=status)
    message = said.message.replace("{model}", model).replace("{key}", masked(key))
    retryable = (said.status in _TRANSIENT or said.status >= _SERVER_ERROR) and fault is not Fault.QUOTA
    return vendor.render(msgspec.structs.replace(said, message=message), Wait(retryable, wait_s))


def bad_request(vendor: Vendor, message: str, param: str | None = None) -> HttpError:
    """The vendor's HTTP 400 with a message of ours."""
    return vendor.render(vendor.bad_request(message, param), Wait(retryable=False))


def not_found(vendor: Vendor, method: str, path: str) -> HttpError:
    """The vendor's HTTP 404 for an address that it does not have."""
    return vendor.render(vendor.not_found(method, path), Wait(retryable=False))


def _proxy_page(status: int, wait_s: float | None) -> HttpError:
    title = f"{status} {_PROXY_REASONS[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    )
    headers = {} if wait_s is None else {"retry-after": f"{wait_s:g}"}
    return HttpError(status, page.encode(), headers, "text/html")


def masked(key: str) -> str:
    """A key as OpenAI repeats it: the first eight and the last four characters."""
    kept = 12
    return f"{key[:8]}{'*' * (len(key) - kept)}{key[-4:]}" if len(key) > kept else "*" * len(key)
