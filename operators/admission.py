"""A stream's wait for admission: what `rate_limit_gate` and `concurrency_gate` share."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from reactivex.abc import SchedulerBase
from reactivex.disposable import SerialDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import clock_of
from rxlapce.operators.totals import OTHER


@dataclass(slots=True)
class Gauges:
    """What a gate did and does, for a collector to read at any time; `waiting` and `active` go back to zero."""

    waiting: int = 0
    active: int = 0
    """Streams that were admitted and have not ended."""
    admitted: int = 0
    refused: int = 0


@dataclass(slots=True)
class Waits:
    """What streams had to wait for one key of a gate, whatever became of them; all only grow.

    `waits` counts those that were not told at once, as far as they have been told or have left, and `waited_us` is how
    long they waited in all, in microseconds. `refused` are those that were not admitted.
    """

    waits: int = 0
    waited_us: int = 0
    refused: int = 0


class WaitsByKey(dict[str, Waits]):
    """The `Waits` of each key of a gate that ever made a stream wait, or refused one; other keys take no memory.

    At most `max_keys`, and one more, `OTHER`, for the rest.
    """

    def __init__(self, max_keys: int = 1024) -> None:
        super().__init__()
        self.max_keys = max_keys

    def tell(self, key: str, waited_s: float | None, *, refused: bool = False) -> None:
        """A stream was told after `waited_s` seconds, None: at once; or it has left."""
        if waited_s is None and not refused:
            return
        waits = self.get(key)
        if waits is None:
            waits = self.setdefault(key if len(self) < self.max_keys else OTHER, Waits())
        if waited_s is not None:
            waits.waits += 1
            waits.waited_us += round(waited_s * 1e6)
        waits.refused += refused


class Standing(Enum):
    """Where a ticket stands; it only ever moves down this list."""

    WAITING = auto()
    ADMITTED = auto()
    GONE = auto()


class Ticket:
    """One stream's place at a gate: it waits, then is admitted or refused, then is gone, each at most once.

    The verdict is told on the stream's own scheduler and never from inside another stream's end: that one's observers
    must not see the errors of this one's, and a hundred streams that end at once must not nest a hundred deep. Only
    what is known while the stream subscribes is told within its subscription, by `entered`.
    """

    __slots__ = (
        "_began_s",
        "_entering",
        "_on_admitted",
        "_on_refused",
        "_scheduler",
        "_told",
        "clock",
        "deadline_s",
        "standing",
    )

    def __init__(
        self,
        max_wait_s: float,
        scheduler: SchedulerBase | None,
        on_admitted: Callable[[], None],
        on_refused: Callable[[ProviderError], None],
    ) -> None:
        self._scheduler = scheduler if scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        self.clock = clock_of(scheduler)
        self._began_s = self.clock()
        self.deadline_s = self._began_s + max_wait_s
        self.standing = Standing.WAITING
        self._on_admitted = on_admitted
        self._on_refused = on_refused
        self._told = SerialDisposable()
        """The deadline's timer, then the telling of the verdict."""
        self._entering: list[Callable[[], None]] | None = []

    @property
    def waited_s(self) -> float | None:
        """For how many seconds it has waited; None while the stream subscribes: what is told then is told at once."""
        return None if self._entering is not None else self.clock() - self._began_s

    def admit(self) -> None:
        """The stream may start; called while it waits."""
        self.standing = Standing.ADMITTED
        self._tell(self._on_admitted)

    def refuse(self, error: ProviderError) -> None:
        """The stream ends with `error`; called while it waits."""
        self.standing = Standing.GONE
        self._tell(lambda: self._on_refused(error))

    def close(self) -> Standing:
        """The stream has ended or nobody listens any more: nothing is told after this. Gives where it stood."""
        before, self.standing = self.standing, Standing.GONE
        self._told.dispose()
        self._entering = None  # from now on it has waited, if it has not been told
        return before

    def entered(self, on_deadline: Callable[[], None]) -> None:
        """The gate has taken the ticket: tell the verdict if there is one, else call `on_deadline` when it is time."""
        verdicts, self._entering = self._entering, None
        if verdicts:
            verdicts[0]()
        elif self.standing is Standing.WAITING and self.deadline_s > self.clock():
            self.after(self.deadline_s - self.clock(), on_deadline, self._told)

    def after(self, delay_s: float, do: Callable[[], None], timer: SerialDisposable) -> None:
        """Set `timer` to call `do` in `delay_s` seconds on the stream's scheduler."""

        def action(scheduler: SchedulerBase, state: object = None) -> None:
            do()

        timer.disposable = self._scheduler.schedule_relative(delay_s, action)

    def _tell(self, verdict: Callable[[], None]) -> None:
        if self._entering is not None:
            self._entering.append(verdict)
            return

        def action(scheduler: SchedulerBase, state: object = None) -> None:
            verdict()

        self._told.disposable = self._scheduler.schedule(action)


def check_wait(max_wait_s: float) -> None:
    """Raise `ValueError` for a wait that is negative or has no end."""
    if not 0 <= max_wait_s < math.inf:
        raise ValueError(f"max_wait_s must be from 0 to a finite number of seconds, not {max_wait_s}")


def refused(
    message: str, *, retry_after_s: float | None = None, retry: Retry = Retry.SAME, provider: str | None = None
) -> ProviderError:
    """The error of a stream that was not admitted: nothing was sent."""
    return ProviderError(
        ErrorKind.RATE_LIMIT, message, retry=retry, phase=Phase.ADMIT, retry_after_s=retry_after_s, provider=provider
    )
