"""The end of a stream's pipeline: tokens become frames, the end becomes exactly one terminal frame."""

import asyncio
from collections.abc import Callable
from typing import get_args

from reactivex import Observable
from reactivex.abc import SchedulerBase
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from rxlapce.codec.frame import Flag
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, FlowControl
from rxlapce.happenings import Failed
from rxlapce.messages import NUMBERS, ErrorBody, StreamChunk, StreamDone, StreamError, encode, encoder
from rxlapce.operators.backpressure import BufferStats, buffer_with_backpressure
from rxlapce.operators.stages import StageGauges
from rxlapce.routing.way import DEFAULT_OUTLET, Outlet
from rxlapce.tokens import Finish, Seam, SeamWord, StreamToken, Text, ToolCall
from rxlapce.transports.writer import FrameWriter

CHUNK = NUMBERS[StreamChunk]
DONE = NUMBERS[StreamDone]
FAILED = NUMBERS[StreamError]
_encode = encoder.encode
_TOKENS = frozenset(get_args(StreamToken))
#: How long a source may go on after its `Finish`, to read its connection to the end.
FINISH_GRACE_S = 2.0
PART_FLAGS = int(Flag.RESPONSE | Flag.STREAM_PART)
END_FLAGS = int(Flag.RESPONSE)


def error_frame(error: ProviderError, seq: int, delivered_chars: int | None = None) -> bytes:
    """The payload of the terminal frame of a request that failed; the error's own `delivered_chars` goes first."""
    members = error.to_dict()
    if error.delivered_chars is None:
        members["delivered_chars"] = delivered_chars
    return encode(StreamError(seq, ErrorBody(**members)))


class StreamSink:
    """One stream of one client: subscribes the pipeline and frames what it emits into `writer`.

    `demand` is closed while the writer is full or the client's credit is used up; the buffer before the sink then
    queues and closes the source's gate; `stages` looks at both while the stream runs. Text that had to wait is merged
    into longer chunks; whatever else waits goes as it came. `on_end(outcome)` is called once,
    after the terminal frame was handed to the writer; not when the stream is dropped because the client is gone.

    An error says how many characters of the answer the client has: as its pipeline counted them, else, as where the
    daemon itself ends the stream, as they were sent from here.
    """

    __slots__ = (
        "_before_calls",
        "_chars",
        "_credit",
        "_end",
        "_send_chunk",
        "_stages",
        "_subscription",
        "_watched",
        "demand",
        "exchange",
        "request_id",
        "seq",
        "writer",
    )

    def __init__(
        self,
        request_id: int,
        writer: FrameWriter,
        exchange: Exchange,
        credit: int | None,
        on_end: Callable[["StreamSink", str], None],
        stages: StageGauges,
    ) -> None:
        self.request_id = request_id
        self.writer = writer
        self.exchange = exchange
        self.seq = 0
        self.demand = FlowControl()
        self._send_chunk = writer.sender(CHUNK, PART_FLAGS, request_id)
        self._credit = credit
        self._chars = 0
        self._before_calls: int | None = None
        """Since the first tool call: the characters before it."""
        self._end: Callable[[StreamSink, str], None] | None = on_end
        self._subscription = SerialDisposable()
        self._stages = stages
        self._watched = SingleAssignmentDisposable()
        if credit == 0:
            self.demand.close("credit")

    def start(self, source: Observable[StreamToken], scheduler: SchedulerBase, outlet: Outlet = DEFAULT_OUTLET) -> None:
        """Subscribe. Everything that `source` does from now on ends in one terminal frame.

        `outlet` says how the buffer is in which tokens wait for the client.
        """
        stats, gate = BufferStats(), self.exchange.flow
        self._watched.disposable = self._stages.watch(
            "sink", buffer=stats, gate=gate, credit=None if self._credit is None else lambda: self._credit
        )
        buffered = source.pipe(
            buffer_with_backpressure(
                upstream=gate,
                downstream=self.demand,
                high_water=outlet.high_water,
                low_water=outlet.low_water,
                policy=outlet.policy,
                capacity=outlet.capacity,
                merge_chars=outlet.merge_chars,
                stats=stats,
            )
        )
        self._subscription.disposable = buffered.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )

    def add_credit(self, frames: int) -> None:
        """Let `frames` more chunks go; without effect for a stream that is not counted."""
        if self._credit is not None:
            self._credit += frames
            self.demand.open("credit")

    def cancel(self, error: ProviderError) -> None:
        """End the stream with `error` as its terminal frame, unless it has ended."""
        if self._end is not None:
            self._subscription.dispose()
            self._on_error(error)

    def drop(self) -> None:
        """Stop without a word: the client is gone."""
        self._end = None
        self._subscription.dispose()
        self._watched.dispose()

    def _on_next(self, token: StreamToken) -> None:
        try:
            if type(token) is Text:  # nearly all are: one comparison
                more = 0 if token.choice else len(token.text)
            elif type(token) is Finish:
                # Nothing but completion follows a Finish: the reader learns of the end now, not when the provider
                # closes.
                self._terminate(DONE, encode(StreamDone(self.seq, token)), token.kind.value)
                # A source of ours completes by itself by then; one that never does must not stay subscribed.
                asyncio.get_running_loop().call_later(FINISH_GRACE_S, self._subscription.dispose)
                return
            elif type(token) not in _TOKENS:
                self._subscription.dispose()
                self._on_error(TypeError(f"a {type(token).__name__} is no token"))
                return
            else:
                more = self._more_chars(token)
            self._send_chunk(_encode(StreamChunk(self.seq, token)))
        except (ValueError, TypeError) as error:
            # A token that no frame can hold (over 10 MiB, a lone surrogate) ends its own stream. Raised from here, it
            # would leave the loop that serves the connection's other streams.
            self.cancel(ProviderError(ErrorKind.PROTOCOL, f"a {type(token).__name__} token cannot be sent: {error}"))
            return
        self.seq += 1
        self._chars += more
        if self._credit is not None:
            self._credit -= 1
            if self._credit <= 0:
                self.demand.close("credit")

    def _more_chars(self, token: StreamToken) -> int:
        """How many more characters the client has with a token that is no text: none, or fewer at a seam."""
        if type(token) is ToolCall:
            if self._before_calls is None:
                self._before_calls = self._chars
        elif type(token) is Seam and token.word is not SeamWord.CONTINUE:
            kept = 0 if token.word is SeamWord.RESTART else self._before_calls
            if kept is not None:
                self._before_calls = None
                return kept - self._chars
        return 0

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, ProviderError):
            wrapped = ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} inside rxlapce: {error}")
            wrapped.__cause__ = error
            error = wrapped
        exchange, delivered_chars = self.exchange, self._chars if self.seq else None
        if self._end is not None:
            exchange.tell(Failed(provider=exchange.provider, model=exchange.model, error=error))
        self._terminate(FAILED, error_frame(error, self.seq, delivered_chars), error.kind.value)

    def _on_completed(self) -> None:
        # Only a handler of somebody else's can complete without a Finish: that is a truncated answer, not a success.
        if self._end is not None:
            self._on_error(ProviderError(ErrorKind.TRUNCATED, "the stream completed without a finish"))

    def _terminate(self, number: int, payload: bytes, outcome: str) -> None:
        end, self._end = self._end, None
        if end is not None:
            self._send_chunk = _ignore  # a source that goes on after its end is not heard
            self._watched.dispose()
            self.writer.send(number, END_FLAGS, self.request_id, payload)
            end(self, outcome)


def _ignore(payload: bytes) -> None:
    """What a stream sends after its terminal frame."""
