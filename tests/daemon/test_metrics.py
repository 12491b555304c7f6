"""What a daemon tells Prometheus, by what it did: over real requests, and over counts that a test has set."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import reactivex as rx

from rxlapce.bridge import connect
from rxlapce.daemon.bounds import Limits
from rxlapce.daemon.metrics import BOUNDS, DaemonMetrics
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.concurrency import Slots
from rxlapce.operators.retry import RetryPolicy
from rxlapce.operators.tap import StreamStats
from rxlapce.routing.health import HealthMonitor
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.routing.traffic import Traffic
from rxlapce.simulator import Simulator
from rxlapce.telemetry import metrics_families as told
from rxlapce.telemetry.logs import logger
from rxlapce.telemetry.metrics_families import FAMILIES, Buckets, Family, Reading
from rxlapce.telemetry.metrics_labels import OTHER
from rxlapce.telemetry.settings import MetricsSettings
from rxlapce.testing.asking import Collected, ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, bare, embedded_daemon
from rxlapce.testing.processes import until
from rxlapce.tokens import Text

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
DOWN = ProviderError(ErrorKind.OVERLOADED, "no")


def idle_daemon(path: Path) -> Daemon:
    return Daemon(DaemonSettings(path=path), log=logger(level="error", as_json=True))


def watched(running: EmbeddedDaemon, settings: MetricsSettings | None = None) -> DaemonMetrics:
    metrics = DaemonMetrics(running.daemon, lambda: [running.manager.traffic], settings)
    running.manager.on_settled = metrics.settled
    return metrics


def of(reading: Reading, family: Family) -> dict[tuple[str, ...], float]:
    """The series of a family that are not 0; of a histogram their counts."""
    values = {labels: float(v.up_to[-1] if isinstance(v, Buckets) else v) for labels, v in reading.rows[family]}
    return {labels: value for labels, value in values.items() if value}


# -- what real requests leave -----------------------------------------------------------------------------------------


async def test_a_request_is_told_by_what_it_did(embedded: EmbeddedDaemon, simulator: Simulator) -> None:
    metrics = watched(embedded)
    async with await connect(embedded.path, transport="shm", client="t") as client:
        got = Collected(client.chat_stream(ask("tokens=20,tps=2000", provider="openai")))
        assert await got.end() is None
        reading = metrics.read()
        assert of(reading, told.CONNECTIONS) == {("shm",): 1}
        assert of(reading, told.RING_CAPACITY) == {(): 1 << 20}
        assert of(reading, told.SENT)["shm",] > 20 * 50
    (labels, user) = ("openai", "sim:tokens=20,tps=2000"), next(iter(of(reading, told.REQUESTS)))[0]
    assert of(reading, told.STREAMS) == {(*labels, "completed"): 1}
    assert of(reading, told.REQUESTS) == {(user, "completed"): 1}
    assert of(reading, told.TOKENS)[*labels, "text"] >= 20
    assert of(reading, told.USAGE)[*labels, "output"] == of(reading, told.USER_TOKENS)[user, "output"] > 0
    assert of(reading, told.RECEIVED)[labels] > 20 * 100
    for histogram in (told.STREAM_DURATION, told.FIRST_TOKEN, told.STREAM_TOKENS):
        assert of(reading, histogram) == {labels: 1}
    assert of(reading, told.TOKEN_GAP)[labels] >= 20
    assert of(reading, told.REQUEST_DURATION) == {(): 1}
    assert of(reading, told.STREAMS_ACTIVE) == of(reading, told.ERRORS) == of(reading, told.RETRIES) == {}
    assert of(reading, told.MEMORY)[()] > 1e6
    gone = metrics.read()
    assert of(gone, told.CONNECTIONS) == of(gone, told.RING_CAPACITY) == {}
    assert of(gone, told.SENT)["shm",] >= of(reading, told.SENT)["shm",]


async def test_what_is_under_way_is_told_and_goes_back_to_zero(embedded: EmbeddedDaemon) -> None:
    metrics = watched(embedded)
    async with await connect(embedded.path, transport="shm", client="t") as client:
        got = Collected(client.chat_stream(ask("tokens=1000,tps=500", provider="openai")))
        await got.until(3)
        reading = metrics.read()
        (labels,) = of(reading, told.STREAMS_ACTIVE)
        assert labels[0] == "openai"
        assert of(reading, told.REQUESTS_ACTIVE)[()] == 1
        assert of(reading, told.HELD_BYTES)[()] > 50
        assert of(reading, told.REQUESTS_WAITING) == {}  # it is asked already
        assert of(reading, told.STAGE_STREAMS) == {("sink",): 1}
        assert of(reading, told.TOKENS)[*labels, "text"] > 0
        got.dispose()
        await until(lambda: not embedded.daemon.requests)
        after = metrics.read()
    assert of(after, told.STREAMS) == {(*labels, "disposed"): 1}
    for gauge in (told.STREAMS_ACTIVE, told.REQUESTS_ACTIVE, told.HELD_BYTES, told.STAGE_STREAMS, told.QUEUED):
        assert of(after, gauge) == {}
    assert {outcome for _, outcome in of(after, told.REQUESTS)} == {"disposed"}


async def test_retries_errors_and_an_open_breaker_are_told_by_model(simulator: Simulator, path: Path) -> None:
    routing = replace(
        bare(),
        retry=RetryPolicy(max_attempts=2, base_s=0.001, min_s=0.001, max_s=0.001),
        breaker=BreakerSettings(consecutive=2),
    )
    settings = DaemonSettings(path=path)
    async with embedded_daemon(settings, *simulated(simulator.base_url), routing=routing) as running:
        metrics = watched(running)
        async with await connect(path, transport="socket", client="t") as client:
            for _ in range(2):
                got = Collected(client.chat_stream(ask("fault=overloaded", provider="openai")))
                assert await got.end() is not None
        reading = metrics.read()
    labels = ("openai", "sim:fault=overloaded")
    assert of(reading, told.ERRORS) == {(*labels, "overloaded"): 2}
    assert of(reading, told.STREAMS) == {(*labels, "failed"): 2}
    assert of(reading, told.RETRIES)[labels] >= 1
    assert of(reading, told.BREAKER_STATE) == {(*labels, "", "open"): 1}
    assert of(reading, told.BREAKER_OPENINGS) == {labels: 1}
    assert of(reading, told.BREAKER_REFUSALS)[labels] >= 1
    assert of(reading, told.REQUEST_ERRORS) == {("overloaded",): 2}


async def test_waits_and_refusals_of_limits_are_told_by_gate_and_scope(simulator: Simulator, path: Path) -> None:
    admission = Admission(
        default=Quota(streams=1), models={"openai/sim": Quota(requests=1)}, client=Quota(streams=2), wait_s=0.05
    )
    settings = DaemonSettings(path=path)
    async with embedded_daemon(
        settings, *simulated(simulator.base_url), routing=replace(bare(), admission=admission)
    ) as running:
        metrics = watched(running)
        async with await connect(path, transport="socket", client="t") as client:
            slow = ask("tokens=1000,tps=500", provider="anthropic")
            one = Collected(client.chat_stream(slow))
            await one.until(1)
            two = Collected(client.chat_stream(slow))  # its model has one slot
            await until(lambda: bool(of(metrics.read(), told.LIMIT_WAITING)))
            reading = metrics.read()
            assert of(reading, told.LIMIT_WAITING) == {("streams",): 1}
            assert list(of(reading, told.REQUESTS_WAITING).values()) == [1]
            assert await two.end() is not None
            for _ in range(2):
                three = Collected(client.chat_stream(ask(provider="openai")))
                await three.end()
            one.dispose()
        reading = metrics.read()
    assert {labels[:3] for labels in of(reading, told.LIMIT_REFUSALS)} == {
        ("streams", "model", "anthropic"),
        ("rate", "model", "openai"),
    }
    assert {labels[:3] for labels in of(reading, told.LIMIT_WAITS)} == {("streams", "model", "anthropic")}
    assert sum(of(reading, told.LIMIT_WAIT_TIME).values()) >= 0.05
    assert of(reading, told.LIMIT_WAITING) == {}


# -- counts that a test has set ---------------------------------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return idle_daemon(tmp_path / "d.sock")


def stream(traffic: Traffic, provider: str, model: str) -> None:
    """An answer of two tokens."""
    rx.of(Text("a"), Text("b")).pipe(traffic.totals.tap(provider, model, exchange=Exchange())).subscribe()


async def test_everything_that_has_no_label_of_a_client_is_told_from_the_beginning(daemon: Daemon) -> None:
    reading = DaemonMetrics(daemon, lambda: [Traffic(RoutingSettings())]).read()
    by_whom = {"provider", "stage", "user"}
    for family in FAMILIES:
        if family.name.startswith("rxlapce_limit") or not by_whom & set(family.labels):
            assert reading.rows[family], family.name
    assert {labels for labels, _ in reading.rows[told.REFUSALS]} == {(bound,) for bound in BOUNDS}


async def test_the_bounds_that_are_told_are_those_that_refuse(daemon: Daemon) -> None:
    from rxlapce.daemon.bounds import Held, RequestBounds

    few = Limits(max_requests=0, max_request_bytes=0)
    for mine, everybody in ((few, Limits()), (Limits(), few)):
        bounds = RequestBounds(mine, Held(everybody), daemon.refused)
        assert bounds.take(1, 1) is not None
    assert set(daemon.refused) <= set(BOUNDS)


async def test_counts_stay_and_go_on_growing_when_the_traffic_is_another(daemon: Daemon) -> None:
    old, new = Traffic(RoutingSettings()), Traffic(RoutingSettings())
    known = [old]
    metrics = DaemonMetrics(daemon, lambda: known)
    stream(old, "acme", "m")
    for _ in range(5):
        old.breakers.get("acme", "m").ask().fail(DOWN)
    before = metrics.read()
    new.totals = old.totals  # some of it may be taken over, and is not told twice then
    known = [old, new]
    stream(new, "acme", "m")
    after = metrics.read()
    for family in FAMILIES:
        for labels, value in of(before, family).items():
            if family.series.endswith("_total"):
                assert of(after, family)[labels] >= value, family.name
    assert of(after, told.STREAMS) == {("acme", "m", "completed"): 2}
    assert of(after, told.BREAKER_OPENINGS) == {("acme", "m"): 1}


async def test_models_beyond_the_bound_are_told_together(daemon: Daemon) -> None:
    traffic = Traffic(RoutingSettings())
    metrics = DaemonMetrics(daemon, lambda: [traffic], MetricsSettings(max_models=2))
    for number in range(40):
        stream(traffic, "acme", f"m{number}")
        traffic.breakers.get("acme", f"m{number}")
    traffic.breakers.get("acme", "m30").ask()
    for _ in range(5):
        traffic.breakers.get("acme", "m30").ask().fail(DOWN)
    traffic.breakers.get("acme", "m31")  # the one that was used last is closed
    reading = metrics.read()
    assert of(reading, told.STREAMS) == {
        ("acme", "m0", "completed"): 1,
        ("acme", "m1", "completed"): 1,
        ("acme", OTHER, "completed"): 38,
    }
    assert of(reading, told.BREAKER_STATE) == {
        ("acme", "m0", "", "closed"): 1,
        ("acme", "m1", "", "closed"): 1,
        ("acme", OTHER, "", "open"): 1,  # the worst of them
    }


async def test_a_listed_model_is_told_by_name_however_many_were_invented_before(daemon: Daemon) -> None:
    traffic = Traffic(RoutingSettings())
    metrics = DaemonMetrics(daemon, lambda: [traffic], MetricsSettings(models=("acme/good",)))
    for number in range(300):
        stream(traffic, "acme", f"invented-{number}")
    stream(traffic, "acme", "good")
    assert of(metrics.read(), told.STREAMS) == {("acme", OTHER, "completed"): 300, ("acme", "good", "completed"): 1}


async def test_a_model_has_a_circuit_for_each_key_and_its_waits_together(daemon: Daemon) -> None:
    traffic = Traffic(RoutingSettings())
    for _ in range(5):
        traffic.breakers.get("acme", "m", "work").ask().fail(DOWN)
    traffic.breakers.get("acme", "m", "spare").ask()
    slots = traffic.slots[1] = Slots(1)
    for key in ("acme/m by key work", "acme/m by key spare", "acme by key work", "acme", "user ada", "client x", OTHER):
        slots.waits.tell(key, 0.5)
    reading = DaemonMetrics(daemon, lambda: [traffic]).read()
    assert of(reading, told.BREAKER_STATE) == {
        ("acme", "m", "work", "open"): 1,
        ("acme", "m", "spare", "closed"): 1,
    }
    assert of(reading, told.BREAKER_OPENINGS) == {("acme", "m"): 1}
    assert of(reading, told.LIMIT_WAITS) == {
        ("streams", "model", "acme", "m"): 2,
        ("streams", "model", "acme", ""): 2,
        ("streams", "user", "", ""): 1,
        ("streams", "client", "", ""): 1,
        ("streams", "model", "", ""): 1,
    }
    assert of(reading, told.LIMIT_WAIT_TIME)["streams", "model", "acme", "m"] == 1.0


async def test_histograms_add_up_and_keep_what_lies_outside_of_their_bounds(daemon: Daemon) -> None:
    traffic = Traffic(RoutingSettings())
    stats = StreamStats()
    for us in (0, 1_250, 1_251, 10_240_000, 10_240_001, 4_000_000_000):
        stats.gap_times.record(us)
    stats.gaps.count = stats.texts = 6
    stats.started_s = 0
    place = ("acme", "m")
    stream(traffic, *place)
    metrics = DaemonMetrics(daemon, lambda: [traffic])
    (_, before) = metrics.read().rows[told.TOKEN_GAP][0]
    totals = dict(step for step in traffic.totals.gather() if step is not None)[place]
    assert isinstance(before, Buckets)
    assert list(before.up_to) == [totals.gaps.count] * 15

    def gather() -> Iterator[tuple[tuple[str, str], object]]:
        totals.gaps = stats.gap_times
        yield place, totals

    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(traffic.totals, "gather", gather)
        (_, after) = metrics.read().rows[told.TOKEN_GAP][0]
    assert isinstance(after, Buckets)
    assert list(after.up_to) == [2, 3, *[3] * 11, 4, 6]
    assert after.sum == pytest.approx(sum((0, 1_250, 1_251, 10_240_000, 10_240_001, 4_000_000_000)) / 1e6)


async def test_health_is_told_by_provider_and_state(daemon: Daemon) -> None:
    async def check(name: str) -> None:
        if name == "bad":
            raise DOWN

    traffic = Traffic(RoutingSettings())
    traffic.health = HealthMonitor(("good", "bad"), check)
    metrics = DaemonMetrics(daemon, lambda: [traffic])
    assert of(metrics.read(), told.PROVIDER_HEALTH) == {("good", "unknown"): 1, ("bad", "unknown"): 1}
    await traffic.health.look()
    assert of(metrics.read(), told.PROVIDER_HEALTH) == {("good", "usable"): 1, ("bad", "unusable"): 1}


async def test_nothing_of_a_prompt_an_answer_or_a_key_is_told(embedded: EmbeddedDaemon) -> None:
    metrics = watched(embedded)
    async with await connect(embedded.path, transport="socket", client="client-canary") as client:
        got = Collected(client.chat_stream(ask(provider="openai", prompt="prompt-canary")))
        assert await got.end() is None
    said = repr(metrics.read().rows)
    assert "canary" not in said
    assert "sk-test" not in said
