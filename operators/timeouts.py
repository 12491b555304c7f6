"""Limits on the time a stream takes, each of which ends it with a timeout error that names its phase."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final, Literal

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, clock_of, connect
from rxlapce.tokens import (
    VISIBLE,
    Finish,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    UsageReport,
)

#: A timer that fires this much too early is on time: event loops round to a millisecond.
SLACK_S: Final = 0.001


class TimeLimit(StrEnum):
    """Which of a stream's limits ran out."""

    CONNECT = "connect"
    HEADERS = "headers"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a limit's name
    IDLE = "idle"
    RATE = "rate"
    TOTAL = "total"


#: The limits that run on a timer here; on connecting, the HTTP client looks.
_Timed = Literal[TimeLimit.HEADERS, TimeLimit.FIRST_TOKEN, TimeLimit.IDLE, TimeLimit.RATE, TimeLimit.TOTAL]


class StreamTimeout(ProviderError):
    """A `ProviderError` of kind `timeout` that says which limit of ours ran out: four of them end in one phase."""

    def __init__(self, limit: TimeLimit, message: str, phase: Phase, exchange: Exchange | None) -> None:
        super().__init__(
            ErrorKind.TIMEOUT,
            message,
            phase=phase,
            status=exchange.status if exchange else None,
            provider=(exchange.provider or None) if exchange else None,
            request_id=exchange.provider_request_id if exchange else None,
        )
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """The operator's options, checked."""

    connect_s: float | None
    headers_s: float | None
    first_token_s: float | None
    idle_s: float | None
    min_tokens_per_s: float | None
    rate_window_s: float
    total_s: float | None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit: float | None = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, not {limit}")


def stream_timeouts(
    *,
    connect_s: float | None = None,
    headers_s: float | None = None,
    first_token_s: float | None = None,
    idle_s: float | None = None,
    min_tokens_per_s: float | None = None,
    rate_window_s: float = 10.0,
    total_s: float | None = None,
    exchange: Exchange | None = None,
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Hand tokens on, and fail with a timeout if the stream is late, silent, slow or long.

        source, idle 3 s:            --a-b---------
        result:                      --a-b--#
        source, 1 token/s over 4 s:  --a-b-c-d-e------f---
        result:                      --a-b-c-d-e------f#

    Times are in seconds, above 0, from the subscription on; None is no limit. The error is a `StreamTimeout`: kind
    `timeout`, to be tried at another provider.

    - `connect_s`: no connection in that time; phase `connect`. Needs an `exchange`: it is kept by the HTTP client, for
      which it stands in `exchange.connect_s` while the stream runs, if no stricter one does.
    - `headers_s`: the response's headers have not come in that time; phase `headers`. Needs an `exchange`. For one
      request to be stricter than the HTTP client, whose own limits on connecting and on the headers hold besides.
    - `first_token_s`: no token of `tokens.VISIBLE` in that time; phase `first_token`. Stands still while
      `exchange.flow` is closed, since then it is we who do not read.
    - `idle_s`: nothing at all for that time; phase `first_token` before the first visible token, `flow` after it. With
      an `exchange`, every read counts as a sign of life, so keep-alives do, but they are no first token; without one,
      only tokens count. Does not run before the response's headers, which the HTTP client waits for, nor while
      `exchange.flow` is closed; it starts anew when that opens.
    - `min_tokens_per_s`: fewer tokens than that, on average over `rate_window_s`, in one of the windows that follow
      each other from the first visible token on; phase `flow`, and the message begins with `too slow`. Stands still
      while `exchange.flow` is closed. A model's tokens are not seen, but pieces are: each visible one counts as a
      token, and a longer one as one for every four characters.
    - `total_s`: the end has not come in that time; phase `flow`. Runs on while the gate is closed: it bounds how long
      a slow reader may hold the request's slot.

    One timer a stream, for the earliest limit; tokens do not touch it (but for the first, which starts the windows): it
    looks at the last read when it fires, and is set again if that was later. After the timeout the source is disposed
    and nothing follows. After a `Finish` no limit runs: the answer is whole. Holds the last token. The scheduler comes
    from subscribe, and gives the clock; without one, the running loop's. Each subscription is an attempt of its own, so
    that this stands inside `retry_stream` and `fallback`.

    Raises `ValueError` for a limit that is not above 0, and for `connect_s` or `headers_s` without an `exchange`.
    """
    limits = _Limits(
        connect_s=connect_s,
        headers_s=headers_s,
        first_token_s=first_token_s,
        idle_s=idle_s,
        min_tokens_per_s=min_tokens_per_s,
        rate_window_s=rate_window_s,
        total_s=total_s,
    )
    if connect_s is not None and exchange is None:
        raise ValueError("connect_s needs the exchange, by which it gets to the HTTP client")
    if headers_s is not None and exchange is None:
        raise ValueError("headers_s needs the exchange, which tells that the headers have come")
    unlimited = (connect_s, headers_s, first_token_s, idle_s, min_tokens_per_s, total_s) == (None,) * 6

    def limited(source: Observable[StreamToken]) -> Observable[StreamToken]:
        if unlimited:
            return source

        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            return _Watch(receiver, scheduler, limits, exchange).start(source, scheduler)

        return Stage(on_subscribe)

    return limited


def _quarters(token: StreamToken) -> int:
    """How many quarters of a token `token` counts as: one for each character, and at least four."""
    match token:
        case Text() | Reasoning() | Refusal():
            size = len(token.text)
        case ToolCall():
            size = len(token.arguments_delta)
        case Opaque():
            size = len(token.raw)
        case UsageReport() | Finish() | Seam():
            return 0
    return max(size, 4)


class _Watch:
    """One subscription's limits, and the timer for the earliest of them."""

    __slots__ = (
        "alert",
        "armed_for_s",
        "clock",
        "closed_s",
        "connect_before_s",
        "ended",
        "exchange",
        "first_deadline_s",
        "flow",
        "last",
        "last_token_s",
        "limits",
        "listening",
        "opened_s",
        "quarters",
        "receiver",
        "scheduler",
        "seen_before",
        "source",
        "started_s",
        "timer",
        "window_ends_s",
    )

    def __init__(
        self,
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
        limits: _Limits,
        exchange: Exchange | None,
    ) -> None:
        self.receiver = receiver
        self.limits = limits
        self.exchange = exchange
        self.flow = FlowControl() if exchange is None else exchange.flow
        self.scheduler = scheduler if scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        self.clock = clock_of(scheduler)
        self.started_s = self.opened_s = self.closed_s = self.last_token_s = self.clock()
        self.seen_before = (0, 0) if exchange is None else (exchange.reads, exchange.bytes_read)
        self.connect_before_s = None if exchange is None else exchange.connect_s
        self.first_deadline_s = self.started_s + (limits.first_token_s or 0.0)
        self.window_ends_s = math.inf
        """When the tokens of this window are looked at; never before the first visible one."""
        self.quarters = 0
        """What this window brought, in quarters of a token."""
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

        def on_next_weighed(token: StreamToken) -> None:
            if self.alert and not self.admits(token):
                return
            if type(token) is Text:  # nearly all are, and the match takes longer
                size = len(token.text)
                self.quarters += size if size > 4 else 4  # noqa: FURB136 - max() takes 0.1 us
            else:
                self.quarters += _quarters(token)
            self.last = token
            emit(token)

        def on_next_stamped_and_weighed(token: StreamToken) -> None:
            self.last_token_s = clock()
            on_next_weighed(token)

        stamp = self.exchange is None and self.limits.idle_s is not None
        if self.limits.min_tokens_per_s is None:
            push = on_next_stamped if stamp else on_next
        else:
            push = on_next_stamped_and_weighed if stamp else on_next_weighed
        receiver = Receiver(push, self.on_error, self.on_completed)
        self.listening.disposable = self.flow.on_change(self.on_gate)
        if self.exchange is not None and self.limits.connect_s is not None:
            before_s = self.connect_before_s
            self.exchange.connect_s = min(self.limits.connect_s, math.inf if before_s is None else before_s)
        self.source.disposable = connect(source, receiver, scheduler)
        if not self.ended:
            self.arm()  # only now: till it is subscribed to, the source may leave the last attempt's status in place
        return CompositeDisposable(self.source, Disposable(self.stop))

    def admits(self, token: StreamToken) -> bool:
        if not self.ended and isinstance(token, VISIBLE):
            self.alert = False
            if self.limits.min_tokens_per_s is not None:
                self.window_ends_s = self.clock() + self.limits.rate_window_s
                self.arm()
        return not self.ended

    def on_gate(self) -> None:
        now_s = self.clock()
        if self.flow.is_open:
            self.first_deadline_s += now_s - self.closed_s
            self.window_ends_s += now_s - self.closed_s
            self.opened_s = now_s
            self.arm()
        else:
            self.closed_s = now_s

    def earliest(self) -> tuple[float, _Timed] | None:
        """The limit that comes first and when, as things stand; None while nothing runs. Of two, the more telling."""
        limits, due = self.limits, list[tuple[float, _Timed]]()
        if limits.headers_s is not None and not self.answered():
            due.append((self.started_s + limits.headers_s, TimeLimit.HEADERS))
        if self.flow.is_open:
            if limits.first_token_s is not None and self.alert:
                due.append((self.first_deadline_s, TimeLimit.FIRST_TOKEN))
            if limits.idle_s is not None:
                due.append((self.idle_since_s() + limits.idle_s, TimeLimit.IDLE))
            if self.window_ends_s < math.inf:
                due.append((self.window_ends_s, TimeLimit.RATE))
        if limits.total_s is not None:
            due.append((self.started_s + limits.total_s, TimeLimit.TOTAL))
        return min(due, key=itemgetter(0), default=None)

    def answered(self) -> bool:
        """Whether the response's headers are there; what an earlier attempt read is not this one's."""
        exchange = self.exchange
        return exchange is None or exchange.status is not None or exchange.reads > self.seen_before[0]

    def idle_since_s(self) -> float:
        """Since when nothing has come; now, while there are no headers and so nothing that could be idle."""
        if not self.answered():
            return self.clock()
        last_read_s = self.opened_s if self.exchange is None else self.exchange.last_read_s
        return max(self.opened_s, self.last_token_s, last_read_s)

    def fast_enough(self) -> bool:
        """Whether the window that ends now brought enough; the next one begins."""
        limits = self.limits
        enough = self.quarters >= 4 * (limits.min_tokens_per_s or 0.0) * limits.rate_window_s
        if enough:
            self.quarters = 0
            self.window_ends_s = self.clock() + limits.rate_window_s
        return enough

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
        late = earliest is not None and earliest[0] - self.clock() <= SLACK_S
        if earliest is None or not late or (earliest[1] is TimeLimit.RATE and self.fast_enough()):
            self.arm()
            return
        error = self.error_of(earliest[1])
        self.source.dispose()
        self.on_error(error)

    def error_of(self, limit: _Timed) -> StreamTimeout:
        limits, exchange, phase = self.limits, self.exchange, Phase.FIRST_TOKEN if self.alert else Phase.FLOW
        match limit:
            case TimeLimit.HEADERS:
                message, phase = f"no response headers within {limits.headers_s:g} s of the request", Phase.HEADERS
            case TimeLimit.FIRST_TOKEN:
                message = f"no token within {limits.first_token_s:g} s of the request"
            case TimeLimit.IDLE:
                message = f"nothing arrived for {limits.idle_s:g} s"
            case TimeLimit.RATE:
                message = (
                    f"too slow: about {self.quarters / 4:g} tokens in {limits.rate_window_s:g} s, "
                    f"where {limits.min_tokens_per_s:g} a second are asked for"
                )
            case TimeLimit.TOTAL:
                message, phase = f"the answer did not end within {limits.total_s:g} s", Phase.FLOW
        if exchange is not None:
            reads, size = exchange.reads - self.seen_before[0], exchange.bytes_read - self.seen_before[1]
            without = " without a token" if self.alert else ""
            message += f"; {reads} reads brought {size} bytes{without}" if reads else "; not one byte came"
        elif limit is TimeLimit.IDLE and self.alert:
            message += ", and no token before that"
        return StreamTimeout(limit, message, phase, exchange)

    def stop(self) -> None:
        """No timer and no listener stay; nothing is emitted any more."""
        if self.ended:
            return  # the next attempt may run by now, and the exchange be its own
        self.ended = self.alert = True
        self.timer.dispose()
        self.listening.dispose()
        if self.exchange is not None and self.limits.connect_s is not None:
            self.exchange.connect_s = self.connect_before_s

    def on_error(self, error: Exception) -> None:
        if not self.ended:
            self.stop()
            self.receiver.on_error(error)

    def on_completed(self) -> None:
        if not self.ended:
            self.stop()
            self.receiver.on_completed()
