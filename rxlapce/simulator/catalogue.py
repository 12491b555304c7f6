"""`GET /v1/models` in both vendors' shapes: the models worth trying, with what they do."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.vendor_errors import Vendor

_CREATED: Final = 1_760_000_000
_CREATED_AT: Final = "2025-10-09T08:53:20Z"


def openai_listing() -> bytes:
    """OpenAI's list, indented as the API sends it, with a `description` beside its own members."""
    data = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulator", "description": meaning}
        for name, meaning in SHOWCASE.items()
    ]
    return msgspec.json.format(msgspec.json.encode({"object": "list", "data": data}), indent=2) + b"\n"


def anthropic_listing() -> bytes:
    """Anthropic's list; the meaning is the display name."""
    data = [
        {"type": "model", "id": name, "display_name": meaning, "created_at": _CREATED_AT}
        for name, meaning in SHOWCASE.items()
    ]
    names = list(SHOWCASE)
    return msgspec.json.encode({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})


LISTINGS: Final[Mapping[Vendor, Callable[[], bytes]]] = {
    Vendor.OPENAI: openai_listing,
    Vendor.ANTHROPIC: anthropic_listing,
}
