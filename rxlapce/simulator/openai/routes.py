"""OpenAI's paths."""

from typing import Final

import msgspec

from rxlapce.simulator.asked import Where
from rxlapce.simulator.openai.chat_completions import ChatCompletion
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import Completion, read_completions
from rxlapce.simulator.openai.responses import ResponsesAnswer, count_response
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openai.vendor import OPENAI
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


def _count(body: bytes, where: Where) -> bytes:
    """How many tokens the input of a Responses request counts, without answering it."""
    return count_response(read_responses(body, where))


ROUTES: Final = (
    Route("/v1/chat/completions", OPENAI, read_chat, ChatCompletion),
    Route("/v1/responses", OPENAI, read_responses, ResponsesAnswer),
    Route("/v1/completions", OPENAI, read_completions, Completion),
)
PLAIN_ROUTES: Final = (
    PlainRoute("GET", "/v1/models", OPENAI, listing),
    PlainRoute("POST", "/v1/responses/input_tokens", OPENAI, _count),
)
