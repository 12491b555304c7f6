from collections.abc import Callable

from rxlapce.notebook.marks import Outcome, SpanKind
from rxlapce.notebook.messages import (
    MARKS_PER_DELTA,
    UPDATES_PER_S,
    AskDetail,
    Cancel,
    Delta,
    Detail,
    Gone,
    Ready,
    Seen,
    Snapshot,
    ToPage,
)
from rxlapce.notebook.pump import UNSEEN_DELTAS, Pump
from rxlapce.notebook.trace import Trace


class ManualTimer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualTimers:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[ManualTimer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    @property
    def waiting(self) -> list[ManualTimer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def run_until(self, until: float) -> None:
        while due := sorted((timer for timer in self.waiting if timer.at <= until), key=lambda timer: timer.at):
            self.timers.remove(due[0])
            self.now = max(self.now, due[0].at)
            due[0].callback()
        self.now = until


class Bench:
    def __init__(self) -> None:
        self.timers = ManualTimers()
        self.trace = Trace()
        self.trace.lane("a")
        self.trace.begin(0, 0.0)
        self.sent: list[ToPage] = []
        self.cancels = 0
        self.pump = Pump(self.trace, self.sent.append, now=self.timers.time, timers=self.timers, cancel=self.cancel)

    def cancel(self) -> None:
        self.cancels += 1

    def marks(self, number: int) -> None:
        for _ in range(number):
            self.trace.mark(0, self.timers.now, number)

    def run(self, seconds: float, *, marks_every_s: float, marks: int = 1) -> None:
        until = self.timers.now + seconds
        while self.timers.now < until:
            self.marks(marks)
            self.timers.run_until(self.timers.now + marks_every_s)

    def types(self) -> list[str]:
        return [type(message).__name__ for message in self.sent]

    def deltas(self) -> list[Delta]:
        return [message for message in self.sent if isinstance(message, Delta)]


def test_nothing_is_sent_before_the_page_is_ready() -> None:
    bench = Bench()
    bench.run(1.0, marks_every_s=0.01)
    assert bench.sent == []
    bench.pump.hear(Ready())
    assert bench.types() == ["Snapshot"]


def test_a_mark_is_told_at_once_and_many_at_most_so_often() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.timers.run_until(10.0)
    bench.marks(1)
    bench.timers.run_until(10.0001)
    assert bench.types() == ["Snapshot", "Delta"]
    bench.sent.clear()
    bench.run(0.1, marks_every_s=0.0005, marks=40)
    assert 0.1 * UPDATES_PER_S - 1 <= len(bench.sent) <= 0.1 * UPDATES_PER_S + 1
    assert all(len(delta.marks.seq) <= MARKS_PER_DELTA for delta in bench.deltas())
    told = sum(len(delta.marks.seq) for delta in bench.deltas())
    counted = {one.t0: sum(one.counts.values()) for delta in bench.deltas() for one in delta.bins}
    assert told < sum(counted.values())
    assert told + sum(counted.values()) == bench.deltas()[-1].totals[0].marks - 1


def test_a_stream_that_is_quiet_sends_nothing_until_it_stalls() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.run(0.5, marks_every_s=0.05)
    bench.timers.run_until(0.6)
    bench.sent.clear()
    bench.timers.run_until(0.7)
    assert bench.sent == []
    bench.timers.run_until(5.0)
    [stalled] = bench.deltas()
    assert [(span.kind, span.t1) for span in stalled.spans] == [(SpanKind.STALL, None)]
    assert stalled.now < 1.1


def test_a_page_that_never_says_what_it_has_seen_is_told_on() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.run(10.0, marks_every_s=0.02)
    assert len(bench.sent) > 2 * UNSEEN_DELTAS


def test_a_page_that_stops_drawing_gets_no_more_until_it_speaks_and_a_snapshot_then() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.run(1.0, marks_every_s=0.02)
    bench.pump.hear(Seen(20))
    bench.sent.clear()
    bench.run(9.0, marks_every_s=0.02)
    assert bench.types() == ["Delta"] * UNSEEN_DELTAS
    assert bench.timers.waiting == []
    bench.pump.hear(Seen(80))
    bench.run(1.0, marks_every_s=0.02)
    assert bench.types()[UNSEEN_DELTAS : UNSEEN_DELTAS + 2] == ["Snapshot", "Delta"]


def test_a_page_that_draws_is_told_on_for_good() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    for _ in range(40):
        bench.run(0.25, marks_every_s=0.02)
        bench.pump.hear(Seen(len(bench.sent)))
    assert bench.types().count("Snapshot") == 1
    assert len(bench.sent) > 4 * UNSEEN_DELTAS


def test_the_end_is_told_and_nothing_is_left() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.run(0.1, marks_every_s=0.02)
    bench.trace.finish(bench.timers.now, Outcome.COMPLETED)
    bench.timers.run_until(1.0)
    assert bench.deltas()[-1].state == "completed"
    assert bench.timers.waiting == []
    bench.pump.hear(Ready())
    assert isinstance(bench.sent[-1], Snapshot)
    assert bench.timers.waiting == []


def test_at_the_end_what_was_only_counted_is_shown_one_by_one() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.marks(3 * MARKS_PER_DELTA)
    bench.timers.run_until(0.5)
    bench.trace.finish(0.5, Outcome.COMPLETED)
    bench.timers.run_until(1.0)
    last = bench.sent[-1]
    assert isinstance(last, Snapshot)
    assert len(last.marks.seq) == 3 * MARKS_PER_DELTA
    assert last.bins == []


def test_the_page_asks_and_cancels() -> None:
    bench = Bench()
    bench.marks(1)
    bench.pump.hear(AskDetail(0))
    bench.pump.hear(AskDetail(7))
    bench.pump.hear(Cancel())
    assert [type(message) for message in bench.sent] == [Detail, Gone]
    assert bench.cancels == 1


def test_a_page_that_cannot_speak_yet_is_shown_all_there_is_now_and_then() -> None:
    bench = Bench()
    bench.pump.call_out()
    bench.run(2.5, marks_every_s=0.02)
    assert bench.types() == ["Snapshot"] * 3
    bench.pump.hear(Ready())
    bench.run(0.1, marks_every_s=0.02)
    assert bench.types()[3:5] == ["Snapshot", "Delta"]


def test_calling_out_ends_with_the_stream_and_with_close() -> None:
    for ends_with_close in (False, True):
        bench = Bench()
        bench.pump.call_out()
        bench.timers.run_until(0.1)
        if ends_with_close:
            bench.pump.close()
        else:
            bench.trace.finish(0.1, Outcome.COMPLETED)
        bench.timers.run_until(9.0)
        assert bench.types() == ["Snapshot"]
        assert bench.timers.waiting == []


def test_after_close_nothing_is_sent() -> None:
    bench = Bench()
    bench.pump.hear(Ready())
    bench.marks(1)
    bench.pump.close()
    bench.marks(1)
    bench.timers.run_until(5.0)
    assert bench.types() == ["Snapshot"]
    assert bench.timers.waiting == []
