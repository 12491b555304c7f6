"""Timed operators in virtual time: one tick is a second; `TestScheduler.start` subscribes at 200, disposes at 1000."""

from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.notification import OnError, OnNext
from reactivex.testing import TestScheduler
from reactivex.testing.recorded import Recorded
from reactivex.typing import RelativeTime, ScheduledAction

from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange
from rxlapce.tokens import StreamToken

S = TypeVar("S")


class Clocked(TestScheduler):
    """A virtual clock that knows which timers were set, and which of them fired."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[float] = []
        self.fired: list[float] = []

    def schedule_relative(
        self, duetime: RelativeTime, action: ScheduledAction[S], state: S | None = None
    ) -> DisposableBase:
        """Note the timer, and set it."""
        due_s = self.now_s + self.to_seconds(duetime)
        self.timers.append(due_s)

        def noted(scheduler: SchedulerBase, state: S | None = None) -> DisposableBase | None:
            self.fired.append(due_s)
            return action(scheduler, state)

        return super().schedule_relative(duetime, noted, state)

    @property
    def now_s(self) -> float:
        """The virtual time."""
        return self.to_seconds(self.now)

    def at(self, time_s: float, do: Callable[[], object]) -> None:
        """Call `do` then."""

        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        self.schedule_absolute(time_s, action)

    def reads(self, exchange: Exchange, *times_s: float) -> None:
        """Let bytes arrive that make no token."""

        def read() -> None:
            exchange.last_read_s = self.now_s
            exchange.reads += 1
            exchange.bytes_read += 10

        for time_s in times_s:
            self.at(time_s, read)


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    """`token` at `time_s`."""
    return Recorded(time_s, OnNext(token))


def told(message: Recorded[StreamToken]) -> ProviderError:
    """The error that `message` is."""
    error = message.value.exception if isinstance(message.value, OnError) else None
    if isinstance(error, ProviderError):
        return error
    raise AssertionError(f"no error of a provider: {message}")


def run(
    clock: Clocked, operator: Callable[[Observable[StreamToken]], Observable[StreamToken]], *sent: Recorded[StreamToken]
) -> list[Recorded[StreamToken]]:
    """What comes out; and the source is disposed when it ends, or with the subscription."""
    source = clock.create_hot_observable(*sent)
    got = clock.start(lambda: source.pipe(operator)).messages
    (subscription,) = source.subscriptions
    ended = bool(got) and not isinstance(got[-1].value, OnNext)
    due_s = got[-1].time if ended else 1000
    if abs(subscription.unsubscribe - due_s) > 0.01:
        raise AssertionError(f"disposed at {subscription.unsubscribe}, not at {due_s}")
    return got
