"""`token_map`: a provider's events become tokens."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxlapce.codec.event import Event
from rxlapce.errors import ProviderError
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.tokens import StreamToken, UsageReport
from rxlapce.typing import StreamDecoder


class DecodesEvents(Protocol):
    """All that `token_map` needs of a dialect."""

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        ...


def token_map(
    dialect: DecodesEvents, *, linger_s: float = 0.25
) -> Callable[[Observable[Event]], Observable[StreamToken]]:
    """Emit the tokens that the events mean to `dialect`, one `on_next` each, as each event arrives.

        events   ---e---e-------D------|        D ends the answer, F is its Finish
        tokens   ---t---tt------uF-----|
        tokens   ---t---tt------uF--|           the provider keeps the connection open: `linger_s` after F

    The `Finish` is emitted as soon as it is known. `on_completed` follows when the events complete, so that the
    connection is read to its end and can be used again, but at most `linger_s` seconds (from 0) later, timed on the
    scheduler of the subscription; without a scheduler there is no timer. What arrives after the end is ignored, and an
    upstream error then is a completion: the answer is whole.

    Errors: events that complete before the answer has ended are a `ProviderError` of kind `truncated`; an event that
    tells of an error is emitted as far as it goes, then `on_error`. An upstream `on_error` passes through, after the
    usage known so far. After its own error the stage is quiet and has disposed its upstream. What an observer raises in
    `on_next` goes back to the producer.

    Runs where the events arrive, holds nothing but the decoder's state. Each subscription has its own decoder.
    """
    if linger_s < 0:
        raise ValueError(f"linger_s must not be negative, not {linger_s}")

    def map_events(source: Observable[Event]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            return _subscribe(source, dialect.decoder(), linger_s, receiver, scheduler)

        return Stage(on_subscribe)

    return map_events


def _subscribe(
    source: Observable[Event],
    decoder: StreamDecoder[Event],
    linger_s: float,
    receiver: Receiver[StreamToken],
    scheduler: SchedulerBase | None,
) -> DisposableBase:
    upstream, timer = SingleAssignmentDisposable(), SingleAssignmentDisposable()
    feed, emit = decoder.feed, receiver.on_next
    ended = False  # the decoder has said its last
    stopped = False  # so have we

    def stop() -> None:
        nonlocal ended, stopped
        ended = stopped = True
        upstream.dispose()
        timer.dispose()

    def complete(*_: object) -> None:
        if not stopped:
            stop()
            receiver.on_completed()

    def fail(error: Exception) -> None:
        if not stopped:
            stop()
            receiver.on_error(error)

    def on_next(event: Event) -> None:
        nonlocal ended
        if ended:
            return
        tokens: list[StreamToken] = []
        failure: ProviderError | None = None
        try:
            ended = feed(event, tokens)
        except ProviderError as error:
            ended, failure = True, error
        for token in tokens:
            if stopped:  # disposed by what a token before this one caused
                return
            emit(token)
        if failure is not None:
            fail(failure)
        elif ended and scheduler is not None and not stopped:
            timer.disposable = scheduler.schedule_relative(linger_s, complete)

    def on_completed() -> None:
        nonlocal ended
        if ended:
            complete()
            return
        ended = True
        tokens: list[StreamToken] = []
        failure: ProviderError | None = None
        try:
            decoder.close(tokens)
        except ProviderError as error:
            failure = error
        for token in tokens:
            if stopped:
                return
            emit(token)
        if failure is None:
            complete()
        else:
            fail(failure)

    def on_error(error: Exception) -> None:
        nonlocal ended
        if ended:
            complete()
            return
        ended = True
        for report in _usage_so_far(decoder):
            emit(report)
        fail(error)

    upstream.disposable = connect(source, Receiver(on_next, on_error, on_completed), scheduler)
    return Disposable(stop)


def _usage_so_far(decoder: StreamDecoder[Event]) -> list[UsageReport]:
    """What the decoder holds of the usage: closing it says it, and the verdict does not matter here."""
    tokens: list[StreamToken] = []
    with suppress(ProviderError):
        decoder.close(tokens)
    return [token for token in tokens if isinstance(token, UsageReport)]
