"""Tokens that tell who sent them and when: the provider stamps each, the reader checks and subtracts.

The text of a token is 25 characters: the stream's number (4 hexadecimal digits), the token's place in it (6),
`CLOCK_MONOTONIC` in nanoseconds when it was sent (14), and `.`, or `!` for the stream's last. The clock is one for all
processes of a machine. Text that was merged on its way is a multiple of that.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

SIZE: Final = 25
_LAST: Final = ord("!")
_CLOCK_MASK: Final = (1 << 56) - 1


def stamp(stream: int, place: int, now_ns: int, *, last: bool = False) -> bytes:
    """The text of one token."""
    return b"%04x%06x%014x%c" % (stream, place, now_ns & _CLOCK_MASK, b"!" if last else b".")


class Faults(msgspec.Struct):
    """What must not happen to a token, and how often it did."""

    lost: int = 0
    doubled: int = 0
    """Or came after a later one."""
    misplaced: int = 0
    """In another stream than its own."""
    torn: int = 0
    """Streams that were told to be whole, and whose last token did not come."""
    failed: int = 0
    """Streams that ended in an error."""

    def add(self, other: "Faults") -> None:
        """Count another's in."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, name) for name in self.__struct_fields__)


@dataclass(slots=True)
class Tally:
    """What came of the streams that one process reads, and how long each token was under way."""

    tokens: int = 0
    faults: Faults = field(default_factory=Faults)
    recording: bool = False
    latencies_ns: "array[int]" = field(default_factory=lambda: array("Q"))
    _next: dict[int, int] = field(default_factory=dict[int, int])
    _whole: set[int] = field(default_factory=set[int])

    @property
    def begun(self) -> int:
        """Streams that have had a token."""
        return len(self._next)

    def take(self, stream: int, text: str | bytes, now_ns: int) -> None:
        """Check the tokens of `text`, which was read at `now_ns`."""
        if len(text) % SIZE:
            raise ValueError(f"a text of {len(text)} characters is no whole number of stamps")
        place = self._next.get(stream, 0)
        for at in range(0, len(text), SIZE):
            found = int(text[at + 4 : at + 10], 16)
            if found != place:
                self._out_of_place(found, place)
            if found >= place:
                place = found + 1
            if int(text[at : at + 4], 16) != stream:
                self.faults.misplaced += 1
            if self.recording:
                self.latencies_ns.append((now_ns - int(text[at + 10 : at + 24], 16)) & _CLOCK_MASK)
            self.tokens += 1
        self._next[stream] = place
        if text[-1] in (_LAST, "!"):
            self._whole.add(stream)

    def _out_of_place(self, found: int, expected: int) -> None:
        if found > expected:
            self.faults.lost += found - expected
        else:
            self.faults.doubled += 1

    def ended(self, stream: int, *, whole: bool) -> None:
        """The stream was told to have ended, as a whole one or by an error."""
        if not whole:
            self.faults.failed += 1
        elif stream not in self._whole:
            self.faults.torn += 1


def write_latencies(path: Path, latencies_ns: "array[int]") -> None:
    """Leave them for `read_latencies`."""
    path.write_bytes(latencies_ns.tobytes())


def read_latencies(paths: Sequence[Path]) -> list[int]:
    """All of them, sorted, in nanoseconds."""
    found: array[int] = array("Q")
    for path in paths:
        found.frombytes(path.read_bytes())
    return sorted(found)
