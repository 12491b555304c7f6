"""The end of a stream's pipeline: tokens become frames, the end becomes exactly one terminal frame."""

import asyncio
from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import SchedulerBase
from reactivex.disposable import SerialDisposable

from rxlapce.codec.frame import Flag
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, FlowControl
from rxlapce.messages import NUMBERS, ErrorBody, StreamChunk, StreamDone, StreamError, encode, encoder
from rxlapce.operators.backpressure import buffer_with_backpressure
from rxlapce.operators.tap import StreamStats, metrics_tap
from rxlapce.tokens import Finish, StreamToken
from rxlapce.transports.writer import FrameWriter

CHUNK = NUMBERS[StreamChunk]
DONE = NUMBERS[StreamDone]
FAILED = NUMBERS[StreamError]
_encode = encoder.encode
#: How long a source may go on after its `Finish`, to read its connection to the end.
FINISH_GRACE_S = 2.0
PART_FLAGS = int(Flag.RESPONSE | Flag.STREAM_PART)
END_FLAGS = int(Flag.RESPONSE)


def error_frame(error: ProviderError, seq: int) -> bytes:
    """The payload of the terminal frame of a request that failed."""
    return encode(StreamError(seq, ErrorBody(**error.to_dict())))


class StreamSink:
    """One stream of one client: subscribes the pipeline and frames what it emits into `writer`.

    `demand` is closed while the writer is full or the client's credit is used up; the buffer before the sink then
    queues and closes the source's gate. `on_end(outcome)` is called once, after the terminal frame was handed to the
    writer; not when the stream is dropped because the client is gone.
    """

    __slots__ = (
        "_credit",
        "_end",
        "_send_chunk",
        "_subscription",
        "demand",
        "exchange",
        "request_id",
        "seq",
        "stats",
        "writer",
    )

    def __init__(
        self,
        request_id: int,
        writer: FrameWriter,
        exchange: Exchange,
        credit: int | None,
        on_end: Callable[["StreamSink", str], None],
    ) -> None:
        self.request_id = request_id
        self.writer = writer
        self.exchange = exchange
        self.seq = 0
        self.stats = StreamStats()
        self.demand = FlowControl()
        self._send_chunk = writer.sender(CHUNK, PART_FLAGS, request_id)
        self._credit = credit
        self._end: Callable[[StreamSink, str], None] | None = on_end
        self._subscription = SerialDisposable()
        if credit == 0:
            self.demand.close("credit")

    def start(self, source: Observable[StreamToken], scheduler: SchedulerBase) -> None:
        """Subscribe. Everything that `source` does from now on ends in one terminal frame."""
        tapped = source.pipe(
            metrics_tap(self.stats, exchange=self.exchange),
            buffer_with_backpressure(upstream=self.exchange.flow, downstream=self.demand),
        )
        self._subscription.disposable = tapped.subscribe(
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

    def _on_next(self, token: StreamToken) -> None:
        try:
            if type(token) is Finish:
                # Nothing but completion follows a Finish: the reader learns of the end now, not when the provider
                # closes.
                self._terminate(DONE, encode(StreamDone(self.seq, token)), token.kind.value)
                # A source of ours completes by itself by then; one that never does must not stay subscribed.
                asyncio.get_running_loop().call_later(FINISH_GRACE_S, self._subscription.dispose)
                return
            self._send_chunk(_encode(StreamChunk(self.seq, token)))
        except (ValueError, TypeError) as error:
            # A token that no frame can hold (over 10 MiB, a lone surrogate) ends its own stream. Raised from here, it
            # would leave the loop that serves the connection's other streams.
            self.cancel(ProviderError(ErrorKind.PROTOCOL, f"a {type(token).__name__} token cannot be sent: {error}"))
            return
        self.seq += 1
        if self._credit is not None:
            self._credit -= 1
            if self._credit <= 0:
                self.demand.close("credit")

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, ProviderError):
            wrapped = ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} inside rxlapce: {error}")
            wrapped.__cause__ = error
            error = wrapped
        self._terminate(FAILED, error_frame(error, self.seq), error.kind.value)

    def _on_completed(self) -> None:
        # Only a handler of somebody else's can complete without a Finish: that is a truncated answer, not a success.
        if self._end is not None:
            self._on_error(ProviderError(ErrorKind.TRUNCATED, "the stream completed without a finish"))

    def _terminate(self, number: int, payload: bytes, outcome: str) -> None:
        end, self._end = self._end, None
        if end is not None:
            self._send_chunk = _ignore  # a source that goes on after its end is not heard
            self.writer.send(number, END_FLAGS, self.request_id, payload)
            end(self, outcome)


def _ignore(payload: bytes) -> None:
    """What a stream sends after its terminal frame."""
