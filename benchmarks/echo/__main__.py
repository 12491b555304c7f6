"""Measures round trips: clients send a heartbeat with `echo`, the daemon sends it back, and so on.

One daemon, as `rxlapce serve` runs it, and clients in processes of their own, each with one connection and plain
blocking calls. Prints for each case the round trips a second of all clients together, how long one takes, and the
daemon's CPU for it, in medians with their spread over the rounds. `at once` is how many heartbeats a client sends
before it waits for their answers; a time is then that of them all.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.children import allow_descriptors, serve
from benchmarks.cpu import cpu_seconds
from benchmarks.echo.crowd import Crowd
from benchmarks.figures import machine, percentile, progress, spread, table

#: Clients, and how many heartbeats each has under way.
CASES: Final = ((1, 1), (10, 1), (100, 1), (100, 8), (100, 64))
HEAD: Final = ("clients", "at once", "round trips a second", "p50, us", "p90, us", "p99, us", "max, us", "daemon, us")


class Result(msgspec.Struct):
    """One round of a case; times in microseconds."""

    trips_per_s: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    daemon_us: float
    """CPU a round trip."""
    clients_us: float


def measured(path: Path, daemon: int, clients: int, depth: int, seconds: float) -> Result:
    """One round."""
    with Crowd(path, clients, depth) as crowd:
        began_s, before_s = time.monotonic(), cpu_seconds(daemon)
        trips = crowd.run(began_s + seconds)
        daemon_s = cpu_seconds(daemon) - before_s
    count = len(trips.taken_ns) * depth
    taken_s = max(seconds, trips.taken_ns[-1] / 1e9)
    p50, p90, p99, most = (percentile(trips.taken_ns, percent) / 1e3 for percent in (50, 90, 99, 100))
    return Result(count / taken_s, p50, p90, p99, most, daemon_s * 1e6 / count, trips.cpu_s * 1e6 / count)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echo", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a round")
    parser.add_argument("--clients", type=int, help="one case alone: so many")
    parser.add_argument("--depth", type=int, default=1, help="and so many heartbeats at once")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 1 round of 0.2 s, at most 10 clients")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    options = parser.parse_args()
    if options.clients is not None and not 1 <= options.clients <= 250:
        parser.error("expected 1 to 250 clients: a daemon takes 256 connections")
    if options.quick:
        options.rounds, options.seconds = 1, 0.2
    return options


def main() -> None:
    """Run the cases and print the table."""
    options = arguments()
    allow_descriptors()
    cases: Sequence[tuple[int, int]] = CASES if options.clients is None else [(options.clients, options.depth)]
    if options.quick:
        cases = [(min(clients, 10), depth) for clients, depth in cases]
    shown = sys.stderr if options.json else sys.stdout
    print(f"{machine()}; {options.rounds} rounds of {options.seconds:g} s; median (min-max)\n", file=shown)
    lines: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "daemon.sock"
        with serve(path, "--simulator", "--no-health") as daemon:
            for clients, depth in cases:
                results: list[Result] = []
                for index in range(options.rounds):
                    progress(f"{clients} clients, {depth} at once: round {index + 1} of {options.rounds}")
                    results.append(measured(path, daemon, clients, depth, options.seconds))
                progress("")
                names = ("trips_per_s", "p50_us", "p90_us", "p99_us", "max_us", "daemon_us")
                values = [[float(getattr(one, name)) for one in results] for name in names]
                cells = [spread(one, 1 if name == "daemon_us" else 0) for name, one in zip(names, values, strict=True)]
                lines.append([str(clients), str(depth), *cells])
                if options.json:
                    case = {"clients": clients, "depth": depth, "rounds": msgspec.to_builtins(results)}
                    print(json.dumps(case), flush=True)
    print(table(HEAD, lines), file=shown)


if __name__ == "__main__":
    main()
