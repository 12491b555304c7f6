"""What aimock does wrong on purpose: each fault is one clear error, in every format, after the tokens that had come."""

from typing import Any, Final

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.testing.aimock import GEMINI_ARRAY, STREAMED, VERTEX_ARRAY, WHOLE, Format, Heard, Mock
from rxlapce.tokens import Finish

pytestmark = pytest.mark.aimock

TEXT: Final = "Backpressure is what a reader says to a writer: wait, I am not there yet. 12345."
#: Whether a stream or an answer in one piece is asked for: an error before the answer is the same in both.
WAYS: Final = [(asked, stream) for asked in WHOLE for stream in (True, False)]
streamed = pytest.mark.parametrize("asked", STREAMED, ids=str)
either = pytest.mark.parametrize(("asked", "stream"), WAYS, ids=str)

#: Status, type and message of an error as a fixture has them, and what it is.
REFUSALS: Final[tuple[tuple[int, str, str, ErrorKind], ...]] = (
    (400, "invalid_request_error", "messages: at least one is required", ErrorKind.BAD_REQUEST),
    (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ErrorKind.CONTEXT_LENGTH),
    (401, "authentication_error", "Incorrect API key provided", ErrorKind.AUTH),
    (402, "billing_error", "Your credit balance is too low", ErrorKind.BILLING),
    (403, "permission_error", "Not for you", ErrorKind.AUTH),
    (404, "not_found_error", "No such model", ErrorKind.BAD_REQUEST),
    (429, "rate_limit_error", "Slow down", ErrorKind.RATE_LIMIT),
    (500, "server_error", "Oops", ErrorKind.OVERLOADED),
    (503, "server_error", "Try again", ErrorKind.OVERLOADED),
    (504, "timeout_error", "Too slow", ErrorKind.TIMEOUT),
    (529, "overloaded_error", "Overloaded", ErrorKind.OVERLOADED),
)
#: The mock's own faults, which are drawn by chance: the setting that makes it certain, and what is told of it.
CHAOS: Final[tuple[tuple[str, ErrorKind, Phase, int | None], ...]] = (
    ("dropRate", ErrorKind.OVERLOADED, Phase.HEADERS, 500),
    ("rateLimitRate", ErrorKind.RATE_LIMIT, Phase.HEADERS, 429),
    ("disconnectRate", ErrorKind.NETWORK, Phase.HEADERS, None),
    ("malformedRate", ErrorKind.PROTOCOL, Phase.FLOW, 200),
)


def failed(heard: Heard, asked: Format) -> ProviderError:
    """The one error, of the provider that was asked, without an end beside it and without the key."""
    error = heard.error
    assert error is not None
    assert error.provider == asked.provider
    assert "simulated-key" not in str(error.to_dict())
    assert not any(isinstance(token, Finish) for token in heard.tokens)
    return error


@pytest.mark.parametrize(
    "fault", [{"truncateAfterChunks": 9, "latency": 5}, {"disconnectAfterMs": 150, "latency": 15}], ids=str
)
@streamed
async def test_a_stream_that_is_cut_is_truncated_after_the_tokens_that_had_come(
    mock: Mock, asked: Format, fault: dict[str, Any]
) -> None:
    await mock.teach({"content": TEXT}, chunkSize=4, **fault)
    heard = await mock.streamed(asked)
    error = failed(heard, asked)
    assert (error.kind, error.phase, error.status) == (ErrorKind.TRUNCATED, Phase.FLOW, 200)
    assert TEXT.startswith(heard.text)
    assert 0 < len(heard.text) < len(TEXT)


@either
async def test_a_refusal_is_told_by_its_kind(mock: Mock, asked: Format, stream: bool) -> None:
    for status, word, message, kind in REFUSALS:
        await mock.forget()
        await mock.teach({"error": {"message": message, "type": word}, "status": status, "retryAfter": 7})
        error = failed(await mock.answer(asked, stream=stream), asked)
        assert (error.kind, error.status, error.phase) == (kind, status, Phase.HEADERS), message
        assert message in error.message
        assert error.retry_after_s == (7 if status == 429 else None), "aimock says it with 429 alone"


@pytest.mark.parametrize(("setting", "kind", "phase", "status"), CHAOS)
@either
async def test_chaos_is_one_error(
    mock: Mock, asked: Format, stream: bool, setting: str, kind: ErrorKind, phase: Phase, status: int | None
) -> None:
    await mock.teach({"content": TEXT}, chaos={setting: 1})
    heard = await mock.answer(asked, stream=stream)
    error = failed(heard, asked)
    if setting == "malformedRate" and stream and asked in (GEMINI_ARRAY, VERTEX_ARRAY):
        kind = ErrorKind.TRUNCATED  # `{` may begin Google's error, and nothing closes it
    assert (error.kind, error.phase, error.status) == (kind, phase, status)
    assert heard.tokens == []
    assert (error.retry_after_s is not None) is (kind is ErrorKind.RATE_LIMIT)


@either
async def test_a_question_without_an_answer_is_a_bad_request(mock: Mock, asked: Format, stream: bool) -> None:
    error = failed(await mock.answer(asked, stream=stream), asked)
    assert (error.kind, error.status, error.message) == (ErrorKind.BAD_REQUEST, 404, "No fixture matched")
