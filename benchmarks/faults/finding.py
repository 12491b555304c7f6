"""What a case promised, what happened, and what of it was not kept."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Final

from benchmarks.faults.rig import Rig, more_than
from rxlapce.errors import RxlapceError

#: What the allocator may keep of a case that was done once more, in KiB.
KEPT_KIB: Final = 8 * 1024
WIDTH: Final = 98


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of each case is done."""

    editors: int = 24
    stall_s: float = 60.0
    step: int = 1
    """Each how manieth bit is flipped."""
    rounds: int = 5
    connections: int = 10_000
    handshakes: int = 96
    logged: int = 4_000


QUICK: Final = Size(editors=4, stall_s=3, step=7, rounds=1, connections=500, logged=1_500)
FULL: Final = Size()


@dataclass(slots=True)
class Said:
    """What a case says of itself: how it went, and which promise was broken. `figures` are for machines."""

    happened: str = ""
    broken: list[str] = field(default_factory=list[str])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    def expect(self, kept: bool, otherwise: str) -> None:
        """A promise, and what to say if it was not kept."""
        if not kept:
            self.broken.append(otherwise)


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: its name, what is promised beside it, and what does it."""

    name: str
    promise: str
    run: Callable[[Rig, Size], Awaitable[Said]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `bystander` are its whole streams and its longest wait for a token in ms."""

    name: str
    promise: str
    happened: str
    broken: tuple[str, ...]
    seconds: float
    bystander: tuple[int, float]
    figures: dict[str, Any]


async def examine(rig: Rig, case: Case, size: Size, now_s: Callable[[], float]) -> Finding:
    """Do it beside a bystander, and look at what is left."""
    before = await rig.held()
    await rig.begin()
    began_s = now_s()
    try:
        said = await case.run(rig, size)
    except (TimeoutError, EOFError, OSError, RxlapceError) as error:
        said = Said("it came to no end", [f"{type(error).__name__}: {error}"])
    seconds = now_s() - began_s
    seen = await rig.rest()
    after = await rig.settled(before)
    said.broken += [f"left behind: {left}" for left in more_than(before, after)]
    grown_kib = after.private_kib - before.private_kib
    said.expect(grown_kib < KEPT_KIB, f"left behind: {grown_kib:,} KiB of memory")
    said.broken += [f"the bystander: {broken}" for broken in seen.broken]
    said.expect(seen.whole > 0, "the bystander had no whole stream")
    said.figures |= {
        "memory_kib": grown_kib, "descriptors": after.descriptors, "tasks": after.tasks, "threads": after.threads,
    }  # fmt: skip
    happened = f"{said.happened}; left: {_left(after.descriptors - before.descriptors)} descriptors, "
    happened += f"{_left(after.tasks - before.tasks)} tasks, {_left(grown_kib)} KiB"
    return Finding(
        case.name, case.promise, happened, tuple(said.broken), seconds, (seen.whole, seen.longest_ms), said.figures
    )


def _left(number: int) -> str:
    return f"{number:+,}" if number else "0"


def table(findings: Sequence[Finding]) -> str:
    """For people: under a hundred columns."""
    lines: list[str] = []
    for one in findings:
        verdict = "BROKEN" if one.broken else "kept"
        whole, longest_ms = one.bystander
        lines.append(f"{one.name:<34} {verdict:<7} {one.seconds:7.1f} s")
        lines += _paragraph("promised", one.promise)
        lines += _paragraph("happened", one.happened)
        lines += _paragraph("beside", f"{whole} streams whole, longest wait for a token {longest_ms:.0f} ms")
        for broken in one.broken:
            lines += _paragraph("BROKEN", broken)
        lines.append("")
    kept = sum(not one.broken for one in findings)
    lines.append(f"{kept} of {len(findings)} promises kept")
    return "\n".join(lines)


def _paragraph(head: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=f"  {head:<9} ", subsequent_indent=" " * 12, break_long_words=True)
