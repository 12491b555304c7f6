from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.errors import ProviderError
from rxlapce.operators.breaker import TRANSITIONS, Action, BreakerSettings, Event, State, Ticket
from rxlapce.testing.breaking import DOWN, MINE, NO_KEY, SLOW_DOWN, BreakerBench
from rxlapce.testing.thoroughness import examples

# -- the table --------------------------------------------------------------------------------------------------------


def closed(bench: BreakerBench) -> Ticket:
    return bench.breaker.ask()


def open_(bench: BreakerBench) -> Ticket:
    ticket = bench.breaker.ask()
    bench.opened()
    return ticket


def half_open(bench: BreakerBench) -> Ticket:
    ticket = open_(bench)
    bench.time.now_s += 5
    return ticket


def probing(bench: BreakerBench) -> Ticket:
    half_open(bench)
    return bench.breaker.ask()


def trial(bench: BreakerBench) -> Ticket:
    ticket = probing(bench)
    ticket.commit()
    return ticket


REACHED: dict[State, Callable[[BreakerBench], Ticket]] = {
    State.CLOSED: closed,
    State.OPEN: open_,
    State.HALF_OPEN: half_open,
    State.PROBING: probing,
    State.TRIAL: trial,
}


def ask(bench: BreakerBench, ticket: Ticket) -> None:
    if TRANSITIONS[bench.breaker.state, Event.ASKED][1] is Action.REFUSE:
        bench.refusal()
    else:
        bench.breaker.ask()


def elapse(bench: BreakerBench, ticket: Ticket) -> None:
    bench.time.now_s += 5


def trip(bench: BreakerBench, ticket: Ticket) -> None:
    bench.fails(5)


CAUSES: dict[Event, Callable[[BreakerBench, Ticket], None]] = {
    Event.ASKED: ask,
    Event.ELAPSED: elapse,
    Event.TRIPPED: trip,
    Event.COOLED: lambda bench, ticket: ticket.fail(SLOW_DOWN),
    Event.COMMITTED: lambda bench, ticket: ticket.commit(),
    Event.SUCCEEDED: lambda bench, ticket: ticket.succeed(),
    Event.FAILED: lambda bench, ticket: ticket.fail(DOWN),
    Event.ABANDONED: lambda bench, ticket: ticket.release(),
}


@pytest.mark.parametrize(("state", "event"), list(TRANSITIONS), ids=lambda value: str(value))
def test_every_transition_of_the_table_is_taken_by_what_its_event_says(state: State, event: Event) -> None:
    bench = BreakerBench()
    ticket = REACHED[state](bench)
    assert bench.breaker.state is state
    before, asked = bench.breaker.gauges.opened, bench.breaker.gauges.admitted
    CAUSES[event](bench, ticket)
    after, action = TRANSITIONS[state, event]
    assert bench.breaker.state is after
    gauges = bench.breaker.gauges
    assert gauges.opened - before == (action in (Action.OPEN, Action.COOL))
    assert gauges.refused == (action is Action.REFUSE)
    if event is Event.ASKED:
        assert gauges.admitted - asked == (action in (Action.ADMIT, Action.PROBE))


def test_the_table_knows_every_state_and_event_and_what_is_not_in_it_cannot_happen() -> None:
    assert {state for state, _ in TRANSITIONS} == {after for after, _ in TRANSITIONS.values()} == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert {action for _, action in TRANSITIONS.values()} == set(Action)
    always = {Event.ASKED, Event.COOLED}
    possible = {
        State.CLOSED: always | {Event.TRIPPED},
        State.OPEN: always | {Event.ELAPSED},
        State.HALF_OPEN: always,
        State.PROBING: always | {Event.COMMITTED, Event.SUCCEEDED, Event.FAILED, Event.ABANDONED},
        State.TRIAL: always | {Event.TRIPPED, Event.SUCCEEDED, Event.FAILED, Event.ABANDONED},
    }
    assert set(TRANSITIONS) == {(s, e) for s, e in product(State, Event) if e in possible[s]}


# -- random walks -----------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.just("ask"),
        st.tuples(st.sampled_from(["commit", "succeed", "release"]), st.integers(0, 5)),
        st.tuples(st.sampled_from([DOWN, SLOW_DOWN, NO_KEY, MINE]), st.integers(0, 5)),
        st.floats(0, 70),
    ),
    max_size=60,
)


@settings(max_examples=examples(300), deadline=None)
@given(STEPS, st.booleans())
def test_whatever_happens_there_is_one_probe_and_every_gauge_is_back_at_zero(steps: list[object], keyed: bool) -> None:
    bench = BreakerBench(BreakerSettings(consecutive=2, window=5, min_outcomes=3), keyed=keyed)
    breaker, tickets = bench.breaker, list[Ticket]()
    for step in steps:
        state = breaker.state
        match step:
            case "ask":
                if breaker.usable:
                    tickets.append(breaker.ask())
                    assert tickets[-1].is_probe == (state is State.HALF_OPEN)
                else:
                    assert (bench.refusal().retry_after_s or 0) > 0
            case float():
                bench.time.now_s += step
            case (ProviderError() as error, int(place)) if place < len(tickets):
                tickets[place].fail(error)
            case (str(what), int(place)) if place < len(tickets):
                getattr(tickets[place], what)()
            case _:
                continue
        live = [ticket for ticket in tickets if not ticket.settled]
        assert breaker.gauges.active == len(live)
        probes = [ticket for ticket in live if ticket.is_probe and ticket.opened == breaker.gauges.opened]
        assert len(probes) == (breaker.state in (State.PROBING, State.TRIAL))
    for ticket in tickets:
        ticket.release()
    bench.time.now_s += 3600
    assert (breaker.gauges.active, breaker.usable) == (0, True)
    assert breaker.gauges.admitted == len(tickets)
