import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.routing.health import UNUSABLE, Health, HealthMonitor, OnHealth, Usability

DOWN = ProviderError(ErrorKind.NETWORK, "cannot connect", phase=Phase.CONNECT, provider="acme")


class Time:
    """A clock that goes when it is told to, and wakes who sleeps by it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sleeps: list[float] = []
        self._sleeper: tuple[float, asyncio.Future[None]] | None = None

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        self.sleeps.append(delay_s)
        assert self._sleeper is None, "only the monitor's own task sleeps"
        self._sleeper = (self.now_s + delay_s, asyncio.get_running_loop().create_future())
        try:
            await self._sleeper[1]
        finally:
            self._sleeper = None

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, and everything run that is ready then."""
        self.now_s += seconds
        if self._sleeper is not None and self._sleeper[0] <= self.now_s:
            self._sleeper[1].set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Checks:
    """A check whose answers are given by hand, or by `how` at once."""

    def __init__(self, how: dict[str, Exception | None] | None = None) -> None:
        self.how = how
        self.asked: list[str] = []
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []

    async def __call__(self, name: str) -> None:
        self.asked.append(name)
        if self.how is not None:
            error = self.how.get(name)
            if error is not None:
                raise error
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[name] = answer
        try:
            await answer
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise


def monitor(
    time: Time,
    checks: Callable[[str], Awaitable[None]],
    *names: str,
    timeout_s: float = 10,
    on_change: OnHealth | None = None,
) -> HealthMonitor:
    return HealthMonitor(names, checks, clock=time, sleep=time.sleep, timeout_s=timeout_s, on_change=on_change)


async def test_what_was_not_looked_at_yet_counts_as_usable() -> None:
    health = monitor(Time(), Checks(), "acme")
    assert health["acme"] == Health(Usability.UNKNOWN, None, 100)
    assert health.usable("acme")
    assert health.usable("somebody else")
    with pytest.raises(KeyError):
        health["somebody else"]


async def test_all_are_looked_at_together_and_none_waits_for_a_slow_one() -> None:
    checks = Checks()
    async with monitor(Time(), checks, "a", "b", "c") as health:
        await settle()
        assert checks.asked == ["a", "b", "c"]
        checks.waiting["c"].set_result(None)
        checks.waiting["a"].set_exception(DOWN)
        await settle()
        assert [health[name].usability for name in "abc"] == [Usability.UNUSABLE, Usability.UNKNOWN, Usability.USABLE]
        assert health.rounds == 0


async def test_each_is_looked_at_every_half_minute_and_sooner_while_it_is_unusable() -> None:
    time, checks = Time(), Checks({"down": DOWN})
    async with monitor(time, checks, "well", "down"):
        await settle()
        seen: list[tuple[float, str]] = []
        for _ in range(12):
            checks.asked.clear()
            await time.pass_by(5)
            seen += [(time.now_s - 100, name) for name in checks.asked]
    assert seen == [
        (10, "down"),
        (20, "down"),
        (30, "well"),
        (30, "down"),
        (40, "down"),
        (50, "down"),
        (60, "well"),
        (60, "down"),
    ]
    assert time.sleeps[:3] == [10, 10, 10]


async def test_a_provider_that_is_back_is_usable_at_its_next_check() -> None:
    time, checks = Time(), Checks({"acme": DOWN})
    async with monitor(time, checks, "acme") as health:
        await settle()
        assert health["acme"] == Health(Usability.UNUSABLE, str(DOWN), 100)
        await time.pass_by(10)
        assert health["acme"].since_s == 100  # it stands as it stood
        checks.how = {}
        await time.pass_by(10)
        assert health["acme"] == Health(Usability.USABLE, None, 120)
        assert health.all() == {"acme": health["acme"]}


# -- served -----------------------------------------------------------------------------------------------------------


async def test_a_provider_that_served_a_request_needs_no_check() -> None:
    time, checks = Time(), Checks({})
    async with monitor(time, checks, "busy", "quiet") as health:
        await settle()
        checks.asked.clear()
        for _ in range(3):
            health.served("busy")
            await time.pass_by(30)
        assert checks.asked == ["quiet"] * 3
        await time.pass_by(30)
        assert checks.asked[3:] == ["busy", "quiet"]


async def test_a_provider_whose_answer_flows_is_well_and_not_asked() -> None:
    time, checks, flowing = Time(), Checks({"slow to check": DOWN}), set[str]()
    health = HealthMonitor(["slow to check"], checks, clock=time, sleep=time.sleep, speaking=flowing.__contains__)
    async with health:
        await settle()
        assert not health.usable("slow to check")
        flowing.add("slow to check")
        await time.pass_by(10)
        assert (health.usable("slow to check"), checks.asked) == (True, ["slow to check"])
        flowing.clear()
        await time.pass_by(30)
        assert (health.usable("slow to check"), len(checks.asked)) == (False, 2)


async def test_a_provider_that_served_a_request_is_usable_at_once() -> None:
    time, checks = Time(), Checks({"acme": DOWN})
    async with monitor(time, checks, "acme") as health:
        await settle()
        time.now_s += 3
        health.served("acme")
        assert health["acme"] == Health(Usability.USABLE, None, 103)
        health.served("somebody else")
        assert list(health.all()) == ["acme"]


async def test_a_request_served_during_the_check_is_newer_than_the_checks_answer() -> None:
    checks = Checks()
    async with monitor(Time(), checks, "acme") as health:
        await settle()
        health.served("acme")
        checks.waiting["acme"].set_exception(DOWN)
        await settle()
        assert health["acme"].usability is Usability.USABLE


async def test_each_change_of_usability_is_told_once() -> None:
    told: list[tuple[str, Usability, Usability, str | None]] = []

    def on_change(name: str, before: Health, after: Health) -> None:
        told.append((name, before.usability, after.usability, after.reason))

    time, how = Time(), dict[str, Exception | None]({"acme": DOWN})
    health = monitor(time, Checks(how), "acme", on_change=on_change)
    for _ in range(2):
        await health.look()
        time.now_s += 10
    assert told == [("acme", Usability.UNKNOWN, Usability.UNUSABLE, str(DOWN))]
    how["acme"] = None
    await health.look()
    health.served("acme")
    assert told[1:] == [("acme", Usability.UNUSABLE, Usability.USABLE, None)]


# -- what an answer says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ErrorKind)
async def test_each_kind_of_error_makes_a_provider_unusable_or_unknown(kind: ErrorKind) -> None:
    error = ProviderError(kind, "no", phase=Phase.HEADERS)
    health = monitor(Time(), Checks({"acme": error}), "acme")
    await health.look()
    expected = Usability.UNUSABLE if kind in UNUSABLE else Usability.UNKNOWN
    assert (health["acme"].usability, health["acme"].reason) == (expected, str(error))
    assert health.usable("acme") == (kind not in UNUSABLE)


def test_the_callers_faults_and_a_rate_limit_leave_a_provider_usable() -> None:
    assert set(ErrorKind) - UNUSABLE == {
        ErrorKind.RATE_LIMIT,
        ErrorKind.BAD_REQUEST,
        ErrorKind.CONTEXT_LENGTH,
        ErrorKind.CONTENT_FILTER,
        ErrorKind.CANCELLED,
        ErrorKind.INTERNAL,
    }


async def test_what_could_not_even_be_sent_tells_nothing() -> None:
    health = monitor(Time(), Checks({"acme": ProviderError(ErrorKind.AUTH, "no key", phase=Phase.ADMIT)}), "acme")
    await health.look()
    assert health["acme"].usability is Usability.UNKNOWN


async def test_a_check_that_does_not_answer_is_given_up() -> None:
    checks = Checks()
    health = monitor(Time(), checks, "acme", timeout_s=0.01)
    await health.look()
    assert (health["acme"].usability, health["acme"].reason) == (Usability.UNUSABLE, "no answer within 0.01 s")
    assert checks.cancelled == ["acme"]


@pytest.mark.parametrize("fault", [KeyError("x"), TimeoutError("its own")], ids=["KeyError", "TimeoutError"])
async def test_a_fault_of_the_check_itself_is_told_and_hides_nobody(fault: Exception) -> None:
    time, checks = Time(), Checks({"odd": fault, "down": DOWN})
    async with monitor(time, checks, "odd", "down") as health:
        await settle()
        assert health["odd"].usability is Usability.UNKNOWN
        assert health["odd"].reason == f"the check itself failed: {type(fault).__name__}: {fault}"
        assert not health.usable("down")
        await time.pass_by(30)
        assert checks.asked.count("odd") == 2


# -- its task ---------------------------------------------------------------------------------------------------------


async def test_rounds_do_not_overlap() -> None:
    time, checks = Time(), Checks()
    async with monitor(time, checks, "slow") as health:
        await settle()
        time.now_s += 100
        second = asyncio.create_task(health.look())
        await settle()
        assert checks.asked == ["slow"]
        checks.waiting["slow"].set_result(None)
        await second
        assert (checks.asked, health.rounds) == (["slow"], 2)  # it was known when the second round began


async def test_stopping_cancels_the_checks_and_leaves_no_task() -> None:
    checks = Checks()
    health = monitor(Time(), checks, "a", "b")
    before = asyncio.all_tasks()
    health.start()
    await settle()
    assert len(asyncio.all_tasks() - before) == 3
    await health.stop()
    assert sorted(checks.cancelled) == ["a", "b"]
    assert asyncio.all_tasks() == before
    await health.stop()
    assert health.usable("a")


async def test_it_stops_between_rounds_and_can_begin_again() -> None:
    time, checks = Time(), Checks({})
    health = monitor(time, checks, "a")
    for begun in (1, 2):
        health.start()
        await settle()
        assert health.rounds == begun
        await health.stop()
        time.now_s += 30


async def test_it_begins_once() -> None:
    async with monitor(Time(), Checks({}), "a") as health:
        with pytest.raises(RuntimeError, match="already"):
            health.start()


async def test_without_providers_its_task_ends() -> None:
    before = asyncio.all_tasks()
    async with monitor(Time(), Checks({})):
        await settle()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("name", ["every_s", "unusable_every_s", "timeout_s"])
@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_times_that_are_not_above_zero_are_refused(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        HealthMonitor(["a"], Checks(), **{name: wrong})  # type: ignore[arg-type]  # a number for each of these names
