"""What is told of a request when it is over: one frozen record, for whoever logs, counts or audits."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rxlapce.errors import ErrorKind, Phase
from rxlapce.flow import Attempt
from rxlapce.tokens import Usage
from rxlapce.usage import total_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A request that has ended, told exactly once: before its reader gets the `Finish` or the error.

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

    @property
    def usage(self) -> Usage | None:
        """What all attempts used, as far as it was told."""
        return usage_of(self.attempts)

    @property
    def tokens(self) -> int:
        """The tokens of all kinds and attempts."""
        return sum(attempt.tokens for attempt in self.attempts)

    @property
    def refused(self) -> bool:
        """Whether nothing of it was sent, for a limit or a breaker: of the user, the client, or each model."""
        held = self.error_kind in (ErrorKind.RATE_LIMIT, ErrorKind.OVERLOADED, ErrorKind.QUOTA)
        return held and all(attempt.phase is Phase.ADMIT for attempt in self.attempts)


OnSettled = Callable[[Settled], None]


def usage_of(attempts: Sequence[Attempt]) -> Usage | None:
    """What they used, as far as it was told; partial where one that said something told nothing."""
    return total_usage([attempt.usage for attempt in attempts if attempt.usage is not None or attempt.tokens])


def each(*listeners: OnSettled) -> OnSettled:
    """Tell all of them, in order. One that raises is told to the loop's exception handler, and keeps it from nobody."""

    def settled(record: Settled) -> None:
        for listener in listeners:
            try:
                listener(record)
            except Exception as error:  # noqa: BLE001 - it is handed on, to the one place for what nobody waits for
                context = {"message": "a listener to settled requests raised", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    return settled
