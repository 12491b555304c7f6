"""What clients may make the daemon keep, and who says no."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from rxlapce.errors import ErrorKind, Phase, ProviderError

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be under way at once, streams and requests for one piece together: how many, and bytes of their frames.

    A request is kept as long as its answer lasts, as it may have to be sent again.
    """

    max_requests: int = 256
    max_request_bytes: int = 64 * MIB


#: What all clients of a daemon may have together.
DAEMON_LIMITS: Final = Limits(max_requests=4096, max_request_bytes=512 * MIB)


@dataclass(slots=True)
class Held:
    """What is under way of some `limits`."""

    limits: Limits
    requests: int = 0
    bytes: int = 0

    def excess(self, size: int) -> tuple[str, str] | None:
        """Which limit one more request of `size` bytes would break, and how to say it."""
        if self.requests >= self.limits.max_requests:
            return "max_requests", f"has {self.requests:,} requests under way, as many as one may have"
        if self.requests and self.bytes + size > self.limits.max_request_bytes:
            return "max_request_bytes", (
                f"has requests of {self.bytes:,} bytes under way, and one of {size:,} more is over its bound of "
                f"{self.limits.max_request_bytes:,}"
            )
        return None

    def add(self, size: int) -> None:
        """Count a request in."""
        self.requests += 1
        self.bytes += size

    def remove(self, size: int) -> None:
        """Count it out."""
        self.requests -= 1
        self.bytes -= size


@dataclass(slots=True)
class RequestBounds:
    """The requests of one client under way, beside those of all.

    `refused` counts the refusals by the limit's name, `daemon_` before it for one of the whole daemon.
    """

    limits: Limits
    everybody: Held
    refused: Counter[str]
    _mine: Held = field(init=False)
    _sizes: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        self._mine = Held(self.limits)

    def take(self, request_id: int, size: int) -> ProviderError | None:
        """Count a request of `size` bytes in until `give`, or return what refuses it (`rate_limit`, phase `admit`)."""
        who, excess = "this connection", self._mine.excess(size)
        if excess is None:
            who, excess = "the daemon", self.everybody.excess(size)
        if excess is not None:
            name, why = excess
            self.refused[name if who == "this connection" else f"daemon_{name}"] += 1
            return ProviderError(ErrorKind.RATE_LIMIT, f"{who} {why}: wait for one to end", phase=Phase.ADMIT)
        self._sizes[request_id] = size
        self._mine.add(size)
        self.everybody.add(size)
        return None

    def give(self, request_id: int) -> None:
        """Count a request out. Idempotent."""
        size = self._sizes.pop(request_id, None)
        if size is not None:
            self._mine.remove(size)
            self.everybody.remove(size)

    def give_all(self) -> None:
        """Count all out: the client is gone."""
        for request_id in tuple(self._sizes):
            self.give(request_id)
