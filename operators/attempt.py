"""One attempt under way: counted as its tokens pass, noted in its exchange when it ends."""

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Attempt, Exchange
from rxlapce.tokens import Usage
from rxlapce.typing import Clock


class Ongoing:
    """What becomes an `Attempt`. Beginning one forgets what the exchange's HTTP client learned of the last.

    Without an exchange nothing is noted. `provider` and `model` are the exchange's where they are not given: a source
    says there whom it asks.
    """

    __slots__ = ("clock", "exchange", "model", "noted", "provider", "started_s", "tokens", "usage")

    def __init__(self, exchange: Exchange | None, clock: Clock, provider: str = "", model: str = "") -> None:
        self.exchange = exchange
        self.clock = clock
        self.provider = provider
        self.model = model
        self.noted = False
        self.started_s = clock()
        self.tokens = 0
        self.usage: Usage | None = None
        if exchange is not None:
            # Not left to the source, to which a gate or a breaker may never let it come.
            exchange.begin_attempt()

    def note(self, error: Exception | None = None, *, finished: bool = False) -> None:
        """Note how it ended, at the first call: finished, with an error, or with neither, which is cancelled."""
        exchange = self.exchange
        if self.noted or exchange is None:
            return
        self.noted = True
        told = error if isinstance(error, ProviderError) else None
        exchange.attempts.append(
            Attempt(
                number=len(exchange.attempts) + 1,
                provider=self.provider or exchange.provider,
                model=self.model or exchange.model,
                started_s=self.started_s,
                took_s=self.clock() - self.started_s,
                tokens=self.tokens,
                usage=self.usage,
                finished=finished,
                error_kind=told.kind if told else None if error is None else ErrorKind.INTERNAL,
                phase=told.phase if told else None,
                status=told.status if told else exchange.status,
                key=exchange.key,
            )
        )
