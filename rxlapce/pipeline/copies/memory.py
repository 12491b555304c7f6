"""The sink `memory`: the last answers, for tests, and for a notebook that looks at what a pipeline does."""

from collections import deque
from dataclasses import dataclass, field

from rxlapce.operators.tap import Outcome
from rxlapce.routing.way import Site
from rxlapce.tokens import StreamToken


@dataclass(slots=True)
class RememberedAnswer:
    """An answer as far as it has come: at most the first `max_tokens` of it. `outcome` is None while it runs."""

    request_id: str
    asked: str
    max_tokens: int
    tokens: list[StreamToken] = field(default_factory=list[StreamToken])
    dropped: int = 0
    outcome: Outcome | None = None
    error: Exception | None = None

    def take(self, token: StreamToken) -> None:
        """See `operators.copies.Copy`."""
        if len(self.tokens) < self.max_tokens:
            self.tokens.append(token)
        else:
            self.dropped += 1

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """See `operators.copies.Copy`."""
        self.outcome, self.error = outcome, error


class MemorySink:
    """The sink: the last `streams` answers, the oldest first, each with its first `tokens`.

    They are as the client gets them, secrets that a model repeats too: they go nowhere.
    """

    def __init__(self, streams: int, tokens: int) -> None:
        self.answers: deque[RememberedAnswer] = deque(maxlen=streams)
        self._tokens = tokens

    def copy(self, site: Site) -> RememberedAnswer:
        """See `routing.way.CopySink`."""
        answer = RememberedAnswer(site.exchange.request_id, site.request.model, self._tokens)
        self.answers.append(answer)
        return answer
