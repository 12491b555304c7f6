"""Cases of a log that cannot be written: a full disk, and a pipe that nobody reads."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from benchmarks.faults.finding import Said, Size
from benchmarks.faults.rig import Rig, beside

#: How much slower connections may go by than with a log in a file: a machine that others use drifts by as much.
SLOWER: Final = 2.0


async def _seconds(rig: Rig, connections: int) -> float:
    told: dict[str, float] = await rig.attack("churn", connections)
    return told["seconds"]


async def _cannot_log(rig: Rig, size: Size, name: str, open_log: Callable[[], tuple[int, ...]]) -> Said:
    """A daemon of its own whose log goes there, with a bystander, and clients that give it much to say."""
    said = Said()
    with_file_s = await _seconds(rig, size.logged)
    descriptors = open_log()
    try:
        async with beside(rig.provider, rig.url, rig.folder, name, descriptors[-1]) as other:
            before = await other.held()
            other.bystander.tell()
            async with asyncio.timeout(120):
                took_s = await _seconds(other, size.logged)
            seen = await other.rest()
            after = await other.settled(before)
            grown_kib = after.private_kib - before.private_kib
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    said.expect(not seen.broken and seen.whole > 0, f"streams beside it: {seen.broken}, {seen.whole} whole")
    said.expect(seen.longest_ms < 2000, f"a token waited {seen.longest_ms:.0f} ms")
    said.expect(took_s < SLOWER * with_file_s + 1, f"{took_s:.1f} s, where a log in a file takes {with_file_s:.1f}")
    said.expect(grown_kib < 8192, f"the daemon grew by {grown_kib:,} KiB")
    said.figures = {"seconds": took_s, "with_file_s": with_file_s, "grown_kib": grown_kib, "whole": seen.whole}
    said.happened = f"{size.logged:,} noisy connections in {took_s:.1f} s, where a log in a file takes "
    said.happened += (
        f"{with_file_s:.1f}; {seen.whole} streams beside them whole (longest wait {seen.longest_ms:.0f} ms)"
    )
    said.happened += f", {grown_kib:+,} KiB"
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
