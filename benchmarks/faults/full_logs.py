"""Cases of a log that cannot be written: a full disk, and a pipe that nobody reads."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.cpu import cpu_seconds
from benchmarks.faults.bystander import Seen
from benchmarks.faults.finding import KEPT_KIB, Said, Size
from benchmarks.faults.rig import Rig, beside

#: By how much more processor time the daemon may need than with a log in a file; it needs less, as nothing is written.
DEARER: Final = 1.5
#: And how much slower connections may go by: a machine that others use drifts by as much.
SLOWER: Final = 4.0
#: What a token of a stream beside it waits at most.
LONGEST_MS: Final = 2000
#: So often the two are compared until one is no dearer than that: what slows the daemon down does so each time, and
#: what else the machine does meanwhile does not.
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Noisy:
    """What many noisy connections to a daemon took: seconds, and ms of its processor for each; and what was beside."""

    seconds: float
    cpu_ms: float
    grown_kib: int
    seen: Seen


async def _noisy(rig: Rig, connections: int, name: str, stderr: int | None = None) -> Noisy:
    """Let clients give a fresh daemon, whose log goes to a file or to `stderr`, much to say beside a bystander."""
    async with beside(rig.provider, rig.url, rig.folder, name, stderr) as other, asyncio.timeout(120):
        await other.attack("churn", connections // 5)  # what is made once and kept
        before = await other.held()
        other.bystander.tell()
        before_s = cpu_seconds(other.daemon.pid)
        told: dict[str, float] = await other.attack("churn", connections)
        cpu_ms = (cpu_seconds(other.daemon.pid) - before_s) * 1000 / connections
        seen = await other.rest()
        after = await other.settled(before)
    return Noisy(told["seconds"], cpu_ms, after.private_kib - before.private_kib, seen)


async def _both(rig: Rig, size: Size, name: str, open_log: Callable[[], tuple[int, ...]]) -> tuple[Noisy, Noisy]:
    """With a log in a file, and with one that goes there."""
    file = await _noisy(rig, size.logged, f"{name}-not")
    descriptors = open_log()
    try:
        return file, await _noisy(rig, size.logged, name, descriptors[-1])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _as_fast(file: Noisy, full: Noisy) -> bool:
    return full.cpu_ms < DEARER * file.cpu_ms and full.seconds < SLOWER * file.seconds + 1


async def _cannot_log(rig: Rig, size: Size, name: str, open_log: Callable[[], tuple[int, ...]]) -> Said:
    """A daemon whose log goes there, compared with one whose log goes to a file."""
    said = Said()
    file, full = await _both(rig, size, name, open_log)
    tries = 1
    while tries < TRIES and not (_as_fast(file, full) and full.seen.longest_ms < LONGEST_MS):
        tries += 1
        file, full = await _both(rig, size, f"{name}-{tries}", open_log)
    seen = full.seen
    said.expect(not seen.broken and seen.whole > 0, f"streams beside it: {seen.broken}, {seen.whole} whole")
    said.expect(seen.longest_ms < LONGEST_MS, f"a token waited {seen.longest_ms:.0f} ms")
    in_file = f"where a log in a file takes {file.seconds:.1f} s and {file.cpu_ms:.2f} ms"
    said.expect(full.seconds < SLOWER * file.seconds + 1, f"{full.seconds:.1f} s, {in_file}")
    said.expect(full.cpu_ms < DEARER * file.cpu_ms, f"{full.cpu_ms:.2f} ms each, {in_file}")
    said.expect(full.grown_kib < KEPT_KIB, f"the daemon grew by {full.grown_kib:,} KiB")
    said.figures = {
        "seconds": full.seconds, "with_file_s": file.seconds, "cpu_ms": full.cpu_ms, "with_file_cpu_ms": file.cpu_ms,
        "grown_kib": full.grown_kib, "whole": seen.whole,
    }  # fmt: skip
    said.happened = f"{size.logged:,} noisy connections took {full.seconds:.1f} s and {full.cpu_ms:.2f} ms of its "
    said.happened += f"processor each, {in_file}; {seen.whole} streams beside them whole (longest wait "
    said.happened += f"{seen.longest_ms:.0f} ms); {full.grown_kib:+,} KiB"
    return said


async def disk_full(rig: Rig, size: Size) -> Said:
    """Every line of the log fails with ENOSPC."""
    return await _cannot_log(rig, size, "full-disk", lambda: (os.open("/dev/full", os.O_WRONLY),))


def _unread_pipe() -> tuple[int, ...]:
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        os.set_blocking(write, True)
    return read, write


async def pipe_unread(rig: Rig, size: Size) -> Said:
    """Its standard error is a pipe that is full and stays so."""
    return await _cannot_log(rig, size, "unread-pipe", _unread_pipe)
