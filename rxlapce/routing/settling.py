"""The outermost stage of every way: it tells of a request when it has ended, once, however it did."""

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, Receiver, connect
from rxlapce.happenings import Answered, Happening
from rxlapce.routing.way import Outlet, Served
from rxlapce.telemetry.hooks import OnSettled, Settled
from rxlapce.tokens import StreamToken
from rxlapce.typing import Clock


def settling(
    name: str, exchange: Exchange, outlet: Outlet, clock: Clock, on_settled: OnSettled | None
) -> Callable[[Observable[StreamToken]], Served]:
    """Tell of the request for `name` when it has ended: by its whole answer, error or disposal, whichever is first.

        source:  --a-b-F-|      --a-b-#
        result:  --a-b-F-|      --a-b-#
        told:    ------1        ------1

    Before its reader knows: what is written down of it then outlives this process. Tokens pass untouched.
    """

    def settled(source: Observable[StreamToken]) -> Served:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            started_s = clock()
            before = len(exchange.attempts)
            told = False

            def tell(error: Exception | None, *, finished: bool = False) -> None:
                nonlocal told
                if not told:
                    told = True
                    exchange.watchers.remove(hear)
                    if on_settled is not None:
                        on_settled(_settled(name, exchange, before, clock() - started_s, error, finished=finished))

            def hear(happening: Happening) -> None:
                if isinstance(happening, Answered):
                    tell(None, finished=True)

            def on_error(error: Exception) -> None:
                try:
                    tell(error)
                finally:  # a hook that fails must not keep the end from the reader
                    receiver.on_error(error)

            def on_completed() -> None:
                try:
                    tell(None, finished=True)
                finally:
                    receiver.on_completed()

            exchange.watchers.append(hear)
            upstream = connect(source, Receiver(receiver.on_next, on_error, on_completed), scheduler)
            return CompositeDisposable(upstream, Disposable(lambda: tell(None)))

        return Served(on_subscribe, outlet)

    return settled


def _settled(
    name: str, exchange: Exchange, before: int, took_s: float, error: Exception | None, *, finished: bool
) -> Settled:
    kind = error.kind if isinstance(error, ProviderError) else None if error is None else ErrorKind.INTERNAL
    attempts = tuple(exchange.attempts[before:])
    return Settled(
        request_id=exchange.request_id,
        user=exchange.user,
        client=exchange.client,
        name=name,
        provider=exchange.provider,
        model=exchange.model,
        # Who disposes after the `Finish` has the whole answer.
        finished=finished or (error is None and bool(attempts) and attempts[-1].finished),
        error_kind=kind,
        attempts=attempts,
        took_s=took_s,
    )
