"""When a page is told what: often enough to look live, and never more than it can draw."""

from collections.abc import Callable
from typing import Final, Protocol

from rxlapce.notebook.feed import Feed
from rxlapce.notebook.messages import UPDATES_PER_S, AskDetail, Cancel, FromPage, Ready, Seen, ToPage
from rxlapce.notebook.trace import Trace
from rxlapce.typing import Clock

#: Deltas that a page may leave undrawn before it gets no more: two seconds of them.
UNSEEN_DELTAS: Final = 2 * UPDATES_PER_S
#: How often it is looked for stalls, which begin without a mark, in seconds.
STALLS_EVERY_S: Final = 0.2
#: How often a page that cannot speak yet is shown all there is, in seconds: see `Pump.call_out`.
CALL_OUT_EVERY_S: Final = 1.0


class Timer(Protocol):
    """What `call_later` gives."""

    def cancel(self) -> object:
        """Do not call."""
        ...


class Timers(Protocol):
    """What the pump needs of an event loop."""

    def time(self) -> float:
        """Its clock, in seconds."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call back once, `delay` seconds from now."""
        ...


class Pump:
    """One trace's messages to one page, and back.

    Nothing is sent before the page has said `Ready`, which gets a snapshot; from then on deltas, `UPDATES_PER_S` at
    most, and none while nothing changes. A page that has once said what it has `Seen`, and then leaves `UNSEEN_DELTAS`
    unanswered (its tab is hidden, its computer asleep), gets nothing until it speaks, and a snapshot then. So what is
    under way to it is bounded. Holds at most one timer, none after the trace is over. Runs on the loop's thread.
    """

    def __init__(
        self,
        trace: Trace,
        send: Callable[[ToPage], object],
        *,
        now: Clock,
        timers: Timers,
        cancel: Callable[[], object],
    ) -> None:
        self.sent = 0
        """Messages so far, of all types."""
        self._trace = trace
        self._feed = Feed(trace)
        self._send = send
        self._now = now
        self._timers = timers
        self._cancel = cancel
        self._timer: Timer | None = None
        self._last_s = float("-inf")
        self._open = False
        """The page has a snapshot, and is told of changes."""
        self._answers = False
        """It has said `Seen`: it can, so that its silence says something."""
        self._unseen = 0
        self._calling_out = False
        self._closed = False

    def hear(self, message: FromPage) -> None:
        """The page has said something."""
        self._calling_out = False
        match message:
            case Ready():
                self._begin()
            case Seen():
                self._answers, self._unseen = True, 0
                if not self._open:
                    self._begin()
            case Cancel():
                self._cancel()
            case AskDetail(seq=seq):
                self._tell(self._trace.detail(seq))

    def call_out(self) -> None:
        """Show a page all there is every `CALL_OUT_EVERY_S`, until it speaks or the trace is over.

        While a cell awaits the stream, most front ends' messages wait for its end, `Ready` among them: without this the
        stream would be over before the page could say that it is there.
        """
        if not self._open and not self._closed:
            self._calling_out = True
            self._arm(0.0)

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        self._disarm()

    def _begin(self) -> None:
        self._open, self._unseen = True, 0
        self._tell(self._feed.snapshot(self._now()))
        self._watch()

    def _tick(self) -> None:
        self._timer = None
        if self._closed:
            return
        if not self._open:
            if self._calling_out and not self._trace.is_over:
                self._tell(self._feed.snapshot(self._now()))
                self._arm(CALL_OUT_EVERY_S)
            return
        delta = self._feed.delta(self._now())
        if delta is not None:
            # Now there is time to show one by one what was only counted while it came too fast.
            whole = self._trace.is_over and self._feed.counted_only
            self._tell(self._feed.snapshot(self._now()) if whole else delta)
            self._unseen += 1
            if self._answers and self._unseen >= UNSEEN_DELTAS:
                self._open = False
                return
        self._watch()

    def _watch(self) -> None:
        """Tick at the next change, at most `UPDATES_PER_S`; for stalls also without one."""
        if not self._trace.is_over:
            self._trace.on_change = self._wake
            self._disarm()
            self._arm(STALLS_EVERY_S)

    def _wake(self) -> None:
        if self._open and not self._closed:
            self._disarm()
            self._arm(self._last_s + 1 / UPDATES_PER_S - self._timers.time())

    def _tell(self, message: ToPage) -> None:
        if not self._closed:
            self.sent += 1
            self._last_s = self._timers.time()
            self._send(message)

    def _arm(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = self._timers.call_later(max(0.0, delay_s), self._tick)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
