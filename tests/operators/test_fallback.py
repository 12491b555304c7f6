from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.notification import OnError, OnNext
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.coldobservable import ColdObservable
from reactivex.testing.recorded import Recorded
from reactivex.testing.subscription import Subscription

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg, may_ask_elsewhere
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
Operator = Callable[[Observable[StreamToken]], Observable[StreamToken]]
Script = list[Recorded[StreamToken]]
FINISH = Finish(FinishKind.STOP, "stop", "named-by-provider")
BUSY = ProviderError(ErrorKind.OVERLOADED, "busy", status=503, phase=Phase.HEADERS, provider="p0")
CUT = ProviderError(ErrorKind.TRUNCATED, "broke off", status=200, phase=Phase.FLOW, provider="p0")
NO_PREFILL = ProviderError(ErrorKind.BAD_REQUEST, "This model does not support assistant message prefill.", status=400)
CONTINUE = FallbackPolicy(after_commit=AfterCommit.CONTINUE)
RESTART = FallbackPolicy(after_commit=AfterCommit.RESTART)

# `TestScheduler.start` subscribes at 200 and disposes at 1000; one tick is one second.


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


def says(*tokens: StreamToken) -> Script:
    """A whole answer, a token a second, then `FINISH`."""
    return [*(on_next(1 + n, token) for n, token in enumerate([*tokens, FINISH])), on_completed(len(tokens) + 2)]


def breaks(*tokens: StreamToken, error: Exception = CUT) -> Script:
    """Some tokens, a token a second, then an error."""
    return [*(on_next(1 + n, token) for n, token in enumerate(tokens)), on_error(len(tokens) + 1, error)]


def report(output: int) -> UsageReport:
    return UsageReport(Usage(input=10, output=output, total=10 + output))


@dataclass
class Case:
    """Legs p0/m0, p1/m1, ..., each with what it answers, or a tuple of what it answers each time that it is opened."""

    scripts: Sequence[Script | tuple[Script, ...]]
    prefill: bool = True
    clock: TestScheduler = field(default_factory=TestScheduler)
    exchange: Exchange = field(default_factory=Exchange)
    opened: list[tuple[str, Continuation | None]] = field(default_factory=list[tuple[str, Continuation | None]])
    sources: list[ColdObservable[StreamToken]] = field(default_factory=list[ColdObservable[StreamToken]])

    def leg(self, place: int) -> Leg:
        provider, scripts = f"p{place}", self.scripts[place]
        times = iter(scripts if isinstance(scripts, tuple) else (scripts,))

        def open_leg(continuation: Continuation | None) -> Observable[StreamToken]:
            self.opened.append((provider, continuation))
            source = self.clock.create_cold_observable(*next(times))
            self.sources.append(source)
            return source

        return Leg(provider=provider, model=f"m{place}", open=open_leg, accepts_prefill=self.prefill)

    def run(self, policy: FallbackPolicy | None = None, *, disposed: float = 1000) -> list[Recorded[StreamToken]]:
        legs = [self.leg(place) for place in range(len(self.scripts))]
        return self.clock.start(
            lambda: fallback(legs, policy=policy, exchange=self.exchange), disposed=disposed
        ).messages

    def tokens(self, policy: FallbackPolicy | None = None) -> list[StreamToken]:
        return [message.value.value for message in self.run(policy) if isinstance(message.value, OnNext)]

    def failure(self, policy: FallbackPolicy | None = None) -> ProviderError:
        *_, last = self.run(policy)
        assert isinstance(last.value, OnError)
        assert isinstance(last.value.exception, ProviderError)
        return last.value.exception

    @property
    def asked(self) -> list[str]:
        return [provider for provider, _ in self.opened]


def text_of(tokens: Sequence[StreamToken]) -> str:
    return "".join(token.text for token in tokens if isinstance(token, Text))


def seams_of(tokens: Sequence[StreamToken]) -> list[Seam]:
    return [token for token in tokens if isinstance(token, Seam)]


# -- before commit ----------------------------------------------------------------------------------------------------


def test_marbles_the_first_leg_answers_alone() -> None:
    case = Case([says(Text("a"), Text("b")), says(Text("c"))])
    assert case.run() == [on_next(201, Text("a")), on_next(202, Text("b")), on_next(203, FINISH), on_completed(204)]
    assert case.opened == [("p0", None)]


def test_marbles_the_next_leg_is_opened_at_once() -> None:
    case = Case([breaks(report(1), error=BUSY), says(Text("a"))])
    assert case.run() == [on_next(203, Text("a")), on_next(204, FINISH), on_completed(205)]
    assert case.opened == [("p0", None), ("p1", None)]
    assert [source.subscriptions for source in case.sources] == [[Subscription(200, 202)], [Subscription(202, 205)]]


@pytest.mark.parametrize(
    ("kind", "retry", "asked"),
    [
        (ErrorKind.OVERLOADED, Retry.SAME, True),
        (ErrorKind.RATE_LIMIT, Retry.SAME, True),
        (ErrorKind.RATE_LIMIT, Retry.OTHER_KEY, True),
        (ErrorKind.TIMEOUT, Retry.OTHER_PROVIDER, True),
        (ErrorKind.NETWORK, Retry.SAME, True),
        (ErrorKind.TRUNCATED, Retry.SAME, True),
        (ErrorKind.PROTOCOL, Retry.OTHER_PROVIDER, True),
        (ErrorKind.CONTEXT_LENGTH, Retry.OTHER_PROVIDER, True),
        (ErrorKind.AUTH, Retry.NEVER, True),
        (ErrorKind.BILLING, Retry.OTHER_KEY, True),
        (ErrorKind.QUOTA, Retry.OTHER_KEY, True),
        (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER, True),
        (ErrorKind.BAD_REQUEST, Retry.NEVER, False),
        (ErrorKind.CONTENT_FILTER, Retry.OTHER_PROVIDER, False),
        (ErrorKind.CANCELLED, Retry.OTHER_PROVIDER, False),
        (ErrorKind.INTERNAL, Retry.NEVER, False),
    ],
)
def test_what_another_provider_may_answer_is_asked_elsewhere(kind: ErrorKind, retry: Retry, asked: bool) -> None:
    error = ProviderError(kind, "no", retry=retry)
    case = Case([breaks(error=error), says(Text("a"))])
    messages = case.run()
    assert case.asked == (["p0", "p1"] if asked else ["p0"])
    if not asked:
        assert messages == [on_error(201, error)]


def test_a_content_filter_sends_the_request_on_if_it_is_to() -> None:
    error = ProviderError(ErrorKind.CONTENT_FILTER, "no")
    case = Case([breaks(error=error), says(Text("a"))])
    assert text_of(case.tokens(FallbackPolicy(on_content_filter=True))) == "a"


def test_an_answer_withheld_whole_by_a_filter_counts_as_its_refusal() -> None:
    withheld = Finish(FinishKind.CONTENT_FILTER, "SAFETY")
    scripts = [[on_next(1, withheld), on_completed(2)], says(Text("a"))]
    assert Case(scripts).tokens()[0].__class__ is Finish
    assert text_of(Case(scripts).tokens(FallbackPolicy(on_content_filter=True))) == "a"
    alone = Case(scripts[:1]).tokens(FallbackPolicy(on_content_filter=True))
    assert alone == [Finish(FinishKind.CONTENT_FILTER, "SAFETY", "m0")]


def test_a_filter_after_visible_text_ends_the_answer_as_it_is() -> None:
    cut_short = Finish(FinishKind.CONTENT_FILTER, "SAFETY", "m")
    case = Case([[on_next(1, Text("a")), on_next(2, cut_short), on_completed(3)], says(Text("b"))])
    assert case.tokens(FallbackPolicy(on_content_filter=True)) == [Text("a"), cut_short]


def test_a_bug_is_not_tried_elsewhere() -> None:
    bug = KeyError("x")
    case = Case([breaks(error=bug), says(Text("a"))])
    assert case.run() == [on_error(201, bug)]
    assert not may_ask_elsewhere(bug, FallbackPolicy())


def test_a_leg_that_cannot_be_opened_has_failed() -> None:
    def refuses(continuation: Continuation | None) -> Observable[StreamToken]:
        raise BUSY

    case = Case([says(Text("a"))])
    legs = [Leg(provider="x", model="y", open=refuses), case.leg(0)]
    messages = case.clock.start(lambda: fallback(legs)).messages
    assert messages == [on_next(201, Text("a")), on_next(202, FINISH), on_completed(203)]


def test_legs_that_fail_while_they_are_subscribed_to_leave_the_last_one_running() -> None:
    case = Case([says(Text("a"))])
    at_once = Leg(provider="x", model="y", open=lambda _: Stage(fail_at_once))
    messages = case.clock.start(lambda: fallback([at_once, at_once, case.leg(0)])).messages
    assert messages[-1] == on_completed(203)


def fail_at_once(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
    receiver.on_error(BUSY)
    return Disposable()


def test_the_model_and_usage_are_those_of_the_leg_that_answered() -> None:
    nameless = Finish(FinishKind.STOP)
    case = Case(
        [
            breaks(report(5), error=BUSY),
            [on_next(1, report(7)), on_next(2, Text("a")), on_next(3, nameless), on_completed(4)],
        ]
    )
    assert case.tokens() == [report(7), Text("a"), Finish(FinishKind.STOP, model="m1")]
    assert (case.exchange.provider, case.exchange.model) == ("p1", "m1")


def test_if_all_fail_the_first_cause_is_told_and_who_else_was_tried() -> None:
    full = ProviderError(ErrorKind.RATE_LIMIT, "full", status=429, phase=Phase.HEADERS, retry_after_s=9)
    late = ProviderError(ErrorKind.TIMEOUT, "late", phase=Phase.FIRST_TOKEN)
    error = Case([breaks(error=full), breaks(error=late), breaks(error=BUSY)]).failure()
    assert error.message == (
        "full; also tried: p1/m1 (timeout in phase first_token), p2/m2 (overloaded in phase headers)"
    )
    assert (error.kind, error.status, error.retry_after_s, error.phase) == (ErrorKind.RATE_LIMIT, 429, 9, Phase.HEADERS)
    assert error.__cause__ is full
    assert (full.message, error.delivered_chars) == ("full", None)


def test_the_error_of_a_single_leg_is_the_same_object() -> None:
    assert Case([breaks(error=BUSY)]).failure() is BUSY


def test_what_is_wrong_with_the_request_is_told_even_by_the_second_leg() -> None:
    wrong = ProviderError(ErrorKind.BAD_REQUEST, "no such tool")
    error = Case([breaks(error=BUSY), breaks(error=wrong), says(Text("a"))]).failure()
    assert error.message == "no such tool; also tried: p0/m0 (overloaded in phase headers)"


def test_a_stream_without_its_end_is_truncated() -> None:
    error = Case([[on_next(1, Text("a")), on_completed(2)]]).failure()
    assert (error.kind, error.delivered_chars) == (ErrorKind.TRUNCATED, 1)


def test_marbles_what_breaks_after_the_end_is_no_failure() -> None:
    case = Case([breaks(Text("a"), FINISH), says(Text("b"))])
    assert case.run(CONTINUE) == [on_next(201, Text("a")), on_next(202, FINISH), on_completed(203)]


# -- fail -------------------------------------------------------------------------------------------------------------


def test_marbles_after_commit_the_error_goes_on_with_what_was_delivered() -> None:
    case = Case([breaks(Reasoning("hm"), Text("abc"), Text("de")), says(Text("x"))])
    messages = case.run()
    assert messages[-1] == on_error(204, CUT)
    assert (CUT.delivered_chars, case.asked) == (5, ["p0"])


# -- continue ---------------------------------------------------------------------------------------------------------


def test_marbles_the_next_leg_goes_on_after_a_seam() -> None:
    case = Case([breaks(Text("Once upon"), report(2)), says(report(9), Text(" a time"))])
    total = UsageReport(Usage(input=20, output=11, total=31))
    assert case.run(CONTINUE) == [
        on_next(201, Text("Once upon")),
        on_next(202, report(2)),
        on_next(205, Seam(1, "continue: p1/m1 answers, p0/m0 broke off (truncated)")),
        on_next(205, report(9)),
        on_next(205, Text(" a time")),
        on_next(206, total),
        on_next(206, FINISH),
        on_completed(207),
    ]
    assert case.opened[1] == ("p1", Continuation(text="Once upon", prefill=True))


def test_a_leg_that_takes_no_prefill_is_asked_by_a_user_turn() -> None:
    case = Case([breaks(Text("Once")), says(Text(" upon"))], prefill=False)
    case.run(CONTINUE)
    assert case.opened[1] == ("p1", Continuation(text="Once", prefill=False))


def test_a_leg_that_refuses_the_prefill_is_asked_again_by_a_user_turn() -> None:
    case = Case([breaks(Text("Once")), (breaks(error=NO_PREFILL), says(Text(" upon")))])
    tokens = case.tokens(CONTINUE)
    assert text_of(tokens) == "Once upon"
    assert seams_of(tokens) == [Seam(1, "continue: p1/m1 answers, p0/m0 broke off (truncated)")]
    assert [asked for _, asked in case.opened[1:]] == [Continuation(text="Once", prefill=p) for p in (True, False)]


def test_a_leg_that_refuses_both_ways_is_left_for_the_next() -> None:
    case = Case([breaks(Text("Once")), (breaks(error=NO_PREFILL), breaks(error=NO_PREFILL)), says(Text(" upon"))])
    assert text_of(case.tokens(CONTINUE)) == "Once upon"
    assert case.asked == ["p0", "p1", "p1", "p2"]


def test_a_continuation_that_fails_reports_the_first_cause() -> None:
    case = Case([breaks(Text("abc")), breaks(Text("def"), error=BUSY), breaks(error=NO_PREFILL)], prefill=False)
    error = case.failure(CONTINUE)
    assert (error.kind, error.provider, error.delivered_chars) == (ErrorKind.TRUNCATED, "p0", 6)
    assert error.message.startswith("broke off; also tried: p1/m1 (overloaded in phase headers), p2/m2 (bad_request")


def test_a_seam_comes_only_with_something_new() -> None:
    case = Case([breaks(Text("abc")), breaks(error=BUSY), says(Text("def"))])
    tokens = case.tokens(CONTINUE)
    assert seams_of(tokens) == [Seam(1, "continue: p2/m2 answers, p0/m0 broke off (truncated)")]


def test_a_continuation_may_be_continued() -> None:
    case = Case([breaks(Text("one, "), report(1)), breaks(Text("two, "), report(2)), says(Text("three"), report(4))])
    tokens = case.tokens(CONTINUE)
    assert text_of(tokens) == "one, two, three"
    assert [seam.leg for seam in seams_of(tokens)] == [1, 2]
    assert case.opened[2] == ("p2", Continuation(text="one, two, ", prefill=True))
    assert tokens[-2] == UsageReport(Usage(input=30, output=7, total=37))


def test_a_leg_that_has_nothing_to_add_ends_the_answer() -> None:
    tokens = Case([breaks(Text("all")), says()]).tokens(CONTINUE)
    assert [type(token) for token in tokens] == [Text, Seam, Finish]


def test_a_repetition_is_cut_off() -> None:
    case = Case([breaks(Text("The quick brown fox")), says(Text("brown "), Text("fox"), Text(" jumps"))])
    tokens = case.tokens(CONTINUE)
    assert text_of(tokens) == "The quick brown fox jumps"


def test_thoughts_before_a_repetition_do_not_hide_it() -> None:
    case = Case([breaks(Text("The quick brown fox")), says(Reasoning("hm"), Text("brown fox"), Text(" jumps"))])
    assert text_of(case.tokens(CONTINUE)) == "The quick brown fox jumps"


def test_what_looked_like_a_repetition_is_handed_on_before_anything_else() -> None:
    case = Case([breaks(Text("The quick brown fox")), says(Text("brown"), ToolCall(0, "c", "f"))])
    assert case.tokens(CONTINUE)[2:] == [Text("brown"), ToolCall(0, "c", "f"), FINISH]
    case = Case([breaks(Text("The quick brown fox")), says(Text("brown"))])
    assert case.tokens(CONTINUE)[2:] == [Text("brown"), FINISH]


def test_a_leg_that_fails_within_a_repetition_has_said_nothing() -> None:
    case = Case([breaks(Text("The quick brown fox")), breaks(Text("brown f")), says(Text(" jumps"))])
    tokens = case.tokens(CONTINUE)
    assert text_of(tokens) == "The quick brown fox jumps"
    assert [seam.leg for seam in seams_of(tokens)] == [1]


def test_after_tool_calls_the_answer_rewinds_to_the_text_before_them() -> None:
    call = ToolCall(0, "c", "f", '{"a":')
    case = Case([breaks(Text("Let me look."), call), says(ToolCall(0, "d", "f", "{}"))])
    tokens = case.tokens(CONTINUE)
    assert tokens[:2] == [Text("Let me look."), call]
    assert tokens[2] == Seam(1, "rewind: p1/m1 answers, p0/m0 broke off (truncated)")
    assert tokens[3:] == [ToolCall(0, "d", "f", "{}"), FINISH]
    assert case.opened[1] == ("p1", Continuation(text="Let me look.", prefill=True))


def test_after_a_rewind_the_answer_may_be_continued_again() -> None:
    case = Case([breaks(Text("one, "), ToolCall(0, "c", "f")), breaks(Text("two, ")), says(Text("three"))])
    words = [seam.reason.partition(":")[0] for seam in seams_of(case.tokens(CONTINUE))]
    assert words == ["rewind", "continue"]
    assert case.opened[2] == ("p2", Continuation(text="one, two, ", prefill=True))


def test_something_opaque_before_a_repetition_does_not_hide_it() -> None:
    case = Case([breaks(Text("The quick brown fox")), says(Opaque("k", "{}"), Text("brown fox"), Text(" jumps"))])
    assert text_of(case.tokens(CONTINUE)) == "The quick brown fox jumps"


def test_a_reader_that_leaves_at_the_sum_gets_no_error() -> None:
    case = Case([breaks(Text("a"), report(1)), breaks(Text("b"), report(2))])
    got: list[StreamToken] = []

    def on_token(token: StreamToken) -> None:
        got.append(token)
        if token == UsageReport(Usage(input=20, output=3, total=23)):
            subscription.dispose()

    stage = fallback([case.leg(0), case.leg(1)], policy=CONTINUE)
    subscription = connect(stage, Receiver(on_token, never, never), case.clock)
    case.clock.start()
    assert len(got) == 6


@pytest.mark.parametrize("only", [ToolCall(0, "c", "f"), Reasoning("hm"), Text(" \n")])
def test_without_text_there_is_nothing_to_go_on_with(only: StreamToken) -> None:
    case = Case([breaks(only), says(Text("a"))])
    assert case.tokens(CONTINUE) == [
        only,
        Seam(1, "restart: p1/m1 answers, p0/m0 broke off (truncated)"),
        Text("a"),
        FINISH,
    ]
    assert case.opened[1] == ("p1", None)


@pytest.mark.parametrize("unfit", [Refusal("no"), Text("x", choice=1), ToolCall(0, choice=1), Text("x" * 50)])
def test_what_cannot_be_continued_fails(unfit: StreamToken) -> None:
    case = Case([breaks(Text("a"), unfit), says(Text("b"))])
    policy = FallbackPolicy(after_commit=AfterCommit.CONTINUE, max_kept_chars=50)
    assert case.failure(policy) is CUT
    assert case.asked == ["p0"]


def test_a_filter_in_mid_answer_reaches_the_caller() -> None:
    filtered = ProviderError(ErrorKind.CONTENT_FILTER, "no")
    case = Case([breaks(Text("a"), error=filtered), says(Text("b"))])
    assert case.failure(CONTINUE) is filtered
    case = Case([breaks(Text("a"), error=filtered), says(Text("b"))])
    policy = FallbackPolicy(after_commit=AfterCommit.CONTINUE, on_content_filter=True)
    assert text_of(case.tokens(policy)) == "ab"


def test_the_usage_of_legs_is_summed_before_an_error_too() -> None:
    case = Case([breaks(Text("a"), report(1)), breaks(Text("b"), report(2))])
    assert case.tokens(CONTINUE)[-1] == UsageReport(Usage(input=20, output=3, total=23))


# -- restart ----------------------------------------------------------------------------------------------------------


def test_marbles_a_restart_tells_the_reader_to_discard() -> None:
    case = Case([breaks(Text("bad"), report(1)), says(Text("good"), report(2))])
    assert case.run(RESTART) == [
        on_next(201, Text("bad")),
        on_next(202, report(1)),
        on_next(204, Seam(1, "restart: p1/m1 answers, p0/m0 broke off (truncated)")),
        on_next(204, Text("good")),
        on_next(205, report(2)),
        on_next(206, FINISH),
        on_completed(207),
    ]
    assert case.opened[1] == ("p1", None)


def test_a_restart_that_fails_reports_the_first_cause_and_what_the_reader_has() -> None:
    case = Case([breaks(Text("bad")), breaks(Text("worse"), error=BUSY)])
    error = case.failure(RESTART)
    assert (error.kind, error.delivered_chars) == (ErrorKind.TRUNCATED, 5)
    case = Case([breaks(Text("bad")), breaks(error=BUSY)])
    assert case.failure(RESTART).delivered_chars == 3


# -- cancel and records -----------------------------------------------------------------------------------------------


def test_disposing_reaches_the_leg_under_way_and_opens_no_other() -> None:
    case = Case([breaks(error=BUSY), [on_next(1, Text("a")), on_error(500, CUT)], says()])
    case.run(CONTINUE, disposed=300)
    assert case.sources[1].subscriptions == [Subscription(201, 300)]
    assert case.asked == ["p0", "p1"]
    assert [(a.finished, a.error_kind) for a in case.exchange.attempts] == [
        (False, ErrorKind.OVERLOADED),
        (False, None),
    ]


@pytest.mark.parametrize("leaves_at", range(1, 6))
def test_a_reader_that_leaves_gets_no_more(leaves_at: int) -> None:
    case = Case([breaks(Text("a"), report(1)), says(report(2), Text("b"))])
    got: list[StreamToken] = []

    def on_token(token: StreamToken) -> None:
        got.append(token)
        if len(got) == leaves_at:
            subscription.dispose()

    stage = fallback([case.leg(0), case.leg(1)], policy=CONTINUE, exchange=case.exchange)
    subscription = connect(stage, Receiver(on_token, never, never), case.clock)
    case.clock.start()
    assert len(got) == leaves_at
    assert len(case.exchange.attempts) == len(case.sources)


def never(*_: object) -> None:
    raise AssertionError("nothing may follow a disposal")


def test_each_leg_is_noted() -> None:
    case = Case([breaks(report(1), error=BUSY), breaks(Text("a"), Text("b")), says(Text("c"), report(3))])
    case.run(CONTINUE)
    noted = [(a.number, a.provider, a.model, a.tokens, a.finished, a.error_kind) for a in case.exchange.attempts]
    assert noted == [
        (1, "p0", "m0", 1, False, ErrorKind.OVERLOADED),
        (2, "p1", "m1", 2, False, ErrorKind.TRUNCATED),
        (3, "p2", "m2", 3, True, None),
    ]
    assert [a.usage for a in case.exchange.attempts] == [report(1).usage, None, report(3).usage]


def test_a_leg_that_retries_notes_its_own_attempts() -> None:
    case = Case([breaks(error=BUSY), says(Text("a"))])
    retry = retry_stream(RetryPolicy(max_attempts=2), random=lambda: 0.0, exchange=case.exchange)
    first, second = case.leg(0), case.leg(1)
    legs = [Leg(provider="p0", model="m0", open=lambda c: first.open(c).pipe(retry)), second]
    case.clock.start(lambda: fallback(legs, exchange=case.exchange))
    assert [(a.number, a.provider, a.finished) for a in case.exchange.attempts] == [
        (1, "p0", False),
        (2, "p0", False),
        (3, "p1", True),
    ]


def test_a_leg_that_retries_notes_its_own_when_the_answer_was_withheld_or_cancelled() -> None:
    withheld = Finish(FinishKind.CONTENT_FILTER, "SAFETY")
    case = Case([[on_next(1, withheld), on_completed(9)], [on_next(1, Text("a")), on_completed(9)]])
    retry = retry_stream(exchange=case.exchange)
    legs = [Leg(provider=leg.provider, model="m", open=piped(leg, retry)) for leg in (case.leg(0), case.leg(1))]
    policy = FallbackPolicy(on_content_filter=True)
    case.clock.start(lambda: fallback(legs, policy=policy, exchange=case.exchange), disposed=205)
    assert [(a.provider, a.tokens) for a in case.exchange.attempts] == [("p0", 1), ("p1", 1)]


def piped(leg: Leg, operator: Operator) -> Callable[[Continuation | None], Observable[StreamToken]]:
    return lambda continuation: leg.open(continuation).pipe(operator)


def test_without_legs_there_is_nothing_to_ask() -> None:
    with pytest.raises(ValueError, match="at least one leg"):
        fallback([])


@pytest.mark.parametrize("wrong", [{"overlap_chars": -1}, {"max_kept_chars": -1}])
def test_a_negative_bound_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be from 0, not -1"):
        FallbackPolicy(**wrong)  # type: ignore[arg-type] # one of them at a time
