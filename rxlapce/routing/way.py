"""The way of a request: what stands between a provider's bytes and who asked, as makers of stages.

A `Way` is made once, when a pipeline is; each request then has its stages made by it. What a stage is made of depends
on where it stands:

| a stage of | is made by a | for |
|---|---|---|
| bytes, events | `MakeBytes`, `MakeEvents`, `MakeDecode` | each attempt at a model |
| tokens, before `fallback` | `MakeTokens` | each model; up to `retry_stream` subscribed once an attempt |
| tokens, after it | `MakeTokens` | the request |

`registry.Kind.make(options, setup)` gives one of these for a stage, `Outlet` for the sink `editor`, and a `CopySink`
for every other sink.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from reactivex import Observable

from rxlapce.codec.event import Event
from rxlapce.flow import Connect, Exchange, Stage
from rxlapce.operators.backpressure import Policy
from rxlapce.operators.copies import Copy
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.providers.inlet import BytesOperator, DecodeOperator, EventsOperator, MapOperator
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest
from rxlapce.routing.alias import Alias
from rxlapce.routing.needs import Needs
from rxlapce.routing.router import Route
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.traffic import Operator, Traffic
from rxlapce.secret import Secret
from rxlapce.tokens import StreamToken
from rxlapce.typing import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is known when a pipeline is made: its name, what holds for all, and which options this stage was given.

    The other options are those of the file's sections, or their defaults.
    """

    pipeline: str = "default"
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    said: frozenset[str] = frozenset()

    @property
    def apart(self) -> str:
        """The name under which the stage counts for itself, as it was told what does not hold for all; "" for none."""
        return f"pipeline {self.pipeline}" if self.said else ""


@dataclass(slots=True, kw_only=True)
class Site:
    """Where a stage stands when it is made: in which request, and before `fallback` at which of its models.

    `route` is None after `fallback`. `others_left` says that another model is left to ask, `keys_left` that
    another key of this model's provider is; `whole` that the answer was asked for in one piece, so that nothing of it
    comes before its end. `admitted_by_s` is until when the attempt under way
    may wait for its turn, by the clock of `traffic`; None before its first gate.
    """

    exchange: Exchange
    request: ChatRequest
    needs: Needs
    traffic: Traffic
    settings: RoutingSettings
    chance: Callable[[], float]
    providers: Mapping[str, Provider]
    whole: bool = False
    alias: Alias | None = None
    route: Route | None = None
    others_left: bool = False
    keys_left: bool = False
    admitted_by_s: float | None = None

    @property
    def model(self) -> Route:
        """Whom the stage is made for. Raises `RuntimeError` for one that stands where no model is known."""
        if self.route is None:
            raise RuntimeError("this stage is made for a model, and stands behind `fallback`")
        return self.route

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must be told to nobody: that with which the model's provider is asked, or each that is configured."""
        asked = self.providers.values() if self.route is None else (self.route.provider,)
        accounts = (account for provider in asked for account in (provider, *provider.accounts))
        return tuple(dict.fromkeys(secret for account in accounts for secret in account.auth.secrets))


MakeBytes = Callable[[Site], BytesOperator]
MakeDecode = Callable[[Site], DecodeOperator]
MakeEvents = Callable[[Site], EventsOperator]
MakeMap = Callable[[Site, Dialect[Event]], MapOperator]
MakeTokens = Callable[[Site], Operator]
#: Gives what `fallback` does, for the site of a request.
MakePolicy = Callable[[Site], FallbackPolicy]


class Transport(StrEnum):
    """By which way a client takes its frames."""

    ANY = "any"
    SHM = "shm"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """How the client that asks takes its answer: by which transport, and by which buffer what it cannot take waits.

    See `operators.backpressure` for the buffer's bounds and policy. Text that has to wait for a slow reader goes on in
    pieces of up to `merge_chars`: it then reads less often.
    """

    transport: Transport = Transport.ANY
    high_water: int = 256
    low_water: int = 64
    capacity: int = 4096
    policy: Policy = Policy.PAUSE
    merge_chars: int = 4096


#: That of a client of which no pipeline says anything.
DEFAULT_OUTLET: Final = Outlet()


class Served(Stage[StreamToken]):
    """An answer, and how the client takes it."""

    def __init__(self, on_subscribe: Connect[StreamToken], outlet: Outlet) -> None:
        super().__init__(on_subscribe)
        self.outlet = outlet


def outlet_of(source: Observable[StreamToken]) -> Outlet:
    """How the client takes `source`: as its pipeline says, if it came by one."""
    return source.outlet if isinstance(source, Served) else DEFAULT_OUTLET


class CopySink(Protocol):
    """A sink beside the client, for all streams of a pipeline."""

    def copy(self, site: Site) -> Copy:
        """What takes the copy of a stream that begins now; what it does later runs in `site.traffic.tasks`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """A framing of the pipeline's own in the place of the provider's; `framing` is its name in `providers.apis`."""

    framing: str
    make: MakeDecode


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A pipeline, ready for requests: its stages by where they stand, in the order in which tokens pass them.

    `decoding` is None for the provider's own. Without a `fallback` the first model of a plan is all that is asked.
    `breaker` is the name of this way's own breakers (`Breakers.get`), "" for those that all share.
    """

    name: str
    on_bytes: tuple[MakeBytes, ...] = ()
    decoding: Decoding | None = None
    on_events: tuple[MakeEvents, ...] = ()
    to_tokens: MakeMap | None = None
    model: tuple[MakeTokens, ...] = ()
    fallback: MakePolicy | None = None
    request: tuple[MakeTokens, ...] = ()
    outlet: Outlet = DEFAULT_OUTLET
    copies: tuple[CopySink, ...] = ()
    breaker: str = ""


#: How many sinks besides the client a pipeline can have: each is asked for every token.
MAX_COPIES: Final = 8
