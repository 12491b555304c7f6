"""What each user asked: for a report, from what is told of requests that have ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rxlapce.status import UserStatus
from rxlapce.telemetry.hooks import Settled

#: Users with counts of their own; those that come later are counted together.
MAX_USERS: Final = 256
#: Stands for them.
OTHERS: Final = "others"


@dataclass(slots=True)
class _Counts:
    total: int = 0
    tokens: int = 0
    refused: int = 0


class Users:
    """Counts by user, since the daemon's start: `settled` is told of each request that has ended, `tell` reads.

    A user is a name that a signed handshake proved, else the peer's `uid N`. Memory: `MAX_USERS` at most; a daemon has
    one user without signing, and with it as many as its key file has names.
    """

    def __init__(self, *, max_users: int = MAX_USERS) -> None:
        self._max_users = max_users
        self._counts: dict[str, _Counts] = {}

    def settled(self, record: Settled) -> None:
        """Count a request."""
        counts = self._counts.get(record.user)
        if counts is None:
            name = record.user if len(self._counts) < self._max_users else OTHERS
            counts = self._counts.setdefault(name, _Counts())
        counts.total += 1
        counts.tokens += record.tokens
        counts.refused += record.refused

    def tell(self, under_way: Mapping[str, int]) -> tuple[UserStatus, ...]:
        """How the users are, with what each has `under_way`: the busiest first, and at most `MAX_USERS`."""
        told = {name: UserStatus(name=name, requests=count) for name, count in under_way.items()}
        for name, counts in self._counts.items():
            told[name] = UserStatus(
                name=name,
                requests=under_way.get(name, 0),
                total=counts.total,
                tokens=counts.tokens,
                refused=counts.refused,
            )
        busiest = sorted(told.values(), key=lambda one: (-one.requests, -one.total, one.name))
        return tuple(busiest[:MAX_USERS])
