"""`token_map` in virtual time: values, errors, completion, linger, disposal, and what happened upstream."""

import json
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.mockobserver import MockObserver
from reactivex.testing.subscription import Subscription

from rxlapce.codec.event import Event
from rxlapce.dialects import AnthropicMessages, ChatCompletions
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Receiver, Stage
from rxlapce.operators.token_map import token_map
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text, UsageReport, UsageSource

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

CHAT = ChatCompletions()
DONE = Event("[DONE]")
STOP = Finish(FinishKind.STOP)
LINGER = 50.0
BROKEN = ProviderError(ErrorKind.NETWORK, "the line is cut")


def text(*pieces: str, **members: Any) -> Event:
    """One event whose choices say one piece each."""
    choices = [{"index": index, "delta": {"content": piece}} for index, piece in enumerate(pieces)]
    return Event(json.dumps({"choices": choices, **members}))


ERROR_EVENT = text("last", error={"message": "Overloaded", "code": 503}, usage={"prompt_tokens": 3})


def watch(
    scheduler: TestScheduler, *messages: Any, disposed: float = 1000.0, linger_s: float = LINGER
) -> tuple[list[Any], list[Subscription]]:
    """What an observer of the operator saw from 200 on, and when the source was subscribed."""
    source: Any = scheduler.create_hot_observable(*messages)

    def create() -> Observable[StreamToken]:
        observed: Observable[StreamToken] = source.pipe(token_map(CHAT, linger_s=linger_s))
        return observed

    observer: MockObserver[StreamToken] = scheduler.start(create, disposed=disposed)
    return list(observer.messages), list(source.subscriptions)


def test_each_token_comes_at_its_events_time() -> None:
    messages, _ = watch(TestScheduler(), on_next(210, text("a", "b")), on_next(220, text("")), on_next(230, text("c")))
    assert messages == [on_next(210, Text("a")), on_next(210, Text("b", 1)), on_next(230, Text("c"))]


def test_finish_is_emitted_at_once_and_completion_waits_for_the_source() -> None:
    messages, subscriptions = watch(
        TestScheduler(), on_next(210, text("a")), on_next(220, DONE), on_completed(240), on_next(250, text("z"))
    )
    assert messages == [on_next(210, Text("a")), on_next(220, STOP), on_completed(240)]
    assert subscriptions == [Subscription(200, 240)]


def test_completion_waits_no_longer_than_the_linger_and_then_disposes_the_source() -> None:
    messages, subscriptions = watch(TestScheduler(), on_next(220, DONE), on_completed(900))
    assert messages == [on_next(220, STOP), on_completed(270)]
    assert subscriptions == [Subscription(200, 270)]


def test_events_after_the_end_are_ignored() -> None:
    messages, _ = watch(
        TestScheduler(), on_next(220, DONE), on_next(230, text("late")), on_next(231, DONE), on_completed(240)
    )
    assert messages == [on_next(220, STOP), on_completed(240)]


def test_an_upstream_error_after_the_end_is_a_completion() -> None:
    messages, _ = watch(TestScheduler(), on_next(220, DONE), on_error(230, BROKEN))
    assert messages == [on_next(220, STOP), on_completed(230)]


def test_a_source_that_completes_too_early_is_truncated() -> None:
    messages, _ = watch(TestScheduler(), on_next(210, text("a", usage={"prompt_tokens": 3})), on_completed(220))
    assert [message.time for message in messages] == [210, 220, 220]
    report, failure = messages[1].value.value, messages[2].value.exception
    assert isinstance(report, UsageReport)
    assert (report.usage.source, report.usage.input) == (UsageSource.PARTIAL, 3)
    assert failure.kind is ErrorKind.TRUNCATED


def test_a_source_that_completes_after_the_finish_word_is_whole() -> None:
    event = Event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    messages, _ = watch(TestScheduler(), on_next(210, event), on_completed(220))
    assert messages == [on_next(220, Finish(FinishKind.STOP, "stop")), on_completed(220)]


def test_an_error_event_is_emitted_as_far_as_it_goes_and_then_on_error() -> None:
    messages, subscriptions = watch(
        TestScheduler(), on_next(210, ERROR_EVENT), on_next(220, text("z")), on_completed(230)
    )
    assert [message.value.kind for message in messages] == ["N", "N", "E"]
    assert messages[0] == on_next(210, Text("last"))
    assert isinstance(messages[1].value.value, UsageReport)
    assert messages[2].value.exception.kind is ErrorKind.OVERLOADED
    assert subscriptions == [Subscription(200, 210)]


def test_an_upstream_error_passes_after_the_usage_so_far() -> None:
    messages, _ = watch(TestScheduler(), on_next(210, text("a", usage={"prompt_tokens": 3})), on_error(220, BROKEN))
    assert [message.time for message in messages] == [210, 220, 220]
    assert isinstance(messages[1].value.value, UsageReport)
    assert messages[2].value.exception is BROKEN


def test_an_upstream_error_alone_passes_as_it_is() -> None:
    messages, _ = watch(TestScheduler(), on_error(220, BROKEN))
    assert messages == [on_error(220, BROKEN)]


def test_disposal_disposes_the_source() -> None:
    messages, subscriptions = watch(TestScheduler(), on_next(210, text("a")), on_next(220, text("b")), disposed=215)
    assert messages == [on_next(210, Text("a"))]
    assert subscriptions == [Subscription(200, 215)]


def test_disposal_stops_the_linger() -> None:
    messages, subscriptions = watch(TestScheduler(), on_next(210, DONE), disposed=230)
    assert messages == [on_next(210, STOP)]
    assert subscriptions == [Subscription(200, 230)]


def test_each_subscription_has_its_own_decoder() -> None:
    events: Observable[Event] = reactivex.from_iterable([text("a"), DONE])
    tokens = events.pipe(token_map(CHAT))
    first, second = list[StreamToken](), list[StreamToken]()
    tokens.subscribe(first.append)
    tokens.subscribe(second.append)
    assert first == second == [Text("a"), STOP]


def test_without_a_scheduler_the_source_alone_completes() -> None:
    events: Subject[Event] = Subject()
    seen = list[str]()
    events.pipe(token_map(CHAT)).subscribe(lambda _: seen.append("token"), on_completed=lambda: seen.append("end"))
    events.on_next(DONE)
    assert seen == ["token"]
    events.on_completed()
    assert seen == ["token", "end"]


def _one_read(*events: Event) -> tuple[Stage[Event], list[str]]:
    """A source that pushes all its events in one call, and completes, whatever happens meanwhile."""
    disposals = list[str]()

    def on_subscribe(receiver: Receiver[Event], _: SchedulerBase | None) -> DisposableBase:
        for event in events:
            receiver.on_next(event)
        receiver.on_completed()
        return Disposable(lambda: disposals.append("disposed"))

    return Stage(on_subscribe), disposals


def test_quiet_after_its_error_while_the_same_read_still_pushes() -> None:
    source, disposals = _one_read(text("a"), Event("{"), text("b"), Event("{"))
    seen = list[object]()
    stage = source.pipe(token_map(CHAT))
    assert isinstance(stage, Stage)
    stage.on_subscribe(Receiver(seen.append, seen.append, lambda: seen.append("completed")), None)
    assert seen[0] == Text("a")
    assert [type(item) for item in seen[1:]] == [ProviderError]
    assert disposals == ["disposed"]


def test_quiet_once_a_token_made_the_observer_dispose() -> None:
    events: Subject[Event] = Subject()
    seen = list[StreamToken]()
    stage = events.pipe(token_map(CHAT))
    assert isinstance(stage, Stage)

    def take_one(token: StreamToken) -> None:
        seen.append(token)
        subscription.dispose()

    subscription = stage.on_subscribe(Receiver(take_one, seen.append, seen.clear), None)  # type: ignore[arg-type]  # an error would be seen
    events.on_next(text("a", "b"))
    events.on_next(text("c"))
    events.on_completed()
    assert seen == [Text("a")]


@pytest.mark.parametrize("end", ["completed", "error"])
def test_quiet_once_the_usage_at_the_end_made_the_observer_dispose(end: str) -> None:
    events: Subject[Event] = Subject()
    seen = list[object]()
    stage = events.pipe(token_map(CHAT))
    assert isinstance(stage, Stage)

    def take_usage(token: StreamToken) -> None:
        seen.append(type(token))
        subscription.dispose()

    subscription = stage.on_subscribe(Receiver(take_usage, seen.append, lambda: seen.append("completed")), None)
    events.on_next(Event('{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}'))
    events.on_completed() if end == "completed" else events.on_error(BROKEN)
    assert seen == [UsageReport]


def test_an_exception_of_the_observer_goes_back_to_the_producer() -> None:
    events: Subject[Event] = Subject()
    errors = list[Exception]()

    def refuse(_: StreamToken) -> None:
        raise ZeroDivisionError

    events.pipe(token_map(CHAT)).subscribe(refuse, errors.append)
    with pytest.raises(ZeroDivisionError):
        events.on_next(text("a"))
    assert errors == []


def test_a_provider_error_of_the_observer_goes_back_too() -> None:
    events: Subject[Event] = Subject()
    errors = list[Exception]()

    def refuse(_: StreamToken) -> None:
        raise BROKEN

    events.pipe(token_map(CHAT)).subscribe(refuse, errors.append)
    with pytest.raises(ProviderError, match="the line is cut"):
        events.on_next(text("a"))
    assert errors == []


def test_works_with_any_dialect() -> None:
    events = reactivex.from_iterable([Event('{"type":"message_stop"}')])
    seen = list[StreamToken]()
    events.pipe(token_map(AnthropicMessages())).subscribe(seen.append)
    assert seen == [STOP]


def test_a_negative_linger_is_refused() -> None:
    with pytest.raises(ValueError, match="linger_s"):
        token_map(CHAT, linger_s=-1)
