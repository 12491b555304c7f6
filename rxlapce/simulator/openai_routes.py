"""OpenAI's paths."""

from typing import Final

import msgspec

from rxlapce.simulator.asked import Where, read_chat
from rxlapce.simulator.chat_completions import ChatCompletion
from rxlapce.simulator.openai_vendor import OPENAI
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.route import PlainRoute, Route

_CREATED: Final = 1_760_000_000


def listing(_body: bytes, _where: Where) -> bytes:
    """The models worth trying, indented as the API sends them, with a `description` beside its own members."""
    data = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "simulator", "description": meaning}
        for name, meaning in SHOWCASE.items()
    ]
    return msgspec.json.format(msgspec.json.encode({"object": "list", "data": data}), indent=2) + b"\n"


ROUTES: Final = (Route("/v1/chat/completions", OPENAI, read_chat, ChatCompletion),)
PLAIN_ROUTES: Final = (PlainRoute("GET", "/v1/models", OPENAI, listing),)
