"""`record`: what a provider sent, with its timing, in a file that `replay` plays (`docs/recording.md`)."""

import base64
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, TextIO

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, clock_of, connect
from rxlapce.secret import MASK, MIN_SCRUB_CHARS, Secret

FORMAT: Final = "rxlapce-recording"
VERSION: Final = 1
#: Lines are written when they have become this many characters, in one write; and at the end.
WRITE_CHARS: Final = 64 * 1024
#: A recording that has become this large, in bytes of the provider's, goes no further.
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024

Scrub = Callable[[bytes], bytes]


class Scrubber(Protocol):
    """Takes secrets out of bytes that come in pieces: `feed` and `close` together give them all, cleaned."""

    def feed(self, data: bytes) -> bytes:
        """What can be kept of `data` and of what was held back before it."""
        ...

    def close(self) -> bytes:
        """What was held back."""
        ...


class SecretScrubber:
    """Replaces every occurrence of `secrets` by the mask, also one that is split over pieces.

    Holds back only an end that a secret may begin with: fewer bytes than the longest has. `close` masks a beginning of
    at least `MIN_SCRUB_CHARS` characters too. Values shorter than that are left alone, as in `secret.scrub`. A value
    that JSON writes with escapes (a quote, a letter that is not ASCII, a slash as PHP has it) is found so, too.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        values = {form.encode() for secret in secrets for form in secret.forms()}
        self._values = sorted(values, key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """See `Scrubber`."""
        data = self._held + data
        out: list[bytes] = []
        pos = 0
        while True:
            found = [(at, -len(value), value) for value in self._values if (at := data.find(value, pos)) >= 0]
            held_at = self._held_at(data, pos)
            if not found or min(found)[0] >= held_at:
                break
            at, _, value = min(found)
            out += (data[pos:at], MASK.encode())
            pos = at + len(value)
        self._held = data[held_at:]
        return b"".join((*out, data[pos:held_at]))

    def close(self) -> bytes:
        """See `Scrubber`."""
        held, self._held = self._held, b""
        for value in self._values:
            held = held.replace(value, MASK.encode())
        if any(len(held) >= MIN_SCRUB_CHARS and value.startswith(held) for value in self._values):
            return MASK.encode()
        return held

    def _held_at(self, data: bytes, pos: int) -> int:
        """The first place from which the rest of `data` begins a longer secret."""
        longest = max(map(len, self._values), default=0)
        for place in range(max(pos, len(data) - longest + 1), len(data)):
            rest = data[place:]
            if any(len(value) > len(rest) and value.startswith(rest) for value in self._values):
                return place
        return len(data)


class RecordingFile:
    """One recording on its way to disk: `PATH.part`, mode 0600, which becomes `PATH` when it is whole.

    Lines wait until they are `WRITE_CHARS` and go in one write to the file system's cache, without fsync, so that the
    loop is never held up for long. The first failure (no space, no folder, no permission) ends the recording: it is
    told once to `on_trouble`, and never raised. What has been written by then stays as `PATH.part`.
    """

    def __init__(self, path: Path, on_trouble: Callable[[Exception], None]) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._on_trouble = on_trouble
        self._lines: list[str] = []
        self._chars = 0
        self._file: TextIO | None = None
        self.alive = True
        """False after a failure or the end: nothing is written any more."""

    def add(self, line: dict[str, object]) -> None:
        """Queue one line, and write if there are enough."""
        if not self.alive:
            return
        text = json.dumps(line, separators=(",", ":")) + "\n"
        self._lines.append(text)
        self._chars += len(text)
        if self._file is None or self._chars >= WRITE_CHARS:
            self._guarded(self._write)

    def finish(self) -> None:
        """Write what waits and give the file its name."""
        if self.alive:
            self._guarded(self._rename)
            self.alive = False

    def give_up(self, error: Exception) -> None:
        """End the recording for good, and tell why."""
        if not self.alive:
            return
        self.alive = False
        self._lines.clear()
        if self._file is not None:
            with suppress(OSError):  # what could not be written cannot be flushed now
                self._file.close()
        self._on_trouble(error)

    def _write(self) -> None:
        if self._file is None:
            # Not followed if it is a link, and another recording's is not overwritten.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._part, flags, 0o600), "w", encoding="ascii", newline="\n")
        self._file.write("".join(self._lines))
        self._file.flush()
        self._lines.clear()
        self._chars = 0

    def _rename(self) -> None:
        self._write()
        if self._file is not None:
            self._file.close()
        self._part.replace(self._path)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self.give_up(error)


def record(
    path: Path,
    *,
    exchange: Exchange | None = None,
    api: str = "",
    framing: str = "",
    scrubber: Callable[[], Scrubber] | None = None,
    on_trouble: Callable[[Exception], None],
    max_bytes: int = DEFAULT_MAX_BYTES,
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Callable[[Observable[bytes]], Observable[bytes]]:
    """Hand bytes on, and write them to `path` with their timing, in the format of `docs/recording.md`.

        source  --a--b-----|
        result  --a--b-----|      path: header, 0.2 a, 0.5 b, end 1.1 completed

    A pure tap: the bytes and their end pass unchanged, and no failure of the recording reaches the stream: it is told
    once to `on_trouble` and ends the recording. `exchange` gives what the header tells of provider, model and response,
    read at the first bytes; and the body of a refusal (HTTP status from 300), which is recorded though no bytes of it
    pass. `api` and `framing` are told in the place of the exchange's. `scrubber` makes one for a subscription, which
    takes secrets out of the bytes: what it holds back is recorded with the bytes that release it.

    The file is `path` + ".part", mode 0600, until the stream has ended (also by disposal: outcome `disposed`), then
    `path`. It must be a new one for each subscription: one that is under way fails a second. Offsets are in seconds
    since the subscription, by its scheduler's clock. Memory: lines of `WRITE_CHARS` characters and one read. The file
    has at most `max_bytes` (from 1) of the provider's bytes. Runs where the bytes arrive.

    Raises `ValueError` for a bound out of range.
    """
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, not {max_bytes}")

    def recorded(source: Observable[bytes]) -> Observable[bytes]:
        def on_subscribe(receiver: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
            file = RecordingFile(path, on_trouble)
            clock = clock_of(scheduler)
            started_s = clock()
            tape = Tape(
                file,
                exchange=exchange if exchange is not None else Exchange(),
                api=api,
                framing=framing,
                scrubber=scrubber() if scrubber else None,
                max_bytes=max_bytes,
                started_s=started_s,
                wall_clock=wall_clock,
            )
            emit, upstream = receiver.on_next, SingleAssignmentDisposable()

            def on_next(data: bytes) -> None:
                tape.take(clock() - started_s, data)  # first: what comes downstream may dispose
                emit(data)

            def on_error(error: Exception) -> None:
                tape.end(clock() - started_s, "failed", error)
                receiver.on_error(error)

            def on_completed() -> None:
                tape.end(clock() - started_s, "completed")
                receiver.on_completed()

            def on_dispose() -> None:
                tape.end(clock() - started_s, "disposed")

            upstream.disposable = connect(source, Receiver(on_next, on_error, on_completed), scheduler)
            return CompositeDisposable(upstream, Disposable(on_dispose))

        return Stage(on_subscribe)

    return recorded


class Tape:
    """The lines of one recording, for `record`, and for who has bytes in his hand and no Observable.

    `exchange` is read when the first line is written, and for its `refusal`; `started_s` is of the clock that it has.
    Times are in seconds since then. Never raises: a failure ends the `file`, which tells it.
    """

    def __init__(
        self,
        file: RecordingFile,
        *,
        exchange: Exchange,
        api: str = "",
        framing: str = "",
        path: str = "",
        scrubber: Scrubber | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        started_s: float = 0.0,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._exchange = exchange
        self._api, self._framing, self._path = api, framing, path
        self._scrubber = scrubber
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._started_s = started_s
        self._wall_clock = wall_clock
        self._begun = False
        self._taken = False

    def take(self, at_s: float, data: bytes) -> None:
        """One read brought `data`."""
        if not self._file.alive:
            return
        self._begin()
        self._taken = True
        self._left -= len(data)
        if self._left < 0:
            self._file.give_up(OSError(f"the recording ends: the answer is larger than {self._max_bytes} bytes"))
            return
        self._add(at_s, data if self._scrubber is None else self._scrubber.feed(data))

    def end(self, at_s: float, outcome: str, error: Exception | None = None) -> None:
        """The stream ended so; without effect after the first call."""
        if not self._file.alive:
            return
        self._begin()
        if not self._taken and self._exchange.refusal:
            self.take(at_s, self._exchange.refusal)
        if self._scrubber is not None:
            self._add(at_s, self._scrubber.close())
        line: dict[str, object] = {"t": round(at_s, 6), "end": outcome}
        if error is not None:
            line["error"] = error.to_dict() if isinstance(error, ProviderError) else {"message": type(error).__name__}
        self._file.add(line)
        self._file.finish()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        exchange = self._exchange
        begun: dict[str, object] = {
            "format": FORMAT,
            "version": VERSION,
            "provider": exchange.provider,
            "api": self._api or exchange.api,
            "model": exchange.model,
            "status": exchange.status,
            "content_type": exchange.content_type,
            "started": self._wall_clock().astimezone(UTC).isoformat(timespec="milliseconds"),
            "scrubbed": self._scrubber is not None,
        }
        answered_s = exchange.answered_s
        later: dict[str, object] = {
            "framing": self._framing or exchange.framing,
            "path": self._path,
            "headers": dict(exchange.headers),
            "answered": answered_s and round(max(0.0, answered_s - self._started_s), 6),
        }
        self._file.add(begun | {name: value for name, value in later.items() if value not in ("", None, {})})

    def _add(self, at_s: float, data: bytes) -> None:
        if data:
            self._file.add({"t": round(at_s, 6), "b64": base64.b64encode(data).decode("ascii")})
