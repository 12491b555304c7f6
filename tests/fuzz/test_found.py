"""What fuzzing has found, each in its smallest form."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rxlapce.codec.google_sse import GoogleSSEDecoder
from rxlapce.dialects.generate_content_args import StreamedArguments
from rxlapce.errors import ErrorKind
from rxlapce.providers.apis import APIS
from rxlapce.testing.decoding import decode, decode_all_cuts, read_answer, read_error, timed
from rxlapce.testing.frames import FRAMERS, Frame
from rxlapce.testing.samples import chunk
from rxlapce.tokens import Finish, Opaque, UsageReport

CHAT = "openai.chat.completions"
MESSAGES = "anthropic.messages"
RESPONSES = "openai.responses"
GEMINI = "gemini.streamGenerateContent?alt=sse"
OLLAMA = "ollama.chat"
CONVERSE = "bedrock.converse-stream"
INVOKE = "bedrock.invoke-with-response-stream"


def body(api: str, *events: str | tuple[str, str]) -> bytes:
    """A stream of these events: (name, text), or a text whose event has no name."""
    framer = FRAMERS[APIS[api].framing.name]
    named = [event if isinstance(event, tuple) else ("", event) for event in events]
    return framer.join([Frame(framer.head(name), text.encode()) for name, text in named])


# -- types and numbers ------------------------------------------------------------------------------------------------


def test_a_block_whose_type_is_no_text_is_passed_through() -> None:
    start = '{"type":"content_block_start","index":0,"content_block":{"type":{"a":1}}}'
    tokens = decode(MESSAGES, body(MESSAGES, start, '{"type":"message_stop"}')).tokens
    assert tokens[0] == Opaque("content_block", '{"type":{"a":1}}')


#: A number that is JSON, but that no float holds, where a member is not read at first.
OUT_OF_RANGE: dict[str, str] = {
    CHAT: '{"choices":[{"delta":{"novel":1e999}}]}',
    "openai.completions": '{"novel":1e999}',
    MESSAGES: '{"type":"content_block_delta","delta":{"type":"novel","n":1e999}}',
    "anthropic.complete": '{"type":"novel","n":1e999}',
    RESPONSES: '{"type":"response.novel","n":1e999}',
    GEMINI: '{"candidates":[{"novel":1e999}]}',
    "gemini.streamGenerateContent (JSON array)": '{"candidates":[{"novel":1e999}]}',
    CONVERSE: '{"novel":1e999}',
    OLLAMA: '{"novel":1e999}',
}


@pytest.mark.parametrize("api", OUT_OF_RANGE)
def test_a_number_that_no_float_holds_is_a_protocol_error(api: str) -> None:
    name = "metadata" if api == CONVERSE else ""
    outcome = decode_all_cuts(api, body(api, (name, OUT_OF_RANGE[api])))
    assert outcome.error is not None
    assert outcome.error.kind is ErrorKind.PROTOCOL


ERRORS: dict[str, str] = {
    CHAT: '{"error":{"message":"no"},"n":1e999}',
    MESSAGES: '{"type":"error","n":1e999}',
    RESPONSES: '{"type":"error","n":1e999}',
}


@pytest.mark.parametrize("api", ERRORS)
def test_an_error_with_a_number_that_no_float_holds_is_an_error(api: str) -> None:
    outcome = decode_all_cuts(api, body(api, ERRORS[api]))
    assert outcome.error is not None


COUNTS: list[tuple[str, list[str | tuple[str, str]]]] = [
    (CHAT, ['{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":2}}', "[DONE]"]),
    (CHAT, ['{"choices":[],"usage":{"prompt_tokens":1,"cost":"nan"}}', "[DONE]"]),
    (CHAT, ['{"choices":[],"usage":{"prompt_tokens":1,"cost":-0.5}}', "[DONE]"]),
    (RESPONSES, ['{"type":"response.completed","response":{"usage":{"input_tokens":-1}}}']),
    (MESSAGES, ['{"type":"message_delta","usage":{"input_tokens":-1}}', '{"type":"message_stop"}']),
    (GEMINI, ['{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":-1}}']),
    (OLLAMA, ['{"done":true,"eval_count":-1}']),
    (CONVERSE, [("messageStop", "{}"), ("metadata", '{"usage":{"inputTokens":-1}}')]),
]


@pytest.mark.parametrize(("api", "events"), COUNTS)
def test_a_usage_below_zero_is_passed_through_and_counts_nothing(api: str, events: list[str]) -> None:
    tokens = decode(api, body(api, *events)).tokens
    assert not any(isinstance(token, UsageReport) for token in tokens)
    assert any(isinstance(token, Opaque) and token.kind.startswith("usage") for token in tokens)


def test_titans_counts_below_zero_count_nothing() -> None:
    payload = chunk({"outputText": "", "completionReason": "X", "inputTextTokenCount": -1})
    tokens = decode(INVOKE, body(INVOKE, ("chunk", json.dumps(payload)))).tokens
    assert [type(token) for token in tokens] == [Finish]


# -- nesting ----------------------------------------------------------------------------------------------------------

#: What holds a value of any depth -> where it is read, passed on, searched for an error or told of.
NESTED: dict[str, Callable[[str], list[str]]] = {
    CHAT: lambda deep: [
        f'{{"choices":[{{"delta":{{"novel":{deep}}}}}]}}',
        f'{{"choices":[{{"delta":{{}},"logprobs":{deep}}}]}}',
        f'{{"choices":[],"usage":{deep}}}',
        f'{{"error":{deep}}}',
    ],
    MESSAGES: lambda deep: [f'{{"type":"content_block_start","content_block":{{"a":{deep}}}}}', f'{{"error":{deep}}}'],
    RESPONSES: lambda deep: [f'{{"type":"response.output_item.done","item":{{"a":{deep}}}}}', f'{{"error":{deep}}}'],
    GEMINI: lambda deep: [f'{{"candidates":[{{"novel":{deep}}}]}}', f'{{"error":{deep}}}'],
    CONVERSE: lambda deep: [f'{{"novel":{deep}}}'],
}
NESTS = (('{"a":', "}"), ("[", "]"), ('{"error":{"metadata":{"raw":', "}}}"))


@pytest.mark.parametrize("api", NESTED)
@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("step", [101, pytest.param(13, marks=pytest.mark.heavy)])
def test_values_nested_to_any_depth_end_in_tokens_or_an_error(api: str, nest: tuple[str, str], step: int) -> None:
    opening, closing = nest
    levels = opening.count("{") + opening.count("[")
    dialect = APIS[api].dialect()
    for depth in range(200, 1000, step):
        count = depth // levels
        for text in NESTED[api](f"{opening * count}1{closing * count}"):
            decode(api, body(api, ("metadata" if api == CONVERSE else "", text)))
            read_answer(dialect, text.encode())
            read_error(dialect, 500, {}, text.encode())


# -- growth -----------------------------------------------------------------------------------------------------------


def test_a_chunk_of_many_choices_says_each_of_them_once() -> None:
    choices = ",".join(['{"delta":{"novel":1}}'] * 3000)
    outcome = decode_all_cuts(CHAT, body(CHAT, f'{{"choices":[{choices}]}}', "[DONE]"))
    assert outcome.tokens[:-1] == (Opaque("novel", "1"),) * 3000


def test_a_body_of_carriage_returns_ends_in_linear_time() -> None:
    decoder = GoogleSSEDecoder()
    blanks = b"\r" * 2**18
    with timed(len(blanks)):
        assert len(decoder.feed(b"data: 1\r\r" + blanks + b"data: 2\r")) == 1
        events = decoder.close()
    assert [event.data for event in events] == ["2"]


def test_a_list_whose_elements_are_streamed_is_put_together_in_linear_time() -> None:
    arguments = StreamedArguments()
    with timed(20 * 20_000):
        for index in range(20_000):
            assert arguments.add({"jsonPath": f"$.list[{index}]", "numberValue": 1})
    assert json.loads(arguments.text()) == {"list": [1] * 20_000}


def test_a_string_in_many_pieces_is_put_together_in_linear_time() -> None:
    arguments = StreamedArguments()
    piece: Any = {"jsonPath": "$.text", "stringValue": "0123456789" * 10, "willContinue": True}
    with timed(10 * 40_000):
        for _ in range(40_000):
            assert arguments.add(piece)
    assert json.loads(arguments.text()) == {"text": "0123456789" * 400_000}
