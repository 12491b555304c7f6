"""The table of a connection's states, all of it."""

from itertools import product

import pytest

from rxlapce.bridge.messages import ConnectionState
from rxlapce.bridge.states import TRANSITIONS, Event, after

S, E = ConnectionState, Event

#: By state, what each event makes of it; None where it cannot happen.
EXPECTED: dict[ConnectionState, dict[Event, ConnectionState | None]] = {
    S.CONNECTING: {
        E.TRY: S.CONNECTING,
        E.UP: S.CONNECTED,
        E.ABSENT: S.DISCONNECTED,
        E.REFUSED: S.ERROR,
        E.LOST: None,
    },
    S.CONNECTED: {E.TRY: None, E.UP: None, E.ABSENT: None, E.REFUSED: None, E.LOST: S.DISCONNECTED},
    S.DISCONNECTED: {
        E.TRY: S.CONNECTING,
        E.UP: None,
        E.ABSENT: S.DISCONNECTED,
        E.REFUSED: S.ERROR,
        E.LOST: None,
    },
    S.ERROR: {E.TRY: S.CONNECTING, E.UP: None, E.ABSENT: S.DISCONNECTED, E.REFUSED: S.ERROR, E.LOST: None},
}


@pytest.mark.parametrize(("state", "event"), tuple(product(ConnectionState, Event)))
def test_each_event_in_each_state_does_what_it_should(state: ConnectionState, event: Event) -> None:
    expected = EXPECTED[state][event]
    if expected is None:
        with pytest.raises(RuntimeError, match=f"{event.name} cannot happen while {state}"):
            after(state, event)
    else:
        assert after(state, event) is expected


def test_the_table_has_nothing_else() -> None:
    assert set(TRANSITIONS) == {(s, e) for s, e in product(S, E) if EXPECTED[s][e] is not None}


def test_every_state_can_be_come_to_and_left() -> None:
    assert {after for (before, _), after in TRANSITIONS.items() if before is not after} == set(S)
    assert {before for (before, _), after in TRANSITIONS.items() if before is not after} == set(S)


def test_it_is_connected_only_after_connecting() -> None:
    assert [before for (before, _), after in TRANSITIONS.items() if after is S.CONNECTED] == [S.CONNECTING]
