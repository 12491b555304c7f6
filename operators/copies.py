"""`copy_to`: what a stream says, copied to others as it passes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.tap import Outcome
from rxlapce.tokens import StreamToken


class Copy(Protocol):
    """Takes the copy of one stream, at once: whatever it does with it later is its own affair."""

    def take(self, token: StreamToken) -> None:
        """One more token."""
        ...

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """The stream has ended; `error` is what it failed with. Called once, as the last."""
        ...


def copy_to(copies: Sequence[Copy]) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand everything on unchanged, and each of it to `copies` first.

        source:  --a-b-c--|
        result:  --a-b-c--|
        copies:  --a-b-c--E

    A copy that raises is told to the loop's exception handler and gets nothing more; the stream and the other copies go
    on. The end is told before it is handed on, or when the subscription is disposed. `copies` are of one stream: for
    one subscription. Synchronous; holds no token; two calls a token and copy.
    """

    def copied(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            listening, emit, upstream = list(copies), receiver.on_next, SingleAssignmentDisposable()

            def on_next(token: StreamToken) -> None:
                for copy in listening:
                    try:
                        copy.take(token)
                    except Exception as error:  # noqa: BLE001 - handed on, to the one place for what nobody waits for
                        give_up(copy, error)
                emit(token)

            def give_up(copy: Copy, error: Exception) -> None:
                nonlocal listening
                listening = [other for other in listening if other is not copy]
                context = {"message": f"a copy of a stream failed: {type(copy).__name__}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

            def end(outcome: Outcome, error: Exception | None = None) -> None:
                nonlocal listening
                told, listening = listening, []
                for copy in told:
                    try:
                        copy.end(outcome, error)
                    except Exception as failure:  # noqa: BLE001 - as above
                        give_up(copy, failure)

            def on_error(error: Exception) -> None:
                end(Outcome.FAILED, error)
                receiver.on_error(error)

            def on_completed() -> None:
                end(Outcome.COMPLETED)
                receiver.on_completed()

            upstream.disposable = connect(source, Receiver(on_next, on_error, on_completed), scheduler)
            return CompositeDisposable(upstream, Disposable(lambda: end(Outcome.DISPOSED)))

        return Stage(on_subscribe)

    return copied
