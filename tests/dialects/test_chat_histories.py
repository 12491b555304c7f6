"""Recorded answers as history: the turn that `TurnBuilder` makes of a stream goes back with all that it said.

The recordings are not part of the project: they are looked for in $RXLAPCE_STREAMS, then in `../shared/streams` beside
the repository.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rxlapce.answer import AnswerBuilder
from rxlapce.codec.sse import SSEDecoder
from rxlapce.dialects import ChatCompletions
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken

REPOSITORY = Path(__file__).resolve().parents[2]
STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or REPOSITORY.parent / "shared" / "streams")
MANIFEST = STREAMS / "manifest.json"
API = "openai.chat.completions"

DIALECT = ChatCompletions(reasoning_back="reasoning_details")


def recorded() -> list[str]:
    if not MANIFEST.is_file():
        return []
    entries = json.loads(MANIFEST.read_bytes())
    return [entry["file"] for entry in entries if entry["api"] == API and entry["file"].endswith(".sse")]


FILES = recorded()

pytestmark = pytest.mark.skipif(not FILES, reason="no recorded streams: set RXLAPCE_STREAMS to their folder")


@pytest.mark.parametrize("file", FILES)
def test_a_recorded_answer_goes_back_whole(file: str) -> None:
    body = (STREAMS / file).read_bytes()
    answer = AnswerBuilder()
    for token in tokens_of(body):
        answer.add(token)
    request = ChatRequest(model="p/m", messages=(answer.answer().turn,))
    (turn,) = json.loads(DIALECT.chat_body(request, "m", stream=True))["messages"]
    first = answer.answer().choices[0]
    assert (turn["content"] or "") == first.text + (first.refusal or "")
    assert turn.get("reasoning", "") == first.reasoning
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in turn.get("tool_calls", ())
    ]
    assert calls == [
        (call.id or f"call_{index}", call.name, call.arguments) for index, call in enumerate(first.tool_calls)
    ]
    assert sealed(turn.get("reasoning_details", ())) == sealed(details_in(body))


def tokens_of(body: bytes) -> list[StreamToken]:
    """What a recording says, up to its error if it has one."""
    framing, decoder = SSEDecoder(), DIALECT.decoder()
    out: list[StreamToken] = []
    try:
        for event in (*framing.feed(body), *framing.close()):
            if decoder.feed(event, out):
                return out
        decoder.close(out)
    except ProviderError:
        pass
    return out


def details_in(body: bytes) -> list[Any]:
    """All details that the recording's events hold, as they stand there."""
    framing = SSEDecoder()
    details: list[Any] = []
    for event in (*framing.feed(body), *framing.close()):
        if event.data.startswith("{"):
            chunk: dict[str, Any] = json.loads(event.data)
            for choice in chunk.get("choices") or ():
                delta: dict[str, Any] = choice.get("delta") or {}
                details += delta.get("reasoning_details") or ()
    return details


def sealed(details: Any) -> list[Any]:
    """The details that are no text: they come whole, each in one event."""
    return [detail for detail in details if detail["type"] == "reasoning.encrypted"]
