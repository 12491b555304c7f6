"""generateContent's request bodies (golden), refusals, counts, and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import GenerateContent
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.tokens import Finish, FinishKind, Reasoning, Reported, Text, ToolCall, Usage, UsageReport
from rxlapce.typing import TokenCounter

UNSIGNED = "skip_thought_signature_validator"

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False}
SHORT = ChatRequest(model="p/m", messages=(Message(role="user", content="Hi"),))
HISTORY = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Look."),
    Message(
        role="assistant",
        content="Wait.",
        tool_calls=(
            RequestedCall(id="c1", name="look", arguments='{"path": "a"}'),
            RequestedCall(id="c2", name="peek", arguments=""),
        ),
    ),
    Message(role="tool", content='{"found": 1}', tool_call_id="c1"),
    Message(role="tool", content="[2]", tool_call_id="c2"),
    Message(role="developer", content="In French."),
    Message(role="user", content="And?"),
)
FULL = ChatRequest(
    model="p/m",
    messages=HISTORY,
    max_tokens=99,
    temperature=0.0,
    top_p=0.5,
    top_k=40,
    presence_penalty=0.25,
    frequency_penalty=-0.5,
    stop=("END",),
    seed=7,
    n=2,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA, cache="5m"),),
    tool_choice="look",
    response_format=ResponseFormat(json_schema=SCHEMA),
    reasoning_effort="low",
)


def body(request: ChatRequest, dialect: GenerateContent | None = None) -> Any:
    return json.loads((dialect or GenerateContent()).chat_body(request, "m", stream=True))


def test_body_of_a_short_request() -> None:
    assert body(SHORT) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_body_with_everything() -> None:
    assert body(FULL) == {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nIn French."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Look."}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Wait."},
                    {
                        "functionCall": {"id": "c1", "name": "look", "args": {"path": "a"}},
                        "thoughtSignature": UNSIGNED,
                    },
                    {"functionCall": {"id": "c2", "name": "peek", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "look", "response": {"found": 1}}},
                    {"functionResponse": {"id": "c2", "name": "peek", "response": {"result": "[2]"}}},
                ],
            },
            {"role": "user", "parts": [{"text": "And?"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 99,
            "temperature": 0.0,
            "topP": 0.5,
            "topK": 40,
            "presencePenalty": 0.25,
            "frequencyPenalty": -0.5,
            "stopSequences": ["END"],
            "seed": 7,
            "candidateCount": 2,
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        },
        "tools": [
            {"functionDeclarations": [{"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
    }


def test_body_is_the_same_streamed_or_not() -> None:
    assert GenerateContent().chat_body(FULL, "m", stream=False) == GenerateContent().chat_body(FULL, "m", stream=True)


@pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
def test_tool_choice(choice: str, mode: str) -> None:
    said = body(replace(SHORT, tool_choice=choice))
    assert said["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


def test_a_word_for_an_unknown_signature_may_be_left_out() -> None:
    parts = body(FULL, GenerateContent(unsigned=None))["contents"][1]["parts"]
    assert "thoughtSignature" not in parts[1]


def test_extra_settings_are_laid_over_ours_and_other_members_win() -> None:
    config = {"topP": 1, "thinkingConfig": {"includeThoughts": True}}
    said = body(replace(SHORT, max_tokens=5, top_p=0.1, extra={"generationConfig": config, "contents": []}))
    assert said == {
        "contents": [],
        "generationConfig": {"maxOutputTokens": 5, "topP": 1, "thinkingConfig": {"includeThoughts": True}},
    }


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ({"reasoning_effort": "minimal"}, {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ({"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ({"reasoning_effort": "high"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ({"reasoning_effort": "xhigh"}, {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        ({"reasoning_tokens": 0}, {"thinkingBudget": 0}),
        ({"reasoning_tokens": 512}, {"thinkingBudget": 512, "includeThoughts": True}),
    ],
)
def test_how_long_to_think(wish: dict[str, Any], said: dict[str, Any]) -> None:
    assert body(replace(SHORT, **wish))["generationConfig"] == {"thinkingConfig": said}


def test_json_of_any_shape_needs_no_schema() -> None:
    said = body(replace(SHORT, response_format=ResponseFormat()))
    assert said["generationConfig"] == {"responseMimeType": "application/json"}


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            Image(data="iVBO", media_type="image/png"),
            {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        ),
        (Image(url="https://a.example/b.png"), {"fileData": {"fileUri": "https://a.example/b.png"}}),
        (
            Image(url="gs://bucket/b.png", media_type="image/png", detail="auto"),
            {"fileData": {"fileUri": "gs://bucket/b.png", "mimeType": "image/png"}},
        ),
        (
            Image(data="iVBO", media_type="image/png", detail="low"),
            {
                "inlineData": {"mimeType": "image/png", "data": "iVBO"},
                "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
            },
        ),
    ],
)
def test_an_image_goes_in_a_users_turn_and_in_a_tools_result(image: Image, said: dict[str, Any]) -> None:
    pictured = (Part(text="This:", cache="5m"), Part(image=image))
    messages = (
        Message(role="user", parts=pictured),
        Message(role="assistant", tool_calls=(RequestedCall(id="c1", name="shoot", arguments="{}"),)),
        Message(role="tool", parts=pictured, tool_call_id="c1"),
    )
    contents = body(ChatRequest(model="p/m", messages=messages))["contents"]
    assert contents[0] == {"role": "user", "parts": [{"text": "This:"}, said]}
    result = {"id": "c1", "name": "shoot", "response": {"result": "This:"}, "parts": [said]}
    assert contents[2] == {"role": "user", "parts": [{"functionResponse": result}]}


# -- refusals ---------------------------------------------------------------------------------------------------------

LOOK = RequestedCall(id="c9", name="f", arguments="{}")


def marked(kind: str, raw: str, *before: Part) -> tuple[Message, ...]:
    return (Message(role="assistant", parts=(*before, Part(opaque=OpaquePart(kind=kind, raw=raw)))),)


def pictured(image: Image) -> tuple[Message, ...]:
    return (Message(role="user", parts=(Part(image=image),)),)


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((Message(role="system", content="x"),), "user turn"),
        ((Message(role="tool", content="x"),), "tool_call_id"),
        ((Message(role="tool", content="x", tool_call_id="nobody"),), "tool_call_id"),
        ((Message(role="assistant", tool_calls=(replace(LOOK, arguments="[1]"),)),), "'c9'"),
        (pictured(Image(url="http://a.example/b.png")), "https and gs URLs alone: send this one as data"),
        (pictured(Image(url="data:image/png;base64,iVBO")), "send this one as data"),
        (pictured(Image(url="gs://bucket/b")), "media_type"),
        ((Message(role="system", parts=(Part(image=Image(url="https://a/b")),)),), "system turn cannot hold image"),
        (marked("thought_signature", "{}"), "holds no thoughtSignature: leave it out"),
        (marked("thought_signature", '{"thoughtSignature": "S", "toolCall": 0}'), "tool call 0"),
        (marked("thought_signature", '{"thoughtSignature": "S", "toolCall": 1}', Part(tool_call=LOOK)), "tool call 1"),
        (marked("inlineData", "{"), "'inlineData' piece is no JSON"),
    ],
)
def test_turns_that_gemini_cannot_say_are_refused(messages: tuple[Message, ...], why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        body(ChatRequest(model="p/m", messages=messages))
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"parallel_tool_calls": False}, "Gemini takes no parallel_tool_calls: leave it out"),
        ({"reasoning_effort": "max"}, "no reasoning_effort 'max': it has none, minimal, low, medium, high, xhigh"),
        ({"reasoning_effort": "low", "reasoning_tokens": 5}, "reasoning_effort or reasoning_tokens: leave one out"),
        ({"tools": (Tool(name="f", cache="1h"),)}, "for an hour: mark it with 5m, or not at all"),
        ({"extra": {"a": "\ud800"}}, "JSON"),
    ],
)
def test_wishes_that_gemini_has_no_word_for_are_refused(wish: dict[str, Any], why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        body(replace(SHORT, **wish))
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


# -- counting ---------------------------------------------------------------------------------------------------------


def test_the_gemini_api_counts_a_whole_request_and_vertex_its_members() -> None:
    counter: TokenCounter = GenerateContent()
    whole = body(FULL)
    assert json.loads(counter.count_body(FULL, "gemini-x")) == {
        "generateContentRequest": {"model": "models/gemini-x", **whole}
    }
    bare = json.loads(GenerateContent(count_wrapped=False).count_body(FULL, "gemini-x"))
    assert bare == {name: whole[name] for name in ("contents", "systemInstruction", "tools", "generationConfig")}
    short = json.loads(GenerateContent(count_wrapped=False).count_body(SHORT, "gemini-x"))
    assert short == body(SHORT)


def test_a_count_is_read() -> None:
    assert GenerateContent().read_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"totalTokens": "many"}', b'{"totalTokens": true}', b"<html>", b""])
def test_an_answer_without_a_count_is_an_error(answer: bytes) -> None:
    with pytest.raises(ProviderError, match="no count of tokens in totalTokens") as caught:
        GenerateContent().read_count(answer)
    assert caught.value.kind is ErrorKind.PROTOCOL


# -- unary answers ----------------------------------------------------------------------------------------------------

ANSWER = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "So"},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                ],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3, "totalTokenCount": 5},
    "modelVersion": "gemini-x",
}


@pytest.mark.parametrize("answer", [ANSWER, [ANSWER], [{"candidates": []}, ANSWER]])
def test_unary_answer_is_an_object_or_a_streams_whole_array(answer: Any) -> None:
    reported = Reported(input_tokens=2, output_tokens=3, total_tokens=5)
    assert GenerateContent().read_answer(json.dumps(answer).encode()) == [
        Reasoning("hm"),
        Text("So"),
        ToolCall(0, "c1", "f", '{"a":1}'),
        UsageReport(Usage(input=2, output=3, total=5, reported=reported)),
        Finish(FinishKind.TOOL_CALLS, "STOP", "gemini-x"),
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"later"}}]', ErrorKind.RATE_LIMIT),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"[1]", ErrorKind.PROTOCOL),
        (b"<html>", ErrorKind.PROTOCOL),
        (b"", ErrorKind.PROTOCOL),
    ],
)
def test_a_200_without_an_answer_is_an_error(answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        GenerateContent().read_answer(answer)
    assert caught.value.kind is kind
