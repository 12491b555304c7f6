"""How full the stages of all streams are: looked at when asked, and nothing is counted for it in between."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxlapce.flow import FlowControl
from rxlapce.operators.backpressure import BufferStats

#: Streams between two places where `StageGauges.gather` can be left for something else.
BREATH_STREAMS: Final = 128


@dataclass(slots=True)
class StageReading:
    """One kind of stage, over all streams. The first five are of streams that run now; the rest never falls."""

    streams: int = 0
    queued: int = 0
    """Tokens that wait."""
    most_queued: int = 0
    """In one stream."""
    gates_closed: int = 0
    credit: int = 0
    """Frames that readers will still take, of those who count."""
    closings: int = 0
    """How often a gate was closed."""
    pauses: int = 0
    dropped: int = 0
    coalesced: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    stage: str
    buffer: BufferStats | None
    gate: FlowControl | None
    credit: Callable[[], int | None] | None

    def read_into(self, reading: StageReading) -> None:
        """Add what is counted once and for all."""
        if self.gate is not None:
            reading.closings += self.gate.closings
        if self.buffer is not None:
            reading.pauses += self.buffer.pauses
            reading.dropped += self.buffer.dropped
            reading.coalesced += self.buffer.coalesced

    def look_into(self, reading: StageReading) -> None:
        """Add how it stands now."""
        reading.streams += 1
        if self.gate is not None:
            reading.gates_closed += not self.gate.is_open
        if self.buffer is not None:
            reading.queued += self.buffer.queued
            reading.most_queued = max(reading.most_queued, self.buffer.queued)
        if self.credit is not None:
            reading.credit += self.credit() or 0


class StageGauges:
    """The queues, gates and credits of the streams that run, by stage.

    Whoever builds a pipeline says what is to be looked at, by `watch`, and disposes that with the stream. `stage` is a
    word of the program's, never of a client's: each new one takes memory for good.
    """

    def __init__(self) -> None:
        self._ended: dict[str, StageReading] = {}
        self._watched: dict[_Watched, None] = {}

    def watch(
        self,
        stage: str,
        *,
        buffer: BufferStats | None = None,
        gate: FlowControl | None = None,
        credit: Callable[[], int | None] | None = None,
    ) -> DisposableBase:
        """Look at these until disposed; what they counted by then stays in the totals. `credit` None: not counted."""
        watched = _Watched(stage, buffer, gate, credit)
        self._ended.setdefault(stage, StageReading())
        self._watched[watched] = None

        def forget() -> None:
            del self._watched[watched]
            watched.read_into(self._ended[stage])

        return Disposable(forget)

    def collect(self) -> dict[str, StageReading]:
        """How it stands now, by stage. Linear in the streams that run."""
        (collected,) = (readings for readings in self.gather() if readings is not None)
        return collected

    def gather(self) -> Iterator[dict[str, StageReading] | None]:
        """The same, at last, for who has something else to do in between: before it comes None, again and again.

        Between two steps are `BREATH_STREAMS` streams at most; one that ends meanwhile is told as it stood at its end.
        """
        collected = {
            stage: StageReading(
                closings=ended.closings, pauses=ended.pauses, dropped=ended.dropped, coalesced=ended.coalesced
            )
            for stage, ended in self._ended.items()
        }
        for number, watched in enumerate(tuple(self._watched), 1):
            watched.read_into(collected[watched.stage])
            watched.look_into(collected[watched.stage])
            if number % BREATH_STREAMS == 0:
                yield None
        yield collected
