"""`replay`: a recording of `record`, sent again with its timing."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SerialDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, clock_of
from rxlapce.operators.recording import RecordedError, RecordingLine, RecordingReader, Torn

#: What an event loop's timer may be early by, in seconds.
SLACK_S: Final = 0.001


def replay(path: Path, *, speed: float = 1.0, exchange: Exchange | None = None) -> Observable[bytes]:
    """Emit the bytes of the recording at `path`, each read as it came, at the times at which they came.

        recording   0.2 a, 0.5 b, end 1.1 completed
        result      --a--b-----|                        speed 2: -a-b--|     speed 0: (ab|), one a round of the loop

    Cold: each subscription plays from the start. `speed` (from 0) divides all times; 0 waits for nothing but the next
    round of the scheduler. While `exchange.flow` is closed nothing is emitted; what has become due by then follows when
    it opens, as from a socket. `exchange` is told of status, content type, provider, model and each read, as by the
    HTTP client. Ends as the recording did: completion or the recorded `ProviderError`. A recording whose reader left
    ends with kind `cancelled`, a torn one after its last whole line with kind `truncated`, a file that is none or that
    cannot be read with kind `internal`. Times come from the scheduler of the subscription, or the running loop's
    without one. Disposing closes the file. Holds one read; one timer at a time.

    Raises `ValueError` for a speed out of range.
    """
    if not 0 <= speed < float("inf"):
        raise ValueError(f"speed must be 0 or more, not {speed}")
    told = exchange if exchange is not None else Exchange()

    def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
        try:
            reader = RecordingReader(path)
        except (OSError, ValueError) as error:
            receiver.on_error(_failure(ErrorKind.INTERNAL, f"cannot replay: {error}", error))
            return Disposable()
        chosen = scheduler if scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        player = _Player(reader, receiver, chosen, clock_of(scheduler), speed, told)
        player.start()
        return Disposable(player.stop)

    return Stage(on_subscribe)


class _Player:
    """One subscription's way through its recording."""

    def __init__(
        self,
        reader: RecordingReader,
        receiver: Receiver[bytes],
        scheduler: SchedulerBase,
        clock: Callable[[], float],
        speed: float,
        exchange: Exchange,
    ) -> None:
        self._reader = reader
        self._receiver = receiver
        self._scheduler = scheduler
        self._clock = clock
        self._speed = speed
        self._exchange = exchange
        self._started_s = clock()
        self._line: RecordingLine | None = None
        self._torn: Torn | None = None
        self._ended = False
        self._timer = SerialDisposable()
        self._listening = exchange.flow.on_change(self._arm)

    def start(self) -> None:
        header, exchange = self._reader.header, self._exchange
        exchange.status, exchange.content_type = header.status, header.content_type
        exchange.provider = exchange.provider or header.provider
        exchange.model = exchange.model or header.model
        self._advance()

    def stop(self) -> None:
        """Nothing is emitted any more; no file, timer or listener stays."""
        self._ended = True
        self._timer.dispose()
        self._listening.dispose()
        self._reader.close()

    def _advance(self) -> None:
        """Read the next line and wait for its time."""
        self._line = None
        try:
            self._line = self._reader.read()
        except Torn as torn:
            self._torn = torn
        except OSError as error:
            self._fail(_failure(ErrorKind.INTERNAL, f"cannot replay: {error}", error))
            return
        self._arm()

    def _arm(self) -> None:
        """Set the timer for the line in hand, unless the gate is closed: its opening comes here too."""
        if self._ended or not self._exchange.flow.is_open:
            return
        self._timer.disposable = self._scheduler.schedule_relative(max(0.0, self._due_in_s()), self._on_timer)

    def _due_in_s(self) -> float:
        if self._line is None or self._speed == 0:
            return 0.0
        return self._started_s + self._line.t / self._speed - self._clock()

    def _on_timer(self, scheduler: SchedulerBase, state: object = None) -> None:
        line = self._line
        if self._ended or not self._exchange.flow.is_open:
            return
        if self._due_in_s() > SLACK_S:
            self._arm()
        elif line is None:
            self._fail(_failure(ErrorKind.TRUNCATED, str(self._torn), self._torn))
        elif line.b64 is not None:
            self._emit(line.b64)
        elif line.end == "completed":
            self.stop()
            self._receiver.on_completed()
        elif line.end == "failed":
            self._fail((line.error or RecordedError("the recorded stream failed")).revived())
        elif line.end == "disposed":
            self._fail(_failure(ErrorKind.CANCELLED, "the recording ends where its reader left the stream"))
        else:
            self._advance()  # a line of a later minor version

    def _emit(self, data: bytes) -> None:
        exchange = self._exchange
        exchange.last_read_s = self._clock()
        exchange.bytes_read += len(data)
        exchange.reads += 1
        self._receiver.on_next(data)
        if not self._ended:
            self._advance()

    def _fail(self, error: ProviderError) -> None:
        self.stop()
        self._receiver.on_error(error)


def _failure(kind: ErrorKind, message: str, cause: Exception | None = None) -> ProviderError:
    failure = ProviderError(kind, message)
    failure.__cause__ = cause
    return failure
