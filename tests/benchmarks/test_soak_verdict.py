"""The soak's verdict: what counts as left behind."""

from collections.abc import Callable

import msgspec
import pytest

from benchmarks.soak.clients import Tally
from benchmarks.soak.gauges import MUST_BE_BACK, MUST_BE_ZERO, Gauges
from benchmarks.soak.verdict import faults, growth_kib, unpunished

IDLE = Gauges(**dict.fromkeys(Gauges.__struct_fields__, 0))
SECONDS = 100


def samples(private_kib: Callable[[int], float], *, ended_a_second: int = 0) -> list[tuple[float, Gauges]]:
    """A sample a second, of so much memory."""
    return [
        (at_s, msgspec.structs.replace(IDLE, private_kib=round(private_kib(at_s)), ended=at_s * ended_a_second))
        for at_s in range(SECONDS)
    ]


def flat() -> list[tuple[float, Gauges]]:
    return samples(lambda _: 50_000)


def test_an_idle_daemon_with_steady_memory_has_left_nothing_behind() -> None:
    assert faults(IDLE, flat(), IDLE, Tally()) == []


@pytest.mark.parametrize("name", MUST_BE_ZERO)
def test_a_gauge_that_is_not_zero_at_the_end_is_told(name: str) -> None:
    after = msgspec.structs.replace(IDLE, **{name: 1})
    assert faults(after, flat(), after, Tally()) == [f"{name} is 1, not 0"]


@pytest.mark.parametrize("name", MUST_BE_BACK)
def test_more_of_what_was_there_before_is_told_and_less_is_not(name: str) -> None:
    more = msgspec.structs.replace(IDLE, **{name: 3})
    assert faults(IDLE, flat(), more, Tally()) == [f"{name}: 0 before, 3 after"]
    assert faults(more, flat(), IDLE, Tally()) == []


def test_memory_that_grows_on_is_told_and_memory_that_has_settled_is_not() -> None:
    growing = samples(lambda at_s: 50_000 + 100 * at_s)
    settled = samples(lambda at_s: min(90_000, 50_000 + 1_000 * at_s))
    assert growth_kib(growing) == pytest.approx(4_900)
    assert [fault.partition(" by ")[0] for fault in faults(IDLE, growing, IDLE, Tally())] == ["memory grew"]
    assert faults(IDLE, settled, IDLE, Tally()) == []


def test_one_peak_is_no_growth() -> None:
    assert faults(IDLE, samples(lambda at_s: 60_000 if at_s == 75 else 50_000), IDLE, Tally()) == []


@pytest.mark.parametrize("at_s", [6, 8, 10, 11])
def test_one_peak_is_no_growth_where_there_are_few_samples(at_s: int) -> None:
    few = samples(lambda now_s: 99_400 if now_s == at_s else 57_000 + 30 * now_s)[:12]
    assert growth_kib(few) == pytest.approx(150, abs=60)
    assert faults(IDLE, few, IDLE, Tally()) == []


@pytest.mark.parametrize(("left_kib", "is_told"), [(0.2, False), (1.0, True)])
def test_what_a_request_may_leave_is_less_than_the_least_that_it_could(left_kib: float, is_told: bool) -> None:
    """A hundred requests a second."""
    taken = samples(lambda at_s: 50_000 + 100 * left_kib * at_s, ended_a_second=100)
    assert bool(faults(IDLE, taken, IDLE, Tally())) is is_told


def test_memory_is_that_of_the_process_alone_where_the_system_tells_it() -> None:
    assert msgspec.structs.replace(IDLE, rss_kib=7, private_kib=None).memory_kib == 7
    assert msgspec.structs.replace(IDLE, rss_kib=7, private_kib=5).memory_kib == 5


def test_an_answer_is_compared_with_what_the_model_says() -> None:
    tally = Tally()
    for said in ("one two three", "one two" + "x" * 5000 + " three", "one two", "one two two three"):
        tally.compare("?", said, "one two three")
    assert (len(tally.wrong), tally.truncated, tally.doubled) == (2, 1, 1)
    assert faults(IDLE, flat(), IDLE, tally) == ["2 answers were told as whole and are not"]


def test_streams_without_one_end_are_told() -> None:
    tally = Tally(without_end=2, ended_twice=1)
    told = faults(IDLE, flat(), IDLE, tally)
    assert told == ["2 streams had no terminal frame", "1 streams had more than one terminal frame"]


def test_an_attack_that_nobody_noticed_is_told() -> None:
    assert unpunished({"attacks": 2, "flipped: BadChecksum": 9, "churn: after": 3}, {"ping": 4}, 60) == []
    assert unpunished({"attacks": 2, "flipped: TAKEN": 1}, {}, 60) == ["1 attacks ended as 'flipped: TAKEN'"]
    assert unpunished({"attacks": 2, "torn: left hanging": 2}, {}, 60) == ["2 attacks ended as 'torn: left hanging'"]


def test_a_soak_whose_hostile_peers_stood_still_is_told() -> None:
    assert unpunished({"attacks": 3, "churn: after": 7}, {}, 1800) == ["3 attacks in 1800 s, where 60 at least are due"]


def test_a_visitor_may_be_refused_and_not_be_dropped() -> None:
    refused = {"chat: ProviderError": 2, "ping: HandshakeRefused": 1, "ping: too slow": 1}
    assert unpunished({"attacks": 2}, refused, 60) == []
    assert unpunished({"attacks": 2}, {"ping: ConnectionLost": 2}, 60) == ["2 visitors ended in 'ping: ConnectionLost'"]
