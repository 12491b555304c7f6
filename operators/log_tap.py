"""`log_tap` and `audit_tap`: what a stream did, told when it begins, speaks and ends, and never for a token."""

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase

from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.happenings import Begun, Ended, Watcher
from rxlapce.operators.tap import StreamStats, metrics_tap
from rxlapce.tokens import StreamToken

Tap = Callable[[Observable[StreamToken]], Observable[StreamToken]]


def log_tap(tell: Watcher | None = None, *, exchange: Exchange | None = None) -> Tap:
    """Hand everything on unchanged, and tell what happens to it.

        source:  --u--a-b-c--F|
        result:  --u--a-b-c--F|
        told:    B----f-------E         Begun, FirstToken, Ended

    With an `exchange` also what its other stages tell (`happenings`) between the beginning and the end: each attempt
    that follows another, each next model, and the first token once a request, whichever tap saw it. `Ended` comes
    exactly once, before the end is handed on, or when the subscription is disposed. Each subscription is told of by
    itself. Without `tell`, the beginning and the end are told to those who watch the exchange.

    `tell` is called synchronously and must not raise. Clock: that of the scheduler of subscribe. Cost: that of
    `metrics_tap`; holds no token.
    """

    def tapped(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            shared = Exchange() if exchange is None else exchange

            say = shared.tell if tell is None else tell

            def on_end(stats: StreamStats) -> None:
                if tell is not None:
                    shared.watchers.remove(tell)
                say(_ended(stats, shared))

            say(Begun(request_id=shared.request_id, provider=shared.provider, model=shared.model))
            if tell is not None:
                shared.watchers.append(tell)
            counted = source.pipe(metrics_tap(StreamStats(), exchange=shared, on_end=on_end))
            return connect(counted, receiver, scheduler)

        return Stage(on_subscribe)

    return tapped


def audit_tap(write: Callable[[Ended], None], *, exchange: Exchange | None = None) -> Tap:
    """Hand everything on unchanged, and write one record of it at its end.

        source:   --a-b-c--F|
        result:   --a-b-c--F|
        written:  ----------E           before the end is handed on

    A stream that fails or is disposed has its record too. As `log_tap`, which tells more.
    """

    def write_end(happening: object) -> None:
        if isinstance(happening, Ended):
            write(happening)

    return log_tap(write_end, exchange=exchange)


def _ended(stats: StreamStats, exchange: Exchange) -> Ended:
    took_s = 0.0 if stats.started_s is None or stats.ended_s is None else stats.ended_s - stats.started_s
    return Ended(
        request_id=exchange.request_id,
        user=exchange.user,
        client=exchange.client,
        provider=exchange.provider,
        model=exchange.model,
        outcome="" if stats.outcome is None else stats.outcome.value,
        error_kind=stats.error_kind,
        took_s=took_s,
        first_token_s=stats.time_to_first_token_s,
        tokens=stats.tokens,
        usage=stats.usage,
    )
