"""A limit on how many streams run at once."""

from collections import OrderedDict
from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.admission import Gauges, Standing, Ticket, WaitsByKey, check_wait, refused
from rxlapce.tokens import StreamToken


class Slots:
    """At most `per_key` streams at once for each key, and the streams that wait for one of them in order.

    `max_waiters`, from 0, bounds how many wait for one key; the next one is refused. A key that nobody uses takes no
    memory but for what `waits` counts of it. All streams of one `Slots` run on one loop (or one virtual clock).

    Raises `ValueError` for bounds out of range.
    """

    def __init__(self, per_key: int, *, max_waiters: int = 1000) -> None:
        if per_key < 1:
            raise ValueError(f"per_key must be at least 1, not {per_key}")
        if max_waiters < 0:
            raise ValueError(f"max_waiters must not be negative, not {max_waiters}")
        self.per_key = per_key
        self.max_waiters = max_waiters
        self.gauges = Gauges()
        self.waits = WaitsByKey()
        self._lines: dict[str, _Line] = {}

    def in_use(self, key: str) -> int:
        """How many streams of `key` hold a slot now."""
        line = self._lines.get(key)
        return 0 if line is None else line.used

    def enter(self, key: str, ticket: Ticket) -> None:
        """Admit `ticket`, put it at the end of the line, or refuse it."""
        line = self._lines.setdefault(key, _Line())
        # A free slot means an empty line: whoever frees one hands it on at once.
        if line.used < self.per_key:
            self._grant(key, line, ticket)
        elif ticket.deadline_s <= ticket.clock():
            self._refuse(key, ticket, f"all {self.per_key} slots of {key!r} are in use")
        elif len(line.waiting) >= self.max_waiters:
            said = f"all {self.per_key} slots of {key!r} are in use and {len(line.waiting)} streams wait"
            self._refuse(key, ticket, said)
        else:
            line.waiting[ticket] = None
            self.gauges.waiting += 1

    def expire(self, key: str, ticket: Ticket) -> None:
        """Refuse `ticket`, whose deadline has come, if it still waits."""
        if ticket.standing is Standing.WAITING:
            self._forget(key, ticket)
            self._refuse(key, ticket, f"none of the {self.per_key} slots of {key!r} became free in time")

    def leave(self, key: str, ticket: Ticket) -> None:
        """Take `ticket` out of the line, or give its slot to the first who waits; a second call does nothing."""
        match ticket.close():
            case Standing.WAITING:
                self.waits.tell(key, ticket.waited_s)
                self._forget(key, ticket)
            case Standing.ADMITTED:
                line = self._lines[key]
                line.used -= 1
                self.gauges.active -= 1
                if line.waiting:
                    self.gauges.waiting -= 1
                    self._grant(key, line, line.waiting.popitem(last=False)[0])
                elif not line.used:
                    del self._lines[key]
            case Standing.GONE:
                pass

    def _grant(self, key: str, line: "_Line", ticket: Ticket) -> None:
        line.used += 1
        self.gauges.active += 1
        self.gauges.admitted += 1
        self.waits.tell(key, ticket.waited_s)
        ticket.admit()

    def _refuse(self, key: str, ticket: Ticket, message: str) -> None:
        self.gauges.refused += 1
        self.waits.tell(key, ticket.waited_s, refused=True)
        ticket.refuse(refused(message))

    def _forget(self, key: str, ticket: Ticket) -> None:
        # The line stays: who waits, waits for a slot that is in use.
        del self._lines[key].waiting[ticket]
        self.gauges.waiting -= 1


class _Line:
    """One key's slots that are in use, and who waits for them, first come first."""

    __slots__ = ("used", "waiting")

    def __init__(self) -> None:
        self.used = 0
        self.waiting: OrderedDict[Ticket, None] = OrderedDict()


def concurrency_gate(
    slots: Slots, key: str, *, max_wait_s: float = 30.0
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Subscribe to the source when one of `key`'s slots is free, and hold the slot until the stream ends.

        slots 1, source:   --a-b--|
        first subscriber:  --a-b--|
        second, at once:   ---------a-b--|
        third, waits 3 s:  ---#

    Waits in order, first come first, at most `max_wait_s` seconds (from 0, finite); 0 refuses at once when no slot is
    free, and a full line (`Slots.max_waiters`, policy: refuse) refuses whoever comes next. A refusal is a
    `ProviderError` of kind `rate_limit` and phase `admit`, without `retry_after_s`: nobody knows when a stream ends.

    The slot is free again before the end is told downstream, so that a retry inside the stream's own end can have it;
    also on an error, on disposal, and on disposal in the moment of being granted. It is released once, and a released
    slot goes to the first who waits, in the next round of its scheduler. Tokens pass untouched: nothing is done for
    one. The scheduler comes from subscribe and gives the clock; without one, the running loop's.

    Raises `ValueError` for a wait out of range.
    """
    check_wait(max_wait_s)

    def gated(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            upstream = SingleAssignmentDisposable()

            def leave() -> None:
                slots.leave(key, ticket)

            def on_error(error: Exception) -> None:
                leave()
                receiver.on_error(error)

            def on_completed() -> None:
                leave()
                receiver.on_completed()

            def start() -> None:
                try:
                    upstream.disposable = connect(source, Receiver(receiver.on_next, on_error, on_completed), scheduler)
                except BaseException:  # an observer's, from inside a source that speaks while it is subscribed to
                    leave()
                    raise

            def stop() -> None:
                try:
                    upstream.dispose()  # the source first: its slot is free only when it has stopped
                finally:
                    leave()

            ticket = Ticket(max_wait_s, scheduler, start, receiver.on_error)
            slots.enter(key, ticket)
            ticket.entered(lambda: slots.expire(key, ticket))
            return Disposable(stop)

        return Stage(on_subscribe)

    return gated
