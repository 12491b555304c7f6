"""The answer to `status`: how the daemon is, from what it counts anyway."""

import asyncio
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

import rxlapce
from rxlapce.daemon.handlers import Handlers
from rxlapce.daemon.load import MAX_TOLD
from rxlapce.daemon.rates import RateWindow
from rxlapce.daemon.reload import Loaded
from rxlapce.daemon.users import Users
from rxlapce.messages import Question
from rxlapce.status import ClientStatus, ConfigStatus, StatusReport
from rxlapce.typing import Clock

#: What rates are taken over, and how often the counts are looked at for it.
WINDOW_S: Final = 10.0
STEP_S: Final = 2.0


class Client(Protocol):
    """What a report asks of a session."""

    number: int
    user: str

    @property
    def for_providers(self) -> int:
        """Requests under way that are no questions to the daemon itself."""
        ...

    def status(self) -> ClientStatus:
        """How the client is."""
        ...


class Reported(Protocol):
    """What a report asks of the daemon."""

    handlers: Handlers
    users: Users
    config: Callable[[], Loaded | None]
    draining: bool
    refused: Counter[str]

    @property
    def sessions(self) -> Iterable[Client]:
        """Those of the connected clients."""
        ...

    @property
    def requests(self) -> int:
        """Requests under way."""
        ...

    @property
    def max_connections(self) -> int:
        """How many clients may be connected."""
        ...

    @property
    def max_requests(self) -> int:
        """How many requests one of them may have under way."""
        ...


class StatusReporter:
    """Answers `status` for `daemon`.

    For the rates it looks at the counts of tokens every `step_s`, from the first request on until nothing runs and
    nothing grew for 10 s: an idle daemon has no timer, and no token does anything for it. A look
    costs some 0.5 us for each stream that runs and 1 us for each model that was asked; a report 10 us for each stream
    and 30 us for each model: 1 ms with 100 streams of 8 models, 20 ms with 1,000 of 256 (2026-11-23). Memory: six looks
    of at most 257 numbers.

    It runs on the daemon's loop, between the first `request_began` and `close`.
    """

    def __init__(self, daemon: Reported, *, clock: Clock = time.monotonic, step_s: float = STEP_S) -> None:
        self._daemon = daemon
        self._step_s = step_s
        self._clock = clock
        self._began_s = clock()
        self._window = RateWindow(WINDOW_S)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._one_a_round = asyncio.Lock()

    @property
    def looks_on(self) -> bool:
        """Whether the counts are looked at now and then."""
        return self._timer is not None

    def request_began(self) -> None:
        """A request that may make tokens has begun."""
        if self._timer is None and not self._closed:
            self._look_again()

    def close(self) -> None:
        """Look at nothing any more. A report can still be had, without rates. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        self._window.look(self._clock(), self._daemon.handlers.load.tokens())
        self._timer = asyncio.get_running_loop().call_later(self._step_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._daemon.requests or self._window.grew(self._daemon.handlers.load.tokens()):
            self._look_again()
        else:
            self._window.clear()

    async def answer(self, _: Question) -> StatusReport:
        """The report, as things stand now: one a loop round, since many at once would hold up all the streams."""
        async with self._one_a_round:
            await asyncio.sleep(0)
            return self.report()

    def report(self) -> StatusReport:
        """The same; never waits."""
        daemon, load, now_s = self._daemon, self._daemon.handlers.load, self._clock()
        window_s, per_s = self._window.rates(now_s, load.tokens())
        sessions = sorted(daemon.sessions, key=lambda session: session.number)
        under_way = Counter[str]()
        for session in sessions:
            under_way[session.user] += session.for_providers
        return StatusReport(
            version=rxlapce.__version__,
            pid=os.getpid(),
            uptime_s=round(now_s - self._began_s, 3),
            draining=daemon.draining,
            memory_bytes=memory_bytes(),
            open_files=_open_files(),
            max_open_files=_max_open_files(),
            tasks=len(asyncio.all_tasks()),
            connections=len(sessions),
            max_connections=daemon.max_connections,
            requests=sum(session.for_providers for session in sessions),
            max_requests=daemon.max_requests,
            refused=dict(daemon.refused),
            window_s=round(window_s, 3),
            tokens_per_s=round(sum(per_s.values()), 3),
            models=load.models(per_s),
            providers=load.providers(),
            clients=tuple(session.status() for session in sessions[:MAX_TOLD]),
            users=daemon.users.tell(under_way),
            config=self._config(now_s),
        )

    def _config(self, now_s: float) -> ConfigStatus | None:
        held = self._daemon.config()
        if held is None:
            return None
        return ConfigStatus(file=held.file, age_s=round(now_s - held.loaded_s, 3), error=held.error or None)


def memory_bytes() -> int:
    """What the process has resident; where there is no /proc, the most that it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])  # proc(5)
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): bytes there, KiB elsewhere
    return pages * resource.getpagesize()


def _open_files() -> int:
    """The open descriptors of the process, without the one that counts them; 0 where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # noqa: PTH208 - a name each is enough
    except OSError:
        return 0


def _max_open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else soft
