"""How a bridge stands to its daemon: a table of states and events, and nothing else.

`connecting` means that a daemon is there and hands are being shaken (or, at first, that it is being looked for);
`error`, that waiting alone will not help: the user has to do something.
"""

from enum import Enum, auto
from typing import Final

from rxlapce.bridge.messages import ConnectionState


class Event(Enum):
    """What happens to a connection."""

    TRY = auto()
    """Somebody answers at the path, or is being started."""
    UP = auto()
    """The hands are shaken."""
    ABSENT = auto()
    """Nobody is there, or who was has not finished the handshake: it may come by itself."""
    REFUSED = auto()
    """Who is there will not have us, or is not to be trusted, or cannot be started."""
    LOST = auto()
    """The connection is over, or the daemon has said that it soon will be."""


_S = ConnectionState
_E = Event

#: What is not here cannot happen.
TRANSITIONS: Final[dict[tuple[ConnectionState, Event], ConnectionState]] = {
    (_S.CONNECTING, _E.TRY): _S.CONNECTING,
    (_S.CONNECTING, _E.UP): _S.CONNECTED,
    (_S.CONNECTING, _E.ABSENT): _S.DISCONNECTED,
    (_S.CONNECTING, _E.REFUSED): _S.ERROR,
    (_S.CONNECTED, _E.LOST): _S.DISCONNECTED,
    (_S.DISCONNECTED, _E.TRY): _S.CONNECTING,
    (_S.DISCONNECTED, _E.ABSENT): _S.DISCONNECTED,
    (_S.DISCONNECTED, _E.REFUSED): _S.ERROR,
    (_S.ERROR, _E.TRY): _S.CONNECTING,
    (_S.ERROR, _E.ABSENT): _S.DISCONNECTED,
    (_S.ERROR, _E.REFUSED): _S.ERROR,
}


def after(state: ConnectionState, event: Event) -> ConnectionState:
    """The state that follows. Raises RuntimeError for an event that cannot happen in `state`: a bug of the caller's."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RuntimeError(f"{event.name} cannot happen while {state}") from None
