"""What happens to a request, as somebody reads it who runs the daemon; and whose words stand there."""

import asyncio
import io
import json
from typing import Any, NoReturn

import pytest

from rxlapce.errors import BadMagic, BadPayload, ErrorKind, Phase, ProviderError
from rxlapce.happenings import Answered, Begun, Ended, Failed, FallingBack, FirstToken, Happening, Retrying
from rxlapce.telemetry.happening_log import HappeningLog
from rxlapce.telemetry.logs import logger, loop_errors, traceback_of
from rxlapce.telemetry.words import MAX_NAME_CHARS, MAX_WORDS, breach, facts_of, name

PROMPT = "the quick brown canary"
WHO = {"provider": "acme", "model": "large"}
BUSY = ProviderError(ErrorKind.OVERLOADED, f"you said {PROMPT}", raw="{}", phase=Phase.HEADERS, status=503)
SLOW = ProviderError(ErrorKind.TIMEOUT, "no first token within 3 s", phase=Phase.FIRST_TOKEN, status=200)


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lines(*happenings: Happening, **options: Any) -> list[dict[str, Any]]:
    """What the log says of them, told 1.5 s after the request's beginning; without the time."""
    out, time = io.StringIO(), Time()
    watch = HappeningLog(logger(out, as_json=True).bind(request_id="1.7"), clock=time, **options)
    time.now_s = 1.5
    for happening in happenings:
        watch(happening)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(line.pop("timestamp").endswith("Z") for line in told)
    assert all(line.pop("request_id") == "1.7" for line in told)
    return told


@pytest.mark.parametrize(
    ("happening", "line"),
    [
        (FirstToken(**WHO), {"level": "info", "event": "first_token", **WHO, "first_token_s": 1.5}),
        (
            Retrying(**WHO, attempt=2, error=BUSY, wait_s=0.25),
            {
                "level": "warning", "event": "retry", **WHO, "attempt": 2, "wait_s": 0.25,
                "kind": "overloaded", "phase": "headers", "status": 503,
            },
        ),
        (
            FallingBack(
                **WHO, to_provider="b", to_model="m", error=SLOW, seam="restart", key="work", to_key="spare"
            ),
            {
                "level": "warning", "event": "fallback", **WHO, "to_provider": "b", "to_model": "m", "seam": "restart",
                "key": "work", "to_key": "spare",
                "kind": "timeout", "phase": "first_token", "status": 200, "message": "no first token within 3 s",
            },
        ),
        (
            Failed(**WHO, error=SLOW),
            {
                "level": "warning", "event": "error", **WHO,
                "kind": "timeout", "phase": "first_token", "status": 200, "message": "no first token within 3 s",
            },
        ),
        (Failed(**WHO, error=LookupError(PROMPT)),
         {"level": "error", "event": "error", **WHO, "kind": "internal", "cause": "LookupError"}),
        (Begun(request_id="1.7", provider="", model=""),
         {"level": "info", "event": "tap_begin", "provider": None, "model": ""}),
        (
            Ended(request_id="1.7", user="", client="", **WHO, outcome="failed", error_kind=ErrorKind.TRUNCATED,
                  took_s=1.0004, first_token_s=0.5, tokens=3, usage=None),
            {
                "level": "info", "event": "tap_end", **WHO, "outcome": "truncated", "duration_s": 1.0, "tokens": 3,
                "first_token_s": 0.5,
            },
        ),
    ],
    ids=["first token", "retry", "fallback", "error", "our own error", "tap begin", "tap end"],
)  # fmt: skip
def test_each_has_its_line(happening: Happening, line: dict[str, Any]) -> None:
    assert lines(happening) == [line]


def test_what_has_no_line_of_its_own_is_told_at_the_end() -> None:
    cancelled = ProviderError(ErrorKind.CANCELLED, "cancelled by the client")
    assert lines(Answered(**WHO), Failed(**WHO, error=cancelled)) == []
    assert lines(FirstToken(**WHO), streaming=False) == []


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_provider_s_words_are_told_only_where_content_is(kind: ErrorKind) -> None:
    error = ProviderError(kind, f"you said {PROMPT}", raw="")
    assert "message" not in facts_of(error)
    assert PROMPT in facts_of(error, content=True)["message"]


@pytest.mark.parametrize("kind", [ErrorKind.INTERNAL, ErrorKind.BAD_REQUEST, ErrorKind.PROTOCOL])
def test_our_own_words_that_may_quote_the_request_or_the_answer_are_not_told(kind: ErrorKind) -> None:
    assert "message" not in facts_of(ProviderError(kind, f"KeyError inside rxlapce: {PROMPT}"))


def test_what_is_told_is_bounded_and_has_the_cause_s_class() -> None:
    error = ProviderError(ErrorKind.NETWORK, "n" * 9999, request_id="req_01:a/b+c=")
    error.__cause__ = LookupError(PROMPT)
    facts = facts_of(error)
    assert (len(facts["message"]), facts["provider_request_id"]) == (MAX_WORDS, "req_01:a/b+c=")
    assert facts["cause"] == "LookupError"
    assert len(name("m" * 9999)) == MAX_NAME_CHARS
    assert PROMPT not in str(facts)


@pytest.mark.parametrize("said", [f"you said {PROMPT}", "r" * 129, "ä", ""])
def test_what_is_no_id_is_not_told_as_one(said: str) -> None:
    assert "provider_request_id" not in facts_of(ProviderError(ErrorKind.AUTH, "no", request_id=said))


def test_of_a_payload_that_is_wrong_only_the_place_is_told() -> None:
    said = f"payload of type 0x0301: Invalid enum value '{PROMPT} - at `$.x`' - at `$.request.messages[0].role`"
    assert breach(BadPayload(said)) == {"error": "BadPayload", "at": "$.request.messages[0].role"}
    assert breach(BadPayload(f"{PROMPT} - at `$.x` and more")) == {"error": "BadPayload"}
    assert breach(BadPayload(said), content=True) == {"error": "BadPayload", "message": said}
    assert breach(BadMagic("the magic is 00 00 00 00"))["message"] == "the magic is 00 00 00 00"


def quote() -> NoReturn:
    raise LookupError(PROMPT)


def failing() -> Exception:
    try:
        try:
            quote()
        except LookupError as error:
            raise ExceptionGroup(PROMPT, [ValueError(PROMPT)]) from error
    except ExceptionGroup as group:
        return group


def test_a_traceback_has_each_cause_and_nobody_s_words() -> None:
    told = traceback_of(failing())
    assert PROMPT not in told
    assert told.index("LookupError") < told.index("ExceptionGroup\n  with ValueError")
    assert PROMPT in traceback_of(failing(), words=True)


def test_a_chain_of_causes_that_is_a_ring_ends() -> None:
    one, other = LookupError(), ValueError()
    one.__context__, other.__context__ = other, one
    assert traceback_of(one).count("Traceback") == 2


@pytest.mark.parametrize("content", [False, True])
def test_what_nobody_waits_for_is_told_without_arguments(content: bool) -> None:
    out = io.StringIO()
    loop = asyncio.new_event_loop()
    try:
        context = {"message": f"Exception in callback take({PROMPT!r}) at x.py", "exception": failing()}
        loop_errors(logger(out, as_json=True, content=content))(loop, context)
    finally:
        loop.close()
    line = json.loads(out.getvalue())
    assert (line["event"], line["what"]) == ("loop_error", "Exception in callback take")
    assert (PROMPT in line["exception"]) is content
