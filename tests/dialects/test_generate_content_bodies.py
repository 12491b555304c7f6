"""generateContent's request bodies (golden) and unary answers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rxlapce.dialects import GenerateContent
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall, Tool
from rxlapce.tokens import Finish, FinishKind, Reasoning, Reported, Text, ToolCall, Usage, UsageReport

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
    stop=("END",),
    seed=7,
    n=2,
    tools=(Tool(name="look", description="Looks.", parameters=SCHEMA),),
    tool_choice="look",
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
                        "thoughtSignature": "skip_thought_signature_validator",
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
            "stopSequences": ["END"],
            "seed": 7,
            "candidateCount": 2,
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


def test_a_signature_may_be_left_out() -> None:
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
    ("messages", "why"),
    [
        ((Message(role="system", content="x"),), "user turn"),
        ((Message(role="tool", content="x"),), "tool_call_id"),
        ((Message(role="tool", content="x", tool_call_id="nobody"),), "tool_call_id"),
        ((Message(role="assistant", tool_calls=(RequestedCall(id="c9", name="f", arguments="[1]"),)),), "'c9'"),
    ],
)
def test_what_gemini_cannot_say_is_refused(messages: tuple[Message, ...], why: str) -> None:
    with pytest.raises(ProviderError, match=why) as caught:
        body(ChatRequest(model="p/m", messages=messages))
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


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
