"""What stands between a provider's bytes and its tokens, beside its own framing and dialect."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reactivex import Observable

from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import Framing
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
    the name of the one that `decode` takes; without `decode` it is the API's own.
    """

    on_bytes: tuple[BytesOperator, ...] = ()
    decode: DecodeOperator | None = None
    framing: str = ""
    on_events: tuple[EventsOperator, ...] = ()
    to_tokens: Callable[[Dialect[Event]], MapOperator] = plain_map

    def check(self, framing: Framing) -> None:
        """Raise `ProviderError` (bad_request) if an answer in `framing` is not what `decode` takes."""
        if self.framing not in ("", framing.name):
            raise ProviderError(
                ErrorKind.BAD_REQUEST,
                f"the answer comes as {framing.name}, and the pipeline decodes {self.framing}",
                phase=Phase.ADMIT,
            )

    def read(self, source: Observable[bytes]) -> Observable[bytes]:
        """The bytes as `on_bytes` hand them on."""
        for stage in self.on_bytes:
            source = stage(source)
        return source

    def tokens(self, source: Observable[bytes], framing: Framing, dialect: Dialect[Event]) -> Observable[StreamToken]:
        """What the bytes mean to `dialect`, in `framing` unless there is a `decode`."""
        events = (self.decode or framing.decode())(source)
        for stage in self.on_events:
            events = stage(events)
        return self.to_tokens(dialect)(events)


#: As the provider's bytes come.
PLAIN_INLET: Final = Inlet()
