"""What a process has of its own, and what a daemon keeps for its requests, in plain numbers."""

import asyncio
import faulthandler
import re
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from rxlapce.daemon.server import Daemon
from rxlapce.operators.breaker import State
from rxlapce.providers.http import HttpClient
from rxlapce.routing.manager import ProviderManager


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon at one moment. Memory is in KiB; `private_kib` is what would be free if the process ended (USS).

    Those in `MUST_BE_ZERO` are zero when nothing is under way, those in `MUST_BE_BACK` what they were before.
    """

    tasks: int
    threads: int
    descriptors: int
    rss_kib: int
    private_kib: int | None
    connections: int
    requests: int
    rings: int
    http_streams: int
    stages: int
    running: int
    attempts: int
    slots: int
    slot_waiters: int
    quota: int
    quota_waiters: int
    tickets: int
    open_breakers: int
    retries: int
    retries_refused: int
    refused: int
    ended: int
    """Attempts that have ended since the start."""
    tokens: int
    """Tokens that came from the providers since the start."""
    late_ms: int
    """The longest that the loop was late since the last look."""
    cpu_ms: int
    """Processor time since the start."""

    @property
    def memory_kib(self) -> int:
        """The better of the two measures that is there."""
        return self.rss_kib if self.private_kib is None else self.private_kib


MUST_BE_BACK = ("tasks", "threads", "descriptors")
MUST_BE_ZERO = (
    "connections",
    "requests",
    "rings",
    "http_streams",
    "stages",
    "running",
    "attempts",
    "slots",
    "slot_waiters",
    "quota",
    "quota_waiters",
    "tickets",
)


class Lateness:
    """How late the loop is: a timer that should go off every `EVERY_S`. After `STUCK_S` the stack is printed."""

    EVERY_S: Final = 0.05
    STUCK_S: Final = 3.0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due_s = self._loop.time()
        self._worst_s = 0.0
        self._tick()

    def _tick(self) -> None:
        now_s = self._loop.time()
        self._worst_s = max(self._worst_s, now_s - self._due_s)
        self._due_s = now_s + self.EVERY_S
        faulthandler.dump_traceback_later(self.STUCK_S)
        self._loop.call_at(self._due_s, self._tick)

    def worst_ms(self) -> int:
        """Since the last call."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(worst_s * 1000)


def gauges_of(daemon: Daemon, manager: ProviderManager, client: HttpClient, late_ms: int = 0) -> Gauges:
    """The gauges now; the one who asks counts as a task."""
    traffic = manager.traffic
    slots = [gate.gauges for gate in traffic.slots.values()]
    quotas = [gate.gauges for gate in traffic.limiters.values()]
    breakers = [breaker for _, breaker in traffic.breakers]
    totals = traffic.totals.collect().values()
    return Gauges(
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        rss_kib=_kib("/proc/self/status", "VmRSS") or 0,
        private_kib=_private_kib(),
        connections=len(daemon.sessions),
        requests=daemon.requests,
        rings=Path("/proc/self/maps").read_text().count("memfd:rxlapce-ring"),
        http_streams=client.open_streams,
        stages=sum(reading.streams for reading in daemon.stages.collect().values()),
        running=traffic.all_running,
        attempts=sum(model.running for model in totals),
        slots=sum(gate.active for gate in slots),
        slot_waiters=sum(gate.waiting for gate in slots),
        quota=sum(gate.active for gate in quotas),
        quota_waiters=sum(gate.waiting for gate in quotas),
        tickets=sum(breaker.gauges.active for breaker in breakers),
        open_breakers=sum(breaker.state is not State.CLOSED for breaker in breakers),
        retries=traffic.budget.spent,
        retries_refused=traffic.budget.refused,
        refused=sum(gate.refused for gate in (*slots, *quotas)),
        ended=sum(model.attempts - model.running for model in totals),
        tokens=sum(traffic.totals.tokens().values()),
        late_ms=late_ms,
        cpu_ms=round(time.process_time() * 1000),
    )


def _private_kib() -> int | None:
    clean = _kib("/proc/self/smaps_rollup", "Private_Clean")
    dirty = _kib("/proc/self/smaps_rollup", "Private_Dirty")
    return None if clean is None or dirty is None else clean + dirty


def _kib(path: str, name: str) -> int | None:
    """The number of a `Name:  123 kB` line; None if the system does not tell."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
