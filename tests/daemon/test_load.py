"""What a report tells of models and providers: what the manager knows of them, cut to what a frame has room for."""

import time
from dataclasses import replace

import pytest
import reactivex as rx

from rxlapce.daemon.load import MAX_REASON_CHARS, MAX_TOLD, ManagerLoad
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.messages import encode
from rxlapce.operators.breaker import BreakerSettings, State
from rxlapce.operators.totals import MAX_NAME_CHARS
from rxlapce.providers.http import HttpClient
from rxlapce.routing.health import HealthMonitor
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.traffic import Traffic
from rxlapce.status import ModelStatus, ProviderStatus, StatusReport
from rxlapce.testing.asking import simulated
from rxlapce.testing.daemons import bare
from rxlapce.typing import Clock

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def manager(http: HttpClient, clock: Clock = time.monotonic) -> ProviderManager:
    openai, anthropic = simulated("http://127.0.0.1:9")
    routing = replace(bare(), breaker=BreakerSettings(consecutive=1))
    return ProviderManager(
        http,
        Router({"openai": replace(openai, origin="OPENAI_API_KEY"), "b": anthropic}),
        routing,
        traffic=Traffic(routing, clock=clock),
    )


async def test_a_breaker_that_is_not_closed_is_told_with_its_cause() -> None:
    async with HttpClient() as http:
        known = manager(http)
        assert ManagerLoad(known).models({}) == ()
        for model in ("bad", "x" * 5000):
            known.traffic.breakers.get("openai", model).ask().fail(ProviderError(ErrorKind.OVERLOADED, "y" * 5000))
        known.traffic.breakers.get("openai", "good")
        told = ManagerLoad(known).models({"openai/bad": 2.5})
    assert [one.model for one in told] == ["openai/bad", "openai/" + "x" * MAX_NAME_CHARS]
    assert {one.breaker for one in told} == {"open"}
    assert told[0].cause is not None
    assert len(told[0].cause) <= MAX_REASON_CHARS


async def test_of_several_keys_the_breaker_is_told_that_is_open_and_a_probe_is_half_open() -> None:
    clock = Time()
    async with HttpClient() as http:
        known = manager(http, clock)
        first, second = (known.traffic.breakers.get("openai", "m", key) for key in ("one", "two"))
        for clock.now_s, breaker in ((0.0, second), (4.0, first)):
            breaker.ask().fail(ProviderError(ErrorKind.OVERLOADED, "busy"))
        clock.now_s = 6.0
        assert (first.state, second.state) == (State.OPEN, State.HALF_OPEN)
        assert [one.breaker for one in ManagerLoad(known).models({})] == ["open"]
        clock.now_s = 60.0
        first.ask()
        second.ask()
        assert (first.state, second.state) == (State.PROBING, State.PROBING)
        assert [one.breaker for one in ManagerLoad(known).models({})] == ["half_open"]


async def test_what_waits_for_a_model_without_counts_of_its_own_is_not_told() -> None:
    async with HttpClient() as http:
        known = manager(http)
        known.traffic.totals.max_series = 1
        asked = rx.never().pipe(known.traffic.totals.tap("openai", "a"))
        waiting = rx.never().pipe(known.traffic.counted(known.router.route("openai/b"), others=False))
        with waiting.subscribe():
            assert [one.model for one in ManagerLoad(known).models({})] == ["openai/b"]
            with asked.subscribe():
                assert [one.model for one in ManagerLoad(known).models({})] == ["openai/a"]


async def test_providers_are_told_with_their_health_and_origin() -> None:
    async def check(name: str) -> None:
        if name == "b":
            raise ProviderError(ErrorKind.NETWORK, "nobody " * 200)

    async with HttpClient() as http:
        known = manager(http)
        before = ManagerLoad(known).providers()
        known.traffic.health = HealthMonitor(known.router.providers, check)
        await known.traffic.health.look()
        after = ManagerLoad(known).providers()
    assert before == (ProviderStatus(name="openai", origin="OPENAI_API_KEY"), ProviderStatus(name="b"))
    assert after[0] == ProviderStatus(name="openai", usable=True, origin="OPENAI_API_KEY")
    assert (after[1].usable, len(after[1].reason or "")) == (False, MAX_REASON_CHARS)


async def test_of_many_models_the_busiest_are_told_and_a_report_fits_a_frame() -> None:
    async with HttpClient() as http:
        known = manager(http)
        for number in range(MAX_TOLD + 100):
            known.traffic.breakers.get("openai", f"m{number}" + "x" * 200).ask().fail(
                ProviderError(ErrorKind.OVERLOADED, "y" * 5000)
            )
        counted = known.traffic.counted(known.router.route("openai/zz"), others=False)
        with rx.never().pipe(counted).subscribe():
            told = ManagerLoad(known).models({})
    assert len(told) == MAX_TOLD
    assert told[0] == ModelStatus(model="openai/zz", waiting=1)
    report = StatusReport(version="1", pid=1, uptime_s=0.0, models=told)
    assert len(encode(report)) < 1 << 20
