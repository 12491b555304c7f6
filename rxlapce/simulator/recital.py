"""A whole stream without a server: for tests of decoders, and for benchmarks of what comes after the socket."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from rxlapce.simulator.chat_completions import ChatCompletion
from rxlapce.simulator.chat_request import read_chat
from rxlapce.simulator.messages import MessagesAnswer
from rxlapce.simulator.messages_request import read_messages
from rxlapce.simulator.options import Options, parse
from rxlapce.simulator.play import Close, Step, play
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.wire import Wire


def recite(
    prompt: str,
    *,
    dialect: Literal["chat_completions", "messages"] = "chat_completions",
    model: str = "sim",
    seed: int = 1,
    defaults: Options | None = None,
) -> Iterator[Step | Close]:
    """The steps of the answer to one user message, made as they are taken; `model` may carry options.

    Raises `BadOption` or `BadBody` for what the server would refuse. Faults before the headers are not part of it.
    """
    body = msgspec.json.encode(
        {"model": model, "max_tokens": 2**31 - 1, "messages": [{"role": "user", "content": prompt}], "stream": True}
    )
    chance = seeded(seed, dialect, body)
    wire: Wire
    if dialect == "chat_completions":
        asked = read_chat(body)
        wire = ChatCompletion(asked, chance)
    else:
        asked = read_messages(body)
        wire = MessagesAnswer(asked, chance)
    options = parse(asked.options, defaults)
    return play(wire, wire.events(compose(asked, options, chance)), options, chance)
