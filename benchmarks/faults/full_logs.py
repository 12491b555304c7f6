"""Cases of a log that cannot be written: a full disk, and a pipe that nobody reads."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from benchmarks.cpu import cpu_seconds
from benchmarks.faults.finding import Said, Size
from benchmarks.faults.rig import Rig, beside

#: By how much more processor time the daemon may need than with a log in a file; it needs less, as nothing is written.
DEARER: Final = 1.5
#: And how much slower connections may go by: a machine that others use drifts by as much.
SLOWER: Final = 4.0


async def _cost(rig: Rig, connections: int) -> tuple[float, float]:
    """What so many noisy connections take: seconds, and the daemon's processor time a connection in ms."""
    before_s = cpu_seconds(rig.daemon.pid)
    told: dict[str, float] = await rig.attack("churn", connections)
    return told["seconds"], (cpu_seconds(rig.daemon.pid) - before_s) * 1000 / connections


async def _cannot_log(rig: Rig, size: Size, name: str, open_log: Callable[[], tuple[int, ...]]) -> Said:
    """A daemon of its own whose log goes there, with a bystander, and clients that give it much to say."""
    said = Said()
    with_file_s, with_file_ms = await _cost(rig, size.logged)
    descriptors = open_log()
    try:
        async with beside(rig.provider, rig.url, rig.folder, name, descriptors[-1]) as other:
            await other.attack("churn", size.logged // 5)  # what is made once and kept
            before = await other.held()
            other.bystander.tell()
            async with asyncio.timeout(120):
                took_s, took_ms = await _cost(other, size.logged)
            seen = await other.rest()
            after = await other.settled(before)
            grown_kib = after.private_kib - before.private_kib
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    said.expect(not seen.broken and seen.whole > 0, f"streams beside it: {seen.broken}, {seen.whole} whole")
    said.expect(seen.longest_ms < 2000, f"a token waited {seen.longest_ms:.0f} ms")
    said.expect(took_s < SLOWER * with_file_s + 1, f"{took_s:.1f} s, where a log in a file takes {with_file_s:.1f}")
    said.expect(
        took_ms < DEARER * with_file_ms, f"{took_ms:.2f} ms each, where a log in a file takes {with_file_ms:.2f}"
    )
    said.expect(grown_kib < 8192, f"the daemon grew by {grown_kib:,} KiB")
    said.figures = {
        "seconds": took_s, "with_file_s": with_file_s, "cpu_ms": took_ms, "with_file_cpu_ms": with_file_ms,
        "grown_kib": grown_kib, "whole": seen.whole,
    }  # fmt: skip
    said.happened = (
        f"{size.logged:,} noisy connections took {took_s:.1f} s and {took_ms:.2f} ms of its processor each, "
    )
    said.happened += f"with a log in a file {with_file_s:.1f} s and {with_file_ms:.2f} ms; {seen.whole} streams beside "
    said.happened += f"them whole (longest wait {seen.longest_ms:.0f} ms); {grown_kib:+,} KiB"
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
