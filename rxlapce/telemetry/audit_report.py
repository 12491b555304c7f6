"""What an audit log adds up to: requests, outcomes, tokens and costs, by user, provider, model or day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeGuard

from rxlapce.telemetry.audit_chain import Row

#: What rows may be grouped by. A day is one of UTC.
GROUPS: Final = ("user", "client", "provider", "model", "day")
#: The usage that is added up, by its names in a row.
TOKENS: Final = ("input", "cached_input", "output")


@dataclass(slots=True)
class Group:
    """Sums over the requests of one group. `cost_usd` is None where no provider told any."""

    requests: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    attempts: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOKENS, 0))
    cost_usd: float | None = None
    duration_s: float = 0.0

    @property
    def completed(self) -> int:
        """Requests whose answer came whole."""
        return self.outcomes.get("completed", 0)

    @property
    def failed(self) -> int:
        """Requests that ended in an error."""
        return self.requests - self.completed - self.disposed

    @property
    def disposed(self) -> int:
        """Requests that the client gave up."""
        return self.outcomes.get("disposed", 0) + self.outcomes.get("cancelled", 0)

    def use(self, usage: Any) -> None:
        """Add the usage of an attempt, as its row tells it; None adds nothing."""
        if not _is_object(usage):
            return
        for name in TOKENS:
            self.tokens[name] += _number(usage.get(name))
        cost = usage.get("cost_usd")
        if isinstance(cost, int | float):
            self.cost_usd = (self.cost_usd or 0.0) + cost


def report(
    rows: Iterable[Row], by: Sequence[str], *, since: date | None = None, until: date | None = None
) -> dict[tuple[str, ...], Group]:
    """The groups, by the values of `by` (of `GROUPS`), in order of their names; of the days from `since` to `until`.

    A request counts for the provider and model that answered or was asked last; what an attempt used counts for the
    provider and model of the attempt. Memory: a group for each value that occurs.
    """
    groups: dict[tuple[str, ...], Group] = {}
    first, last = ("" if since is None else since.isoformat()), ("9" if until is None else until.isoformat())
    for row in rows:
        members = row.members
        day = str(members.get("time"))[:10]
        if row.event != "request" or not first <= day <= last:
            continue
        group = groups.setdefault(_place(members, by, day), Group())
        group.requests += 1
        outcome = str(members.get("outcome"))
        group.outcomes[outcome] = group.outcomes.get(outcome, 0) + 1
        group.duration_s += float(members.get("duration_s") or 0)
        for attempt in _attempts(members):
            named = {**members, "provider": attempt.get("provider"), "model": attempt.get("model")}
            of = groups.setdefault(_place(named, by, day), Group())
            of.attempts += 1
            of.use(attempt.get("usage"))
    return dict(sorted(groups.items()))


def as_records(groups: Mapping[tuple[str, ...], Group], by: Sequence[str]) -> list[dict[str, Any]]:
    """A record a group, for JSON and CSV."""
    return [
        {
            **dict(zip(by, place, strict=True)),
            "requests": group.requests,
            "completed": group.completed,
            "failed": group.failed,
            "disposed": group.disposed,
            "attempts": group.attempts,
            "input_tokens": group.tokens["input"],
            "cached_input_tokens": group.tokens["cached_input"],
            "output_tokens": group.tokens["output"],
            "cost_usd": None if group.cost_usd is None else round(group.cost_usd, 6),
            "duration_s": round(group.duration_s, 3),
            "outcomes": dict(sorted(group.outcomes.items())),
        }
        for place, group in groups.items()
    ]


def _attempts(members: Mapping[str, Any]) -> list[dict[str, Any]]:
    attempts = members.get("attempts")
    return [each for each in attempts if _is_object(each)] if _is_array(attempts) else []


def _is_object(said: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(said, dict)


def _is_array(said: Any) -> TypeGuard[list[Any]]:
    return isinstance(said, list)


def _place(members: Mapping[str, Any], by: Sequence[str], day: str) -> tuple[str, ...]:
    return tuple(day if name == "day" else str(members.get(name) or "") for name in by)


def _number(said: Any) -> int:
    return said if isinstance(said, int) else 0
