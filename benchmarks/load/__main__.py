"""Loads the daemon with many streams at once, and compares with aiohttp that reads the provider directly.

Two loads: 1,000 streams on 100 connections at 20 tokens a second each, and 100 streams at full speed. A provider, the
daemon, and its clients are processes of their own. Each token carries its place and the time when it was sent, so that
none is lost or doubled unseen, and the clients subtract. Each round has a fresh daemon by shared memory, one by the
socket, and aiohttp alone, which has all streams in one process. Prints medians with their spread over the rounds; ends
with 1 if a token was lost, doubled or changed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.children import allow_descriptors, child, said
from benchmarks.figures import machine, progress, spread, table
from benchmarks.load.runs import Load, Result, Way, run

WAYS: Final[tuple[Way, ...]] = ("direct", "shm", "socket")
Rounds = dict[Way, list[Result]]


def loads(options: argparse.Namespace) -> list[Load]:
    """What is asked for."""
    streams, connections, processes = options.streams, options.connections, options.processes
    paced = Load(
        streams=streams, connections=connections, processes=processes, rate=options.rate, seconds=options.seconds
    )
    full = Load(streams=connections, connections=connections, processes=processes, tokens=options.tokens)
    return {"paced": [paced], "full": [full], "both": [paced, full]}[options.load]


def rows(rounds: Rounds, load: Load) -> list[list[str]]:
    """The table's lines, but its head."""
    direct = rounds["direct"]

    def row(name: str, value: Callable[[int, Result], float | None], digits: int = 0) -> list[str]:
        cells = [name]
        for way in WAYS:
            values = [value(index, one) for index, one in enumerate(rounds[way])]
            known = [one for one in values if one is not None]
            cells.append(spread(known, digits) if known else "-")
        return cells

    def added(one: Result, index: int, percent: str) -> float | None:
        if one is direct[index]:
            return None
        return float(getattr(one, percent)) - float(getattr(direct[index], percent))

    lines = [
        row("tokens lost, doubled, changed, streams torn, failed", lambda _, one: one.faults.total),
        row("tokens a second", lambda _, one: one.tokens_per_s),
        row("daemon's CPU, us a token", lambda _, one: one.daemon_us, 1),
        row("clients' CPU, us a token", lambda _, one: one.clients_us, 1),
        row("provider's CPU, us a token", lambda _, one: one.provider_us, 1),
        row("cores busy, all together", lambda _, one: one.cores, 2),
        row("under way, p50, us", lambda _, one: one.p50_us),
        row("under way, p99, us", lambda _, one: one.p99_us),
        row("added to direct, p50, us", lambda index, one: added(one, index, "p50_us")),
        row("added to direct, p99, us", lambda index, one: added(one, index, "p99_us")),
    ]
    if load.rate:
        counts = sorted(rounds["shm"][0].private_kib)
        few, many = counts[-2:]

        def share(_: int, one: Result) -> float | None:
            memory = one.private_kib
            return (memory[many] - memory[few]) / (many - few) if memory else None

        lines += [row(f"daemon's private memory, {count:,} streams, KiB", memory_at(count)) for count in counts]
        lines.append(row(f"a stream's share of it, {few:,} to {many:,}, KiB", share, 1))
    return lines


def memory_at(streams: int) -> Callable[[int, Result], float | None]:
    """The daemon's memory with so many streams open."""
    return lambda _, one: one.private_kib.get(streams)


def title(load: Load) -> str:
    """What the load is."""
    how = f"{load.rate} tokens/s each" if load.rate else f"full speed, {load.tokens:,} tokens each"
    return f"{load.streams:,} streams on {load.connections:,} connections, {how}"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--load", choices=["paced", "full", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=1000, help="of the paced load (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=100, help="one stream each at full speed")
    parser.add_argument("--rate", type=int, default=20, help="tokens a second of a paced stream")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long the paced load is measured")
    parser.add_argument("--tokens", type=int, default=2000, help="of a stream at full speed")
    parser.add_argument("--processes", type=int, default=4, help="that the clients are in, at most 15")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one round, a tenth of all")
    parser.add_argument("--json", action="store_true", help="one JSON object a load")
    options = parser.parse_args()
    if not 0 < options.processes <= 15 or options.streams < 10 or not 0 < options.connections <= options.streams:
        parser.error("expected 1 to 15 processes, and from 10 streams at least one a connection")
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
        options.streams, options.connections = options.streams // 10, max(1, options.connections // 10)
        options.tokens, options.processes = options.tokens // 10, min(2, options.processes)
    return options


def measured(load: Load, rounds: int) -> Rounds:
    """All rounds of a load."""
    results: Rounds = {way: [] for way in WAYS}
    with child("benchmarks.load.provider") as provider, tempfile.TemporaryDirectory() as folder:
        url = said(provider)
        for index in range(rounds):
            for way in WAYS:
                progress(f"{title(load)}: round {index + 1} of {rounds}, {way}")
                results[way].append(run(provider, url, way, load, Path(folder)))
    progress("")
    return results


def main() -> int:
    """Run and print."""
    options = arguments()
    allow_descriptors()
    shown = sys.stderr if options.json else sys.stdout
    print(f"{machine()}; {options.rounds} rounds; median (min-max)", file=shown)
    broken = 0
    for load in loads(options):
        results = measured(load, options.rounds)
        broken += sum(one.faults.total for rounds in results.values() for one in rounds)
        late = sum(one.behind for rounds in results.values() for one in rounds)
        print(f"\n{table([title(load), 'aiohttp, direct', 'by shm', 'by socket'], rows(results, load))}", file=shown)
        if late:
            print(f"{late} runs fell behind: this machine, as busy as it is, is too slow for the load", file=shown)
        if options.json:
            print(json.dumps({"load": title(load), **msgspec.to_builtins(results, str_keys=True)}), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
