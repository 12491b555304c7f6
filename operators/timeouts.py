"""Limits on the time a stream takes, each of which ends it with a timeout error that names its phase."""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Literal

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, clock_of, connect
from rxlapce.tokens import VISIBLE, Finish, StreamToken

#: A timer that fires this much too early is on time: event loops round to a millisecond.
SLACK_S: Final = 0.001


def stream_timeouts(
    *,
    first_token_s: float | None = None,
    idle_s: float | None = None,
    total_s: float | None = None,
    exchange: Exchange | None = None,
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand tokens on, and fail with a timeout if the stream is late, silent or long.

        source, idle 3 s:  --a-b---------
        result:            --a-b--#

    All limits are in seconds, above 0, from the subscription on; None is no limit. The error is `ProviderError` of kind
    `timeout`, to be tried at another provider.

    - `first_token_s`: no token of `tokens.VISIBLE` in that time; phase `first_token`. Stands still while
      `exchange.flow` is closed, since then it is we who do not read.
    - `idle_s`: nothing at all for that time; phase `first_token` before the first visible token, `flow` after it. With
      an `exchange`, every read counts as a sign of life, so keep-alives do, but they are no first token; without one,
      only tokens count. Does not run before the response's headers, which the HTTP client waits for, nor while
      `exchange.flow` is closed; it starts anew when that opens.
    - `total_s`: the end has not come in that time; phase `flow`. Runs on while the gate is closed: it bounds how long
      a slow reader may hold the request's slot.

    Connecting and waiting for headers are the HTTP client's to limit. One timer a stream, for the earliest limit; a
    token never touches it, it looks at the last read when it fires, and is set again if that was later. After the
    timeout the source is disposed and nothing follows. After a `Finish` no limit runs: the answer is whole. Holds the
    last token. The scheduler comes from subscribe, and gives the clock; without one, the running loop's.

    Raises `ValueError` for a limit that is not above 0.
    """
    for name, limit in (("first_token_s", first_token_s), ("idle_s", idle_s), ("total_s", total_s)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be above 0 seconds, not {limit}")

    def limited(source: Observable[StreamToken]) -> Observable[StreamToken]:
        if first_token_s is None and idle_s is None and total_s is None:
            return source

        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            watch = _Watch(receiver, scheduler, first_token_s, idle_s, total_s, exchange)
            return watch.start(source, scheduler)

        return Stage(on_subscribe)

    return limited


Limit = Literal["first_token", "idle", "total"]


class _Watch:
    """One subscription's limits, and the timer for the earliest of them."""

    __slots__ = (
        "alert",
        "armed_for_s",
        "clock",
        "closed_s",
        "ended",
        "exchange",
        "first_deadline_s",
        "first_token_s",
        "flow",
        "idle_s",
        "last",
        "last_token_s",
        "listening",
        "opened_s",
        "receiver",
        "scheduler",
        "seen_before",
        "source",
        "started_s",
        "timer",
        "total_s",
    )

    def __init__(
        self,
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
        first_token_s: float | None,
        idle_s: float | None,
        total_s: float | None,
        exchange: Exchange | None,
    ) -> None:
        self.receiver = receiver
        self.first_token_s = first_token_s
        self.idle_s = idle_s
        self.total_s = total_s
        self.exchange = exchange
        self.flow = FlowControl() if exchange is None else exchange.flow
        self.scheduler = scheduler if scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        self.clock = clock_of(scheduler)
        self.started_s = self.opened_s = self.closed_s = self.last_token_s = self.clock()
        self.seen_before = (0, 0) if exchange is None else (exchange.reads, exchange.bytes_read)
        self.first_deadline_s = self.started_s + (first_token_s or 0.0)
        self.armed_for_s = math.inf
        self.alert = True
        """Tokens are looked at: there was no visible one yet, or the stream has ended."""
        self.ended = False
        self.last: StreamToken | None = None
        self.source = SingleAssignmentDisposable()
        self.timer = SerialDisposable()
        self.listening = SingleAssignmentDisposable()

    def start(self, source: Observable[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        emit, clock = self.receiver.on_next, self.clock

        def on_next(token: StreamToken) -> None:
            if self.alert and not self.admits(token):
                return
            self.last = token
            emit(token)

        def on_next_stamped(token: StreamToken) -> None:
            if self.alert and not self.admits(token):
                return
            self.last_token_s = clock()
            self.last = token
            emit(token)

        stamp = self.exchange is None and self.idle_s is not None
        receiver = Receiver(on_next_stamped if stamp else on_next, self.on_error, self.on_completed)
        self.listening.disposable = self.flow.on_change(self.on_gate)
        self.arm()
        self.source.disposable = connect(source, receiver, scheduler)
        return CompositeDisposable(self.source, Disposable(self.stop))

    def admits(self, token: StreamToken) -> bool:
        if not self.ended and isinstance(token, VISIBLE):
            self.alert = False
        return not self.ended

    def on_gate(self) -> None:
        now_s = self.clock()
        if self.flow.is_open:
            self.first_deadline_s += now_s - self.closed_s
            self.opened_s = now_s
            self.arm()
        else:
            self.closed_s = now_s

    def earliest(self) -> tuple[float, Limit] | None:
        """The limit that comes first and when, as things stand; None while nothing runs."""
        limits: list[tuple[float, Limit]] = []
        if self.total_s is not None:
            limits.append((self.started_s + self.total_s, "total"))
        if self.flow.is_open and self.first_token_s is not None and self.alert:
            limits.append((self.first_deadline_s, "first_token"))
        if self.flow.is_open and self.idle_s is not None:
            limits.append((self.idle_since_s() + self.idle_s, "idle"))
        return min(limits, default=None)

    def idle_since_s(self) -> float:
        """Since when nothing has come; now, while there are no headers and so nothing that could be idle."""
        exchange = self.exchange
        if exchange is None:
            return max(self.opened_s, self.last_token_s)
        if exchange.status is None and exchange.reads == 0:
            return self.clock()
        return max(self.opened_s, self.last_token_s, exchange.last_read_s)

    def arm(self) -> None:
        """Set the timer for the earliest limit, unless it fires before that anyway."""
        earliest = self.earliest()
        if earliest is not None and earliest[0] < self.armed_for_s:
            self.armed_for_s = earliest[0]
            self.timer.disposable = self.scheduler.schedule_relative(earliest[0] - self.clock(), self.on_timer)

    def on_timer(self, scheduler: SchedulerBase, state: object = None) -> None:
        self.armed_for_s = math.inf
        if type(self.last) is Finish:
            return  # the answer is whole; looked for here, where it costs nothing, and not at each token
        earliest = self.earliest()
        if earliest is not None and earliest[0] - self.clock() <= SLACK_S:
            error = self.error_of(earliest[1])
            self.source.dispose()
            self.on_error(error)
        else:
            self.arm()

    def error_of(self, limit: Limit) -> ProviderError:
        exchange, phase = self.exchange, Phase.FIRST_TOKEN if self.alert else Phase.FLOW
        match limit:
            case "first_token":
                message = f"no token within {self.first_token_s:g} s of the request"
            case "idle":
                message = f"nothing arrived for {self.idle_s:g} s"
            case "total":
                message, phase = f"the answer did not end within {self.total_s:g} s", Phase.FLOW
        if exchange is not None:
            reads, size = exchange.reads - self.seen_before[0], exchange.bytes_read - self.seen_before[1]
            without = " without a token" if self.alert else ""
            message += f"; {reads} reads brought {size} bytes{without}" if reads else "; not one byte came"
        elif limit == "idle" and self.alert:
            message += ", and no token before that"
        return ProviderError(
            ErrorKind.TIMEOUT,
            message,
            phase=phase,
            status=exchange.status if exchange else None,
            provider=(exchange.provider or None) if exchange else None,
            request_id=exchange.provider_request_id if exchange else None,
        )

    def stop(self) -> None:
        """No timer and no listener stay; nothing is emitted any more."""
        self.ended = self.alert = True
        self.timer.dispose()
        self.listening.dispose()

    def on_error(self, error: Exception) -> None:
        if not self.ended:
            self.stop()
            self.receiver.on_error(error)

    def on_completed(self) -> None:
        if not self.ended:
            self.stop()
            self.receiver.on_completed()
