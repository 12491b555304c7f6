"""`copy_to`: the stream is as it was, and each copy has all of it, whatever another one does."""

from typing import Any

import pytest
from reactivex import Observable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from rxlapce.operators.copies import copy_to
from rxlapce.operators.tap import Outcome
from rxlapce.tokens import StreamToken, Text

A, B = Text("a"), Text("b")
on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed


class Kept:
    def __init__(self) -> None:
        self.tokens: list[StreamToken] = []
        self.ends: list[tuple[Outcome, Exception | None]] = []

    def take(self, token: StreamToken) -> None:
        assert self.ends == []
        self.tokens.append(token)

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        self.ends.append((outcome, error))


class Broken(Kept):
    def take(self, token: StreamToken) -> None:
        super().take(token)
        raise OSError("no space")


@pytest.mark.parametrize("ending", ["completed", "failed", "disposed"])
def test_the_stream_passes_unchanged_and_each_copy_ends_once(ending: str) -> None:
    scheduler, failure, kept = TestScheduler(), ValueError("x"), (Kept(), Kept())
    end: list[Any] = {"completed": [on_completed(240)], "failed": [on_error(240, failure)], "disposed": []}[ending]
    source: Observable[StreamToken] = scheduler.create_hot_observable(on_next(210, A), on_next(220, B), *end)
    result = scheduler.start(lambda: copy_to(kept)(source), disposed=250)
    assert result.messages == [on_next(210, A), on_next(220, B), *end]
    for one in kept:
        assert one.tokens == [A, B]
        assert one.ends == [(Outcome(ending), failure if ending == "failed" else None)]


def test_who_disposes_at_a_token_ends_the_copies_with_that_token() -> None:
    source, kept = Subject[StreamToken](), Kept()
    subscription = copy_to([kept])(source).subscribe(lambda _: subscription.dispose())
    source.on_next(A)
    source.on_next(B)
    assert (kept.tokens, kept.ends) == ([A], [(Outcome.DISPOSED, None)])


async def test_a_copy_that_raises_gets_nothing_more_and_harms_nobody() -> None:
    import asyncio

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    source, broken, kept, got = Subject[StreamToken](), Broken(), Kept(), list[StreamToken]()
    copy_to([broken, kept])(source).subscribe(got.append)
    source.on_next(A)
    source.on_next(B)
    source.on_completed()
    assert (got, kept.tokens, broken.tokens, broken.ends) == ([A, B], [A, B], [A], [])
    assert [str(context["exception"]) for context in told] == ["no space"]
