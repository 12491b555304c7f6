"""A whole stream without a server: for tests of decoders, and for benchmarks of what comes after the socket."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from rxlapce.simulator.anthropic import routes as anthropic_routes
from rxlapce.simulator.asked import Where
from rxlapce.simulator.ollama import routes as ollama_routes
from rxlapce.simulator.openai import routes as openai_routes
from rxlapce.simulator.options import Options, parse
from rxlapce.simulator.play import Close, Step, play
from rxlapce.simulator.steady import give
from rxlapce.simulator.tokenizer import seeded

Recited = Literal["chat_completions", "responses", "completions", "messages", "ollama"]

_PATHS: Final[dict[Recited, str]] = {
    "chat_completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
    "messages": "/v1/messages",
    "ollama": "/api/chat",
}
_ROUTES: Final = {
    route.path: route for route in (*openai_routes.ROUTES, *anthropic_routes.ROUTES, *ollama_routes.ROUTES)
}
_ENDLESS: Final = 2**31 - 1


def recite(
    prompt: str,
    *,
    dialect: Recited = "chat_completions",
    model: str = "sim",
    seed: int = 1,
    defaults: Options | None = None,
) -> Iterator[Step | Close]:
    """The steps of the answer to one user message, made as they are taken; `model` may carry options.

    Raises `BadOption` or `BadBody` for what the server would refuse. Faults before the headers are not part of it.
    """
    turns = [{"role": "user", "content": prompt}]
    asking: dict[Recited, dict[str, Any]] = {
        "responses": {"input": turns},
        "completions": {"prompt": prompt},
        "ollama": {"messages": turns},
    }
    members = asking.get(dialect, {"max_tokens": _ENDLESS, "messages": turns})
    body = msgspec.json.encode({"model": model, **members, "stream": True})
    route = _ROUTES[_PATHS[dialect]]
    chance = seeded(seed, dialect, body)
    asked = route.read(body, Where(path=route.path))
    wire = route.wire(asked, chance)
    options = parse(asked.options, defaults)
    return play(wire, wire.events(give(asked, options, chance, seed=seed).replies), options, chance)
