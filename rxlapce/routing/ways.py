"""Which way a request goes: the first rule that takes it, else the way `default`."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from rxlapce.flow import Exchange
from rxlapce.routing.way import Way


class Asks(StrEnum):
    """What a request asks for."""

    CHAT = "chat"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """Which requests a rule takes: those that fit all of it; an empty member is fitted by any.

    `models` are the names that are asked for, aliases or `provider/model`; a `*` at the end stands for any rest. Where
    a name is no alias, its model's whole name fits too.
    """

    models: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    kinds: tuple[Asks, ...] = ()

    def fits(self, names: Iterable[str], exchange: Exchange, asks: Asks) -> bool:
        """Whether a request by one of `names` is taken."""
        return (
            (not self.models or any(matches(pattern, name) for pattern in self.models for name in names))
            and (not self.users or exchange.user in self.users)
            and (not self.clients or exchange.client in self.clients)
            and (not self.kinds or asks in self.kinds)
        )

    def covers(self, other: "Takes") -> bool:
        """Whether this takes all that `other` does."""
        return (
            (not self.models or (bool(other.models) and all(_any(self.models, name) for name in other.models)))
            and _within(other.users, self.users)
            and _within(other.clients, self.clients)
            and _within(other.kinds or tuple(Asks), self.kinds)
        )


def matches(pattern: str, name: str) -> bool:
    """Whether `name` fits; a `*` at the pattern's end stands for any rest, also none."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _any(patterns: Iterable[str], name: str) -> bool:
    """Whether one of `patterns` takes all that `name` does, which may be a pattern itself."""
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)


def _within(inner: Collection[str], outer: Collection[str]) -> bool:
    return not outer or (bool(inner) and set(inner) <= set(outer))


@dataclass(frozen=True, slots=True)
class Ways:
    """The way `default`, and the rules by which others are gone instead, in order."""

    default: Way
    rules: tuple[tuple[Takes, Way], ...] = ()

    def of(self, names: Iterable[str], exchange: Exchange, asks: Asks) -> Way:
        """The way of a request by `names` (`Takes.models`). Linear in the rules."""
        for takes, way in self.rules:
            if takes.fits(names, exchange, asks):
                return way
        return self.default
