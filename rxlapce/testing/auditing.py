"""Requests to write down, and an audit log to write them into."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from rxlapce.errors import ErrorKind, Phase
from rxlapce.flow import Attempt
from rxlapce.telemetry.audit_file import AuditFile
from rxlapce.telemetry.hooks import Settled
from rxlapce.tokens import Usage

DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Time:
    """A clock that goes on by a second each time it is looked at."""

    def __init__(self, start: datetime = DAY) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """The time, a second after that of the last call."""
        self.now += timedelta(seconds=1)
        return self.now


def attempt(number: int = 1, *, provider: str = "acme", model: str = "large", **members: Any) -> Attempt:
    """One of 1.5 s."""
    return Attempt(number=number, provider=provider, model=model, started_s=0, took_s=1.5, **members)


def finished(number: int = 1, **members: Any) -> Attempt:
    """One that gave the answer."""
    usage = Usage(input=10, cached_input=4, output=20, total=30, cost_usd=0.5)
    return attempt(number, finished=True, tokens=7, usage=usage, **members)


def refused(number: int = 1, **members: Any) -> Attempt:
    """One that the provider refused."""
    return attempt(number, error_kind=ErrorKind.OVERLOADED, phase=Phase.HEADERS, status=503, **members)


def settled(request_id: str = "1.1", *attempts: Attempt, user: str = "ada", **members: Any) -> Settled:
    """A request for `fast` that was answered, unless `members` say otherwise."""
    told: dict[str, Any] = {
        "client": "lapce",
        "name": "fast",
        "provider": "acme",
        "model": "large",
        "finished": True,
        "error_kind": None,
        "took_s": 2.0,
        **members,
    }
    return Settled(request_id=request_id, user=user, attempts=attempts or (finished(),), **told)


def written(path: Path, rows: int, *, max_bytes: int = 1 << 20, kept: int = 0) -> AuditFile:
    """A file, or several, with an `opened` and `rows` rows; closed."""
    file = AuditFile(path, max_bytes, kept, now=Time())
    for number in range(rows):
        file.append({"event": "request", "request_id": f"1.{number}", "outcome": "completed"})
    file.close()
    return file


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The lines of a file as objects."""
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in path.read_bytes().splitlines()]
