"""A recording as it stands in its file (`docs/recording.md`): a header, reads with their times, an end."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry

#: A longer line is no line of a recording, in bytes: a read of 48 MiB.
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
#: From this HTTP status on a recording is of a refusal: it failed, and its body is whole all the same.
FIRST_ERROR: Final = 300


class RecordedError(msgspec.Struct, frozen=True):
    """`ProviderError.to_dict`, or of another error nothing but its class's name."""

    message: str
    kind: ErrorKind = ErrorKind.INTERNAL
    retry: Retry | None = None
    phase: Phase = Phase.FLOW
    retry_after_s: float | None = None
    status: int | None = None
    provider: str | None = None
    request_id: str | None = None
    raw: str | None = None
    delivered_chars: int | None = None

    def revived(self) -> ProviderError:
        """The error that was recorded."""
        error = ProviderError(
            self.kind,
            self.message,
            retry=self.retry,
            phase=self.phase,
            retry_after_s=self.retry_after_s,
            status=self.status,
            provider=self.provider,
            request_id=self.request_id,
            raw=self.raw,
        )
        error.delivered_chars = self.delivered_chars
        return error


class RecordingHeader(msgspec.Struct, frozen=True):
    """The first line of a recording; `docs/recording.md` has what its fields mean."""

    format: Literal["rxlapce-recording"]
    version: Literal[1]
    provider: str = ""
    api: str = ""
    model: str = ""
    status: int | None = None
    content_type: str = ""
    started: str = ""
    scrubbed: bool = False
    framing: str = ""
    path: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    answered: float | None = None


class RecordingLine(msgspec.Struct, frozen=True):
    """Any other line: bytes, or the end."""

    t: Annotated[float, msgspec.Meta(ge=0)]
    b64: bytes | None = None
    end: Literal["completed", "failed", "disposed"] | None = None
    error: RecordedError | None = None


class Torn(Exception):
    """The recording goes no further than this, though its end has not come."""


class RecordingReader:
    """The lines of one recording, one at a time. Raises `OSError`, `ValueError` if it is none, and `Torn`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 1
        self._file: BufferedReader = path.open("rb")
        try:
            line = self._file.readline(MAX_LINE_BYTES)
            self.header = msgspec.json.decode(line, type=RecordingHeader)
        except msgspec.MsgspecError as error:
            self.close()
            raise ValueError(f"{path.name} is no recording that this version can play: {error}") from error
        except BaseException:
            self.close()
            raise

    def read(self) -> RecordingLine:
        """The next line."""
        self._lines += 1
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise Torn(f"{self._path.name} is torn: it has no end after its line {self._lines - 1}")
        if not line.endswith(b"\n"):
            raise Torn(f"{self._path.name} is torn in line {self._lines}")
        try:
            return msgspec.json.decode(line, type=RecordingLine)
        except msgspec.MsgspecError as error:
            raise Torn(f"{self._path.name} is torn: line {self._lines}: {error}") from error

    def close(self) -> None:
        """Close the file; nothing may be read any more."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording in memory: its header, each read's time in seconds and bytes, and how it ended.

    `end` is None where the file is torn: the writer died, or what came behind the last read was cut off.
    """

    header: RecordingHeader
    reads: tuple[tuple[float, bytes], ...]
    end: RecordingLine | None

    @property
    def body(self) -> bytes:
        """All bytes."""
        return b"".join(data for _, data in self.reads)

    @property
    def whole(self) -> bool:
        """Whether the stream that was recorded completed."""
        return self.end is not None and self.end.end == "completed"


def read_recording(path: Path) -> Recording:
    """What is in the file at `path`, up to its last whole line.

    Raises `OSError` for a file that cannot be read, and `ValueError`, with what came instead, for one that is no
    recording. Holds all of it: `operators.replay` plays one of any size.
    """
    reader = RecordingReader(path)
    reads: list[tuple[float, bytes]] = []
    end: RecordingLine | None = None
    try:
        while end is None:
            line = reader.read()
            if line.b64 is not None:
                reads.append((line.t, line.b64))
            elif line.end is not None:
                end = line
    except Torn:
        pass
    finally:
        reader.close()
    return Recording(reader.header, tuple(reads), end)
