"""A stream that asks its circuit breaker first, and tells it how it went."""

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.operators.breaker import Breaker
from rxlapce.tokens import VISIBLE, StreamToken


def circuit_break(
    breaker: Breaker, *, exchange: Exchange | None = None
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand everything on if `breaker` admits the stream, and settle its ticket by how it ends; else fail at once.

        closed    source: --a-b--|      result: --a-b--|      a success
        closed    source: --a-b--#      result: --a-b--#      a failure, a cooldown or neither: `breaker.verdict_of`
        open      (not subscribed to)   result: #             overloaded, phase admit, retry_after_s
        cooling   (not subscribed to)   result: #             the kind that the provider told, as above

    Each subscription asks anew, so it stands inside `retry_stream` and `fallback`: an attempt is what counts. A
    refusal is `breaker.CircuitOpen`, of kind `overloaded`, with the time until the breaker lets a probe through, to be
    tried at another provider. While a provider rests that asked for it, and then until the first answer begins, the
    kind is that of its own error, to be tried again, or with another key if it was the key's fault.

    A ticket is settled exactly once, before the end is handed on: whoever retries on it finds the breaker as it is
    now. Disposing says nothing of the provider, and frees the place of a probe. With an `exchange` the total limit of
    `stream_timeouts` does not count against the provider if `exchange.flow` was closed meanwhile.

    Synchronous; tokens are untouched, but for a probe's, which are looked at; holds nothing.
    """

    def guarded(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            try:
                ticket = breaker.ask()
            except ProviderError as refusal:
                refusal.provider = (exchange.provider or None) if exchange is not None else None
                receiver.on_error(refusal)
                return Disposable()
            flow = None if exchange is None else exchange.flow
            closings = 0 if flow is None else flow.closings
            held = flow is not None and not flow.is_open
            emit = receiver.on_next
            committed = False

            def on_next_of_probe(token: StreamToken) -> None:
                nonlocal committed
                if not committed and isinstance(token, VISIBLE):
                    committed = True
                    ticket.commit()
                emit(token)

            def on_error(error: Exception) -> None:
                paused = held or (flow is not None and flow.closings != closings)
                try:
                    ticket.fail(error, paused=paused)
                finally:  # a hook that fails must not keep the end from the reader
                    receiver.on_error(error)

            def on_completed() -> None:
                try:
                    ticket.succeed()
                finally:
                    receiver.on_completed()

            upstream = SingleAssignmentDisposable()
            stages = Receiver(on_next_of_probe if ticket.is_probe else emit, on_error, on_completed)
            upstream.disposable = connect(source, stages, scheduler)
            return CompositeDisposable(upstream, Disposable(ticket.release))

        return Stage(on_subscribe)

    return guarded
