"""Recorded answers go back as history with all that their provider checks: ids, arguments, signatures, in order."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex

from rxlapce.answer import TurnBuilder
from rxlapce.dialects import ChatCompletions
from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, Opaque, Reasoning, StreamToken, ToolCall

REPOSITORY = Path(__file__).resolve().parents[2]
STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or REPOSITORY.parent / "shared" / "streams")
MANIFEST = STREAMS / "manifest.json"

Entry = dict[str, Any]

#: Members of an opaque piece that the provider made and checks.
SEALED = frozenset({"signature", "thoughtSignature", "data", "encrypted_content", "redactedContent"})
#: These take prompts: they have no history.
PROMPTED = ("openai.completions", "anthropic.complete")
#: Whole thoughts in words, for which the API has no way back: they are refused, and `Message.plain()` is sent.
WORDY = (
    "openai-compatible/responses-reasoning-deepseek-v4-flash.sse",
    "openai-compatible/responses-tool-reasoning-prompt-cache-glm-4-7-flash.sse",
    "openrouter/responses-reasoning-gpt-oss-20b.sse",
)


def entries() -> list[Entry]:
    known: list[Entry] = json.loads(MANIFEST.read_bytes()) if MANIFEST.is_file() else []
    return [e for e in known if e["api"] in APIS and e["api"] not in PROMPTED and e["status"] < 400]


def said(entry: Entry) -> list[StreamToken]:
    """The tokens of a recording, as far as it goes."""
    api = APIS[entry["api"]]
    body = (STREAMS / entry["file"]).read_bytes()
    tokens = list[StreamToken]()
    stream = reactivex.of(body).pipe(api.framing.decode(), token_map(api.dialect()))
    stream.subscribe(tokens.append, lambda _: None)
    return tokens


def kept(tokens: list[StreamToken]) -> bool:
    """Whether it is a whole answer with something that must go back unchanged."""
    whole = any(isinstance(token, Finish) for token in tokens)
    return whole and any(isinstance(token, ToolCall | Reasoning) or any(sealed(token)) for token in tokens)


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object in it, in order, and the elements of arrays under no name."""
    pairs: list[tuple[str, Any]] = list(value.items()) if is_object(value) else []
    for name, member in [*pairs, *(("", item) for item in (value if is_array(value) else ()))]:
        yield name, member
        yield from members(member)


def sealed(token: StreamToken) -> Iterator[str]:
    """What the provider checks of a token. Marks of citations only told of the answer."""
    if isinstance(token, Reasoning) and token.signature:
        yield token.signature
    elif isinstance(token, Opaque) and token.kind != "citations_delta":
        yield from (text for name, text in members(json.loads(token.raw)) if name in SEALED and isinstance(text, str))


def sent_back(entry: Entry, turn: Message) -> Any:
    dialect = APIS[entry["api"]].dialect()
    if isinstance(dialect, ChatCompletions):
        openrouter = entry["provider"] == "openrouter"
        dialect = ChatCompletions(reasoning_back="reasoning_details" if openrouter else "reasoning_content")
    results = (Message(role="tool", content="R", tool_call_id=call.id) for call in turn.calls())
    messages = (Message(role="user", content="Q"), turn, *results)
    model = f"{entry['model']} anthropic.claude"  # by which InvokeModel knows the vendor, if the recording says none
    return json.loads(dialect.chat_body(ChatRequest(model="p/m", messages=messages), model, stream=True))


ANSWERS = [(entry, tokens) for entry in entries() if entry["file"] not in WORDY and kept(tokens := said(entry))]


@pytest.mark.skipif(not ANSWERS, reason="no recorded streams: set RXLAPCE_STREAMS to their folder")
@pytest.mark.parametrize(("entry", "tokens"), ANSWERS, ids=[entry["file"] for entry, _ in ANSWERS])
def test_a_recorded_answer_goes_back_whole(entry: Entry, tokens: list[StreamToken]) -> None:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    turn = builder.message()
    values = [value for _, value in members(sent_back(entry, turn))]
    given = {token.id for token in tokens if isinstance(token, ToolCall)}
    for call in turn.calls():
        assert call.id in values or call.id not in given
        assert call.name in values
        assert call.arguments in values or json.loads(call.arguments or "{}") in values
    seals = [seal for token in tokens for seal in sealed(token) if seal]
    places = [values.index(seal) for seal in seals]
    assert places == sorted(places)
