"""The line in which a copy of an answer waits for its sink: bounded, with a named policy, and nobody else's concern."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable

from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.tap import Outcome
from rxlapce.routing.traffic import CopyCounts, Operator
from rxlapce.routing.way import Site
from rxlapce.tokens import StreamToken

#: A line is carried on when so many tokens wait, however soon after the last time.
BATCH_TOKENS: Final = 256


class WhenFull(StrEnum):
    """What a full line does."""

    DROP_NEWEST = "drop_newest"
    """What comes is dropped and counted, and the copy says that it is incomplete; the client notices nothing."""
    PAUSE = "pause"
    """The provider is not read until half of the line has gone: the client waits for this sink too."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A token, and when it came: seconds since the copy began."""

    at_s: float
    token: StreamToken


@dataclass(frozen=True, slots=True)
class Ended:
    """How the stream ended, when, and how many of its tokens the copy lacks."""

    at_s: float
    outcome: Outcome
    error: Exception | None
    dropped: int


class Carrier(Protocol):
    """Carries one copy to where it belongs. Whatever one of these raises ends the copy, and nothing else."""

    async def carry(self, taken: Sequence[Taken]) -> None:
        """Carry on what waited."""
        ...

    async def finish(self, ended: Ended) -> None:
        """Carry on the end; the last call, unless one before it raised."""
        ...

    def give_up(self) -> None:
        """Release what is held: always called, and last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBounds:
    """How many tokens may wait, what happens then, and for how many seconds the first of them waits for others."""

    capacity: int
    when_full: WhenFull
    gather_s: float = 0.0


class LinedCopy:
    """A copy whose tokens wait in a line (`operators.copies.Copy`) until a task of `site.traffic` carries them on.

    Memory: at most `capacity` tokens wait. Under `pause` the source is asked to stop at `capacity`; what one read of it
    brings beyond that, up to as many again, is taken too, and what comes then is dropped. Nothing is done for a token
    but to queue it. `scrub` takes out of the tokens what must not be copied.
    """

    __slots__ = (
        "_bounds",
        "_carrier",
        "_clock",
        "_counts",
        "_dead",
        "_dropped",
        "_ended",
        "_flow",
        "_line",
        "_paused",
        "_scrubbed",
        "_site",
        "_started_s",
        "_timer",
        "_wake",
        "_who",
    )

    def __init__(
        self, site: Site, who: tuple[str, str], carrier: Carrier, bounds: LineBounds, scrub: Operator | None = None
    ) -> None:
        self._site = site
        self._who = who
        self._carrier = carrier
        self._bounds = bounds
        self._counts: CopyCounts = site.traffic.copied_by(*who)
        self._clock = site.traffic.clock
        self._started_s = self._clock()
        self._flow = site.exchange.flow
        self._line: list[Taken] = []
        self._dropped = 0
        self._ended: Ended | None = None
        self._dead = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._scrubbed = None if scrub is None else self._through(scrub)
        self._counts.streams += 1
        site.traffic.tasks.spawn(self._carry(), name=f"copy of {site.exchange.request_id} to {who[1]}")

    def take(self, token: StreamToken) -> None:
        """See `Copy`."""
        if self._dead:
            self._dropped += 1
        elif self._scrubbed is None:
            self._queue(token)
        else:
            self._scrubbed.on_next(token)

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """See `Copy`."""
        if self._scrubbed is not None and not self._dead:
            self._scrubbed.on_completed()  # what was held back is a part of the copy too
        self._ended = Ended(self._now_s(), outcome, error, self._dropped)
        if self._timer is not None:
            self._timer.cancel()
        self._wake.set()

    def _queue(self, token: StreamToken) -> None:
        line, bounds = self._line, self._bounds
        if len(line) >= bounds.capacity:
            if bounds.when_full is WhenFull.PAUSE and not self._paused:
                self._paused = True
                self._flow.close(self)
            if not self._paused or len(line) >= 2 * bounds.capacity:
                self._dropped += 1
                return
        line.append(Taken(self._now_s(), token))
        if len(line) == 1 and bounds.gather_s:
            self._timer = asyncio.get_running_loop().call_later(bounds.gather_s, self._wake.set)
        elif len(line) >= BATCH_TOKENS or not bounds.gather_s:
            self._wake.set()

    def _through(self, scrub: Operator) -> Receiver[StreamToken]:
        heads: list[Receiver[StreamToken]] = []

        def relay(head: Receiver[StreamToken], _: SchedulerBase | None) -> DisposableBase:
            heads.append(head)
            return Disposable()

        source: Observable[StreamToken] = Stage(relay)
        connect(scrub(source), Receiver(self._queue, self._fail, _nothing), None)
        return heads[0]

    def _now_s(self) -> float:
        return self._clock() - self._started_s

    async def _carry(self) -> None:
        try:
            while self._ended is None or self._line:
                await self._wake.wait()
                self._wake.clear()
                if self._dead:
                    return
                batch, self._line = self._line, []
                if batch:
                    await self._carrier.carry(batch)
                    self._counts.tokens += len(batch)
                if self._paused and len(self._line) <= self._bounds.capacity // 2:
                    self._go_on()
                if self._line:
                    self._wake.set()
            await self._carrier.finish(self._ended)
            self._counts.incomplete += self._ended.dropped > 0
        except Exception as error:  # noqa: BLE001 - it is told where the operator of the daemon sees it
            self._fail(error)
        finally:
            self._dead = True
            self._go_on()
            self._carrier.give_up()
            self._counts.dropped += self._dropped

    def _fail(self, error: Exception) -> None:
        if not self._dead:
            self._dead = True
            self._dropped += len(self._line)
            self._line.clear()
            self._counts.failed += 1
            self._wake.set()
            self._site.traffic.trouble(*self._who, self._site.exchange.request_id, error)

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self._flow.open(self)


def _nothing() -> None:
    pass
