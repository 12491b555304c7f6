"""Kept conversations: a file of JSON lines for each, which is only ever appended to.

    {"type": "asked", "id": "3f…", "at": "2026-11-23T08:00:00Z", "model": "openai/x", "question": "…"}
    {"type": "answered", "id": "3f…", "at": "…", "shown": {…}, "turn": {…}}

The question is written when it is asked, so that it survives whatever happens to the answer. A line that is torn (the
machine lost its power, the disk was full) or not understood (a newer version wrote it) costs itself and no other.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from rxlapce.chat.conversation import Kept
from rxlapce.chat.safe import one_line
from rxlapce.chat.turns import Shown, Standing
from rxlapce.requests import Message

#: Beyond these the oldest conversations are deleted, when a new one begins.
MAX_CHATS: Final = 200
MAX_BYTES: Final = 64 << 20
#: Of one conversation, the most that is read.
MAX_READ_BYTES: Final = 16 << 20
TITLE_CHARS: Final = 120
SUFFIX: Final = ".jsonl"


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """A question, as it was asked."""

    id: str
    at: str
    model: str
    question: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The end of the question `id`."""

    id: str
    at: str
    shown: Shown
    turn: Message


Line = Asked | Answered
_lines: Final = msgspec.json.Decoder(Line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A kept conversation as a list shows it."""

    name: str
    title: str
    model: str
    when: datetime
    bytes: int


def default_folder() -> Path | None:
    """`$XDG_STATE_HOME/rxlapce/chats`, else under `~/.local/state`; None for a user without a home."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification: a relative one is invalid and ignored
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            return None
    return state / "rxlapce" / "chats"


def read_lines(data: bytes) -> Iterator[Line]:
    """The lines that are whole and understood, in their order."""
    for line in data.split(b"\n"):
        if line.strip():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield _lines.decode(line)


def conversation_of(lines: Iterator[Line]) -> list[Kept]:
    """The turns that the lines tell, in the order of their questions.

    A question without an answer was cut off: it counts as cancelled. An answer whose question was torn is left out.
    """
    asked: dict[str, Asked] = {}
    answered: dict[str, Answered] = {}
    for line in lines:
        if isinstance(line, Asked):
            asked.setdefault(line.id, line)
        else:
            answered[line.id] = line
    return [_kept(question, answered.get(key)) for key, question in asked.items()]


def _kept(question: Asked, answer: Answered | None) -> Kept:
    if answer is None:
        shown, turn = Shown(standing=Standing.CANCELLED), Message(role="assistant")
    elif answer.shown.ended:
        shown, turn = answer.shown, answer.turn
    else:
        shown, turn = msgspec.structs.replace(answer.shown, standing=Standing.CANCELLED), answer.turn
    return Kept(question=question.question, model=question.model, shown=shown, turn=turn)


class History:
    """The folder of kept conversations: 0700, its files 0600. With `folder` None nothing is kept.

    Raises OSError where the folder or a file cannot be read or written; who calls tells it, and goes on without.
    """

    def __init__(self, folder: Path | None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._now = now

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def new_name(self) -> str:
        """The name of a conversation that begins now; names sort by their beginning."""
        return f"{self._now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"

    def asked(self, name: str, model: str, question: str) -> str:
        """Keep a question; returns the id by which its answer is kept."""
        key = secrets.token_hex(8)
        if self._folder is not None and not (self._folder / f"{name}{SUFFIX}").exists():
            self._make_room()
        self._append(name, Asked(key, self._stamp(), model, question))
        return key

    def answered(self, name: str, key: str, kept: Kept) -> None:
        """Keep the end of a question; of a conversation that was deleted meanwhile nothing is kept."""
        with contextlib.suppress(FileNotFoundError):
            self._append(name, Answered(key, self._stamp(), kept.shown, kept.turn))

    def load(self, name: str) -> list[Kept]:
        """The turns of a conversation; none if there is no such. Of a file past the bound, those at its end."""
        if self._folder is None:
            return []
        try:
            with self._path(name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MAX_READ_BYTES))
                return conversation_of(read_lines(file.read(MAX_READ_BYTES)))
        except FileNotFoundError:
            return []

    def chats(self) -> list[Chat]:
        """All that are kept, the one that was last written to first."""
        found = [chat for path in self._files() if (chat := _chat(path)) is not None]
        return sorted(found, key=lambda chat: chat.when, reverse=True)

    def last_model(self) -> str | None:
        """The model that was last asked."""
        newest = max(self._files(), key=_written, default=None)
        turns = [] if newest is None else self.load(newest.stem)
        return turns[-1].model if turns else None

    def delete(self, name: str) -> None:
        """Forget a conversation; without effect if there is none."""
        if self._folder is not None:
            self._path(name).unlink(missing_ok=True)

    # -- files ----------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        if self._folder is None or not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"no conversation is called {name!r}")
        return self._folder / f"{name}{SUFFIX}"

    def _files(self) -> list[Path]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if path.suffix == SUFFIX]

    def _stamp(self) -> str:
        return f"{self._now():%Y-%m-%dT%H:%M:%SZ}"

    def _append(self, name: str, line: Line) -> None:
        """One write of one line, after the end of the line that a torn one before it lacks."""
        if self._folder is None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = msgspec.json.encode(line) + b"\n"
        begin = os.O_CREAT if isinstance(line, Asked) else 0  # an answer alone says nothing
        descriptor = os.open(self._path(name), os.O_RDWR | os.O_APPEND | begin | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:  # a full disk takes a part: the next line begins on a line of its own
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def _make_room(self) -> None:
        """Delete the oldest, so that with one more the bounds hold."""
        files = sorted(self._files(), key=_written)
        sizes = [_size(path) for path in files]
        total = sum(sizes)
        for number, (path, size) in enumerate(zip(files, sizes, strict=True)):
            if len(files) - number < MAX_CHATS and total <= MAX_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= size


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another panel has deleted it
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _chat(path: Path) -> Chat | None:
    """What the first line that is whole says of a conversation; None of a file that says nothing."""
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            pieces = iter(lambda: file.readline(MAX_READ_BYTES), b"")
            for line in (line for piece in pieces for line in read_lines(piece)):
                if isinstance(line, Asked):
                    when = datetime.fromtimestamp(about.st_mtime, UTC)
                    title = one_line(line.question, TITLE_CHARS)
                    return Chat(name=path.stem, title=title, model=line.model, when=when, bytes=about.st_size)
    except OSError:
        return None
    return None
