"""Rows of an audit log: one JSON object a line, each with the hash of the one before, and its own.

    {"seq":2,"event":"request", ... ,"prev":"<hash of row 1>","hash":"<SHA-256 of this line without its hash>"}

What is hashed are the bytes of the line from `{` to before `,"hash":`, and the `}` that ends them: so nothing of a row
can be changed, not even a space.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

#: What the first row of all names as the one before it.
GENESIS: Final = "0" * 64
_HASH: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}')
_HASH_BYTES: Final = len(b',"hash":"') + 64 + len(b'"}')
#: A row is a request; the daemon writes none that is as long.
MAX_ROW_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """The number and the hash of a row that another may follow."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Row:
    """A line that is a row: its members, and whether its hash is that of its content."""

    members: dict[str, Any]
    seq: int
    prev: str
    hash: str
    intact: bool

    @property
    def head(self) -> Head:
        """What the next row follows."""
        return Head(self.seq, self.hash)

    @property
    def event(self) -> str:
        """`request`, `opened`, `torn` or `lost`."""
        return str(self.members.get("event"))


def sealed(members: Mapping[str, Any], after: Head) -> tuple[bytes, Head]:
    """The line of a row that follows `after`, with its end, and what may follow it."""
    body = msgspec.json.encode({"seq": after.seq + 1, **members, "prev": after.hash})
    digest = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body[:-1], digest.encode()), Head(after.seq + 1, digest)


def read_row(line: bytes) -> Row | None:
    """The row that `line` is, without its end; None if it is none, as of a line that was cut."""
    found = _HASH.fullmatch(line[-_HASH_BYTES:])
    if found is None:
        return None
    body = line[:-_HASH_BYTES] + b"}"
    try:
        members: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    seq, prev, digest = members.get("seq"), members.get("prev"), found[1].decode()
    if not isinstance(seq, int) or not isinstance(prev, str):
        return None
    return Row(members, seq, prev, digest, hashlib.sha256(body).hexdigest() == digest)


def closed_name(path: Path, closed_at: str, first_seq: int) -> Path:
    """Where the file at `path` goes when the next is begun: names sort by time, and tell their first row's number."""
    return path.with_name(f"{path.stem}-{closed_at}-{first_seq:012d}{path.suffix}")


def closed_files(path: Path) -> list[tuple[int, Path]]:
    """The closed files that belong to `path`, the oldest first, each with the number of its first row."""
    name = re.compile(rf"{re.escape(path.stem)}-\d{{8}}T\d{{6}}Z-(\d{{12,}}){re.escape(path.suffix)}")
    try:
        files = list(path.parent.iterdir())
    except FileNotFoundError:
        return []
    return sorted((int(found[1]), file) for file in files if (found := name.fullmatch(file.name)))
