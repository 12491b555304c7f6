"""What Linux tells of a process in /proc, for tests that count what is left behind."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def descriptors(pid: int) -> list[str]:
    """What the open descriptors of `pid` refer to, sorted."""
    found: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue  # closed while we looked
    return sorted(found)


def _status(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise LookupError(f"/proc/{pid}/status has no {name}")


def threads(pid: int) -> int:
    """How many threads it has."""
    return int(_status(pid, "Threads"))


def state(pid: int) -> str:
    """One letter: R running, S sleeping, T stopped, Z ended and not waited for."""
    return _status(pid, "State")[0]


def resident_bytes(pid: int) -> int:
    """Memory in RAM that is its own: without what it shares with files and other processes."""
    return int(_status(pid, "RssAnon").removesuffix(" kB")) * 1024


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    descriptors: int
    threads: int
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> "Footprint":
        """As it is now."""
        return cls(len(descriptors(pid)), threads(pid), resident_bytes(pid))


async def until(predicate: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    """Return once `predicate()` is true, for facts of another process that nobody tells. Raises TimeoutError.

    Asks a thousand times a second, and lets the loop run in between.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        while not predicate():
            asked_again = loop.create_future()
            loop.call_later(0.001, asked_again.set_result, None)
            await asked_again
