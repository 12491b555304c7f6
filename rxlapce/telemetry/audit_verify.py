"""Whether an audit log is as it was written: each row against its own hash, and against the row before."""

import hashlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from rxlapce.errors import ConfigError
from rxlapce.telemetry.audit_chain import GENESIS, MAX_ROW_BYTES, Head, Row, closed_files, read_row

#: Problems that are told one by one; the rest is counted.
MAX_TOLD: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where: the line counts from 1, 0 stands for the file as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(slots=True, kw_only=True)
class Verified:
    """What was found. `torn` are the places where a row was cut by a crash, and the next row says so: no problem."""

    files: int = 0
    rows: int = 0
    first_seq: int = 0
    head: Head = field(default_factory=Head)
    torn: list[Finding] = field(default_factory=list[Finding])
    problems: list[Finding] = field(default_factory=list[Finding])
    more_problems: int = 0

    def found(self, file: Path, line: int, message: str) -> None:
        """Note a problem."""
        if len(self.problems) < MAX_TOLD:
            self.problems.append(Finding(str(file), line, message))
        else:
            self.more_problems += 1


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: `row` is None for one that is no row."""

    file: Path
    number: int
    data: bytes
    row: Row | None


def files_of(path: Path) -> list[Path]:
    """The audit log that is written at `path`: its closed files, the oldest first, and itself, if it is there.

    Raises `ConfigError` if there is none of them.
    """
    files = [file for _, file in closed_files(path)]
    if path.exists():
        files.append(path)
    if not files:
        raise ConfigError(f"there is no audit log at {path}")
    return files


def lines_of(files: Iterable[Path]) -> Generator[Line]:
    """All lines, a file after the other. Holds one line; one that is too long for a row comes in pieces.

    Raises `ConfigError` for a file that cannot be read.
    """
    for path in files:
        try:
            with path.open("rb") as file:
                yield from _lines_in(path, file)
        except OSError as error:
            raise ConfigError(f"cannot read the audit log {path}: {error.strerror}") from error


def _lines_in(path: Path, file: BinaryIO) -> Generator[Line]:
    number = 0
    while data := file.readline(MAX_ROW_BYTES):
        number += 1
        yield Line(path, number, data, read_row(data.removesuffix(b"\n")))


def verify(files: Sequence[Path], *, whole: bool = True, expect: str | None = None) -> Verified:
    """Check `files`, which follow each other.

    `whole`: they are all that there is, so that rows before the first are missing, unless they were removed for
    `kept`. `expect` is the hash of a row that must be among them: that of the last one, as it was once told.

    What cannot be found: rows cut from the end, or a log that was written anew as a whole, by someone who can write to
    the files. A hash that was kept elsewhere finds both.
    """
    check = _Check(expect)
    for line in lines_of(files):
        if line.row is None:
            check.take_rest(line)
        else:
            check.take(line, line.row)
    check.finish(files[-1])
    if whole:
        check.find_removed(files[0])
    check.result.files = len(files)
    return check.result


class _Check:
    """The state of one reading."""

    def __init__(self, expect: str | None) -> None:
        self.result = Verified()
        self._expect = expect
        self._met = expect is None
        self._head: Head | None = None
        self._rest: list[Line] = []
        """Lines since the last row that are no rows."""
        self._gaps: list[tuple[Line, int, int]] = []
        self._strays: set[int] = set()
        """Rows that stand behind a later one."""
        self._removed_to = 0

    def take_rest(self, line: Line) -> None:
        """A line that is no row: the next row may say that it was torn."""
        self._rest.append(line)

    def take(self, line: Line, row: Row) -> None:
        result = self.result
        result.rows += 1
        if self._rest:
            self._end_rest(row)
        if not row.intact:
            result.found(line.file, line.number, f"row {row.seq} was changed: its content does not have its hash")
        elif row.hash == self._expect:
            self._met = True
        self._follow(line, row)
        if row.event == "opened":
            removed_to = row.members.get("removed_to")
            self._removed_to = max(self._removed_to, removed_to if isinstance(removed_to, int) else 0)

    def _follow(self, line: Line, row: Row) -> None:
        head, result = self._head, self.result
        if head is None:
            result.first_seq = row.seq
            if row.seq == 1 and row.prev != GENESIS:
                result.found(line.file, line.number, "row 1 names a row before it")
        elif row.seq <= head.seq:
            self._strays.add(row.seq)
            result.found(line.file, line.number, f"row {row.seq} stands behind row {head.seq}: moved, or a copy")
            return
        elif row.seq > head.seq + 1:
            self._gaps.append((line, head.seq + 1, row.seq - 1))
        elif row.prev != head.hash:
            what = f"row {row.seq} follows another row {head.seq} than the one before it, which was written anew"
            result.found(line.file, line.number, what)
        self._head = result.head = row.head

    def _end_rest(self, row: Row) -> None:
        """Lines that are no rows stand before `row`: torn by a crash, if it says so and they are as they were then."""
        rest, self._rest = self._rest, []
        data = b"".join(line.data for line in rest)
        size = row.members.get("bytes")
        is_torn = (
            row.event == "torn"
            and isinstance(size, int)
            and data[size:] in (b"", b"\n")
            and hashlib.sha256(data[:size]).hexdigest() == row.members.get("sha256")
        )
        if is_torn:
            said = f"{size} bytes of a row that a crash cut off, as row {row.seq} says"
            self.result.torn.append(Finding(str(rest[0].file), rest[0].number, said))
        else:
            for line in rest:
                self.result.found(line.file, line.number, _no_row(line))

    def finish(self, last: Path) -> None:
        for line in self._rest:
            self.result.found(line.file, line.number, _no_row(line))
        for line, first, to in self._gaps:
            if not all(seq in self._strays for seq in range(first, min(to, first + len(self._strays)) + 1)):
                self.result.found(line.file, line.number, f"{_rows(first, to)} missing before row {to + 1}")
        if not self._met:
            what = f"no row has the hash {self._expect}: rows are missing at the end, or all was written anew"
            self.result.found(last, 0, what)

    def find_removed(self, first: Path) -> None:
        """Rows before the first one, which nobody removed for `kept`."""
        first_seq = self.result.first_seq
        if not first_seq:
            self.result.found(first, 0, "there is no row in it")
        if first_seq > self._removed_to + 1:
            said = _rows(self._removed_to + 1, first_seq - 1)
            self.result.found(first, 0, f"{said} missing before it: a file was removed, and not for `kept`")


def _rows(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"


def _no_row(line: Line) -> str:
    return "this line is no row" if line.data.endswith(b"\n") else "the line is cut off"


def as_json(result: Verified) -> dict[str, Any]:
    """The same, as `rxlapce audit verify --json` tells it."""

    def told(findings: Sequence[Finding]) -> list[dict[str, Any]]:
        return [{"file": one.file, "line": one.line, "message": one.message} for one in findings]

    return {
        "ok": not result.problems,
        "files": result.files,
        "rows": result.rows,
        "first_seq": result.first_seq,
        "head": {"seq": result.head.seq, "hash": result.head.hash},
        "torn": told(result.torn),
        "problems": told(result.problems),
        "more_problems": result.more_problems,
    }
