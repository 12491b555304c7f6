"""Probes that note what they see in a `Trace`."""

import asyncio
from collections.abc import Callable
from threading import get_ident
from typing import Generic, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.flow import FlowControl, Receiver, Stage, clock_of, connect
from rxlapce.notebook.marks import Outcome
from rxlapce.notebook.trace import Trace
from rxlapce.typing import Clock

T = TypeVar("T")


class TraceProbes:
    """The probes of one trace.

        bytes   --a-------b-|        a tap after each stage: what passes is noted, and handed on unchanged
        tokens  --1-2-3---4-|        1, 2, 3 come while a is handed on: a is their cause

    The clock is that of the scheduler of the first subscription, which is 0. What passes on another thread than that
    of the first subscription is noted on the first one's loop, without a cause: a trace is one thread's. Synchronous;
    holds nothing.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.delivering: tuple[int | None, int] = (None, -1)
        """The mark that is being handed on, and its lane: what passes a lane further down comes of it."""
        self._clock: Clock | None = None
        self._zero = 0.0
        self.home = 0
        """The thread of the trace, from the first subscription on."""
        self._post: Callable[[Callable[[], object]], object] | None = None
        self._closed_gates: set[FlowControl] = set()
        self._gates: list[FlowControl] = []
        self._listening: list[DisposableBase] = []

    def lane(self, name: str, shape: str = "any") -> Callable[[Observable[T]], Observable[T]]:
        """A new lane, and the tap for it: see `probes.Probes`."""
        lane = self.trace.lane(name, shape).id

        def tapped(source: Observable[T]) -> Observable[T]:
            def on_subscribe(receiver: Receiver[T], scheduler: SchedulerBase | None) -> DisposableBase:
                self.begin(scheduler)
                return _Tap(self, lane, receiver).start(source, scheduler)

            return Stage(on_subscribe)

        return tapped

    def gate(self, flow: FlowControl) -> None:
        """Show in the first lane when `flow` is closed; with several, when any is."""
        self._gates.append(flow)
        self._listening.append(flow.on_change(lambda: self._turned(flow)))
        self._turned(flow)

    def close(self) -> None:
        """Listen to the gates no more."""
        while self._listening:
            self._listening.pop().dispose()

    def begin(self, scheduler: SchedulerBase | None) -> None:
        """Start the clock, if it does not run yet."""
        if self._clock is None:
            self._clock = clock_of(scheduler)
            self._zero = self._clock()
            self.home = get_ident()
            self._post = _poster()
            for flow in self._gates:
                self._turned(flow)

    def now(self) -> float:
        """Seconds since the first subscription, to the microsecond; 0 before it."""
        return 0.0 if self._clock is None else int((self._clock() - self._zero) * 1e6) / 1e6

    def at_home(self, note: Callable[[float], object]) -> None:
        """Call `note` with the time: now, or from another thread as soon as the loop comes to it."""
        t = self.now()
        if self._post is None or get_ident() == self.home:
            note(t)
        else:
            self._post(lambda: note(t))

    @property
    def elsewhere(self) -> bool:
        """Whether this runs on another thread than the trace."""
        return self._post is not None and get_ident() != self.home

    def _turned(self, flow: FlowControl) -> None:
        if self._clock is None:
            return
        were_closed = bool(self._closed_gates)
        (self._closed_gates.discard if flow.is_open else self._closed_gates.add)(flow)
        if bool(self._closed_gates) is not were_closed:
            self.at_home(self.trace.resume if were_closed else self.trace.pause)


class _Tap(Generic[T]):
    """One subscription to one lane."""

    __slots__ = ("ended", "lane", "probes", "receiver", "source")

    def __init__(self, probes: TraceProbes, lane: int, receiver: Receiver[T]) -> None:
        self.probes = probes
        self.lane = lane
        self.receiver = receiver
        self.ended = False
        self.source = SingleAssignmentDisposable()

    def start(self, source: Observable[T], scheduler: SchedulerBase | None) -> DisposableBase:
        probes, lane, emit = self.probes, self.lane, self.receiver.on_next
        trace = probes.trace
        mark, now, home = trace.mark, probes.now, probes.home

        def on_next(item: T) -> None:
            if get_ident() != home and probes.elsewhere:
                probes.at_home(lambda t: mark(lane, t, item))
                emit(item)
                return
            before = probes.delivering
            cause, upstream = before
            probes.delivering = mark(lane, now(), item, cause if upstream < lane else None), lane
            try:
                emit(item)
            finally:
                probes.delivering = before

        probes.at_home(lambda t: trace.begin(lane, t))
        self.source.disposable = connect(source, Receiver(on_next, self.on_error, self.on_completed), scheduler)
        return CompositeDisposable(self.source, Disposable(lambda: self.end(Outcome.CANCELLED)))

    def on_error(self, error: Exception) -> None:
        self.end(Outcome.FAILED, error)
        self.receiver.on_error(error)

    def on_completed(self) -> None:
        self.end(Outcome.COMPLETED)
        self.receiver.on_completed()

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        if not self.ended:
            self.ended = True
            self.probes.at_home(lambda t: self.probes.trace.end(self.lane, t, outcome, error))


def _poster() -> Callable[[Callable[[], object]], object] | None:
    """What hands a call to the loop that runs here from any thread; None where none runs."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        return None
