import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable
from reactivex.notification import OnNext
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded
from reactivex.typing import RelativeTime, ScheduledAction

from rxlapce.operators.coalesce import coalesce_text
from rxlapce.tokens import Finish, FinishKind, Opaque, Reasoning, Refusal, StreamToken, Text, ToolCall

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
FINISH = Finish(FinishKind.STOP)
S = TypeVar("S")


class Counted(TestScheduler):
    """A virtual clock that counts the timers that are set and not yet over."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.most = 0

    def schedule_relative(
        self, duetime: RelativeTime, action: ScheduledAction[S], state: S | None = None
    ) -> DisposableBase:
        inner = super().schedule_relative(duetime, action, state)
        self.waiting += 1
        self.most = max(self.most, self.waiting)

        def over() -> None:
            self.waiting -= 1
            inner.dispose()

        return Disposable(over)


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


def run(
    operator: Callable[[Observable[StreamToken]], Observable[StreamToken]], *sent: Recorded[StreamToken]
) -> list[Recorded[StreamToken]]:
    """What comes out; and the source is disposed when it ends, or with the subscription."""
    scheduler = Counted()
    source = scheduler.create_hot_observable(*sent)
    got = scheduler.start(lambda: source.pipe(operator)).messages
    (subscription,) = source.subscriptions
    ended = bool(got) and not isinstance(got[-1].value, OnNext)
    assert subscription.unsubscribe == (got[-1].time if ended else 1000)
    assert (scheduler.most <= 1, scheduler.waiting) == (True, 0)
    return got


def test_marbles_text_within_the_delay_of_the_first_becomes_one() -> None:
    sent = [on_next(210, Text("a")), on_next(212, Text("b")), on_next(220, Text("c")), on_completed(230)]
    assert run(coalesce_text(5), *sent) == [on_next(215, Text("ab")), on_next(225, Text("c")), on_completed(230)]


def test_marbles_text_leaves_before_any_other_token_and_that_at_once() -> None:
    call = ToolCall(0, "c1", "f", "{")
    more = ToolCall(0, arguments_delta="}")
    sent = [
        on_next(210, Text("a")),
        on_next(211, Text("b")),
        on_next(212, call),
        on_next(212, more),
        on_next(213, Text("c")),
        on_next(214, Opaque("k", "{}")),
        on_next(215, Text("d")),
        on_next(216, FINISH),
        on_completed(217),
    ]
    assert run(coalesce_text(50), *sent) == [
        on_next(212, Text("ab")),
        on_next(212, call),
        on_next(212, more),
        on_next(214, Text("c")),
        on_next(214, Opaque("k", "{}")),
        on_next(216, Text("d")),
        on_next(216, FINISH),
        on_completed(217),
    ]


@pytest.mark.parametrize("end", [on_completed(215), on_error(215, ValueError("x"))])
def test_marbles_the_end_comes_after_what_waits(end: Recorded[StreamToken]) -> None:
    assert run(coalesce_text(50), on_next(210, Text("a")), on_next(211, Text("b")), end) == [
        on_next(215, Text("ab")),
        end,
    ]


def test_marbles_a_signature_ends_a_merge_and_leaves_at_once() -> None:
    sent = [
        on_next(210, Reasoning("a")),
        on_next(211, Reasoning("b")),
        on_next(212, Reasoning("", "sig")),
        on_next(213, Reasoning("c")),
        on_completed(214),
    ]
    assert run(coalesce_text(50), *sent) == [
        on_next(212, Reasoning("ab", "sig")),
        on_next(214, Reasoning("c")),
        on_completed(214),
    ]


def test_marbles_kinds_and_choices_do_not_mix() -> None:
    sent: list[StreamToken] = [
        Text("a"),
        Text("b", 1),
        Refusal("c", 1),
        Reasoning("d", choice=1),
        Text("e", 1),
        Text("f", 1),
    ]
    got = run(coalesce_text(50), *(on_next(210, token) for token in sent), on_completed(211))
    assert [message.value.value for message in got if isinstance(message.value, OnNext)] == [*sent[:4], Text("ef", 1)]


def test_marbles_a_full_merge_leaves_at_once_and_a_large_piece_as_it_came() -> None:
    big = Text("x" * 9)
    sent = [
        on_next(210, Text("abc")),
        on_next(211, Text("de")),
        on_next(212, Text("fg")),
        on_next(213, Text("hijk")),
        on_next(214, big),
        on_completed(300),
    ]
    assert run(coalesce_text(50, 5), *sent) == [
        on_next(211, Text("abcde")),
        on_next(213, Text("fg")),
        on_next(214, Text("hijk")),
        on_next(214, big),
        on_completed(300),
    ]


def test_a_piece_alone_is_the_token_that_came() -> None:
    token = Text("a")
    (first, _) = run(coalesce_text(5), on_next(210, token), on_completed(300))
    assert isinstance(first.value, OnNext)
    assert first.value.value is token


def test_disposing_drops_what_waits_and_cancels_the_timer() -> None:
    scheduler = Counted()
    source: Subject[StreamToken] = Subject()
    got: list[object] = []
    subscription = source.pipe(coalesce_text(5)).subscribe(
        got.append, got.append, lambda: got.append("end"), scheduler=scheduler
    )
    source.on_next(Text("a"))
    subscription.dispose()
    scheduler.advance_to(100)
    assert (got, source.observers, scheduler.waiting) == ([], [], 0)


def test_disposing_from_inside_on_next_stops_before_the_next_token() -> None:
    scheduler = TestScheduler()
    source: Subject[StreamToken] = Subject()
    got: list[StreamToken] = []

    def on_token(token: StreamToken) -> None:
        got.append(token)
        subscription.dispose()

    subscription = source.pipe(coalesce_text(5)).subscribe(on_token, scheduler=scheduler)
    source.on_next(Text("a"))
    source.on_next(FINISH)
    assert got == [Text("a")]


async def test_without_a_delay_what_comes_in_one_round_of_the_loop_is_one() -> None:
    source: Subject[StreamToken] = Subject()
    got: asyncio.Queue[StreamToken] = asyncio.Queue()
    # No scheduler: the running loop's.
    with source.pipe(coalesce_text(0)).subscribe(got.put_nowait):
        for burst in ("abc", "de"):
            for letter in burst:
                source.on_next(Text(letter))
            assert await got.get() == Text(burst)


TOKENS = st.one_of(
    st.builds(Text, st.text("ab", max_size=4), st.integers(0, 1)),
    st.builds(Reasoning, st.text("cd", max_size=4), st.sampled_from([None, None, "s"]), st.integers(0, 1)),
    st.builds(Refusal, st.text("ef", max_size=4)),
    st.builds(ToolCall, st.integers(0, 1), arguments_delta=st.text("{}", max_size=3)),
)


def spread(tokens: list[StreamToken]) -> list[tuple[object, ...]]:
    """A stream as its characters in order, so that two streams can be compared whatever their pieces are."""
    out: list[tuple[object, ...]] = []
    for token in tokens:
        if isinstance(token, ToolCall):
            out.append((token,))
        elif isinstance(token, Text | Reasoning | Refusal):
            out.extend((type(token), token.choice, letter) for letter in token.text)
            if isinstance(token, Reasoning) and token.signature is not None:
                out.append((token.signature, token.choice))
    return out


@given(
    sent=st.lists(st.tuples(st.integers(201, 260), TOKENS), max_size=30),
    delay=st.integers(0, 9),
    size=st.integers(1, 9),
)
def test_no_character_is_lost_moved_or_late(sent: list[tuple[int, StreamToken]], delay: int, size: int) -> None:
    sent.sort(key=lambda pair: pair[0])
    got = run(coalesce_text(delay, size), *(on_next(time_s, token) for time_s, token in sent), on_completed(300))
    out = [(message.time, message.value.value) for message in got if isinstance(message.value, OnNext)]
    assert spread([token for _, token in out]) == spread([token for _, token in sent])
    came = [time_s for time_s, token in sent for _ in spread([token])]
    left = [time_s for time_s, token in out for _ in spread([token])]
    # A timer of 0 fires within a hundredth of a virtual second.
    assert all(0 <= leaving - coming <= delay + 0.01 for coming, leaving in zip(came, left, strict=True))
    largest = max((len(token.text) for _, token in sent if isinstance(token, Text)), default=0)
    assert all(len(token.text) <= max(size, largest) for _, token in out if isinstance(token, Text))


@pytest.mark.parametrize(("delay", "size"), [(-1.0, 5), (float("nan"), 5), (1.0, 0)])
def test_bounds_out_of_range_are_refused(delay: float, size: int) -> None:
    with pytest.raises(ValueError, match="must"):
        coalesce_text(delay, size)
