"""What was seen of one run: marks, ends and spans by lane, in bounded memory.

Plain data and plain calls: no Jupyter, no asyncio, no clock. Who looks on (`probing`) says what passed and when, in
seconds after the beginning that do not go back; who draws (`view`, `svg`) or counts reads it. One thread.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from rxlapce.notebook.bins import Bins
from rxlapce.notebook.detail import detail_of, told
from rxlapce.notebook.items import facts
from rxlapce.notebook.marks import Bin, Lane, LaneEnd, Mark, Outcome, Span, SpanKind, State
from rxlapce.notebook.messages import Columns, Detail, Gone, LaneTotal, Snapshot
from rxlapce.notebook.stalls import Rhythm, Spans

#: Marks that are kept one by one, unless the trace is told otherwise.
MAX_MARKS: Final = 20_000
#: What the items of the kept marks may hold, in bytes. Beside these a mark takes about 300.
MAX_BYTES: Final = 8 * 1024 * 1024
#: One item that holds more than this is not kept: its mark is.
MAX_ITEM_BYTES: Final = MAX_BYTES // 8
#: Ends, of lanes that are subscribed to again and again; after these only each lane's last one is noted.
MAX_ENDS: Final = 1_000


class Trace:
    """One run: lanes on one clock, which began at 0.

    Memory is bounded by `max_marks` and `max_bytes`: when either is passed, the oldest marks are folded into `Bins`,
    512 a lane. Lanes are as many as the pipeline has.
    """

    def __init__(self, title: str = "", *, max_marks: int = MAX_MARKS, max_bytes: int = MAX_BYTES) -> None:
        if max_marks < 1 or max_bytes < 1:
            raise ValueError(f"a trace keeps at least one mark, and one byte of it: not {max_marks} and {max_bytes}")
        self.title = title
        self.max_marks = max_marks
        self.max_bytes = max_bytes
        self.lanes: list[Lane] = []
        self.ends: list[LaneEnd] = []
        """In the order in which they came. A lane that was subscribed to again has more than one, and goes on after."""
        self.state = State.WAITING
        self.is_over = False
        """Whether nothing changes any more."""
        self.error: str | None = None
        """Of a run that failed: its kind and message."""
        self.kept: deque[Mark] = deque()
        """The newest marks, with no gap in their `seq`."""
        self.next_seq = 0
        """How many marks there were."""
        self.kept_bytes = 0
        """About what the items of `kept` hold."""
        self.on_change: Callable[[], None] | None = None
        """Called, once, at the next change: who wants to hear of more sets it again."""
        self._weights: deque[int] = deque()
        self._tracks: list[_Track] = []

    def __repr__(self) -> str:
        return f"<trace {self.title!r}: {self.state}, {self.next_seq:,} marks in {len(self.lanes)} lanes>"

    @property
    def kept_from(self) -> int:
        """The `seq` of the first mark that is kept; the next one's if none is."""
        return self.next_seq - len(self.kept)

    @property
    def totals(self) -> list[LaneTotal]:
        """What has passed each lane."""
        return [LaneTotal(track.lane.id, track.marks, track.size) for track in self._tracks]

    @property
    def spans_version(self) -> int:
        """Grows whenever a span begins or ends, but for stalls that go on."""
        return sum(spans.version for track in self._tracks for spans in (track.stalls, track.pauses))

    def lane(self, name: str, shape: str = "any") -> Lane:
        """A new lane, downstream of those that there are."""
        lane = Lane(len(self.lanes), name, shape)
        self.lanes.append(lane)
        self._tracks.append(_Track(lane))
        self._changed()
        return lane

    def begin(self, lane: int, t: float) -> None:
        """The lane was subscribed to at `t`, for the first time or again: the wait for its next mark is no stall."""
        track = self._tracks[lane]
        track.live += 1
        if track.live == 1:
            track.rhythm.since = None
        track.unnoted = None

    def mark(self, lane: int, t: float, item: Any, cause: int | None = None) -> int:  # what any Observable emits
        """`item` has passed; `cause` is the mark in whose delivery it came. Returns its `seq`."""
        seq = self.next_seq
        if self.is_over:
            return seq
        kind, label, size, weight = facts(item)
        if weight > MAX_ITEM_BYTES:
            item, weight = None, 0
        self.next_seq = seq + 1
        self.kept.append(Mark(seq, t, lane, kind, label, size, cause, item))
        self._weights.append(weight)
        self.kept_bytes += weight
        track = self._tracks[lane]
        track.marks += 1
        track.size += size
        stalled_s = track.rhythm.passed(t)
        if stalled_s is not None:
            track.stalls.add(stalled_s, t)
        if len(self.kept) > self.max_marks or self.kept_bytes > self.max_bytes:
            self._fold()
        if self.state is State.WAITING:
            self.state = State.RUNNING
        if self.on_change is not None:
            self._changed()
        return seq

    def end(self, lane: int, t: float, outcome: Outcome, error: Exception | None = None) -> None:
        """The lane has completed, failed with `error`, or was disposed of; it goes on if it is subscribed to again."""
        track = self._tracks[lane]
        if self.is_over or track.live == 0:
            return
        track.live -= 1
        if track.live == 0:
            self._close_stall(track, t)
            track.rhythm.since = None
        end = LaneEnd(lane, t, outcome, None if error is None else told(error))
        if len(self.ends) < MAX_ENDS:
            self.ends.append(end)
        else:
            track.unnoted = end
        self._changed()

    def pause(self, t: float) -> None:
        """The gate beside the stream has closed: shown in the first lane; no wait is a stall until it opens."""
        if self.is_over or not self._tracks:
            return
        for track in self._tracks:
            self._close_stall(track, t)
            track.paused, track.rhythm.since = True, None
        self._tracks[0].pauses.begin(t)
        self._changed()

    def resume(self, t: float) -> None:
        """The gate is open again."""
        if self.is_over or not self._tracks:
            return
        for track in self._tracks:
            track.paused = False
            if track.live and track.marks:
                track.rhythm.since = t
        self._tracks[0].pauses.end(t)
        self._changed()

    def finish(self, t: float, outcome: Outcome, error: Exception | None = None) -> None:
        """The run is over: lanes that are still live were cancelled, and nothing changes any more."""
        if self.is_over:
            return
        for track in self._tracks:
            while track.live:
                self.end(track.lane.id, t, Outcome.CANCELLED)
            track.pauses.end(t)
        self.ends += [track.unnoted for track in self._tracks if track.unnoted is not None]
        self.error = None if error is None else told(error)
        self.state, self.is_over = State(outcome.value), True
        self._changed()

    def spans(self, now: float) -> list[Span]:
        """All spans, lane by lane: those that were, and the stalls that go on at `now`."""
        return [
            span for track in self._tracks for span in (*track.pauses.all, *track.stalls.all, *self._open(track, now))
        ]

    def stalling(self, now: float) -> list[Span]:
        """The stalls that go on at `now`."""
        return [span for track in self._tracks for span in self._open(track, now)]

    def bins(self) -> list[Bin]:
        """All marks that are no longer kept, lane by lane, in no order of time."""
        return [track.bins.bin(place) for track in self._tracks for place in track.bins.places()]

    def bins_of(self, lane: int) -> Bins:
        """The bins of one lane."""
        return self._tracks[lane].bins

    def snapshot(self, now: float) -> Snapshot:
        """All of it, as a page gets it."""
        return Snapshot(
            title=self.title,
            state=self.state,
            now=now,
            lanes=list(self.lanes),
            marks=columns(list(self.kept)),
            bins=self.bins(),
            spans=self.spans(now),
            ends=list(self.ends),
            totals=self.totals,
            max_marks=self.max_marks,
        )

    def find(self, seq: int) -> Mark | None:
        """The mark; None if it is not kept any more, or has not been yet."""
        place = seq - self.kept_from
        return self.kept[place] if 0 <= place < len(self.kept) else None

    def since(self, seq: int) -> list[Mark]:
        """The kept marks from `seq` on."""
        count = max(0, min(self.next_seq - seq, len(self.kept)))
        # From the right end: indexing a deque in its middle walks there.
        newest = reversed(self.kept)
        return [next(newest) for _ in range(count)][::-1]

    def items(self, lane: int = -1) -> list[Any]:  # what any Observable emits
        """The items of the kept marks of a lane, by its number; the last one's without one."""
        number = self.lanes[lane].id
        return [mark.item for mark in self.kept if mark.lane == number]

    def detail(self, seq: int) -> Detail | Gone:
        """What is known of one mark, and of those that it came from; without what has been dropped."""
        mark = self.find(seq)
        return Gone(seq) if mark is None else detail_of(mark, self.lanes[mark.lane], self.find)

    def _fold(self) -> None:
        while self.kept and (len(self.kept) > self.max_marks or self.kept_bytes > self.max_bytes):
            mark = self.kept.popleft()
            self.kept_bytes -= self._weights.popleft()
            self._tracks[mark.lane].bins.add(mark.t, mark.kind)

    def _open(self, track: "_Track", now: float) -> tuple[Span, ...]:
        since = track.rhythm.stalled(now) if track.live and not track.paused and not self.is_over else None
        return () if since is None else (track.stalls.going_on(since),)

    def _close_stall(self, track: "_Track", t: float) -> None:
        since = None if track.paused else track.rhythm.stalled(t)
        if since is not None:
            track.stalls.add(since, t)

    def _changed(self) -> None:
        heard, self.on_change = self.on_change, None
        if heard is not None:
            heard()


class _Track:
    """What a trace notes of one lane."""

    __slots__ = ("bins", "lane", "live", "marks", "paused", "pauses", "rhythm", "size", "stalls", "unnoted")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.live = 0
        """Subscriptions under way: mostly one, more where an operator subscribes to its source more than once."""
        self.marks = 0
        self.size = 0
        self.paused = False
        self.bins = Bins(lane.id)
        self.rhythm = Rhythm()
        self.stalls = Spans(lane.id, SpanKind.STALL)
        self.pauses = Spans(lane.id, SpanKind.PAUSED)
        self.unnoted: LaneEnd | None = None


def columns(marks: list[Mark]) -> Columns:
    """`marks` as messages carry them."""
    return Columns(
        seq=[mark.seq for mark in marks],
        t=[mark.t for mark in marks],
        lane=[mark.lane for mark in marks],
        kind=[mark.kind.value for mark in marks],
        label=[mark.label for mark in marks],
        size=[mark.size for mark in marks],
        cause=[mark.cause for mark in marks],
    )
