"""Random faults, cuts, splits, repetitions and cancels on virtual time: what holds of `fallback` whatever happens."""

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import event, given, settings
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.notification import OnError, OnNext
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.coldobservable import ColdObservable
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg, SeamWord
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Finish, FinishKind, Reasoning, Seam, StreamToken, Text, ToolCall, Usage, UsageReport

TICKS = 100_000
KINDS = [
    ErrorKind.OVERLOADED,
    ErrorKind.TRUNCATED,
    ErrorKind.TIMEOUT,
    ErrorKind.NETWORK,
    ErrorKind.AUTH,
    ErrorKind.CONTEXT_LENGTH,
    ErrorKind.BAD_REQUEST,
    ErrorKind.CONTENT_FILTER,
]
#: No character but the space comes twice, so that nothing in it repeats by chance.
TRUTH = "".join(chr(0x4E00 + n) + (" " if n % 5 == 4 else "") for n in range(60))
EXTRAS: list[StreamToken] = [UsageReport(Usage(input=1, output=1, total=2)), Reasoning("hm")]


@dataclass(frozen=True)
class Behaviour:
    """What a model does with the answer: how it cuts it into tokens, what it repeats, whether and how it breaks off."""

    sizes: list[int]
    gaps: list[int]
    extras: list[int | None]
    repeats: int
    breaks_after: int | None
    kind: ErrorKind
    calls: bool

    def script(self, continuation: Continuation | None) -> list[Recorded[StreamToken]]:
        tokens = self.tokens(0 if continuation is None else self.start(continuation))
        script: list[Recorded[StreamToken]] = []
        time_s = 0
        for place, token in enumerate(tokens[: self.breaks_after]):
            time_s += self.gaps[place % len(self.gaps)]
            script.append(Recorded(time_s, OnNext(token)))
        if self.breaks_after is None or self.breaks_after > len(tokens):
            return [*script, Recorded(time_s + 1, OnNext(Finish(FinishKind.STOP))), on_completed(time_s + 2)]
        return [*script, on_error(time_s + 1, ProviderError(self.kind, "broke", status=500))]

    def start(self, continuation: Continuation) -> int:
        """Where an exact model goes on: at what it was sent, less what it repeats."""
        sent = continuation.text.rstrip() if continuation.prefill else continuation.text
        return len(sent) - self.repeats if 8 <= self.repeats <= len(sent) else len(sent)

    def tokens(self, start: int) -> list[StreamToken]:
        tokens: list[StreamToken] = []
        place = 0
        while start < len(TRUTH):
            size, extra = self.sizes[place % len(self.sizes)], self.extras[place % len(self.extras)]
            if extra is not None:
                tokens.append(EXTRAS[extra])
            tokens.append(Text(TRUTH[start : start + size]))
            start += size
            place += 1
        return [*tokens, ToolCall(0, "c", "f"), ToolCall(0, None, None, "{}")] if self.calls else tokens


on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
behaviours = st.builds(
    Behaviour,
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    gaps=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    extras=st.lists(st.none() | st.integers(0, 1), min_size=1, max_size=4),
    repeats=st.integers(0, 30),
    breaks_after=st.none() | st.integers(0, 30),
    kind=st.sampled_from(KINDS),
    calls=st.booleans(),
)


@dataclass
class World:
    """Legs that behave as they are told, and what was seen of them."""

    clock: TestScheduler = field(default_factory=TestScheduler)
    exchange: Exchange = field(default_factory=Exchange)
    opened: list[ColdObservable[StreamToken]] = field(default_factory=list[ColdObservable[StreamToken]])

    def leg(self, name: str, behaviour: Behaviour, *, prefill: bool, retries: bool) -> Leg:
        def open_leg(continuation: Continuation | None) -> Observable[StreamToken]:
            source = self.clock.create_cold_observable(*behaviour.script(continuation))
            self.opened.append(source)
            if not retries:
                return source
            return source.pipe(retry_stream(RetryPolicy(max_attempts=2), random=lambda: 0.5, exchange=self.exchange))

        return Leg(provider=name, model="m", open=open_leg, accepts_prefill=prefill)

    @property
    def attempts(self) -> int:
        return sum(len(source.subscriptions) for source in self.opened)


def read(messages: list[Recorded[StreamToken]]) -> tuple[str, bool, int]:
    """The text as an editor has it that obeys the seams, whether the answer ended, and how many ends there were."""
    text, before_calls, finished, ends = "", None, False, 0
    for message in messages:
        if not isinstance(message.value, OnNext):
            ends += 1
            continue
        assert ends == 0
        assert not finished
        match message.value.value:
            case Text(text=piece):
                text += piece
            case ToolCall():
                before_calls = text if before_calls is None else before_calls
            case Seam(reason=reason):
                word = SeamWord(reason.partition(":")[0])
                if word is SeamWord.RESTART:
                    text, before_calls = "", None
                elif word is SeamWord.REWIND:
                    assert before_calls is not None
                    text, before_calls = before_calls, None
                else:
                    assert before_calls is None
            case Finish():
                finished = True
            case _:
                pass
    return text, finished, ends


@given(
    st.lists(st.tuples(behaviours, st.booleans(), st.booleans()), min_size=1, max_size=4),
    st.sampled_from(AfterCommit),
    st.none() | st.integers(201, 400),
)
@settings(max_examples=examples(100), deadline=None)
def test_one_end_nothing_lost_nothing_doubled_nothing_left(
    legs: list[tuple[Behaviour, bool, bool]], after: AfterCommit, cancelled_at: int | None
) -> None:
    world = World()
    made = [world.leg(f"p{n}", how, prefill=prefill, retries=retries) for n, (how, prefill, retries) in enumerate(legs)]
    stream = fallback(made, policy=FallbackPolicy(after_commit=after), exchange=world.exchange)
    messages = world.clock.start(lambda: stream, disposed=cancelled_at or TICKS).messages

    text, finished, ends = read(messages)
    assert TRUTH.startswith(text)
    completed = ends == 1 and not isinstance(messages[-1].value, OnError)
    assert ends == 1 or cancelled_at is not None
    assert not completed or finished
    assert not finished or text == TRUTH
    assert not finished or completed or cancelled_at is not None
    event(f"{after}: {'cancelled' if ends == 0 else 'whole' if finished else 'failed'}")

    subscriptions = [subscription for source in world.opened for subscription in source.subscriptions]
    assert all(subscription.unsubscribe <= (cancelled_at or TICKS) for subscription in subscriptions)
    assert len(world.exchange.attempts) == world.attempts
    assert sum(attempt.finished for attempt in world.exchange.attempts) == finished
    assert [attempt.number for attempt in world.exchange.attempts] == list(range(1, world.attempts + 1))
    spans = sorted((subscription.subscribe, subscription.unsubscribe) for subscription in subscriptions)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


@given(
    st.lists(st.tuples(behaviours, st.booleans()), min_size=1, max_size=4),
    behaviours,
)
@settings(max_examples=examples(60), deadline=None)
def test_where_a_rescue_is_possible_the_answer_is_whole(legs: list[tuple[Behaviour, bool]], last: Behaviour) -> None:
    faults = {ErrorKind.OVERLOADED, ErrorKind.TRUNCATED, ErrorKind.TIMEOUT, ErrorKind.NETWORK, ErrorKind.AUTH}
    world = World()
    sound = Behaviour(last.sizes, last.gaps, last.extras, last.repeats, None, last.kind, last.calls)
    made = [
        world.leg(f"p{n}", how, prefill=prefill, retries=False)
        for n, (how, prefill) in enumerate(legs)
        if how.kind in faults
    ]
    made.append(world.leg("last", sound, prefill=True, retries=False))
    stream = fallback(made, policy=FallbackPolicy(after_commit=AfterCommit.CONTINUE), exchange=world.exchange)
    text, finished, ends = read(world.clock.start(lambda: stream, disposed=TICKS).messages)
    assert (text, finished, ends) == (TRUTH, True, 1)
