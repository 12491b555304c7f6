"""What the log tells of a request: a line when it begins, and one when it is over, with who was asked in vain."""

import time
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from rxlapce.flow import Attempt, Exchange
from rxlapce.telemetry.logs import Logger

#: Failures that one line has room for; with retries alone there may be any number.
MAX_TOLD: Final = 8


class RequestLog:
    """One request in the log: made when it begins, `ended` once.

    The two lines have the same `request_id`. The first has the name that was asked for, which may be an alias; the
    second who answered, or was asked last.
    """

    __slots__ = ("_end", "_exchange", "_log", "_started_s")

    def __init__(self, log: Logger, exchange: Exchange, *, streaming: bool) -> None:
        self._log = log
        self._exchange = exchange
        start, self._end = ("stream_start", "stream_end") if streaming else ("request_start", "request_end")
        self._started_s = time.monotonic()
        log.info(start, request_id=exchange.request_id, model=exchange.model)

    def ended(self, outcome: str, *, frames: int | None = None) -> None:
        """Tell how: a finish's word, an error's kind, or `client_gone`; `frames` of a stream, the last one counted."""
        exchange = self._exchange
        members: dict[str, object] = {} if frames is None else {"frames": frames}
        tried = told_failures(exchange.attempts)
        if tried:
            members["tried"] = tried
        self._log.info(
            self._end,
            request_id=exchange.request_id,
            provider=exchange.provider,
            model=exchange.model,
            outcome=outcome,
            duration_s=round(time.monotonic() - self._started_s, 3),
            **members,
        )


def told_failures(attempts: Sequence[Attempt]) -> str:
    """Who was asked in vain, and why, in order: `a/x: timeout in phase headers; b/y: overloaded in phase admit`.

    Failures in a row that are alike are told once, with their number; at most `MAX_TOLD` are told. "" without any.
    """
    lines = [
        f"{line} ({count} times)" if (count := len(list(alike))) > 1 else line
        for line, alike in groupby(_told(attempt) for attempt in attempts if attempt.error_kind is not None)
    ]
    more = len(lines) - MAX_TOLD
    if more > 0:
        lines[MAX_TOLD:] = [f"and {more} more"]
    return "; ".join(lines)


def _told(attempt: Attempt) -> str:
    status = f", HTTP {attempt.status}" if attempt.status is not None else ""
    return f"{attempt.provider}/{attempt.model}: {attempt.error_kind} in phase {attempt.phase}{status}"
