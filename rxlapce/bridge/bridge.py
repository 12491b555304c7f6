"""What an editor's UI process holds: messages in, messages out, and a connection that comes back by itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from reactivex import Observable
from reactivex.subject import Subject

from rxlapce.bridge.failures import report
from rxlapce.bridge.keeping import KeptConnection, Wanted
from rxlapce.bridge.messages import (
    Cancel,
    ConnectionState,
    ConnectionStatus,
    InboundMessage,
    InvalidMessage,
    OutboundMessage,
    ProviderChatStream,
    ProviderCompleteStream,
    Reconnect,
)
from rxlapce.bridge.running import CANCELLED, Asked, Running, RunningStream, RunningUnary, failure
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import FlowControl, Tasks
from rxlapce.messages import TransportName
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.unix import default_socket_path

DEFAULT_WINDOW: Final = 1024
#: Requests that wait for a connection.
MAX_WAITING: Final = 256
#: Longer than an attempt may take: to start a daemon, and to shake hands.
LONGEST_ATTEMPT_S: Final = 25.0


class Bridge:
    """Takes `OutboundMessage`s by `send`, and tells `InboundMessage`s to `on_message` and to who subscribes `messages`.

    Use as an async context manager, or `start` and `aclose` it; all of it runs on one loop. Any number of requests may
    be under way, under ids of the UI's own; each has exactly one last message, whatever happens to the connection. The
    connection's state is told each time it changes, the first time in `start`.

    While the connection is being made requests wait for it. While there is none they fail at once, or wait for up to
    `wait_s` seconds (at most `MAX_WAITING` of them). With `autostart` a daemon is started if none runs when the bridge
    starts, when something is asked, and at `Reconnect`; not otherwise, so that who stops a daemon finds it stopped.

    `flow` stops all streams while it is closed, after at most `window` more chunks each. What a subscriber raises goes
    to the loop's exception handler, and nowhere else.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        on_message: Callable[[InboundMessage], None] | None = None,
        transport: TransportName = "shm",
        client: str = "rxlapce.bridge",
        key: SigningKey | None = None,
        autostart: bool = False,
        wait_s: float = 0.0,
        window: int = DEFAULT_WINDOW,
        flow: FlowControl | None = None,
    ) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        self._subject: Subject[InboundMessage] = Subject()
        self._on_message = on_message
        self._wait_s = wait_s
        self._window = window
        self._flow = flow or FlowControl()
        self._tasks = Tasks()
        self._running: dict[int, Running] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._idle = asyncio.Event()
        self._started = self._closed = False
        self._kept = KeptConnection(
            Wanted(
                path=path or default_socket_path(), transport=transport, client=client, key=key, autostart=autostart
            ),
            self._emit,
            self._on_settled,
        )
        self._autostart = autostart

    @property
    def messages(self) -> Observable[InboundMessage]:
        """What the bridge tells from now on; hot, completes when the bridge is closed."""
        return self._subject

    @property
    def state(self) -> ConnectionState:
        """How the bridge stands to the daemon."""
        return self._kept.state

    @property
    def open_requests(self) -> int:
        """Requests that have not had their last message."""
        return len(self._running) + len(self._waiting)

    def start(self) -> None:
        """Begin to connect. Returns at once: `ConnectionStatus` messages tell how it goes."""
        if self._started:
            raise RuntimeError("the bridge has been started")
        self._started = True
        self._kept.start()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is under way in errors of kind `cancelled`, close, and complete `messages`. Idempotent."""
        if self._closed:
            return
        self._closed = True
        for waiting in tuple(self._waiting.values()):
            waiting.cancel("the bridge is closed")
        for running in tuple(self._running.values()):
            running.cancel("the bridge is closed")
        await self._tasks.aclose()
        await self._kept.aclose()
        self._subject.on_completed()

    def send(self, message: OutboundMessage) -> None:
        """Do what the UI says. Raises RuntimeError before `start` and after `aclose`."""
        if self._closed or not self._started:
            raise RuntimeError("the bridge is closed" if self._closed else "the bridge has not been started")
        match message:
            case Cancel():
                running = self._waiting.get(message.id) or self._running.get(message.id)
                if running is not None:
                    running.cancel()
            case Reconnect():
                self._kept.ask()
            case _ if message.id in self._running or message.id in self._waiting:
                self._emit(InvalidMessage(message=f"request id {message.id} is in use", id=message.id))
            case _:
                self._begin(message)

    async def settled(self) -> None:
        """Return when no request is under way."""
        while self.open_requests:
            self._idle.clear()
            await self._idle.wait()

    def refuse(self, problem: str, request_id: int | None = None) -> None:
        """Answer what was no message: by the end of its request if `request_id` is one, so that nobody waits for it."""
        if request_id is None or request_id in self._running or request_id in self._waiting:
            self._emit(InvalidMessage(message=problem, id=request_id))
        else:
            self._emit(failure(request_id, ProviderError(ErrorKind.BAD_REQUEST, problem, phase=Phase.ADMIT)))

    # -- requests -------------------------------------------------------------------------------------------------

    def _begin(self, asked: Asked) -> None:
        if self._kept.client is not None:
            self._run(asked)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._fail_unconnected(asked.id, f"{MAX_WAITING} requests wait for a connection, as many as may")
            return
        if self._autostart:
            self._kept.ask()
        if self._wait_s > 0 or self._kept.state is ConnectionState.CONNECTING:
            self._waiting[asked.id] = _Waiting(asked, self._wait_s, self._end_waiting, self._on_waited)
        else:
            self._fail_unconnected(asked.id)

    def _run(self, asked: Asked) -> None:
        client = self._kept.client
        if client is None:
            raise RuntimeError("there is no connection")
        if isinstance(asked, ProviderChatStream | ProviderCompleteStream):
            running: Running = RunningStream(
                asked, client, self._emit, self._ended, flow=self._flow, window=self._window
            )
        else:
            running = RunningUnary(asked, client, self._emit, self._ended, tasks=self._tasks)
        if not running.ended:
            self._running[asked.id] = running

    def _ended(self, running: Running) -> None:
        self._running.pop(running.id, None)
        self._idle.set()
        self._kept.ended(running.client)

    def _on_settled(self) -> None:
        """A connection has come, or an attempt has failed: what waits goes out, or waits on, or fails."""
        now = asyncio.get_running_loop().time()
        for waiting in tuple(self._waiting.values()):
            if self._waiting.get(waiting.asked.id) is not waiting:
                continue  # cancelled by who was told the end of one before it
            if self._kept.client is not None:
                waiting.stop()
                del self._waiting[waiting.asked.id]
                self._run(waiting.asked)
            elif self._kept.state is ConnectionState.ERROR or waiting.until <= now:
                self._end_waiting(waiting)

    def _on_waited(self, waiting: "_Waiting") -> None:
        """The time is up: an attempt that is being made is still waited for."""
        if self._kept.state is ConnectionState.CONNECTING:
            waiting.set_timer(LONGEST_ATTEMPT_S, self._end_waiting)
        else:
            self._end_waiting(waiting)

    def _end_waiting(self, waiting: "_Waiting", cancelled: str | None = None) -> None:
        waiting.stop()
        if self._waiting.pop(waiting.asked.id, None) is None:
            return
        self._idle.set()
        if cancelled is not None:
            error = ProviderError(ErrorKind.CANCELLED, cancelled, phase=Phase.ADMIT)
            self._emit(failure(waiting.asked.id, error))
        else:
            self._fail_unconnected(waiting.asked.id)

    def _fail_unconnected(self, request_id: int, why: str = "") -> None:
        text = f"not connected to the daemon: {why or self._kept.reason or self._kept.state.value}"
        self._emit(failure(request_id, ProviderError(ErrorKind.NETWORK, text, phase=Phase.CONNECT)))

    def _emit(self, message: InboundMessage | ConnectionStatus) -> None:
        for tell in (self._on_message, self._subject.on_next):
            if tell is not None:
                try:
                    tell(message)
                except Exception as error:  # noqa: BLE001 - a subscriber's bug is told, and ends no request
                    report(error, getattr(message, "id", 0))


class _Waiting:
    """A request that waits for a connection: for `wait_s`, and for the end of an attempt that is being made."""

    def __init__(
        self,
        asked: Asked,
        wait_s: float,
        end: Callable[["_Waiting", str | None], None],
        on_waited: Callable[["_Waiting"], None],
    ) -> None:
        self.asked = asked
        self.until = asyncio.get_running_loop().time() + wait_s
        self._end = end
        self._timer = asyncio.get_running_loop().call_later(wait_s, on_waited, self)

    def set_timer(self, after_s: float, then: Callable[["_Waiting"], None]) -> None:
        """Wait for so long from now on."""
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after_s, then, self)

    def stop(self) -> None:
        """It waits no more."""
        self._timer.cancel()

    def cancel(self, why: str = CANCELLED) -> None:
        """End it now."""
        self._end(self, why)
