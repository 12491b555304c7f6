"""Ollama's HTTP errors: words and nothing else. It knows no keys; a proxy before it may want a bearer token."""

import random
from collections.abc import Mapping
from typing import Final

import msgspec

from rxlapce.simulator.options import Fault
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

_ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(401, "", "unauthorized"),
    Fault.QUOTA: Said(402, "", "you've reached your usage limit, please upgrade to continue"),
    Fault.RATE_LIMIT: Said(429, "", "too many concurrent requests"),
    Fault.OVERLOADED: Said(503, "", "server busy, please try again.  maximum pending requests exceeded"),
    Fault.CONTEXT_LENGTH: Said(400, "", "input length exceeds maximum context length"),
    400: Said(400, "", "invalid request"),
    404: Said(404, "", "model '{model}' not found"),
    500: Said(500, "", "an error was encountered while running the model"),
}


def _render(said: Said, wait: Wait) -> HttpError:
    """Ollama itself does not say when to come again; the proxies in front of it do."""
    body = msgspec.json.encode({"error": said.message})
    headers = {} if wait.wait_s is None else {"retry-after": f"{wait.wait_s:g}"}
    return HttpError(said.status, body, headers, "application/json; charset=utf-8")


def _bad_request(message: str, _param: str | None) -> Said:
    return Said(400, "", message)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "", "404 page not found")


def _no_id(_chance: random.Random) -> dict[str, str]:
    return {}


OLLAMA: Final = Vendor(
    name="ollama",
    home="/api/",
    errors=_ERRORS,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=_no_id,
    key=key_in("authorization"),
    proxied=False,
)
