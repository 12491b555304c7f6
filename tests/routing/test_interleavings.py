"""Random faults, silences, quotas, slow readers and leavings in virtual time: what holds of the whole pipeline."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Final, TypeVar, overload

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.operators.retry import RetryPolicy
from rxlapce.routing.alias import Alias, Choose, Target
from rxlapce.routing.settings import Admission, BudgetSettings, Quota, RoutingSettings, StreamTimeouts
from rxlapce.testing.interleaving import ALIAS, Reading, Scenario, World
from rxlapce.testing.interleaving_checks import check
from rxlapce.testing.interleaving_reached import reached
from rxlapce.testing.scripted_http import Fault, Script
from rxlapce.testing.thoroughness import examples

MODELS: Final = ("openai/a", "openai/b", "anthropic/claude-3-5-haiku")

# -- what is drawn ----------------------------------------------------------------------------------------------------

T = TypeVar("T")


class Mixed(Sequence[T]):
    """`make` with every combination of the options, each of which may be such a sequence itself.

    One number chooses one: drawn so, an example takes a tenth of the time. The first has the first of each, and a
    failure shrinks to that, so what is simplest stands first.
    """

    def __init__(self, make: Callable[..., T], **options: Sequence[object]) -> None:
        self.make = make
        self.options = options
        self.size = prod(map(len, options.values()))
        assert self.size <= 2**24, "of a larger range, hypothesis prefers the small numbers"

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self.size))]
        chosen: dict[str, object] = {}
        for name, options in self.options.items():
            place, which = divmod(place, len(options))
            chosen[name] = options[which]
        return self.make(**chosen)

    @property
    def drawn(self) -> st.SearchStrategy[T]:
        return st.integers(0, self.size - 1).map(self.__getitem__)


#: Many answers are sound, so that requests get far; of the faults those in mid-stream come more often.
FAULTS: Final = [
    *[Fault.NONE] * 8, *Fault, *[Fault.CUT] * 4, *[Fault.STALLS] * 3, Fault.ENDS_EARLY, *[Fault.FAILS] * 2,
    *[Fault.RATE_LIMIT] * 2,
]  # fmt: skip

scripts = Mixed(
    Script,
    fault=FAULTS,
    after=[*range(12), 3, 4],
    headers_s=[0.0, 0.0, *[0.25] * 4, 3.0, 30.0],
    piece_chars=[(9,), (72,), (1, 5, 20)],
    read_bytes=[(4096,), (100, 700)],
    gaps_s=[(0.0,), (0.25,), (1.0, 0.0, 0.0), (0.0, 4.0), (2.0, 0.25)],
    keep_alives=[0, 0, 0, 12],
    repeats=[0, 8, 13],
    retry_after_s=[None, 1, 7, 90],
    refuses_prefill=[False, True],
)
targets = Mixed(Target, model=MODELS, weight=[1, 2, 3], prefill=[None, True, False])
timeouts = Mixed(
    StreamTimeouts,
    connect_s=[None, 2.0, 9.0],
    headers_s=[None, None, None, 2.0],
    first_token_s=[None, 3.0, 30.0],
    idle_s=[10.0, 2.0],  # always one, since a provider may fall silent for ever
    min_tokens_per_s=[None, None, None, 2.0],
    rate_window_s=[5.0, 1.5],
    total_s=[None, None, 40.0, 6.0],
)
of_a_model = Mixed(
    Quota,
    requests=[*[None] * 6, 1, 2, 4],
    tokens=[*[None] * 8, 60, 700],
    streams=[None, None, None, 1, 2],
    shared=[False, True],
)
of_a_user = Mixed(Quota, requests=[*[None] * 8, 1, 3], tokens=[*[None] * 10, 90], streams=[*[None] * 4, 1])
admissions = st.builds(
    Admission,
    default=of_a_model.drawn,
    user=of_a_user.drawn,
    client=of_a_user.drawn,
    wait_s=st.sampled_from([30.0, 90.0, 3.0, 0.0]),
)
retries = Mixed(RetryPolicy, max_attempts=[1, 2, 3, 4, 4], base_s=[0.5, 4.0], deadline_s=[60.0, None, 5.0])
budgets = Mixed(BudgetSettings, fraction=[0.5, 0.0], floor=[9, 3, 0], window_s=[1e9])  # the whole run is one window
breakers = Mixed(
    BreakerSettings,
    consecutive=[4, 4, 2, 1],
    window=[4],
    min_outcomes=[4, 2],
    open_s=[1.0, 5.0],
    forget_s=[60.0, 4.0],
    max_cooldown_s=[3600.0, 0.5],
)
policies = Mixed(
    FallbackPolicy,
    after_commit=[*AfterCommit, AfterCommit.CONTINUE, AfterCommit.CONTINUE],
    on_content_filter=[False, True],
    max_kept_chars=[*[1000] * 5, 20],
)
readings = Mixed(
    Reading,
    at_s=[0.0, 0.0, 0.25, 1.0, 5.0, 30.0, 61.0],
    model=[*[ALIAS] * 30, "nobody/x"],
    whole=[False, False, False, True],
    tools=[False, True],
    bounded=[False, True],
    user=["ann", "bob"],
    client=["editor", "shell"],
    turns_s=[(), (), (0.0, 3.0), (1.0, 1.0, 0.25, 20.0), (0.25, 50.0)],
    leaves_s=[*[None] * 5, 0.0, 0.25, 2.5],
    leaves_after=[*[None] * 5, 1, 2, 9],
    high_water=[1, 4],
)


def scenario_of(
    models: list[tuple[Target, list[Script]]],
    choose: Choose,
    settings: RoutingSettings,
    readings: list[Reading],
    chances: tuple[float, ...],
) -> Scenario:
    return Scenario(
        alias=Alias(name=ALIAS, targets=tuple(target for target, _ in models), choose=choose),
        scripts={target.model: scripts for target, scripts in models},
        settings=settings,
        readings=readings,
        chances=chances,
    )


def models(least: int, most: int) -> st.SearchStrategy[list[tuple[Target, list[Script]]]]:
    scripted = st.tuples(targets.drawn, st.lists(scripts.drawn, min_size=1, max_size=4))
    return st.lists(scripted, min_size=least, max_size=most, unique_by=lambda one: one[0].model)


scenarios = st.builds(
    scenario_of,
    st.one_of(models(1, 1), models(2, 3), models(2, 3), models(3, 3)),
    st.sampled_from(Choose),
    st.builds(
        RoutingSettings,
        timeouts=timeouts.drawn,
        admission=admissions,
        retry=retries.drawn,
        patience_s=st.sampled_from([20.0, 2.0, 0.0]),
        budget=budgets.drawn,
        breaker=breakers.drawn,
        fallback=policies.drawn,
    ),
    st.lists(readings.drawn, min_size=1, max_size=5),
    st.sampled_from([(0.5,), (0.0, 0.99, 0.3), (0.9, 0.1)]),
)


#: What random scenarios must get to, or they show less than they seem to.
EVERYWHERE: Final = frozenset(
    {
        *(f"end: {kind}" for kind in ("whole", "auth", "rate_limit", "overloaded", "network", "truncated", "protocol")),
        *(f"end: {kind}" for kind in ("context_length", "content_filter", "timeout")),
        *(f"end: timeout ({limit})" for limit in ("first_token", "idle", "rate", "total", "headers", "connect")),
        *(f"end: {kind} at admission" for kind in ("rate_limit", "overloaded", "bad_request")),
        *(f"whole after {word}" for word in ("continue", "rewind", "restart", "several seams")),
        *(f"whole after {what}" for what in ("a retry", "another model failed", "a repetition was cut off")),
        *(f"finish: {kind}" for kind in ("stop", "tool_calls", "content_filter")),
        "end: left before anything was sent",
        "end: left while waiting for the first token",
        "end: left in the middle",
        "end: left after the finish",
        "whole, asked for in one piece",
        "whole, as a stream",
        "whole, and broken after its end",
        "an error after a part of the answer",
        "a prefill refused",
        "a retry after Retry-After",
        "a wait for admission",
        "a breaker opened",
        "a probe",
        "refused by a breaker",
        "refused by a quota of requests or tokens",
        "refused by a quota of streams",
        "no retry left in the budget",
        "the source held up by its reader",
    }
)


@given(scenarios)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_end_nothing_lost_nothing_doubled_nothing_left(scenario: Scenario) -> None:
    note(scenario)
    check(World(scenario).run())


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_many_random_interleavings_get_everywhere() -> None:
    seen: Counter[str] = Counter()

    @given(scenarios)
    @settings(max_examples=8_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    def run(scenario: Scenario) -> None:
        note(scenario)
        world = World(scenario).run()
        check(world)
        for what in reached(world):
            event(what)
            seen[what] += 1

    run()
    print("\n".join(f"{count:7} {what}" for what, count in sorted(seen.items())))
    assert EVERYWHERE - seen.keys() == set()
