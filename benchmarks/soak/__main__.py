"""Keeps 200 streams with random faults under way for minutes, and shows that the daemon keeps nothing of them.

A daemon, three simulated providers and all clients are processes of their own. Editors stream and ask by shared memory
and socket, signed and unsigned; some read slowly, stop for seconds, or cancel. Now and then a further editor is stopped
or killed in the midst of its streams; visitors connect for one question; and hostile peers break the protocol in every
way. The daemon's gauges are read every two seconds. Ends with 1 if anything is left.
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.children import child, said, tell
from benchmarks.soak.clients import Tally
from benchmarks.soak.gauges import MUST_BE_BACK, MUST_BE_ZERO, Gauges
from benchmarks.soak.plot import Sample, drawn
from benchmarks.soak.verdict import allowed_kib, faults, growth_kib, unpunished

#: Tight, so that every limit is met: a quota is spent now and then, somebody waits, a circuit is open. But not for
#: long: refusals are soon told, and leave nothing to break. Failures end sooner than whole answers, so that the first
#: ends after a pause are failures, whatever their share is: the breakers look at many.
CONFIG: Final = """
models:
  soak:
    ask: [openai/sim, anthropic/sim, local/sim]
    choose: least_busy
    after_commit: continue
timeouts: {headers_s: 5, first_token_s: 6, idle_s: 5, min_tokens_per_s: 1, rate_window_s: 5, total_s: 30}
limits:
  default: {requests: null}
  wait_s: 2
  models:
    openai/sim: {requests: 900, streams: 70}
    anthropic/sim: {tokens: 300000, streams: 80}
    local/sim: {requests: 3000}
retry: {base_s: 0.2, max_s: 1, patience_s: 0.5, deadline_s: 5}
breaker: {consecutive: 30, window: 200, min_outcomes: 60, failure_percent: 60, open_s: 1, max_open_s: 2}
health: {every_s: 5}
"""
EVERY_S: Final = 2.0
SHOWN_EVERY: Final = 5
SHOWN: Final = (*MUST_BE_BACK, "rss_kib", "private_kib", *MUST_BE_ZERO, "open_breakers", "retries", "refused", "ended")
#: How many streams a doomed editor has.
DOOMED_STREAMS: Final = 12
SETTLE_S: Final = 30.0


class Run(NamedTuple):
    """What a soak has seen."""

    before: Gauges
    samples: list[Sample]
    after: Gauges
    tally: Tally
    visits: dict[str, int]
    attacks: dict[str, int]
    killed: int
    stopped: int


@contextmanager
def providers(seed: int) -> Generator[dict[str, str]]:
    """Three simulators, as the environment that names them."""
    with ExitStack() as stack:
        urls = [said(stack.enter_context(child("benchmarks.soak.provider", str(seed + number)))) for number in range(3)]
        yield {
            "OPENAI_API_KEY": "simulated-key",
            "OPENAI_BASE_URL": f"{urls[0]}/v1",
            "ANTHROPIC_API_KEY": "simulated-key",
            "ANTHROPIC_BASE_URL": urls[1],
            "LOCAL_BASE_URL": f"{urls[2]}/v1",
        }


def read_gauges(daemon: subprocess.Popen[str]) -> Gauges:
    """How the daemon stands now."""
    tell(daemon)
    return msgspec.json.decode(said(daemon), type=Gauges)


class Doomed:
    """An editor that is killed in the midst of its streams, sometimes after it stood still, and the next one."""

    def __init__(self, path: Path, keys: Path, chance: random.Random) -> None:
        self.path = path
        self.keys = keys
        self.chance = chance
        self.killed = 0
        self.stopped = 0
        self.kill_at_s = 0.0
        self.stop_at_s = math.inf
        self.process: subprocess.Popen[bytes] | None = None

    def tend(self) -> None:
        """Stop or kill the editor if its time has come, and let another one begin."""
        if self.process is not None and time.monotonic() > self.stop_at_s:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped += 1
            self.stop_at_s = math.inf
        if time.monotonic() < self.kill_at_s:
            return
        self.end()
        seed = str(self.chance.randrange(1 << 30))
        arguments = ("benchmarks.soak.clients", str(self.path), str(self.keys), str(DOOMED_STREAMS), "7200", seed)
        self.process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL)
        self.kill_at_s = time.monotonic() + self.chance.uniform(8, 25)
        if self.chance.random() < 0.4:
            self.stop_at_s = time.monotonic() + self.chance.uniform(3, 8)

    def end(self) -> None:
        """Kill the editor that runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.killed += 1


def settled(daemon: subprocess.Popen[str], before: Gauges) -> Gauges:
    """The gauges when nothing is under way any more, or after `SETTLE_S` seconds of waiting for that."""
    deadline_s = time.monotonic() + SETTLE_S
    while True:
        gauges = read_gauges(daemon)
        left = any(getattr(gauges, name) for name in MUST_BE_ZERO)
        more = any(getattr(gauges, name) > getattr(before, name) for name in MUST_BE_BACK)
        if not (left or more) or time.monotonic() > deadline_s:
            return gauges
        time.sleep(0.5)


def show(title: str, gauges: Gauges) -> None:
    """One line of how the daemon stands."""
    print(
        f"{title:>8} {gauges.requests:>5} requests {gauges.connections:>3} connections {gauges.rings:>2} rings "
        f"{gauges.tasks:>4} tasks {gauges.descriptors:>4} descriptors {gauges.memory_kib / 1024:6.1f} MiB "
        f"{gauges.slot_waiters + gauges.quota_waiters:>4} wait {gauges.open_breakers} open {gauges.ended:>6} ended",
        file=sys.stderr,
        flush=True,
    )


def report(before: Gauges, middle: Gauges, after: Gauges, run: Run) -> None:
    """The tables: gauges before, at the busiest, and after; and what became of the requests."""
    print(f"\n{'gauge':18} {'before':>9} {'busiest':>9} {'after':>9}")
    for name in SHOWN:
        values = [getattr(gauges, name) for gauges in (before, middle, after)]
        print(f"{name:18} " + " ".join(f"{'-' if value is None else value:>9}" for value in values))
    tally = run.tally
    print("\nrequests by kind and end")
    for kind, counts in sorted(tally.outcomes.items()):
        print(f"{kind:8} {sum(counts.values()):>7}: {listed(counts)}")
    print(f"{tally.seams} seams; {tally.truncated} truncated successes, {tally.doubled} with doubled text")
    print(f"\nvisitors: {listed(run.visits)}")
    print(f"hostile peers: {listed(run.attacks)}")
    print(f"editors: {run.killed} killed, {run.stopped} of them after they were stopped")


def listed(counts: Mapping[str, int]) -> str:
    """Names with their counts, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def soak(options: argparse.Namespace, chance: random.Random) -> Run:
    """All of it: start, load, look now and then, end, look whether anything is left."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path, file, keys = (Path(folder) / name for name in ("daemon.sock", "config.yaml", "keys"))
        file.write_text(CONFIG)
        keys.touch(mode=0o600)
        keys.write_text(f"soak {os.urandom(32).hex()}\n")
        simulated = ExitStack()
        stack.enter_context(simulated)
        environ = simulated.enter_context(providers(chance.randrange(1 << 30)))
        daemon = stack.enter_context(child("benchmarks.soak.daemon", str(path), str(file), str(keys), **environ))
        said(daemon)
        before = read_gauges(daemon)
        show("before", before)
        doomed = Doomed(path, keys, chance)
        stack.callback(doomed.end)

        def crowd(name: str, *arguments: str) -> subprocess.Popen[str]:
            seed = str(chance.randrange(1 << 30))
            words = (f"benchmarks.soak.{name}", str(path), str(keys), *arguments, str(options.seconds), seed)
            return stack.enter_context(child(*words))

        editors, visitors, hostile = crowd("clients", str(options.streams)), crowd("visitors"), crowd("hostile")
        samples = watch(daemon, doomed, options.seconds)
        doomed.end()
        tally = msgspec.json.decode(said(editors), type=Tally)
        visits, attacks = (msgspec.json.decode(said(one), type=dict[str, int]) for one in (visitors, hostile))
        simulated.close()  # and with them the connections that are kept for the next request
        after = settled(daemon, before)
        show("after", after)
    return Run(before, samples, after, tally, visits, attacks, doomed.killed, doomed.stopped)


def watch(daemon: subprocess.Popen[str], doomed: Doomed, seconds: float) -> list[Sample]:
    """The gauges every `EVERY_S`, for so long."""
    samples: list[Sample] = []
    started_s = time.monotonic()
    while time.monotonic() < started_s + seconds:
        doomed.tend()
        time.sleep(EVERY_S)
        samples.append(Sample(time.monotonic() - started_s, read_gauges(daemon)))
        if len(samples) % SHOWN_EVERY == 0:
            show(f"{samples[-1].at_s:.0f} s", samples[-1].gauges)
    return samples


def main() -> int:
    """Run it; 1 if anything is left behind."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=None, help="for the same faults and cancels again")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--samples", type=Path, metavar="FILE", help="write the gauges of all moments there, as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as SVG")
    options = parser.parse_args()
    seed: int = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    print(f"{options.streams} streams for {options.seconds:g} s, seed {seed}", file=sys.stderr)
    run = soak(options, random.Random(seed))  # noqa: S311 - test data
    if options.samples:
        options.samples.write_bytes(msgspec.json.encode(run.samples))
    if options.plot:
        options.plot.write_text(drawn(run.samples))
    samples = [(sample.at_s, sample.gauges) for sample in run.samples]
    wrong = [*faults(run.before, samples, run.after, run.tally), *unpunished(run.attacks, run.visits, options.seconds)]
    busiest = max((sample.gauges for sample in run.samples), key=lambda gauges: gauges.requests)
    grown, allowed = growth_kib(samples), allowed_kib(samples)
    if options.json:
        gauges = {"before": run.before, "busiest": busiest, "after": run.after}
        record = {"seed": seed, "faults": wrong, "killed": run.killed, "stopped": run.stopped, "grown_kib": grown,
                  "allowed_kib": allowed, "gauges": gauges, "tally": run.tally, "visits": run.visits,
                  "attacks": run.attacks}  # fmt: skip
        print(json.dumps(msgspec.to_builtins(record)))
    else:
        report(run.before, busiest, run.after, run)
        print(f"memory grew by {grown:.0f} KiB in the second half ({allowed:.0f} allowed)")
        print("\n".join(wrong) or "nothing is left behind")
    for answer in run.tally.wrong[:3]:
        print(answer, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
