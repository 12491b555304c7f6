"""Where a pipeline is looked at: probes between its stages, each of which is a lane."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

from reactivex import Observable

from rxlapce.flow import FlowControl

T = TypeVar("T")


class Probes(Protocol):
    """Makes the probes of one trace."""

    def lane(self, name: str, shape: str = "any") -> Callable[[Observable[T]], Observable[T]]:
        """A new lane behind those that were made, and the tap for it: what passes is noted, and passes unchanged.

        Subscribed to more than once (a retry, another model), it goes on in the same lane.
        """
        ...

    def gate(self, flow: FlowControl) -> None:
        """Show in the first lane when `flow` is closed."""
        ...


@runtime_checkable
class Observed(Protocol):
    """What can be looked into: an answer of a `Lab`, a pipeline of a file, a recording."""

    def observed(self, probes: Probes) -> Observable[Any]:
        """Itself, with probes between its stages, from the provider's bytes on. Cold, as itself."""
        ...
