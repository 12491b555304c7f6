"""What is told of a request when it is over: one frozen record, for whoever logs, counts or audits."""

from collections.abc import Callable
from dataclasses import dataclass

from rxlapce.errors import ErrorKind
from rxlapce.flow import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A request that has ended, told exactly once.

    `name` is what it asked for, `provider` and `model` who answered, or who was asked last. `error_kind` is None for
    an answer that came whole, and for one that nobody waited for: `finished` tells them apart. `attempts` are in the
    order in which they ended; `took_s` is in seconds, from the subscription. Usage is that of the attempts.
    """

    request_id: str
    user: str
    client: str
    name: str
    provider: str
    model: str
    finished: bool
    error_kind: ErrorKind | None
    attempts: tuple[Attempt, ...]
    took_s: float

    @property
    def outcome(self) -> str:
        """`completed`, `disposed`, or the kind of the error."""
        if self.error_kind is not None:
            return self.error_kind.value
        return "completed" if self.finished else "disposed"


OnSettled = Callable[[Settled], None]
