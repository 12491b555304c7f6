"""Any request at all, to the dialects that take plain turns: said or refused, and what is said has lost nothing."""

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.dialects import AnthropicComplete, ChatCompletions, Completions, Ollama
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import (
    CacheLife,
    ChatRequest,
    Effort,
    Image,
    Message,
    OpaquePart,
    Part,
    RequestedCall,
    ResponseFormat,
    Role,
    Tool,
)
from rxlapce.testing.thoroughness import examples
from rxlapce.typing import Dialect

WORDS: st.SearchStrategy[str] = st.sampled_from(["", "a", '"', "b\n", "\N{SNOWMAN}"]) | st.text(max_size=3)
ROLES: st.SearchStrategy[Role] = st.sampled_from(get_args(Role))
LIVES: st.SearchStrategy[CacheLife | None] = st.none() | st.sampled_from(get_args(CacheLife))
EFFORTS: st.SearchStrategy[Effort | None] = st.none() | st.none() | st.sampled_from(get_args(Effort))
ARGUMENTS = st.sampled_from(["", "{}", '{"a": [1]}', "[]", "{", "[" * 5000])
CALLS = st.builds(RequestedCall, id=WORDS, name=WORDS, arguments=ARGUMENTS)
KINDS = st.sampled_from(["logprobs", "usage", "images", "audio", "reasoning_details", "redacted_thinking"])
RAWS = st.sampled_from(["{}", "[]", "[1]", '{"id":"a"}', "nothing", '{"type":"reasoning.encrypted"}', "[" * 5000])
IMAGES = st.builds(Image, url=st.just("https://example.org/a.png"), detail=st.sampled_from([None, "auto", "low"])) | (
    st.builds(Image, data=st.just("QUJD"), media_type=st.just("image/png"))
)
TEXTS = st.builds(Part, text=WORDS, cache=LIVES)
SHOWN = TEXTS | st.builds(Part, image=IMAGES, cache=LIVES)
OWN = st.one_of(
    TEXTS,
    st.builds(Part, reasoning=WORDS, signature=st.none() | WORDS),
    st.builds(Part, tool_call=CALLS, cache=LIVES),
    st.builds(Part, opaque=st.builds(OpaquePart, kind=KINDS, raw=RAWS)),
)
PARTS = {"user": SHOWN, "assistant": OWN, "tool": TEXTS, "system": TEXTS, "developer": TEXTS}


@st.composite
def turns(draw: st.DrawFn) -> Message:
    """A turn that is mostly of pieces that its role may hold, and now and then of others."""
    role = draw(ROLES)
    pieces = PARTS[role] if draw(st.integers(0, 9)) else SHOWN | OWN
    parts = tuple(draw(st.lists(pieces, max_size=3)))
    calls = draw(st.lists(CALLS, max_size=2)) if role == "assistant" else ()
    answered = draw(WORDS) if role == "tool" and draw(st.integers(0, 9)) else None
    content = "" if parts else draw(WORDS)
    return Message(role=role, content=content, parts=parts, tool_calls=tuple(calls), tool_call_id=answered)


SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.just({"type": "object"})
TOOLS = st.builds(Tool, name=WORDS, description=WORDS, parameters=SCHEMAS, cache=LIVES)
FORMATS = st.none() | st.builds(ResponseFormat, json_schema=st.none() | SCHEMAS)
FRACTIONS = st.none() | st.floats(0, 1)
#: Members that some dialects refuse are mostly left out, so that most requests get past them.
REQUESTS: st.SearchStrategy[ChatRequest] = st.builds(
    ChatRequest,
    model=st.just("p/m"),
    messages=st.lists(turns(), min_size=1, max_size=3).map(tuple),
    max_tokens=st.none() | st.integers(1, 9),
    temperature=FRACTIONS,
    top_p=FRACTIONS,
    top_k=st.sampled_from([None, None, None, 1]),
    presence_penalty=FRACTIONS,
    frequency_penalty=FRACTIONS,
    stop=st.lists(WORDS, max_size=2).map(tuple),
    seed=st.none() | st.integers(),
    n=st.sampled_from([None, None, 1, 2]),
    tools=st.just(()) | st.lists(TOOLS, max_size=2).map(tuple),
    tool_choice=st.sampled_from([None, None, "auto", "none", "look"]),
    parallel_tool_calls=st.sampled_from([None, None, None, False]),
    response_format=FORMATS,
    reasoning_effort=EFFORTS,
    reasoning_tokens=st.sampled_from([None, None, None, 0, 5]),
)
CHATS = st.builds(
    ChatCompletions,
    max_tokens_field=st.sampled_from(["max_completion_tokens", "max_tokens"]),
    reasoning=st.sampled_from(["effort", "openrouter", None]),
    reasoning_back=st.sampled_from(["reasoning_content", "reasoning_details", None]),
    top_k=st.booleans(),
    cache_control=st.booleans(),
    unpadded=st.booleans(),
)


def written(dialect: Dialect[Event], request: ChatRequest, *, stream: bool) -> Any:
    """The body that the dialect makes of the request; None if it refuses it in the way that it should."""
    try:
        return json.loads(dialect.chat_body(request, "m", stream=stream))
    except ProviderError as error:
        if (error.kind, error.phase) != (ErrorKind.BAD_REQUEST, Phase.ADMIT):
            raise
        return None


@pytest.mark.parametrize("dialect", [Completions(), AnthropicComplete()], ids=lambda dialect: dialect.name)
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(request_=REQUESTS, stream=st.booleans())
def test_prompts_lose_nothing(dialect: Completions | AnthropicComplete, request_: ChatRequest, stream: bool) -> None:
    body = written(dialect, request_, stream=stream)
    if body is None:
        return
    for message in request_.messages:
        assert message.text in body["prompt"]
        assert all(part.text is not None for part in message.pieces())
    for name in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed"):
        assert body.get(name) == getattr(request_, name)
    assert not request_.tools


@settings(max_examples=examples(60))
@given(request=REQUESTS, dialect=CHATS, stream=st.booleans())
def test_chat_completions_lose_nothing(request: ChatRequest, dialect: ChatCompletions, stream: bool) -> None:
    body = written(dialect, request, stream=stream)
    if body is None:
        return
    for message, turn in zip(request.messages, body["messages"], strict=True):
        check_turn(message, turn)
        calls = [(call["id"], call["function"]) for call in turn.get("tool_calls", ())]
        assert calls == [(call.id, {"name": call.name, "arguments": call.arguments}) for call in message.calls()]
        signatures = [part.signature for part in message.pieces() if part.signature]  # an empty one says nothing
        details = turn.get("reasoning_details", ())
        assert signatures == [detail["signature"] for detail in details if detail.get("signature")]
    marks = json.dumps(body).count('"cache_control":')
    assert marks == (len(list(request.cache_marks())) if dialect.cache_control else 0)
    check_members(request, body, {dialect.max_tokens_field: "max_tokens", "n": "n"})
    assert body.get("parallel_tool_calls") == request.parallel_tool_calls
    assert ("tool_choice" in body) is (request.tool_choice is not None)
    assert ("response_format" in body) is (request.response_format is not None)
    thinks = request.reasoning_effort is not None or request.reasoning_tokens is not None
    assert ("reasoning_effort" in body or "reasoning" in body) is thinks


@settings(max_examples=examples(60))
@given(request=REQUESTS, stream=st.booleans())
def test_ollama_loses_nothing(request: ChatRequest, stream: bool) -> None:
    body = written(Ollama(), request, stream=stream)
    if body is None:
        return
    assert body["stream"] is stream
    for message, turn in zip(request.messages, body["messages"], strict=True):
        check_turn(message, turn)
        said = [json.loads(call.arguments or "{}") for call in message.calls()]
        calls = turn.get("tool_calls", ())
        assert [call["function"]["arguments"] for call in calls] == said
        assert [call["id"] for call in calls] == [call.id for call in message.calls()]
    check_members(request, body.get("options", {}), {"num_predict": "max_tokens"})
    assert ("format" in body) is (request.response_format is not None)
    assert ("think" in body) is (request.reasoning_effort is not None)


def check_turn(message: Message, turn: dict[str, Any]) -> None:
    """That the text, the thoughts, the images and the answered call of a turn are all there."""
    content = turn["content"] or ""
    assert message.text == (content if isinstance(content, str) else "".join(p.get("text", "") for p in content))
    thoughts = turn.get("reasoning_content", "") + turn.get("reasoning", "") + turn.get("thinking", "")
    assert thoughts == "".join(part.reasoning or "" for part in message.pieces())
    assert turn.get("tool_call_id") == message.tool_call_id
    shown = json.dumps(turn)
    for part in message.pieces():
        if part.image is not None:
            assert (part.image.url or part.image.data or "nothing") in shown


def check_members(request: ChatRequest, said: dict[str, Any], renamed: dict[str, str]) -> None:
    """That each plain wish is there with its value, and none that was not wished for."""
    same = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed")
    for name, member in {**{name: name for name in same}, **renamed}.items():
        assert said.get(name) == getattr(request, member)
    assert said.get("stop", []) == list(request.stop)
    tools = [tool.name for tool in request.tools]
    assert [tool["function"]["name"] for tool in said.get("tools", ())] == (tools if "tools" in said else [])
