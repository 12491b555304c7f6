"""Ollama's own paths."""

from typing import Final

import msgspec

from rxlapce.simulator.asked import Where
from rxlapce.simulator.ollama import request as ollama_request
from rxlapce.simulator.ollama.chat import OllamaChat, OllamaGenerate
from rxlapce.simulator.ollama.vendor import OLLAMA
from rxlapce.simulator.options import SHOWCASE
from rxlapce.simulator.route import PlainRoute, Route

_MODIFIED_AT: Final = "2025-10-09T08:53:20.000000000Z"


def _tags(_body: bytes, _where: Where) -> bytes:
    """The models worth trying, as if they lay on the disk."""
    details = {"format": "simulated", "family": "sim", "parameter_size": "0B", "quantization_level": "none"}
    models = [
        {
            "name": name,
            "model": name,
            "modified_at": _MODIFIED_AT,
            "size": 0,
            "digest": f"{number:064x}",
            "details": details,
        }
        for number, name in enumerate(SHOWCASE)
    ]
    return msgspec.json.encode({"models": models})


ROUTES: Final = (
    Route("/api/chat", OLLAMA, ollama_request.read_chat, OllamaChat),
    Route("/api/generate", OLLAMA, ollama_request.read_generate, OllamaGenerate),
)
PLAIN_ROUTES: Final = (PlainRoute("GET", "/api/tags", OLLAMA, _tags),)
