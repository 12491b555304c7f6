"""The rates of a report: those of the last seconds, and nobody looks while nothing grows."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.daemon.load import NoLoad
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.daemon.status import StatusReporter
from rxlapce.status import ModelStatus, StatusReport
from rxlapce.testing.asking import Collected, ask
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.processes import until

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


def of(report: StatusReport, model: str) -> ModelStatus:
    return next(one for one in report.models if one.model == model)


class Counting(NoLoad):
    """A load whose tokens the test counts."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.looks = 0

    def tokens(self) -> Mapping[str, int]:
        self.looks += 1
        return dict(self.counts)

    async def looked(self, reporter: StatusReporter) -> None:
        """Return when `reporter` has looked once more, or has stopped to."""
        seen = self.looks
        await until(lambda: self.looks > seen or not reporter.looks_on)


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_the_rate_is_that_of_the_last_seconds_and_an_idle_daemon_looks_at_nothing(path: Path) -> None:
    daemon = Daemon(DaemonSettings(path=path))
    load, time = Counting(), Time()
    daemon.handlers.load = load
    reporter = StatusReporter(daemon, clock=time, step_s=0.001)
    assert not reporter.looks_on
    reporter.request_began()
    load.counts = {"a/m": 100}
    time.now_s = 4.0
    report = reporter.report()
    assert (report.window_s, report.tokens_per_s, report.uptime_s) == (4.0, 25.0, 4.0)
    for now_s in range(5, 40):  # nothing runs, nothing grows: after the window nobody looks any more
        time.now_s = float(now_s)
        await load.looked(reporter)
    assert not reporter.looks_on
    assert reporter.report().tokens_per_s == 0.0
    time.now_s = 1000.0
    reporter.request_began()
    load.counts = {"a/m": 150}
    time.now_s = 1005.0
    assert reporter.report().tokens_per_s == 10.0
    reporter.close()
    reporter.request_began()
    assert not reporter.looks_on


async def test_it_looks_on_while_a_request_runs_that_says_nothing(path: Path) -> None:
    class Busy(Daemon):
        @property
        def requests(self) -> int:
            return 1

    daemon, load, time = Busy(DaemonSettings(path=path)), Counting(), Time()
    daemon.handlers.load = load
    reporter = StatusReporter(daemon, clock=time, step_s=0.001)
    reporter.request_began()
    for now_s in range(30):
        time.now_s = float(now_s)
        await load.looked(reporter)
    assert reporter.looks_on
    reporter.close()


async def test_the_first_report_of_a_stream_has_its_rate_and_the_timer_ends_with_the_daemon(
    embedded: EmbeddedDaemon,
) -> None:
    async with await connect(embedded.path) as client:
        assert not embedded.daemon.status.looks_on
        await client.status()
        assert not embedded.daemon.status.looks_on
        stream = Collected(client.chat_stream(ask("tokens=100000,tps=2000", provider="openai")))
        await stream.until(50)
        report = await client.status()
        assert report.tokens_per_s >= 49
        assert of(report, "openai/sim:tokens=100000,tps=2000").tokens_per_s == report.tokens_per_s
        assert embedded.daemon.status.looks_on
        stream.dispose()
    await embedded.daemon.stop(drain_s=0)
    assert not embedded.daemon.status.looks_on
