"""Where asyncio meets Rx, and the credit that RxPY lacks.

Everything here runs on one event loop's thread; nothing is locked.

- `FlowControl`: a gate beside a stream. Whoever cannot take more closes it; the source asks it before each read.
- `Exchange`: what one request knows of itself under way: its gate, its last sign of life, the HTTP facts.
- `Stage`, `Receiver`, `connect`: Rx stages without the auto-detach in between that RxPY's `subscribe` adds (0.14 us a
  token and stage became 0.06). One auto-detach stays, at the subscriber, and keeps the grammar.
- `from_reads`: an asyncio reader as a cold Observable. `iterate`: an Observable as an async iterator.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.happenings import FirstToken, Happening, Watcher
from rxlapce.tokens import Usage
from rxlapce.typing import Clock

T = TypeVar("T")


class FlowControl:
    """A gate that a slow consumer closes and a source asks.

    Several may hold it closed at once: it is open when nobody does. `close` and `open` take the holder, so that closing
    twice is closing once, and are synchronous; listeners run inside them, in the order in which they came.
    """

    __slots__ = ("_holders", "_listeners", "_waiters", "closings", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self.closings = 0
        """How often the gate went from open to closed."""
        self._holders: set[object] = set()
        self._listeners: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []

    def close(self, holder: object) -> None:
        """Ask the source to stop; `holder` keeps the gate closed until it opens it."""
        self._holders.add(holder)
        if self.is_open:
            self.is_open = False
            self.closings += 1
            self._tell()

    def open(self, holder: object) -> None:
        """Take `holder`'s hold off; with the last one gone the source goes on."""
        self._holders.discard(holder)
        if not self.is_open and not self._holders:
            self.is_open = True
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._tell()

    def on_change(self, listener: Callable[[], None]) -> DisposableBase:
        """Call `listener` after each change of `is_open`, until disposed."""
        self._listeners.append(listener)

        def forget() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return Disposable(forget)

    async def wait_open(self) -> None:
        """Return when the gate is open: at once if it is. Safe to cancel."""
        while not self.is_open:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                with suppress(ValueError):
                    self._waiters.remove(waiter)

    def _tell(self) -> None:
        was_open = self.is_open
        for listener in tuple(self._listeners):
            if self.is_open is not was_open:
                return  # a listener turned the gate; the turn told everybody
            if listener in self._listeners:  # one before it may have ended it
                listener()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One subscription to one provider's stream, as it went; noted once, at its `Finish`, else when it ended.

    `number` counts an exchange's attempts from 1. `started_s` is of the scheduler's clock, `took_s` seconds from then
    to that. `tokens` counts all kinds; `usage` is the last that was told, whether or not the answer was used. An
    attempt that has not `finished` and has no `error_kind` was cancelled. `key` is the name of the key that was asked
    by, "" where it has none.
    """

    number: int
    provider: str
    model: str
    started_s: float
    took_s: float
    tokens: int = 0
    usage: Usage | None = None
    finished: bool = False
    error_kind: ErrorKind | None = None
    phase: Phase | None = None
    status: int | None = None
    key: str = ""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request under way, shared by its stages; the source fills in what it learns.

    `flow` gates the reads of the provider's socket. `last_read_s` is the loop's clock at the last read that brought
    bytes (any bytes: keep-alives too), set once a read, so that timeouts and gaps need no clock call a token. What
    the HTTP client learned is of the last attempt; `attempts` has them all, as far as they have ended. `user` is who
    asks, as the system proves it; `client` is the program, as it calls itself; `key` is the name of the provider's key
    that is asked by; `api` (of `providers.apis.APIS`) and `framing` are what the attempt's answer is to be read by;
    `transport` the way by which the client's frames go; "" where there is none.

    `connect_s` is a limit on connecting, in seconds, where it is stricter than the HTTP client's own. `reads` and
    `bytes_read` only grow, over all attempts: who asks for one attempt's compares with what they were before it.

    `headers` are those of the response that say something of limits and of who to ask about it, without secrets and
    with lower-case names; `answered_s` is the loop's clock when they came. `refusal` is the body, without secrets and
    bounded, of a response that was an HTTP error.

    `watchers` hear what happens to the request (`happenings`), in the order in which they came; `spoke` says that its
    first token has been told.
    """

    request_id: str = ""
    user: str = ""
    client: str = ""
    provider: str = ""
    model: str = ""
    key: str = ""
    api: str = ""
    framing: str = ""
    transport: str = ""
    flow: FlowControl = field(default_factory=FlowControl)
    last_read_s: float = 0.0
    bytes_read: int = 0
    reads: int = 0
    status: int | None = None
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    answered_s: float | None = None
    refusal: bytes = b""
    provider_request_id: str | None = None
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    connect_s: float | None = None
    watchers: list[Watcher] = field(default_factory=list[Watcher])
    spoke: bool = False

    def tell(self, happening: Happening) -> None:
        """Let those who watch the request know."""
        for watcher in tuple(self.watchers):  # one may leave while it hears
            watcher(happening)

    def tell_first_token(self) -> None:
        """Let them know of the first token that a reader sees; without effect after the first call."""
        if not self.spoke:
            self.spoke = True
            self.tell(FirstToken(provider=self.provider, model=self.model))

    def begin_attempt(self) -> None:
        """Forget the response to the attempt before: one that fails ahead of its own would be told with that status."""
        self.status = self.provider_request_id = None
        self.content_type = ""
        self.headers, self.answered_s, self.refusal = {}, None, b""


class Receiver(Generic[T]):
    """The three callbacks of an observer as plain attributes, so that a stage can hand on the next one's own."""

    __slots__ = ("on_completed", "on_error", "on_next")

    def __init__(
        self,
        on_next: Callable[[T], None],
        on_error: Callable[[Exception], None],
        on_completed: Callable[[], None],
    ) -> None:
        self.on_next = on_next
        self.on_error = on_error
        self.on_completed = on_completed


Connect = Callable[[Receiver[T], SchedulerBase | None], DisposableBase]


class Stage(Observable[T]):
    """An Observable that our own stages subscribe to directly, by `connect`.

    `on_subscribe(receiver, scheduler)` starts the stage and returns what ends it. It must stay quiet after its own
    terminal notification, since no auto-detach stands between it and the next stage.
    """

    def __init__(self, on_subscribe: Connect[T]) -> None:
        super().__init__()
        self.on_subscribe = on_subscribe

    def _subscribe_core(self, observer: ObserverBase[T], scheduler: SchedulerBase | None = None) -> DisposableBase:
        return self.on_subscribe(Receiver(observer.on_next, observer.on_error, observer.on_completed), scheduler)


def connect(source: Observable[T], receiver: Receiver[T], scheduler: SchedulerBase | None) -> DisposableBase:
    """Subscribe `receiver` to `source`: directly if it is one of our stages, else by RxPY's `subscribe`.

    As in RxPY, a source that raises while it is being subscribed to has failed: that goes to on_error.
    """
    if isinstance(source, Stage):
        try:
            return source.on_subscribe(receiver, scheduler)
        except Exception as error:  # noqa: BLE001 - it is handed on, to the one place where a stream's errors are read
            receiver.on_error(error)
            return Disposable()
    return source.subscribe(receiver.on_next, receiver.on_error, receiver.on_completed, scheduler=scheduler)


def clock_of(scheduler: SchedulerBase | None) -> Clock:
    """A clock in seconds that agrees with the scheduler's timers: virtual under `TestScheduler`."""
    if isinstance(scheduler, AsyncIOScheduler) or scheduler is None:
        return asyncio.get_running_loop().time
    chosen = scheduler

    def now() -> float:
        return chosen.to_seconds(chosen.now)

    return now


class Tasks:
    """The owner of tasks that Rx subscriptions start: it keeps them, and waits for them when it closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start `work`. An error that it does not catch goes to the loop's exception handler."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            task.get_loop().call_exception_handler(
                {"message": f"task {task.get_name()!r} failed", "exception": error, "task": task}
            )

    async def settled(self) -> None:
        """Wait until what runs now has ended by itself."""
        await asyncio.gather(*tuple(self._tasks), return_exceptions=True)

    async def aclose(self) -> None:
        """Cancel what runs and wait until it has ended; called by one of the tasks, it spares the caller."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: Opens a source of bytes; inside the context, each call of the reader awaits some bytes, b"" at the end.
OpenReads = Callable[[], AbstractAsyncContextManager[Callable[[], Awaitable[bytes]]]]


def from_reads(open_reads: OpenReads, exchange: Exchange, tasks: Tasks) -> Observable[bytes]:
    """Emit what each read brings, asking `exchange.flow` before every one.

    Cold: subscribing opens. Disposing cancels the read in progress and leaves the context at the next loop round;
    from inside on_next it lets the context be left undisturbed. Nothing is emitted after it. Completes at the end of
    the bytes. `ProviderError` goes to on_error as it is, anything else (also what downstream's on_next raises) as kind
    `internal` with its cause; `cancelled` when the owner of `tasks` stops the reading. Holds nothing: at most one
    read is under way.
    """

    def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
        loop = asyncio.get_running_loop()
        disposed = False
        exchange.begin_attempt()  # before the task runs: limits are set as soon as this returns

        async def pump() -> None:
            try:
                await read_all()
                if not disposed:
                    receiver.on_completed()
            except ProviderError as error:
                if not disposed:
                    receiver.on_error(error)
            except Exception as error:
                if disposed:
                    raise  # nobody listens any more: the owner of the tasks reports it
                failure = ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} inside rxlapce: {error}")
                failure.__cause__ = error
                receiver.on_error(failure)

        def ended(task: asyncio.Task[None]) -> None:
            # Told from here, since a task that is cancelled before its first step runs nothing of `pump`.
            if task.cancelled() and not disposed:
                receiver.on_error(ProviderError(ErrorKind.CANCELLED, "the reading of the answer was cancelled"))

        async def read_all() -> None:
            flow = exchange.flow
            on_next = receiver.on_next
            async with open_reads() as read:
                while not disposed:
                    if not flow.is_open:
                        await flow.wait_open()
                    data = await read()
                    if not data:
                        return
                    exchange.last_read_s = loop.time()
                    exchange.bytes_read += len(data)
                    exchange.reads += 1
                    on_next(data)

        task = tasks.spawn(pump(), name=f"reads {exchange.request_id}")
        task.add_done_callback(ended)

        def stop() -> None:
            nonlocal disposed
            disposed = True
            # Inside its own on_next the task only needs the flag: a cancel would hit the first await of leaving the
            # context, and would never be seen if the reads do not wait.
            if asyncio.current_task(loop) is not task:
                task.cancel()

        return Disposable(stop)

    return Stage(on_subscribe)


async def iterate(
    source: Observable[T], *, flow: FlowControl | None = None, high_water: int = 256
) -> AsyncGenerator[T, None]:
    """Yield what `source` emits; subscribes at the first step, disposes when the iteration is left.

    Holds at most what arrives after `flow` was closed at `high_water` (from 1) items; `flow` opens again at half of
    that. Without a `flow` a source that never waits for its reader grows the queue: pass the gate that the source asks.
    An `on_error` is raised after the items before it. Who leaves early uses `contextlib.aclosing`, which disposes at
    once; after a bare `break` the event loop does it when it collects the generator.
    """
    if high_water < 1:
        raise ValueError(f"high_water must be at least 1, not {high_water}")
    loop = asyncio.get_running_loop()
    items: deque[T] = deque()
    end: list[Exception | None] = []
    waiter: asyncio.Future[None] | None = None
    holder = object()

    def wake() -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def on_next(item: T) -> None:
        items.append(item)
        if flow is not None and len(items) >= high_water:
            flow.close(holder)
        wake()

    def on_end(error: Exception | None = None) -> None:
        end.append(error)
        wake()

    subscription = source.subscribe(on_next, on_end, on_end, scheduler=AsyncIOScheduler(loop))
    try:
        while True:
            while items:
                item = items.popleft()
                if flow is not None and len(items) <= high_water // 2:
                    flow.open(holder)
                yield item
            if end:
                if end[0] is not None:
                    raise end[0]
                return
            waiter = loop.create_future()
            await waiter
    finally:
        subscription.dispose()
        if flow is not None:
            flow.open(holder)
