"""`Ask`: one question, and its answer as a cold Observable of tokens that can be looked into."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, Tasks, connect
from rxlapce.notebook.probes import Probes
from rxlapce.operators.record import SecretScrubber, record
from rxlapce.providers.inlet import BytesOperator
from rxlapce.requests import ChatRequest
from rxlapce.secret import Secret
from rxlapce.tokens import StreamToken

T = TypeVar("T")
Ready = TypeVar("Ready")

#: Makes what stands directly behind the provider's bytes, of the secrets that they may hold and the API's name.
OnBytes = Callable[[tuple[Secret, ...], str], BytesOperator]
#: Gives an answer's stream, with the probes between its stages and all of `OnBytes` before them.
Make = Callable[[Probes, tuple[OnBytes, ...]], Observable[StreamToken]]


class Ask(Stage[StreamToken]):
    """A question: subscribing asks, disposing cancels; each subscription asks anew.

        --text--text--text-----usage-finish-|

    `request` is what is asked (None of a recording), `exchange` what is known of it under way: its gate and the HTTP
    facts, which go on from one subscription to the next. `who` says in words who answers.
    """

    def __init__(self, make: Make, *, exchange: Exchange, request: ChatRequest | None, who: str) -> None:
        super().__init__(self._begin)
        self.exchange = exchange
        self.request = request
        self.who = who
        self._make = make

    def observed(self, probes: Probes) -> Observable[StreamToken]:
        """The answer, with a lane for each of its stages and the provider's gate beside them."""
        stream = self._make(probes, ())
        probes.gate(self.exchange.flow)
        return stream

    def with_bytes(self, on_bytes: OnBytes) -> "Ask":
        """The same question, with `on_bytes` behind the provider's bytes."""

        def make(probes: Probes, more: tuple[OnBytes, ...]) -> Observable[StreamToken]:
            return self._make(probes, (*more, on_bytes))

        return Ask(make, exchange=self.exchange, request=self.request, who=self.who)

    def recorded(self, path: Path) -> "Ask":
        """The same question, whose answer's bytes are written to `path` without secrets (`docs/recording.md`).

        A file that is there is replaced when the answer has ended; an attempt that follows another replaces that one's.
        Raises `FileNotFoundError` for a folder that is not there.
        """
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        path.with_name(f"{path.name}.part").unlink(missing_ok=True)  # of a run that was broken off

        def recorder(secrets: tuple[Secret, ...], api: str) -> BytesOperator:
            def scrubber() -> SecretScrubber:
                return SecretScrubber(secrets)

            return record(path, exchange=self.exchange, api=api, scrubber=scrubber, on_trouble=_tell)

        return self.with_bytes(recorder)

    def __repr__(self) -> str:
        return f"<Ask {self.who}>"

    def _begin(self, receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        return connect(self._make(UNSEEN, ()), receiver, scheduler)


class Unseen:
    """Probes of nobody who looks."""

    def lane(self, name: str, shape: str = "any") -> Callable[[Observable[T]], Observable[T]]:
        """What hands the stream on as it is."""
        del name, shape
        return _as_it_is

    def gate(self, flow: FlowControl) -> None:
        """Nothing."""


UNSEEN: Final = Unseen()


def when_ready(
    ready: Callable[[], Awaitable[Ready]], make: Callable[[Ready], Observable[StreamToken]], tasks: Tasks
) -> Stage[StreamToken]:
    """Await `ready` at each subscription, and subscribe to what `make` gives for it.

        ready:   ---r
        result:  -----a--b-|

    What either raises goes to on_error. Disposing before that cancels the waiting.
    """

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        upstream = SingleAssignmentDisposable()
        disposed = False

        async def begin() -> None:
            try:
                stream = make(await ready())
            except Exception as error:  # noqa: BLE001 - it is handed on, to the one place where errors are read
                if not disposed:
                    receiver.on_error(error)
                return
            if not disposed:
                upstream.disposable = connect(stream, receiver, scheduler)

        task = tasks.spawn(begin(), name="lab opens")

        def stop() -> None:
            nonlocal disposed
            disposed = True
            if asyncio.current_task() is not task:  # who leaves while it is being subscribed to
                task.cancel()

        return CompositeDisposable(upstream, Disposable(stop))

    return Stage(on_subscribe)


def _as_it_is(source: Observable[T]) -> Observable[T]:
    return source


def _tell(error: Exception) -> None:
    context: dict[str, Any] = {"message": "the recording ended before the answer", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
