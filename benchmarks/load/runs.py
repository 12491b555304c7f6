"""One run of a load, by one way."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Literal

import msgspec

from benchmarks.children import child, said, serve, tell
from benchmarks.cpu import cpu_seconds, private_kib
from benchmarks.figures import percentile
from benchmarks.load.commands import Report
from benchmarks.stamps import Faults, read_latencies

Way = Literal["direct", "shm", "socket"]
#: Streams' numbers that each process of clients has to itself.
NUMBERS_EACH = 4096
SETTLE_S = 0.5
CATCH_UP_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`streams` on `connections`, by `rate` tokens a second each for `seconds`; rate 0: `tokens` each, at full speed.

    The clients are in `processes` processes.
    """

    streams: int
    connections: int
    processes: int
    rate: int = 0
    seconds: float = 0.0
    tokens: int = 0

    @property
    def model(self) -> str:
        """What the provider understands."""
        return f"0@{self.rate}" if self.rate else str(self.tokens)


class Result(msgspec.Struct, kw_only=True):
    """What was measured. Times of CPU are in microseconds a token, latencies in microseconds."""

    tokens: int
    tokens_per_s: float
    daemon_us: float | None
    provider_us: float
    clients_us: float
    cores: float
    """Of all processes together, how many cores they kept busy."""
    p50_us: float
    p99_us: float
    behind: bool = False
    """The machine was too slow for the load: what the latencies tell is how long the queues had become."""
    faults: Faults = msgspec.field(default_factory=Faults)
    private_kib: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    """The daemon's, by how many streams are open."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The processes of a run."""

    provider: Popen[str]
    clients: Sequence[Popen[str]]
    daemon: int | None
    folder: Path

    def all(self, command: str) -> list[str]:
        """Tell every client; what they answer."""
        for one in self.clients:
            tell(one, command)
        return [said(one) for one in self.clients]

    def ask(self, streams: int, model: str) -> None:
        """Open so many streams more, shared among the clients; returns when all have had a token."""
        share, rest = divmod(streams, len(self.clients))
        counts = [share + (index < rest) for index in range(len(self.clients))]
        for one, count in zip(self.clients, counts, strict=True):
            tell(one, f"ask {count} {model}")
        for one in self.clients:
            said(one)

    def cpu(self) -> tuple[float, float]:
        """The daemon's, and the provider's, in seconds."""
        return (0.0 if self.daemon is None else cpu_seconds(self.daemon)), cpu_seconds(self.provider.pid)

    def private_kib(self) -> int:
        """The daemon's memory."""
        return 0 if self.daemon is None else private_kib(self.daemon)


@contextmanager
def started(provider: Popen[str], url: str, way: Way, load: Load, folder: Path) -> Generator[Bench]:
    """A fresh daemon, and clients that have shaken hands; or clients of the provider's alone."""
    with ExitStack() as stack:
        if way == "direct":
            clients = [stack.enter_context(child("benchmarks.load.direct", url))]
            daemon = None
        else:
            path = folder / "daemon.sock"
            daemon = stack.enter_context(serve(path, "--base-url", url))
            share, rest = divmod(load.connections, load.processes)
            clients = [
                stack.enter_context(
                    child(
                        *("benchmarks.load.clients", str(path), way),
                        *(str(share + (index < rest)), str(index * NUMBERS_EACH)),
                    )
                )
                for index in range(load.processes)
            ]
        bench = Bench(provider, clients, daemon, folder)
        for one in clients:
            said(one)
        bench.ask(len(clients), "50")  # what is loaded and kept with the first request is not a stream's
        bench.all("wait")
        yield bench


def run(provider: Popen[str], url: str, way: Way, load: Load, folder: Path) -> Result:
    """Start all, measure, and end all."""
    with started(provider, url, way, load, folder) as bench:
        memory = {0: bench.private_kib()}
        if not load.rate:

            def whole() -> None:
                bench.ask(load.streams, load.model)
                bench.all("wait")

            result = measured(bench, whole)
        else:
            for streams in sorted({load.streams // 10, load.streams} - {0}):
                bench.ask(streams - max(memory), load.model)
                time.sleep(SETTLE_S)
                memory[streams] = bench.private_kib()
            catch_up(bench, load)
            result = measured(bench, lambda: time.sleep(load.seconds))
            result.behind = is_behind(result, load)
            tell(provider)
        for faults in bench.all("wait"):
            result.faults.add(msgspec.json.decode(faults, type=Faults))
        if bench.daemon is not None:
            result.private_kib = memory
        return result


def catch_up(bench: Bench, load: Load) -> None:
    """Wait until what had to wait while all streams were being opened has come, or it takes too long."""
    deadline_s = time.monotonic() + CATCH_UP_S
    while time.monotonic() < deadline_s:
        if not is_behind(measured(bench, lambda: time.sleep(CATCH_UP_S / 20)), load):
            return


def is_behind(result: Result, load: Load) -> bool:
    """Whether most tokens came later than half of the time between two of a stream."""
    return result.p50_us * load.rate > 1e6 / 2


def measured(bench: Bench, work: Callable[[], None]) -> Result:
    """What the processes did meanwhile."""
    bench.all("record")
    began_s, before = time.monotonic(), bench.cpu()
    work()
    daemon_s, provider_s = (after - then for after, then in zip(bench.cpu(), before, strict=True))
    taken_s = time.monotonic() - began_s
    files = [bench.folder / f"latencies-{index}" for index in range(len(bench.clients))]
    for one, file in zip(bench.clients, files, strict=True):
        tell(one, f"report {file}")
    reports = [msgspec.json.decode(said(one), type=Report) for one in bench.clients]
    tokens, clients_s = sum(one.tokens for one in reports), sum(one.cpu_s for one in reports)
    latencies_ns = read_latencies(files)
    return Result(
        tokens=tokens,
        tokens_per_s=tokens / taken_s,
        daemon_us=None if bench.daemon is None else daemon_s * 1e6 / max(tokens, 1),
        provider_us=provider_s * 1e6 / max(tokens, 1),
        clients_us=clients_s * 1e6 / max(tokens, 1),
        cores=(daemon_s + provider_s + clients_s) / taken_s,
        p50_us=percentile(latencies_ns, 50) / 1e3,
        p99_us=percentile(latencies_ns, 99) / 1e3,
    )
