"""Any request at all: a dialect either says the whole of it, or refuses it as `bad_request`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.dialects import AnthropicMessages, Responses
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import (
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

DIALECTS = [
    AnthropicMessages(),
    AnthropicMessages(model_in_body=False, version="v"),
    Responses(),
    Responses(store=None),
]

#: Opaque kinds that both decoders pass on, and whether they are pieces of the conversation.
OPAQUE = {
    "redacted_thinking": True,
    "web_search_tool_result": True,
    "server_tool_use": True,
    "compaction": True,
    "custom_tool_call": True,
    "function_call": True,
    "reasoning": True,
    "mcp_call": True,
    "tomorrow": True,
    "citations_delta": False,
    "response.output_item.added": False,
    "annotation": False,
}


def seldom(usual: st.SearchStrategy[Any], odd: list[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is usual."""
    return st.integers(0, 15).flatmap(lambda n: st.sampled_from(odd) if n == 0 else usual)


words = st.text("abcdefgh", min_size=1, max_size=12).map(lambda word: f"<{word}>")
#: What JSON cannot hold, or what is not JSON, comes seldom, so that many requests are taken.
texts = seldom(words, ["", " ", "\n", "\ud800", "\U0001f600"])
ids = seldom(st.sampled_from(["c1", "c2", "c3"]), ["", "\ud800"])
marks = seldom(st.none(), ["5m", "1h"])
arguments = seldom(words.map(lambda word: json.dumps({"a": word})), ["", "{", "[]", "\ud800", "[" * 2000])
calls = st.builds(RequestedCall, id=ids, name=words, arguments=arguments)
images = st.one_of(
    st.builds(Image, data=words, media_type=seldom(st.just("image/png"), ["image/tiff"])),
    st.builds(Image, url=seldom(words.map("https://{}".format), ["gs://b/o", "", "data:,"])),
)


@st.composite
def opaque_parts(draw: st.DrawFn) -> OpaquePart:
    kind = draw(st.sampled_from(sorted(OPAQUE)))
    odd: list[Any] = [None, [], {}, 1]
    raw: dict[str, Any] = {
        "type": draw(st.sampled_from([kind, kind, kind, "other"])),
        "id": draw(ids | st.sampled_from(odd)),
        "call_id": draw(ids | st.sampled_from(odd)),
        "value": draw(words),
    }
    if kind in ("server_tool_use", "custom_tool_call"):
        raw["input"] = {} if kind == "server_tool_use" else ""
    broken = ["", "{", "null", "[1]", "\ud800", "[" * 2000]
    return OpaquePart(kind=kind, raw=draw(seldom(st.just(json.dumps(raw)), broken)))


parts = st.one_of(
    st.builds(Part, text=texts, cache=marks),
    st.builds(Part, image=images, cache=marks),
    st.builds(Part, reasoning=texts, signature=st.none() | words, cache=marks),
    st.builds(Part, tool_call=calls, cache=marks),
    st.builds(Part, opaque=opaque_parts(), cache=marks),
)
#: What a role may hold, mostly; now and then anything.
OF_ROLE: dict[Role, Any] = {
    "system": st.builds(Part, text=texts, cache=marks),
    "developer": st.builds(Part, text=texts, cache=marks),
    "user": st.builds(Part, text=texts, cache=marks) | st.builds(Part, image=images, cache=marks),
    "assistant": st.one_of(
        st.builds(Part, text=texts, cache=marks),
        st.builds(Part, reasoning=texts, signature=words),
        st.builds(Part, tool_call=calls, cache=marks),
        st.builds(Part, opaque=opaque_parts()),
    ),
    "tool": st.builds(Part, text=texts, cache=marks) | st.builds(Part, image=images, cache=marks),
}


@st.composite
def turns(draw: st.DrawFn) -> Message:
    role: Role = draw(st.sampled_from(sorted(OF_ROLE)))
    piece = draw(seldom(st.just(OF_ROLE[role]), [parts]))
    content = draw(texts) if draw(st.booleans()) else ""
    return Message(
        role=role,
        content=content,
        parts=() if content else tuple(draw(st.lists(piece, max_size=5))),
        tool_calls=tuple(draw(st.lists(calls, max_size=2))) if role == "assistant" else (),
        tool_call_id=draw(ids) if role == "tool" else None,
    )


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 5).flatmap(lambda n: strategy if n == 0 else st.none())


EFFORTS: list[Effort] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
requests = st.builds(
    ChatRequest,
    model=st.just("p/m"),
    messages=st.lists(turns(), min_size=1, max_size=5).map(tuple),
    max_tokens=maybe(st.integers(1, 9000)),
    temperature=maybe(st.floats(0, 2)),
    top_k=maybe(st.integers(1, 9)),
    stop=seldom(st.just(()), [("x",)]),
    tools=st.lists(st.builds(Tool, name=words, description=texts, cache=marks), max_size=2).map(tuple),
    tool_choice=maybe(st.sampled_from(["auto", "none", "required", "<f>"])),
    parallel_tool_calls=st.sampled_from([None, True, False]),
    response_format=maybe(st.builds(ResponseFormat, json_schema=st.none() | words.map(lambda word: {"title": word}))),
    reasoning_effort=maybe(st.sampled_from(EFFORTS)),
    reasoning_tokens=maybe(st.sampled_from([0, 1, 1024, 5000])),
    extra=seldom(st.just({}), [{"x": "<x>"}, {"x": object()}]),
)


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for member in value:  # pyright: ignore[reportUnknownVariableType]  # JSON
                yield from strings(member)
        case dict():
            for name, member in value.items():  # pyright: ignore[reportUnknownVariableType]  # JSON
                yield from strings(name)
                yield from strings(member)
        case _:
            pass


def said_by(request: ChatRequest, *, anthropic: bool) -> Iterator[str]:
    """Every word that the request holds and its body must."""
    for turn in request.messages:
        yield turn.tool_call_id or ""
        for part in turn.pieces():
            yield (part.text or "").strip()
            if part.image is not None:
                yield part.image.data or part.image.url or ""
            if part.tool_call is not None:
                yield from (part.tool_call.id, part.tool_call.name)
                said = part.tool_call.arguments or "{}"
                yield from strings(json.loads(said)) if anthropic else (said,)
            if anthropic and part.reasoning is not None:
                yield from (part.reasoning, part.signature or "")
            if part.opaque is not None and OPAQUE[part.opaque.kind]:
                value = json.loads(part.opaque.raw)
                if isinstance(value, dict) and value["type"] == part.opaque.kind:
                    yield value["value"]
    for tool in request.tools:
        yield from (tool.name, tool.description)
    if request.response_format is not None:
        yield from strings(request.response_format.json_schema)
    yield from strings(request.extra)
    yield from request.stop
    yield (request.tool_choice or "").strip("autonerqid")


@pytest.mark.parametrize("dialect", DIALECTS, ids=["messages", "vertex", "responses", "responses-unstored"])
@given(request_=requests, stream=st.booleans())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_request_is_said_whole_or_refused(
    dialect: AnthropicMessages | Responses, request_: ChatRequest, stream: bool
) -> None:
    try:
        body = json.loads(dialect.chat_body(request_, "m", stream=stream))
    except ProviderError as refusal:
        if refusal.kind is not ErrorKind.BAD_REQUEST:
            raise
        return
    heap = "\n".join(strings(body))
    anthropic = isinstance(dialect, AnthropicMessages)
    assert [word for word in said_by(request_, anthropic=anthropic) if word not in heap] == []
    if anthropic:
        assert json.dumps(body).count('"cache_control"') == len(list(request_.cache_marks()))
    counted = json.loads(dialect.count_body(request_, "m"))
    assert counted == {"model": "m", **{name: value for name, value in body.items() if name in counted}}
