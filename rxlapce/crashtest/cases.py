"""The cases: how the providers fail, what is asked of them, and what comes of it with the built-in configuration.

With somebody's own configuration only the truth is demanded: whole, or one clear error, in time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rxlapce.crashtest import checks
from rxlapce.crashtest.plays import Play, leave, once, thrice, through_an_outage, two_models
from rxlapce.crashtest.rig import Conditions, Outage, Rig, Role
from rxlapce.crashtest.verdict import Verdict
from rxlapce.errors import ErrorKind
from rxlapce.operators.legs import AfterCommit
from rxlapce.routing.settings import Quota
from rxlapce.tokens import SeamWord

#: Finds what is wrong with how the case went; None if nothing is.
Check = Callable[[Rig], str | None]
#: The least and the most attempts.
Attempts = tuple[int, int]

NONE: Final = (0, 0)
ONE: Final = (1, 1)
RETRIED: Final = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What must come of a case with the built-in configuration, besides that it is true.

    `by` is who says that the last answer is theirs; None where that is an error, of the kind `error`. `within_s`: the
    most that one answer may take. `seams`: their words, in all answers.
    """

    verdict: Verdict = Verdict.WHOLE
    primary: Attempts = ONE
    fallback: Attempts = ONE
    by: Role | None = Role.FALLBACK
    error: ErrorKind | None = None
    seams: tuple[SeamWord, ...] = ()
    within_s: float = 6.0
    check: Check | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to fail. `about` tells it in a line; `takes_s` is about how long it takes, for who plans."""

    name: str
    about: str
    conditions: Conditions
    expect: Expect
    play: Play = once
    takes_s: float = 3.0


_CLEAN: Final = Verdict.CLEAN_ERROR
_CONTINUED: Final = Expect(seams=(SeamWord.CONTINUE,), check=checks.was_continued)
_CUT: Final = "fault=cut,after=40"
_BY_FIRST: Final = Expect(by=Role.PRIMARY, primary=(2, 2), fallback=NONE)

CASES: Final[tuple[Case, ...]] = (
    # before the headers
    Case(
        name="429_once",
        about="429 with Retry-After: 1, once",
        conditions=Conditions(primary="status=429,retry_after=1,times=1"),
        expect=Expect(by=Role.PRIMARY, primary=(2, 2), fallback=NONE, check=checks.waited_a_second),
    ),
    Case(
        name="429_forever",
        about="429 without Retry-After, for ever",
        conditions=Conditions(primary="status=429"),
        expect=Expect(primary=RETRIED),
    ),
    Case(
        name="500_once",
        about="500, once",
        conditions=Conditions(primary="status=500,times=1"),
        expect=_BY_FIRST,
    ),
    Case(
        name="503_forever",
        about="503, for ever",
        conditions=Conditions(primary="status=503"),
        expect=Expect(primary=RETRIED),
    ),
    Case(
        name="reset",
        about="the connection is reset before the headers",
        conditions=Conditions(primary="fault=reset"),
        expect=Expect(primary=(1, 3)),
    ),
    Case(
        name="no_response",
        about="no response at all, not even headers",
        conditions=Conditions(primary="fault=hang"),
        expect=Expect(),
    ),
    Case(
        name="400_context",
        about="400: the prompt is too long for the first model, which is asked exactly once",
        conditions=Conditions(primary="fault=context_length"),
        expect=Expect(),
    ),
    Case(
        name="400_filter",
        about="400: refused by the content filter; that is the caller's to know",
        conditions=Conditions(primary="fault=blocked"),
        expect=Expect(verdict=_CLEAN, fallback=NONE, by=None, error=ErrorKind.CONTENT_FILTER),
    ),
    Case(
        name="400_filter_elsewhere",
        about="the same with on_content_filter: another provider may see it otherwise",
        conditions=Conditions(primary="fault=blocked", on_content_filter=True),
        expect=Expect(),
    ),
    # before the first token
    Case(
        name="slow_start",
        about="the first token after 20 s",
        conditions=Conditions(primary="ttft=20"),
        expect=Expect(),
    ),
    Case(
        name="error_event_first",
        about="200, then an error event before the first token",
        conditions=Conditions(primary="fault=error,after=0"),
        expect=Expect(primary=(1, 3)),
    ),
    # in the middle of the answer
    Case(
        name="cut",
        about="the connection breaks after 40 of 60 tokens",
        conditions=Conditions(primary=_CUT, prefill=True),
        expect=_CONTINUED,
    ),
    Case(
        name="cut_fail",
        about="the same under after_commit: fail",
        conditions=Conditions(primary=_CUT, after=AfterCommit.FAIL),
        expect=Expect(verdict=_CLEAN, fallback=NONE, by=None, error=ErrorKind.TRUNCATED),
    ),
    Case(
        name="cut_continue",
        about="the same under after_commit: continue, by a model that needs a user's turn to go on",
        conditions=Conditions(primary=_CUT, after=AfterCommit.CONTINUE, prefill=False),
        expect=_CONTINUED,
    ),
    Case(
        name="cut_restart",
        about="the same under after_commit: restart",
        conditions=Conditions(primary=_CUT, after=AfterCommit.RESTART),
        expect=Expect(seams=(SeamWord.RESTART,)),
    ),
    Case(
        name="cut_prefill_refused",
        about="the same, and the fallback refuses a conversation that ends in the assistant's turn",
        conditions=Conditions(primary=_CUT, fallback="prefill=0", prefill=True),
        expect=Expect(fallback=(2, 2), seams=(SeamWord.CONTINUE,), check=checks.was_continued),
    ),
    Case(
        name="cut_overlap",
        about="the same, and the fallback repeats the last 30 characters",
        conditions=Conditions(primary=_CUT, fallback="overlap=30"),
        expect=_CONTINUED,
    ),
    Case(
        name="cut_twice",
        about="the same, and the fallback breaks off after 10 more: the first one's error, with what both had said",
        conditions=Conditions(primary=_CUT, fallback="fault=cut,after=10"),
        expect=Expect(
            verdict=_CLEAN,
            by=None,
            error=ErrorKind.TRUNCATED,
            seams=(SeamWord.CONTINUE,),
            check=checks.names_everybody,
        ),
    ),
    Case(
        name="cut_tool_call",
        about="the connection breaks inside the arguments of a tool call",
        conditions=Conditions(primary="tokens=20,tools=1,fault=cut,after=22", fallback="tokens=20,tools=1", tools=True),
        expect=Expect(seams=(SeamWord.REWIND,), check=checks.was_continued),
    ),
    Case(
        name="silence",
        about="silence after 40 tokens, for 30 s and longer",
        conditions=Conditions(primary="fault=stall,after=40"),
        expect=_CONTINUED,
    ),
    Case(
        name="malformed",
        about="an event of broken JSON after 40 tokens",
        conditions=Conditions(primary="fault=malformed,after=40"),
        expect=_CONTINUED,
    ),
    Case(
        name="error_event",
        about="an error event after 40 tokens",
        conditions=Conditions(primary="fault=error,after=40"),
        expect=_CONTINUED,
    ),
    Case(
        name="no_end",
        about="the body ends after 40 tokens as if nothing were wrong, without a terminal event",
        conditions=Conditions(primary="fault=end,after=40"),
        expect=_CONTINUED,
    ),
    Case(
        name="no_end_at_all",
        about="all 60 tokens, and the body ends without a terminal event",
        conditions=Conditions(primary="fault=end,after=60"),
        expect=_CONTINUED,
    ),
    Case(
        name="no_done",
        about="a whole answer whose last event ([DONE], message_stop) is missing",
        conditions=Conditions(primary="fault=no_done"),
        expect=Expect(by=Role.PRIMARY, fallback=NONE),
    ),
    # all of it
    Case(
        name="everybody_fails",
        about="500 by the first, 503 by the others: one error that names all",
        conditions=Conditions(primary="status=500", fallback="status=503"),
        expect=Expect(
            verdict=_CLEAN,
            primary=RETRIED,
            fallback=RETRIED,
            by=None,
            error=ErrorKind.OVERLOADED,
            check=checks.names_everybody,
        ),
    ),
    Case(
        name="our_limit",
        about="three requests of a user who may have two a minute: the third is told when to come again",
        conditions=Conditions(user=Quota(requests=2)),
        expect=Expect(
            verdict=_CLEAN,
            primary=(2, 2),
            fallback=NONE,
            by=None,
            error=ErrorKind.RATE_LIMIT,
            check=checks.tells_the_wait,
        ),
        play=thrice,
    ),
    Case(
        name="accounting",
        about="an error event before the first token: model and usage are the fallback's, the failure is recorded",
        conditions=Conditions(primary="fault=error,after=0,reasoning=0"),
        expect=Expect(primary=(1, 3), check=checks.accounts),
    ),
    Case(
        name="two_models",
        about="500 for ever by one model; another of the same server is asked at once",
        conditions=Conditions(primary="status=500"),
        expect=Expect(primary=(5, 8), fallback=(7, 7), by=None, check=checks.only_one_is_blocked),
        play=two_models,
    ),
    Case(
        name="reader_leaves",
        about="500, and the reader leaves while the fallback answers; the next question is answered",
        conditions=Conditions(primary="status=500", fallback="tps=30"),
        expect=Expect(primary=(2, 6), fallback=(2, 2), within_s=8.0),
        play=leave,
    ),
    Case(
        name="down",
        about="nobody listens for 60 s; a request every 4 s",
        conditions=Conditions(outage=Outage()),
        expect=Expect(primary=(1, 12), fallback=(15, 30), by=Role.PRIMARY, check=checks.comes_back),
        play=through_an_outage,
        takes_s=80.0,
    ),
    Case(
        name="down_unwatched",
        about="the same without health checks: breaker and probes alone",
        conditions=Conditions(outage=Outage(), unwatched=True),
        expect=Expect(primary=(1, 15), fallback=(15, 30), by=Role.PRIMARY, check=checks.comes_back),
        play=through_an_outage,
        takes_s=80.0,
    ),
    Case(
        name="503_for_a_minute",
        about="503 to everything for 60 s, without health checks; a request every 4 s",
        conditions=Conditions(outage=Outage(closed=False), unwatched=True),
        expect=Expect(primary=(1, 15), fallback=(15, 30), by=Role.PRIMARY, check=checks.comes_back),
        play=through_an_outage,
        takes_s=80.0,
    ),
)

BY_NAME: Final = {case.name: case for case in CASES}
