"""Anthropic's paths."""

from typing import Final

import msgspec

from rxlapce.simulator.anthropic.messages import MessagesAnswer
from rxlapce.simulator.anthropic.messages_request import read_count, read_messages
from rxlapce.simulator.anthropic.vendor import ANTHROPIC
from rxlapce.simulator.asked import Where
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.reply import prompt_tokens
from rxlapce.simulator.route import PlainRoute, Route

_CREATED_AT: Final = "2025-10-09T08:53:20Z"


def _listing(_body: bytes, _where: Where) -> bytes:
    """The models worth trying; the meaning is the display name."""
    data = [
        {"type": "model", "id": name, "display_name": meaning, "created_at": _CREATED_AT}
        for name, meaning in SHOWCASE.items()
    ]
    names = list(SHOWCASE)
    return msgspec.json.encode({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def _count(body: bytes, where: Where) -> bytes:
    """How many tokens the request counts, without answering it."""
    return msgspec.json.encode({"input_tokens": prompt_tokens(read_count(body, where))})


ROUTES: Final = (Route("/v1/messages", ANTHROPIC, read_messages, MessagesAnswer),)
PLAIN_ROUTES: Final = (
    PlainRoute("GET", "/v1/models", ANTHROPIC, _listing),
    PlainRoute("POST", "/v1/messages/count_tokens", ANTHROPIC, _count),
)
