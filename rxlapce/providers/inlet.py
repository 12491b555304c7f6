"""What stands between a provider's bytes and its tokens, beside its own framing and dialect."""

from collections.abc import Callable
from dataclasses import dataclass

from reactivex import Observable

from rxlapce.codec.event import Event
from rxlapce.operators.token_map import token_map
from rxlapce.tokens import StreamToken
from rxlapce.typing import Dialect

BytesOperator = Callable[[Observable[bytes]], Observable[bytes]]
DecodeOperator = Callable[[Observable[bytes]], Observable[Event]]
EventsOperator = Callable[[Observable[Event]], Observable[Event]]
MapOperator = Callable[[Observable[Event]], Observable[StreamToken]]


def plain_map(dialect: Dialect[Event]) -> MapOperator:
    """`token_map` as it is where nobody says otherwise."""
    return token_map(dialect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inlet:
    """The stages of one stream up to its tokens, in order.

    `on_bytes` see every body, also one that comes whole; what follows is for a body in the API's framing. `framing` is
    the name of that which `decode` takes: an API of another one is refused. Without `decode` it is the API's own.
    """

    on_bytes: tuple[BytesOperator, ...] = ()
    decode: DecodeOperator | None = None
    framing: str = ""
    on_events: tuple[EventsOperator, ...] = ()
    to_tokens: Callable[[Dialect[Event]], MapOperator] = plain_map


#: As the provider's bytes come.
PLAIN_INLET = Inlet()
