"""What happens to a request, as lines of a log."""

import time
from typing import Any

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.happenings import Answered, Begun, Ended, Failed, FallingBack, FirstToken, Happening, Retrying
from rxlapce.telemetry.logs import Logger
from rxlapce.telemetry.words import facts_of, name
from rxlapce.typing import Clock


class HappeningLog:
    """A watcher that writes a line for what it is told: made when the request begins, for one request.

    `log` has what is the same in all lines: the request's id, its user. `content` lets words be told that may quote
    the prompt (`words.facts_of`). `Answered` has no line, as the end has one, nor has the first token of an answer in
    one piece (`streaming` is False).
    """

    __slots__ = ("_clock", "_content", "_log", "_started_s", "_streaming")

    def __init__(
        self, log: Logger, *, streaming: bool = True, content: bool = False, clock: Clock = time.monotonic
    ) -> None:
        self._log = log
        self._streaming = streaming
        self._content = content
        self._clock = clock
        self._started_s = clock()

    @property
    def duration_s(self) -> float:
        """Seconds since it was made, to the millisecond."""
        return round(self._clock() - self._started_s, 3)

    def __call__(self, happening: Happening) -> None:
        """Write the line."""
        match happening:
            case FirstToken():
                if self._streaming:
                    self._log.info("first_token", **_who(happening), first_token_s=self.duration_s)
            case Retrying():
                facts = facts_of(happening.error, content=self._content)
                wait_s = round(happening.wait_s, 3)
                self._log.warning("retry", **_who(happening), attempt=happening.attempt, wait_s=wait_s, **facts)
            case FallingBack():
                facts = facts_of(happening.error, content=self._content)
                to = {"to_provider": happening.to_provider, "to_model": name(happening.to_model)}
                more = {"seam": str(happening.seam), "key": happening.key, "to_key": happening.to_key}
                said = {name: word for name, word in more.items() if word}
                self._log.warning("fallback", **_who(happening), **to, **said, **facts)
            case Begun():
                self._log.info("tap_begin", **_who(happening))
            case Ended():
                self._log.info("tap_end", **_who(happening), **_end(happening))
            case Failed():
                self._fail(happening)
            case Answered():
                pass

    def _fail(self, failed: Failed) -> None:
        """What the client itself cancelled is no failure."""
        error = failed.error
        kind = error.kind if isinstance(error, ProviderError) else ErrorKind.INTERNAL
        if kind is not ErrorKind.CANCELLED:
            tell = self._log.error if kind is ErrorKind.INTERNAL else self._log.warning
            tell("error", **_who(failed), **facts_of(error, content=self._content))


def _who(happening: Begun | FirstToken | Retrying | FallingBack | Failed | Ended) -> dict[str, Any]:
    return {"provider": happening.provider or None, "model": name(happening.model)}


def _end(ended: Ended) -> dict[str, Any]:
    members: dict[str, Any] = {
        "outcome": ended.outcome if ended.error_kind is None else ended.error_kind.value,
        "duration_s": round(ended.took_s, 3),
        "tokens": ended.tokens,
    }
    if ended.first_token_s is not None:
        members["first_token_s"] = round(ended.first_token_s, 3)
    return members
