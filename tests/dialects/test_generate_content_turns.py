"""generateContent: answers that go back as history, each part and signature where it was."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from rxlapce.answer import TurnBuilder
from rxlapce.codec.event import Event
from rxlapce.dialects import GenerateContent
from rxlapce.requests import ChatRequest, Message, OpaquePart, Part
from rxlapce.tokens import StreamToken

UNSIGNED = "skip_thought_signature_validator"


def body(request: ChatRequest) -> Any:
    return json.loads(GenerateContent().chat_body(request, "m", stream=True))


def turn_of(tokens: Iterable[StreamToken]) -> Message:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    return builder.message()


def streamed(*chunks: list[dict[str, Any]], **more: Any) -> Message:
    """The turn that a stream makes of which each chunk has these parts; `more` are members of the last candidate."""
    decoder, tokens = GenerateContent().decoder(), list[StreamToken]()
    for number, parts in enumerate(chunks, 1):
        end = {"finishReason": "STOP", **more} if number == len(chunks) else {}
        candidate = {"index": 0, "content": {"role": "model", "parts": parts}, **end}
        decoder.feed(Event(json.dumps({"candidates": [candidate], "modelVersion": "m"})), tokens)
    decoder.close(tokens)
    return turn_of(tokens)


def sent_back(turn: Message) -> Any:
    (content,) = body(ChatRequest(model="p/m", messages=(turn,)))["contents"]
    assert content["role"] == "model"
    return content["parts"]


CALL = {"name": "f", "args": {"a": 1}}
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}, "thoughtSignature": "P"}
CODE = {"executableCode": {"language": "PYTHON", "code": "1"}}
OUTPUT = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "a"}],
        [{"text": "a", "thoughtSignature": "S"}],
        [{"text": "a"}, {"text": "", "thoughtSignature": "S"}],
        [{"text": "a"}, {"text": "\U0001f600b", "thoughtSignature": "S"}, {"text": "c"}],
        [{"text": "", "thoughtSignature": "S"}],
        [{"text": "hm", "thought": True, "thoughtSignature": "T"}, {"text": "a", "thoughtSignature": "S"}],
        [{"text": "hm", "thought": True}, {"functionCall": CALL, "thoughtSignature": "S"}, {"functionCall": CALL}],
        [
            {"functionCall": {"id": "x", **CALL}, "thoughtSignature": "S"},
            {"functionCall": {"id": "y", **CALL}, "thoughtSignature": "R"},
        ],
        [{"text": "a"}, PICTURE, {"text": "b"}, CODE, OUTPUT],
        [{"text": "a"}, {"text": "b", "novelty": 1, "thoughtSignature": "S"}],
        [{"text": "a"}, {"text": "b", "partMetadata": {"k": 1}}],
        [{"functionCall": CALL, "thoughtSignature": "S", "novelty": 1}, {"functionCall": CALL}],
    ],
)
def test_an_answer_goes_back_as_it_came(parts: list[dict[str, Any]]) -> None:
    assert sent_back(streamed(parts)) == parts
    assert sent_back(streamed(*([part] for part in parts))) == parts


def test_what_was_told_of_an_answer_does_not_go_back() -> None:
    told = {"groundingMetadata": {"g": 1}, "citationMetadata": {"c": 1}, "finishMessage": "x", "novelty": [1]}
    turn = streamed([{"text": "a"}], **told, safetyRatings=[{"blocked": True}])
    assert len(turn.parts) == 6
    assert sent_back(turn) == [{"text": "a"}]


def test_a_call_that_gemini_gave_no_id_gets_none_and_pairs_by_order() -> None:
    asked = streamed([{"functionCall": CALL, "thoughtSignature": "S"}, {"functionCall": CALL}])
    results = [Message(role="tool", content=f"{number}", tool_call_id=f"call_{number}") for number in (1, 0)]
    contents = body(ChatRequest(model="p/m", messages=(asked, *results, asked, results[1])))["contents"]
    first, second = ({"functionResponse": {"name": "f", "response": {"result": text}}} for text in "01")
    assert [content["parts"] for content in contents[1::2]] == [[first, second], [first]]
    assert contents[0] == contents[2]


def test_a_signature_that_does_not_say_its_text_signs_all_of_it() -> None:
    mark = Part(opaque=OpaquePart(kind="thought_signature", raw='{"thoughtSignature": "S"}'))
    assert sent_back(Message(role="assistant", parts=(Part(text="ab"), mark))) == [
        {"text": "ab", "thoughtSignature": "S"}
    ]
    alone = {"text": "", "thoughtSignature": "S"}
    assert sent_back(Message(role="assistant", parts=(mark,))) == [alone]
    thought = {"text": "hm", "thought": True}
    assert sent_back(Message(role="assistant", parts=(Part(reasoning="hm"), mark))) == [thought, alone]


def test_a_first_call_without_its_signature_says_so_and_others_keep_theirs() -> None:
    asked = streamed([{"functionCall": CALL}, {"functionCall": CALL, "thoughtSignature": "S"}])
    assert [part["thoughtSignature"] for part in sent_back(asked)] == [UNSIGNED, "S"]
    strange = {"functionCall": CALL, "novelty": 1}
    assert sent_back(streamed([strange])) == [{**strange, "thoughtSignature": UNSIGNED}]
