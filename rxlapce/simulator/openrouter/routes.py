"""OpenRouter's paths, under `/openrouter`."""

from typing import Final

import msgspec

from rxlapce.simulator.anthropic.messages import MessagesAnswer
from rxlapce.simulator.anthropic.messages_request import read_messages
from rxlapce.simulator.asked import Where
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openrouter.chat import OpenRouterChatCompletion
from rxlapce.simulator.openrouter.responses import OpenRouterResponsesAnswer
from rxlapce.simulator.openrouter.vendor import OPENROUTER
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.route import PlainRoute, Route

_CREATED: Final = 1_760_000_000


def _listing(_body: bytes, _where: Where) -> bytes:
    """The models worth trying, with their prices a token."""
    data = [
        {
            "id": name,
            "canonical_slug": name,
            "name": name,
            "created": _CREATED,
            "description": meaning,
            "context_length": 128_000,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.00000025", "completion": "0.000001", "request": "0", "image": "0"},
            "supported_parameters": ["max_tokens", "reasoning", "response_format", "tools"],
        }
        for name, meaning in SHOWCASE.items()
    ]
    return msgspec.json.encode({"data": data})


def _key(_body: bytes, _where: Where) -> bytes:
    """What the key may spend."""
    data = {"label": "sk-or-v1-sim...ulator", "limit": None, "limit_remaining": None, "usage": 0, "is_free_tier": False}
    return msgspec.json.encode({"data": data})


ROUTES: Final = (
    Route("/openrouter/api/v1/chat/completions", OPENROUTER, read_chat, OpenRouterChatCompletion),
    Route("/openrouter/api/v1/messages", OPENROUTER, read_messages, MessagesAnswer),
    Route("/openrouter/api/v1/responses", OPENROUTER, read_responses, OpenRouterResponsesAnswer),
)
PLAIN_ROUTES: Final = (
    PlainRoute("GET", "/openrouter/api/v1/models", OPENROUTER, _listing),
    PlainRoute("GET", "/openrouter/api/v1/key", OPENROUTER, _key),
)
