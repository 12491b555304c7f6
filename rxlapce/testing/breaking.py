"""A circuit breaker on a clock that is set by hand."""

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.operators.breaker import Breaker, BreakerSettings, Change, State, Ticket

DOWN = ProviderError(ErrorKind.OVERLOADED, "down", phase=Phase.HEADERS, status=503)
SLOW_DOWN = ProviderError(ErrorKind.RATE_LIMIT, "slow down", phase=Phase.HEADERS, retry_after_s=30)
NO_KEY = ProviderError(ErrorKind.AUTH, "no such key", phase=Phase.HEADERS, status=401)
MINE = ProviderError(ErrorKind.BAD_REQUEST, "no such field", phase=Phase.HEADERS, status=400)


class SetTime:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time as it was set."""
        return self.now_s


class BreakerBench:
    """A breaker on a clock of its own, and what it told of itself."""

    def __init__(self, options: BreakerSettings | None = None, *, keyed: bool = False) -> None:
        self.time = SetTime()
        self.changes: list[Change] = []
        self.breaker = Breaker(self.time, options, name="acme/m", keyed=keyed, on_change=self.changes.append)

    def is_now(self, state: State) -> bool:
        """Whether that is the breaker's state: as a call, since type checkers take a property for a constant."""
        return self.breaker.state is state

    def fails(self, times: int, error: Exception = DOWN) -> None:
        """So many requests end in `error`."""
        for _ in range(times):
            self.breaker.ask().fail(error)

    def succeeds(self, times: int = 1) -> None:
        """So many requests are answered."""
        for _ in range(times):
            self.breaker.ask().succeed()

    def opened(self) -> "BreakerBench":
        """It has failed until it opened."""
        self.fails(5)
        if self.breaker.state is not State.OPEN:
            raise AssertionError(f"it is {self.breaker.state}")
        return self

    def probe(self) -> Ticket:
        """The probe of an open breaker, once its time is over."""
        self.time.now_s += 20
        ticket = self.breaker.ask()
        if not ticket.is_probe:
            raise AssertionError(f"it is {self.breaker.state}")
        return ticket

    def refusal(self) -> ProviderError:
        """What a request is refused with."""
        try:
            self.breaker.ask()
        except ProviderError as refusal:
            return refusal
        raise AssertionError("the breaker admitted the request")
