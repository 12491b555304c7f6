"""The sink `record`: what a client got, as tokens with their timing, in a file a request (`docs/recording.md`)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from rxlapce.errors import ProviderError
from rxlapce.off_loop import off_loop
from rxlapce.operators.record import RecordingFile
from rxlapce.operators.recording import RecordedError
from rxlapce.operators.redact import redact
from rxlapce.operators.redact_window import MAX_CANDIDATE_CHARS
from rxlapce.operators.tap import Outcome
from rxlapce.pipeline.copies.folder import RecordingFolder
from rxlapce.pipeline.copies.line import Ended, LineBounds, LinedCopy, Taken
from rxlapce.routing.traffic import Operator
from rxlapce.routing.way import Site
from rxlapce.secret import MIN_SCRUB_CHARS, Secret, scrub
from rxlapce.tokens import StreamToken

FORMAT: Final = "rxlapce-answer"
VERSION: Final = 1
SUFFIX: Final = ".answer"
#: A longer line is no line of a recording, in bytes.
MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class AnswerHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: who asked for what, by which pipeline. No field holds a secret, or a word of the request."""

    format: Literal["rxlapce-answer"] = "rxlapce-answer"
    version: Literal[1] = 1
    request_id: str = ""
    pipeline: str = ""
    user: str = ""
    client: str = ""
    asked: str = ""
    started: str = ""
    scrubbed: bool = False


class AnswerLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any other line: a token, or the end. `t` is in seconds since the answer was asked for."""

    t: float
    token: StreamToken | None = None
    end: Outcome | None = None
    error: RecordedError | None = None
    provider: str = ""
    model: str = ""
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """A recording, read: its tokens with their times, and how it ended; `end` is None for one that was cut off."""

    header: AnswerHeader
    tokens: tuple[tuple[float, StreamToken], ...]
    end: AnswerLine | None

    @property
    def whole(self) -> bool:
        """Whether it has all that the client got."""
        return self.end is not None and self.end.dropped == 0


def read_answer(path: Path) -> RecordedAnswer:
    """What was recorded at `path`, also in a `.part`: as far as its lines are whole.

    Raises `OSError`, and `ValueError` for a file that is no recording of an answer.
    """
    with path.open("rb") as file:
        try:
            header = msgspec.json.decode(file.readline(MAX_LINE_BYTES), type=AnswerHeader)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path.name} is no recording of an answer: {error}") from error
        lines = list(_whole_lines(iter(lambda: file.readline(MAX_LINE_BYTES), b"")))
    tokens = tuple((line.t, line.token) for line in lines if line.token is not None)
    return RecordedAnswer(header, tokens, next((line for line in lines if line.end is not None), None))


def _whole_lines(lines: Iterable[bytes]) -> Iterator[AnswerLine]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=AnswerLine)
        except msgspec.MsgspecError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecorder:
    """The sink: a new file in `folder` for each answer, of at most `max_bytes` of tokens."""

    pipeline: str
    folder: RecordingFolder
    max_bytes: int
    bounds: LineBounds

    def copy(self, site: Site) -> LinedCopy:
        """See `routing.way.CopySink`."""
        scrub = scrubbing(site.secrets)
        carrier = _Recording(self, site, scrubbed=scrub is not None)
        return LinedCopy(site, (self.pipeline, "record"), carrier, self.bounds, scrub)


def scrubbing(secrets: Iterable[Secret]) -> Operator | None:
    """What takes the values of `secrets` out of tokens, however they are cut; None if there are none.

    Values shorter than `MIN_SCRUB_CHARS` are left alone, as in `secret.scrub`.
    """
    values = {secret.reveal() for secret in secrets}
    kept = sorted((value for value in values if len(value) >= MIN_SCRUB_CHARS), key=lambda value: (-len(value), value))
    if not kept:
        return None
    longest = min(len(kept[0]), MAX_CANDIDATE_CHARS)
    patterns = {f"secret {number}": re.escape(value) for number, value in enumerate(kept, 1)}
    return redact(patterns, max_match_chars=longest, arguments=True)


class _Recording:
    """One answer's file on its way (`line.Carrier`)."""

    def __init__(self, recorder: AnswerRecorder, site: Site, *, scrubbed: bool) -> None:
        self._recorder = recorder
        self._exchange = site.exchange
        self._secrets = site.secrets
        self._troubles: list[Exception] = []
        self._left = recorder.max_bytes
        self._cut = 0
        self._file: RecordingFile | None = None
        self._header = AnswerHeader(
            request_id=site.exchange.request_id,
            pipeline=recorder.pipeline,
            user=site.exchange.user,
            client=site.exchange.client,
            asked=site.request.model,
            started=datetime.now(UTC).isoformat(timespec="milliseconds"),
            scrubbed=scrubbed,
        )

    async def carry(self, taken: Sequence[Taken]) -> None:
        """See `Carrier`."""
        await self._on_disk([AnswerLine(t=round(one.at_s, 6), token=one.token) for one in taken])

    async def finish(self, ended: Ended) -> None:
        """See `Carrier`."""
        end = AnswerLine(
            t=round(ended.at_s, 6),
            end=ended.outcome,
            error=None if ended.error is None else _told(ended.error, self._secrets),
            provider=self._exchange.provider,
            model=self._exchange.model,
            dropped=ended.dropped + self._cut,
        )
        await self._on_disk([], end)

    def give_up(self) -> None:
        """See `Carrier`. What has been written stays, as far as it goes."""
        if self._file is not None:
            self._file.give_up(EOFError())

    async def _on_disk(self, lines: Sequence[AnswerLine], end: AnswerLine | None = None) -> None:
        await off_loop(partial(self._write, lines, end), "copy to disk")
        if self._troubles:
            raise self._troubles[0]

    def _write(self, lines: Sequence[AnswerLine], end: AnswerLine | None) -> None:
        file = self._file or self._begin()
        for line in lines:
            said: dict[str, object] = msgspec.to_builtins(line)
            self._left -= len(str(said))
            if self._left < 0:  # what comes after the first that has no room would make no sense without it
                self._cut += 1
            else:
                file.add(said)
        if end is not None:
            file.add(msgspec.to_builtins(end))
            file.finish()

    def _begin(self) -> RecordingFile:
        folder = self._recorder.folder
        folder.make()
        folder.tidy()
        file = self._file = RecordingFile(folder.new_path(self._exchange.request_id), self._troubles.append)
        file.add(msgspec.to_builtins(self._header))
        return file


def _told(error: Exception, secrets: Sequence[Secret]) -> RecordedError:
    """The error as a recording has it; of one that is no `ProviderError` nothing but its class's name."""
    if not isinstance(error, ProviderError):
        return RecordedError(type(error).__name__)
    told = {name: scrub(said, secrets) if isinstance(said, str) else said for name, said in error.to_dict().items()}
    return msgspec.convert(told, RecordedError)
