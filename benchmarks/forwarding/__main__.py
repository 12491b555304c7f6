"""Measures the way out alone: the CPU from a token in hand to its frame in the ring or the socket, without HTTP.

The sink, the writer and the lane of a session, on the loop that `rxlapce serve` runs on, and a reader in a process of
its own that only empties. A frame alone goes with a loop round of its own; of a burst all go with one. The reader has
taken everything before the next begin, and sleeps (it must be woken) or looks without end. Of each case the median of
many, less what an empty loop round costs; median and spread over the rounds, in microseconds of the sender's CPU a
frame.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import Final

import uvloop

from benchmarks.figures import machine, progress, spread, table
from benchmarks.forwarding.way import Open, Way, opened
from rxlapce.tokens import Text

WAYS: Final = (
    Way(lane="ring"),
    Way(lane="ring", awake=True),
    Way(lane="ring", signed=True),
    Way(lane="socket"),
    Way(lane="socket", awake=True),
    Way(lane="socket", signed=True),
)
BURSTS: Final = (1, 16, 64, 256)
TOKEN: Final = Text(" token")
#: So much later the reader has not only said that it rests.
REST_NS: Final = 50_000


async def ready(way: Open) -> None:
    """Return when the reader has everything and rests."""
    while not way.is_read():  # noqa: ASYNC110 - the reader is another process, which does not tell
        await asyncio.sleep(0)
    rested_ns = time.perf_counter_ns() + REST_NS
    while time.perf_counter_ns() < rested_ns:
        pass


async def sample_ns(way: Open, frames: int) -> int:
    """The CPU of this thread until `frames` have been handed over, with the loop's rounds for it."""
    await ready(way)
    push = way.push
    began_ns = time.thread_time_ns()
    for _ in range(frames):
        push(TOKEN)
    await asyncio.sleep(0)  # the writer's flush, which was asked for before this
    await asyncio.sleep(0)  # and the loop's own: uvloop writes to a socket at the end of a round
    return time.thread_time_ns() - began_ns


async def median_ns(way: Open, frames: int, samples: int) -> float:
    """Of so many bursts."""
    return statistics.median([await sample_ns(way, frames) for _ in range(samples)])


async def round_us(way: Way, samples: int) -> dict[int, float]:
    """One round by one way: microseconds a frame, by the length of the burst; under 0 what an empty round costs."""
    async with opened(way) as open_way:
        empty_ns = await median_ns(open_way, 0, samples)
        found = {0: empty_ns / 1e3}
        for frames in BURSTS:
            await median_ns(open_way, frames, 20)  # warm
            spent_ns = await median_ns(open_way, frames, max(20, samples // frames))
            found[frames] = (spent_ns - empty_ns) / frames / 1e3
        sent = open_way.writer.frames
        expected = sum((20 + max(20, samples // frames)) * frames for frames in BURSTS)
        if sent != expected or open_way.writer.pending_bytes:
            raise RuntimeError(f"{sent} frames of {expected} were handed over")
        return found


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwarding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1000, help="frames alone a round; of bursts fewer")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 1 round of 50")
    parser.add_argument("--json", action="store_true", help="one JSON object a way")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.samples = 1, 50
    shown = sys.stderr if options.json else sys.stdout
    print(f"{machine()}; {options.rounds} rounds; CPU us a frame, median (min-max)\n", file=shown)
    found: dict[str, list[dict[int, float]]] = {way.name: [] for way in WAYS}
    for index in range(options.rounds):
        for way in WAYS:
            progress(f"round {index + 1} of {options.rounds}: {way.name}")
            found[way.name].append(uvloop.run(round_us(way, options.samples)))
    progress("")
    heads = ("by, and the reader", *("alone" if frames == 1 else f"{frames} at once" for frames in BURSTS), "no frame")
    lines: list[list[str]] = []
    for name, rounds in found.items():
        lines.append([name, *(spread([one[frames] for one in rounds]) for frames in (*BURSTS, 0))])
        if options.json:
            print(json.dumps({"way": name, "rounds": rounds}), flush=True)
    print(table(heads, lines), file=shown)


if __name__ == "__main__":
    main()
