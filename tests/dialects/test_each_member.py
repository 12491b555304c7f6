"""Each wish and each piece of a turn by itself, in every dialect: it changes the body, or it is refused by its name."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import (
    DIALECTS,
    AnthropicMessages,
    BedrockInvoke,
    ChatCompletions,
    Converse,
    GenerateContent,
    Responses,
)
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import (
    ChatRequest,
    Image,
    Message,
    OpaquePart,
    Part,
    RequestedCall,
    ResponseFormat,
    Tool,
)
from rxlapce.typing import Dialect

pytestmark = pytest.mark.heavy  # more than a thousand, of a millisecond each

#: One of each vendor whose body on InvokeModel is its own.
MODELS = (
    "anthropic.claude-x",
    "amazon.nova-x",
    "amazon.titan-text-x",
    "meta.llama3-x",
    "meta.llama4-x",
    "mistral.mistral-7b-x",
    "mistral.pixtral-x",
    "cohere.command-r-x",
    "cohere.command-x",
    "ai21.jamba-x",
    "ai21.j2-x",
    "qwen.x",
)
SPEAKERS: dict[str, tuple[Dialect[Event], str]] = {
    **{name: (make(), "m") for name, make in DIALECTS.items() if not name.startswith("bedrock")},
    "vertex": (AnthropicMessages(model_in_body=False, version="v"), "m"),
    "local": (ChatCompletions(max_tokens_field="max_tokens", top_k=True, reasoning_back="reasoning_content"), "m"),
    "openrouter": (
        ChatCompletions(reasoning="openrouter", reasoning_back="reasoning_details", top_k=True, cache_control=True),
        "m",
    ),
    "unthinking": (ChatCompletions(reasoning=None), "m"),
    "unstored": (Responses(store=None, summary="auto"), "m"),
    "unsigned": (GenerateContent(unsigned=None), "m"),
    **{f"converse {model}": (Converse(), model) for model in ("anthropic.claude-x", "amazon.nova-x", "qwen.x")},
    **{f"invoke {model}": (BedrockInvoke(), model) for model in MODELS},
}

TOOL = Tool(name="look", description="Looks.")
ASKED = ChatRequest(model="p/m", messages=(Message(role="user", content="Q"),))
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
VALUES: dict[str, list[Any]] = {
    "max_tokens": [5000],
    "temperature": [0.0, 0.5],
    "top_p": [0.0, 0.5],
    "top_k": [3],
    "presence_penalty": [0.0, 0.5],
    "frequency_penalty": [0.0, 0.5],
    "stop": [("x",), ("x", "y")],
    "seed": [0, 7],
    "n": [2],
    "tools": [(TOOL,)],
    "response_format": [ResponseFormat(), ResponseFormat(json_schema=SCHEMA)],
    "reasoning_effort": ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
    "reasoning_tokens": [0, 2048],
}
#: Member -> requests with it, each beside the same request without it.
MEMBERS: dict[str, list[tuple[ChatRequest, ChatRequest]]] = {
    name: [(ASKED, replace(ASKED, **{name: value})) for value in values] for name, values in VALUES.items()
}
EQUIPPED = replace(ASKED, tools=(TOOL,))
MEMBERS["tool_choice"] = [(EQUIPPED, replace(EQUIPPED, tool_choice=word)) for word in ("none", "required", "look")]
MEMBERS["parallel_tool_calls"] = [(EQUIPPED, replace(EQUIPPED, parallel_tool_calls=word)) for word in (True, False)]

ANSWERED = (Message(role="user", content="Q"), Message(role="assistant", parts=(Part(text="A"),)))
CALL = RequestedCall(id="c1", name="look", arguments='{"a":"b"}')
CALLED = Message(role="assistant", parts=(Part(text="A"), Part(tool_call=CALL)))
PICTURE = Image(data="QUJD", media_type="image/png")
#: What is said in a turn -> the turn without it and the turn with it.
PIECES: dict[str, tuple[Message, Message]] = {
    "text": (Message(role="user", content="Q"), Message(role="user", parts=(Part(text="Q"), Part(text="R")))),
    "system": (Message(role="user", content="Q"), Message(role="system", content="S")),
    "image": (
        Message(role="user", parts=(Part(text="Q"),)),
        Message(role="user", parts=(Part(image=PICTURE), Part(text="Q"))),
    ),
    "image at a URL": (
        Message(role="user", parts=(Part(text="Q"),)),
        Message(role="user", parts=(Part(text="Q"), Part(image=Image(url="https://x.test/a.png")))),
    ),
    "image in a URL": (
        Message(role="user", parts=(Part(text="Q"),)),
        Message(role="user", parts=(Part(text="Q"), Part(image=Image(url="data:image/png;base64,QUJD")))),
    ),
    "reasoning": (ANSWERED[1], Message(role="assistant", parts=(Part(reasoning="T"), Part(text="A")))),
    "signature": (
        Message(role="assistant", parts=(Part(reasoning="T"), Part(text="A"))),
        Message(role="assistant", parts=(Part(reasoning="T", signature="s"), Part(text="A"))),
    ),
    "tool call": (ANSWERED[1], CALLED),
    "second tool call": (CALLED, replace(CALLED, tool_calls=(replace(CALL, id="c2"),))),
    "image of a tool": (
        Message(role="tool", tool_call_id="c1", parts=(Part(text="R"),)),
        Message(role="tool", tool_call_id="c1", parts=(Part(text="R"), Part(image=PICTURE))),
    ),
    "mark of an hour": (
        Message(role="user", parts=(Part(text="Q"),)),
        Message(role="user", parts=(Part(text="Q", cache="1h"),)),
    ),
}


def body(speaker: str, request: ChatRequest) -> bytes | None:
    """What the dialect sends for the request; None if it refuses it as it should."""
    dialect, model = SPEAKERS[speaker]
    try:
        return dialect.chat_body(request, model, stream=True)
    except ProviderError as error:
        if (error.kind, error.phase) != (ErrorKind.BAD_REQUEST, Phase.ADMIT):
            raise
        return None


def test_every_member_of_a_request_is_tried() -> None:
    assert {*MEMBERS, "model", "messages", "api", "extra"} == {member.name for member in fields(ChatRequest)}


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_alone_is_said_or_refused(speaker: str, member: str) -> None:
    for without, with_it in MEMBERS[member]:
        said = body(speaker, with_it)
        assert said is None or said != body(speaker, without)


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_an_unknown_member_goes_into_the_body(speaker: str) -> None:
    said = body(speaker, replace(ASKED, extra={"of_tomorrow": {"deep": ["<here>"]}}))
    assert said is not None
    assert b'"of_tomorrow":{"deep":["<here>"]}' in said


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_a_turn_is_said_or_refused(speaker: str, piece: str) -> None:
    def conversation(turn: Message) -> ChatRequest:
        before = (*ANSWERED[:1], CALLED) if turn.role == "tool" else ANSWERED[:1] if turn.role == "assistant" else ()
        return replace(ASKED, messages=(*before, turn, Message(role="user", content="Go on.")))

    without, with_it = PIECES[piece]
    said = body(speaker, conversation(with_it))
    assert said is None or said != body(speaker, conversation(without))


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_what_a_turn_shows_is_said_in_its_order(speaker: str) -> None:
    turn = Message(role="user", parts=(Part(text="<1>"), Part(image=PICTURE), Part(text="<2>")))
    said = body(speaker, replace(ASKED, messages=(turn, Message(role="user", content="<3>"))))
    if said is not None and not speaker.startswith("ollama"):  # whose images stand beside the text
        places = [said.find(word) for word in (b"<1>", b"QUJD", b"<2>", b"<3>")]
        assert places == sorted(places)
        assert -1 not in places


#: Values that JSON has no word for, wherever they are put.
WORDLESS: dict[str, Callable[[float | str], ChatRequest]] = {
    "extra": lambda value: replace(ASKED, extra={"deep": [{"x": value}]}),
    "tool": lambda value: replace(ASKED, tools=(replace(TOOL, parameters={"default": value}),)),
    "schema": lambda value: replace(ASKED, response_format=ResponseFormat(json_schema={"default": value})),
}


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("place", WORDLESS)
@pytest.mark.parametrize("value", [math.nan, -math.inf, "\ud83e"])
def test_what_json_cannot_hold_is_refused(speaker: str, place: str, value: float | str) -> None:
    assert body(speaker, WORDLESS[place](value)) is None


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_half_a_character_in_a_turn_is_refused(speaker: str, role: Any) -> None:
    turn = Message(role=role, content="half \udd14")
    assert body(speaker, replace(ASKED, messages=(turn, Message(role="user", content="Q")))) is None
    assert body(speaker, replace(ASKED, messages=(replace(turn, role="user"),))) is None


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_half_a_character_in_a_history_is_refused(speaker: str) -> None:
    for part in (
        Part(tool_call=replace(CALL, arguments='{"a":"\ud83e"}')),
        Part(tool_call=replace(CALL, id="\ud83e")),
        Part(reasoning="\ud83e", signature="s"),
        Part(opaque=OpaquePart(kind="redacted_thinking", raw='{"type":"redacted_thinking","data":"\ud83e"}')),
    ):
        turn = Message(role="assistant", parts=(part,))
        assert body(speaker, replace(ASKED, messages=(ANSWERED[0], turn))) is None


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_schema_that_is_too_deep_is_refused(speaker: str) -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"properties": schema}
    assert body(speaker, replace(ASKED, tools=(replace(TOOL, parameters=schema),))) is None
    assert body(speaker, replace(ASKED, response_format=ResponseFormat(json_schema=schema))) is None
