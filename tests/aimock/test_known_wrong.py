"""Where aimock is wrong: what it sends, what the vendor says, and what ours makes of it. No client is bent to it.

Each row of `KNOWN_WRONG` is held to the bytes that aimock really sends: when it mends one, its row fails and goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from rxlapce.errors import ErrorKind, Phase
from rxlapce.testing.aimock import GEMINI_ARRAY, INVOKE, OLLAMA, STREAMED, VERTEX_ARRAY, WHOLE, Format, Mock
from rxlapce.tokens import Finish, FinishKind

pytestmark = pytest.mark.aimock

TEXT: Final = "Backpressure is what a reader says to a writer."
#: The crab is the tenth and eleventh unit of UTF-16, so that a cut after every fifth goes through it.
CRAB: Final = "A reader 🦀 says so."
CUT: Final = 5
PLAIN: Final = {"content": TEXT}
CALLING: Final = {"toolCalls": [{"name": "now", "arguments": "{}", "id": "call_1"}]}
THINKING: Final = {"content": TEXT, "reasoning": "Keep it short."}
FILTERED: Final = {"content": TEXT, "finishReason": "content_filter"}
LIMITED: Final = {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429}

GEMINI: Final = tuple(asked for asked in WHOLE if asked.api == "generate_content")
ARRAYS: Final = (GEMINI_ARRAY, VERTEX_ARRAY)
RESPONSES: Final = tuple(asked for asked in WHOLE if asked.api == "responses")
MESSAGES: Final = tuple(asked for asked in WHOLE if asked.api == "messages")
CONVERSE: Final = tuple(asked for asked in WHOLE if asked.api == "converse")
#: Gateways in JavaScript do cut these so; the halves are joined again.
JOINED: Final = tuple(asked for asked in STREAMED if asked.api in ("chat_completions", "responses", "messages"))
HALVES: Final = "pieces are cut by units of UTF-16, through a character, and each half is escaped alone"
VERSIONED: Final = (
    Format("bedrock", "converse", "anthropic.claude-opus-4-1-v1:0"),
    Format("bedrock", "invoke", "anthropic.claude-opus-4-1-v1:0"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One fault of aimock's, in these formats: told `answer`, it does what `does` says, and the vendor `vendor`.

    `shows` stands in its bytes and `lacks` does not. Ours is an error of kind `ours` whose message has `tells`, or with
    None for `ours` the whole answer, which ends as `finish`.
    """

    formats: tuple[Format, ...]
    answer: Mapping[str, Any]
    does: str
    vendor: str
    shows: str = ""
    lacks: str | None = None
    stream: bool = True
    ours: ErrorKind | None = None
    tells: str = ""
    finish: FinishKind = FinishKind.STOP
    fixture: Mapping[str, Any] = field(default_factory=dict[str, Any])


KNOWN_WRONG: Final[tuple[Wrong, ...]] = (
    Wrong(
        formats=(INVOKE,),
        answer=PLAIN,
        does="a streamed chunk's payload is the model's event itself",
        vendor='{"bytes": BASE64} around it (Amazon Bedrock API reference, PayloadPart)',
        shows='{"type":"message_start"',
        lacks='"bytes"',
        ours=ErrorKind.PROTOCOL,
        tells="a chunk holds no payload",
    ),
    Wrong(
        formats=CONVERSE,
        answer=PLAIN,
        does="a text block begins with contentBlockStart and an empty `start`",
        vendor="`start` is a union of which one member is set, and text has none (ibid., ContentBlockStart)",
        shows='"start":{}',
    ),
    Wrong(
        formats=CONVERSE,
        answer=THINKING,
        does="a thought begins with contentBlockStart and a `start` of reasoningContent",
        vendor="the union has toolUse, toolResult and image alone (ibid., ContentBlockStart)",
        shows='"start":{"reasoningContent":{}}',
    ),
    Wrong(
        formats=CONVERSE,
        answer=FILTERED,
        does="the stop reason is content_filter",
        vendor="content_filtered (ibid., ConverseStream, MessageStopEvent)",
        shows='"stopReason":"content_filter"',
    ),
    Wrong(
        formats=(*CONVERSE, INVOKE),
        answer=LIMITED,
        does="errors have the shape of Anthropic's own API",
        vendor='{"message": ...} and the exception\'s name in x-amzn-errortype (ibid., Errors)',
        shows='{"type":"error","error":{',
        ours=ErrorKind.RATE_LIMIT,
        tells="Slow down",
    ),
    Wrong(
        formats=(VERSIONED[1],),
        answer=PLAIN,
        stream=False,
        does="the model's name in the path is not decoded, so that a fixture for it never matches",
        vendor="a segment of a path is percent-decoded (RFC 3986 section 2.4); SDKs send %3A",
        shows="-v1%3A0",
    ),
    Wrong(
        formats=ARRAYS,
        answer=PLAIN,
        does="without alt=sse the stream is server-sent events all the same",
        vendor="a JSON array of responses (Google API client guide, streaming REST; system parameter `alt`)",
        shows="data: {",
        ours=ErrorKind.PROTOCOL,
        tells="expected a JSON array",
    ),
    Wrong(
        formats=GEMINI,
        answer=CALLING,
        does="an answer with calls ends with FUNCTION_CALL",
        vendor="STOP: the enumeration FinishReason has no FUNCTION_CALL (Gemini API reference, Candidate)",
        shows='"finishReason":"FUNCTION_CALL"',
        finish=FinishKind.TOOL_CALLS,
    ),
    Wrong(
        formats=GEMINI,
        answer=PLAIN,
        does="no response names its model or itself",
        vendor="modelVersion and responseId in each (ibid., GenerateContentResponse)",
        lacks="modelVersion",
    ),
    Wrong(
        formats=RESPONSES,
        answer=PLAIN,
        does="events are not numbered",
        vendor="each has a sequence_number (OpenAI API reference, streaming events)",
        lacks="sequence_number",
    ),
    Wrong(
        formats=RESPONSES,
        answer=FILTERED,
        does='a filtered answer is response.completed with the status "failed" and no error',
        vendor="response.incomplete with incomplete_details.reason content_filter (ibid., the response object)",
        shows='"status":"failed"',
        lacks="response.incomplete",
        ours=ErrorKind.OVERLOADED,
        tells="without a message",
    ),
    Wrong(
        formats=(*MESSAGES, INVOKE),
        answer=FILTERED,
        stream=False,
        does="the stop reason is content_filter",
        vendor="refusal (Claude API reference, handling stop reasons)",
        shows='"stop_reason":"content_filter"',
    ),
    Wrong(
        formats=(OLLAMA,),
        answer=THINKING,
        does="thoughts stand in reasoning_content; ours, which knows no such member, does not see them",
        vendor="message.thinking (Ollama's docs/api.md, chat)",
        shows='"reasoning_content":',
        lacks='"thinking"',
    ),
    Wrong(
        formats=(OLLAMA,),
        answer={**PLAIN, "usage": {"prompt_tokens": 7, "completion_tokens": 9}},
        does="the counts are zero whatever the fixture says",
        vendor="prompt_eval_count and eval_count, each left out if it is zero (ibid.; omitempty)",
        shows='"prompt_eval_count":0',
    ),
    Wrong(
        formats=(OLLAMA,),
        answer={**PLAIN, "finishReason": "length"},
        does="done_reason is stop whatever the fixture says",
        vendor="length (ibid.)",
        shows='"done_reason":"stop"',
    ),
    Wrong(
        formats=(OLLAMA,),
        answer=LIMITED,
        does="an error is an object as OpenAI's",
        vendor='{"error": "a sentence"} (ibid., errors)',
        shows='{"error":{"message"',
        ours=ErrorKind.RATE_LIMIT,
        tells="Slow down",
    ),
    Wrong(
        formats=JOINED,
        answer={"content": CRAB},
        fixture={"chunkSize": CUT},
        does=HALVES,
        vendor="pieces of whole characters; what half of one means is not defined (RFC 8259 section 8.2)",
        shows='\\ud83e"',
    ),
    Wrong(
        formats=tuple(asked for asked in STREAMED if asked not in JOINED),
        answer={"content": CRAB},
        fixture={"chunkSize": CUT},
        does=HALVES,
        vendor="pieces of whole characters; Google, AWS and Ollama write UTF-8, which cannot say half of one",
        shows='\\ud83e"',
        ours=ErrorKind.PROTOCOL,
    ),
    Wrong(
        formats=STREAMED,
        answer=PLAIN,
        fixture={"truncateAfterChunks": 4},
        does="without a latency a cut drops even the headers, which had not been sent",
        vendor="a server that breaks off has sent what it had",
        ours=ErrorKind.NETWORK,
        tells="before it answered",
    ),
    Wrong(
        formats=STREAMED,
        answer=PLAIN,
        fixture={"chaos": {"malformedRate": 1}},
        does='"malformed" is a whole body of application/json with the status 200, in a stream too',
        vendor="what goes wrong after the headers goes wrong inside the stream",
        shows="{malformed json",
        ours=ErrorKind.PROTOCOL,
    ),
    Wrong(
        formats=tuple(asked for asked in WHOLE if asked.provider not in ("openai", "azure", "local", "xai")),
        answer=PLAIN,
        fixture={"chaos": {"dropRate": 1}},
        does="a dropped request has OpenAI's error body in every format",
        vendor="each has its own: Anthropic's a `type` on top, Google's a `status`, AWS's a mere `message`",
        shows='{"error":{"message":"Chaos: request dropped","type":"server_error","code":"chaos_drop"}}',
        ours=ErrorKind.OVERLOADED,
        tells="request dropped",
    ),
)
ROWS: Final = [(wrong, asked) for wrong in KNOWN_WRONG for asked in wrong.formats]
#: Formats of ours at whose paths aimock does not listen.
NOT_SPOKEN: Final = (
    Format("openai", "completions", "gpt-3.5-turbo-instruct"),
    Format("vertex", "messages", "claude-opus-4-1"),
)


def row_id(value: object) -> str:
    return value.does[:48] if isinstance(value, Wrong) else str(value)


@pytest.mark.parametrize(("wrong", "asked"), ROWS, ids=row_id)
async def test_aimock_is_wrong_here_and_ours_is_clear(mock: Mock, wrong: Wrong, asked: Format) -> None:
    await mock.teach(wrong.answer, **wrong.fixture)
    said = await mock.said(asked, stream=wrong.stream)
    assert wrong.shows in said, "aimock has mended this: its row can go"
    assert wrong.lacks is None or wrong.lacks not in said, "aimock has mended this: its row can go"

    heard = await mock.answer(asked, stream=wrong.stream)
    if wrong.ours is not None:
        assert heard.error is not None
        assert heard.error.kind is wrong.ours
        assert wrong.tells in heard.error.message
        assert not any(isinstance(token, Finish) for token in heard.tokens)
        return
    assert heard.error is None
    assert heard.text == wrong.answer.get("content", "")
    finish = heard.tokens[-1]
    assert isinstance(finish, Finish)
    assert finish.kind is wrong.finish


async def test_a_cut_through_a_character_loses_no_token_before_it(mock: Mock) -> None:
    await mock.teach({"content": CRAB}, chunkSize=CUT)
    for asked in STREAMED:
        assert (await mock.streamed(asked)).text == (CRAB if asked in JOINED else CRAB[:CUT]), str(asked)


@pytest.mark.parametrize("asked", VERSIONED, ids=str)
async def test_a_model_whose_name_has_a_colon_is_known_to_aimock_by_its_encoded_name(mock: Mock, asked: Format) -> None:
    await mock.teach({"content": "never"}, match={"model": asked.model})
    await mock.teach(PLAIN, match={"model": asked.model.replace(":", "%3A")})
    assert (await mock.whole(asked)).text == TEXT


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("asked", NOT_SPOKEN, ids=str)
async def test_what_aimock_does_not_speak_is_a_bad_request(mock: Mock, asked: Format, stream: bool) -> None:
    await mock.teach(PLAIN)
    error = (await mock.answer(asked, stream=stream)).error
    assert error is not None
    assert (error.kind, error.status, error.phase) == (ErrorKind.BAD_REQUEST, 404, Phase.HEADERS)
