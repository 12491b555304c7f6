"""The sinks besides the client: `record`, `unix` and `memory`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rxlapce.pipeline.copies.answers import SUFFIX, AnswerRecorder
from rxlapce.pipeline.copies.folder import RecordingFolder
from rxlapce.pipeline.copies.line import LineBounds, WhenFull
from rxlapce.pipeline.copies.memory import MemorySink
from rxlapce.pipeline.copies.socket import SocketSink
from rxlapce.registry import SECONDS, Kind, Shape, check_ranges, option, required
from rxlapce.routing.way import Setup

#: How long lines of a recording wait for others, in seconds, so that a write is worth a thread.
GATHER_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """Where answers are recorded, and how many of them stay."""

    folder: str = required(help="where the files are; made if it is not there; ~ is your own folder")
    max_bytes: int = option(
        64 * 2**20, help="of a longer answer the beginning is recorded, and how much is missing", unit="bytes",
        at_least=1,
    )  # fmt: skip
    keep_files: int = option(1000, help="of more recordings the oldest are removed", unit="files", at_least=1)
    keep_bytes: int = option(2**30, help="of a larger folder the oldest are removed", unit="bytes", at_least=1)
    capacity: int = option(4096, help="so many tokens of an answer wait for a slow disk", unit="tokens", at_least=1)
    when_full: WhenFull = option(
        WhenFull.DROP_NEWEST,
        help="what a slow disk does: drop_newest leaves tokens out of the recording, which says so; pause lets the "
        "client wait too",
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketOptions:
    """Who listens, and what becomes of a copy that its reader does not take."""

    path: str = required(help="the socket's path; whoever listens there is of your own user; ~ is your own folder")
    stall_s: float = option(
        10.0, help="a reader that takes nothing for so long gets no more of this answer", unit=SECONDS, above=0
    )
    capacity: int = option(1024, help="so many tokens of an answer wait for the reader", unit="tokens", at_least=1)
    when_full: WhenFull = option(
        WhenFull.DROP_NEWEST,
        help="what a slow reader does: drop_newest leaves tokens out of its copy, which ends in an error; pause lets "
        "the client wait too",
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """How much is remembered."""

    streams: int = option(16, help="so many answers, the oldest of which is forgotten for a new one", unit="answers",
                          at_least=1)  # fmt: skip
    tokens: int = option(4096, help="of a longer answer the beginning", unit="tokens", at_least=1)

    def __post_init__(self) -> None:
        check_ranges(self)


def _record(options: RecordOptions, setup: Setup) -> AnswerRecorder:
    folder = RecordingFolder(
        path=Path(options.folder).expanduser(),
        suffix=SUFFIX,
        keep_files=options.keep_files,
        keep_bytes=options.keep_bytes,
    )
    bounds = LineBounds(capacity=options.capacity, when_full=options.when_full, gather_s=GATHER_S)
    return AnswerRecorder(pipeline=setup.pipeline, folder=folder, max_bytes=options.max_bytes, bounds=bounds)


def _socket(options: SocketOptions, setup: Setup) -> SocketSink:
    bounds = LineBounds(capacity=options.capacity, when_full=options.when_full)
    path = Path(options.path).expanduser()
    return SocketSink(pipeline=setup.pipeline, path=path, stall_s=options.stall_s, bounds=bounds)


def _memory(options: MemoryOptions, _: Setup) -> MemorySink:
    return MemorySink(options.streams, options.tokens)


RECORD_ANSWER: Final = Kind(
    name="record",
    summary="A file for each answer: its tokens with their timing, as the client gets them, without secrets",
    takes=Shape.TOKENS,
    gives=None,
    options=RecordOptions,
    make=_record,
    bound="`capacity` tokens wait for the disk; what comes then is left out of the file, or waits (`when_full`)",
    example="record: {folder: ~/recordings, keep_files: 100}",
)
UNIX: Final = Kind(
    name="unix",
    summary="Frames of each answer for whoever listens on a Unix socket",
    takes=Shape.TOKENS,
    gives=None,
    options=SocketOptions,
    make=_socket,
    bound="`capacity` tokens wait for the reader; what comes then is left out of its copy, or waits (`when_full`)",
    example="unix: {path: ~/watch.sock}",
)
MEMORY: Final = Kind(
    name="memory",
    summary="The last answers in memory, for tests and notebooks",
    takes=Shape.TOKENS,
    gives=None,
    options=MemoryOptions,
    make=_memory,
    bound="the last `streams` answers, of each the first `tokens`",
    example="memory: {streams: 8}",
)
