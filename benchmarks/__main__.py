"""Measures CPU a token from HTTP bytes to the ring, beside aiohttp reading and discarding the same bytes.

Each case runs in pairs: aiohttp alone, then the daemon, the same replay server, the same run; the ratio is taken pair
by pair, so that it holds when the machine's speed drifts. Prints medians with their spread; asserts nothing. Then, in
short, the way out alone (`benchmarks.forwarding`) and round trips (`benchmarks.echo`); `benchmarks.load` is by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import child, said, serve, tell
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import machine, progress, spread


@dataclass(frozen=True, slots=True)
class Case:
    """`streams` at once, `tokens` each, at `rate` tokens a second (0: full speed)."""

    name: str
    streams: int
    tokens: int
    rate: int = 0

    @property
    def model(self) -> str:
        """The name that the replay server understands."""
        return f"{self.tokens}@{self.rate}" if self.rate else str(self.tokens)


#: Who reads: the bridge takes every token; the other leaves more of the machine to the daemon.
READERS = {"bridge": "benchmarks.editor", "ring": "benchmarks.ring_reader"}
CASES = (
    Case("1 stream, full speed", 1, 200_000),
    Case("100 streams, full speed", 100, 2_000),
    Case("100 streams at 50 tokens/s", 100, 200, 50),
)

ALSO = (
    ("benchmarks.forwarding", "--rounds", "2", "--samples", "500"),
    ("benchmarks.echo", "--rounds", "3", "--seconds", "1", "--clients", "100"),
)


def aiohttp_alone(url: str, case: Case) -> float:
    """CPU microseconds a token."""
    with child("benchmarks.aiohttp_alone", url, case.model, str(case.streams)) as process:
        cpu_s, _ = said(process).split()
    return float(cpu_s) * 1e6 / (case.streams * case.tokens)


def daemon(url: str, case: Case, options: argparse.Namespace, folder: Path) -> tuple[float, int]:
    """The daemon's CPU microseconds a token, and the reader's wake-ups."""
    path = folder / "daemon.sock"
    with serve(path, "--base-url", url) as pid:
        arguments = (str(path), case.model, str(case.streams), options.transport, str(options.linger_ms))
        with child(READERS[options.reader], *arguments) as editor:
            said(editor)
            before = cpu_seconds(pid)
            tell(editor)
            count, wakeups = said(editor).split()
            used = cpu_seconds(pid) - before
            tell(editor)
    if int(count) != case.streams * case.tokens:
        raise RuntimeError(f"{count} tokens arrived of {case.streams * case.tokens}")
    return used * 1e6 / int(count), int(wakeups)


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a smoke run: 2 rounds, a tenth of the tokens")
    parser.add_argument("--transport", choices=["shm", "socket"], default="shm")
    parser.add_argument("--reader", choices=READERS, default="bridge", help="ring: one that only empties the ring")
    parser.add_argument("--linger-ms", type=float, default=1.0, help="the reader's, before it sleeps (0 to 50)")
    parser.add_argument("--tokens-only", action="store_true", help="without forwarding and echo")
    parser.add_argument("--json", action="store_true", help="one JSON object a case")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    shown = sys.stderr if options.json else sys.stdout
    print(f"CPU us a token, user + system; {options.transport}, read by {options.reader}; {machine()}", file=shown)
    print(f"{rounds} rounds; median (min-max)", file=shown)
    print(f"{'case':30} {'aiohttp alone':>22} {'rxlapce daemon':>22} {'ratio':>20}  wake-ups", file=shown)
    with child("benchmarks.replay") as replay, tempfile.TemporaryDirectory() as folder:
        url = said(replay)
        for case in CASES:
            size = case if not options.quick else Case(case.name, case.streams, case.tokens // 10, case.rate)
            alone: list[float] = []
            ours: list[float] = []
            wakeups = 0
            for index in range(rounds):
                progress(f"{case.name}: round {index + 1} of {rounds}")
                alone.append(aiohttp_alone(url, size))
                cost, wakeups = daemon(url, size, options, Path(folder))
                ours.append(cost)
            progress("")
            ratios = [b / a for a, b in zip(alone, ours, strict=True)]
            if options.json:
                print(json.dumps({"case": case.name, "aiohttp_us": alone, "rxlapce_us": ours, "ratio": ratios}))
            print(f"{case.name:30} {spread(alone):>22} {spread(ours):>22} {spread(ratios):>20}  {wakeups}", file=shown)
    if not options.tokens_only:
        flags = [flag for flag, wanted in (("--quick", options.quick), ("--json", options.json)) if wanted]
        for command in ALSO:
            print(f"\n{' '.join(command)}: ", end="", file=shown, flush=True)
            subprocess.run([sys.executable, "-m", *command, *flags], check=True)


if __name__ == "__main__":
    main()
