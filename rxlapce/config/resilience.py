"""What requests may take, and what is done when a provider fails, from the file's sections for it.

Each section is a dataclass of `routing.settings` or of an operator, and its members are their fields. Two are put
together from several: `limits` holds quotas, `retry` also the budget of all retries and the patience of a request that
may still ask elsewhere.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from rxlapce.config.document import Place
from rxlapce.config.options import laid_over, options_of, read_settings
from rxlapce.routing.settings import Admission, Quota, RoutingSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

T = TypeVar("T", bound="DataclassInstance")

#: The members of `limits` that are quotas, or hold quotas by name.
QUOTAS: Final = ("default", "providers", "models", "user", "users", "client")
#: And the one that says where they are counted, which is read by `config.store`.
STORE: Final = "store"


def read_resilience(sections: Mapping[str, Place], known: Collection[str]) -> RoutingSettings:
    """The settings of the file; what it leaves out has its default. `known` are the names that a provider can have.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected.
    """
    base = RoutingSettings()

    def section(name: str, default: T) -> T:
        return read_settings(sections[name], default) if name in sections else default

    settings = replace(
        base,
        timeouts=section("timeouts", base.timeouts),
        breaker=section("breaker", base.breaker),
        fallback=section("fallback", base.fallback),
        health=section("health", base.health),
    )
    if "limits" in sections:
        settings = replace(settings, admission=_admission(sections["limits"], base.admission, known))
    return _retry(sections["retry"], settings) if "retry" in sections else settings


def _retry(at: Place, base: RoutingSettings) -> RoutingSettings:
    members = at.members((*options_of(type(base.retry)), "patience_s", "budget"))
    patient = laid_over(base, members, at)  # `patience_s` is the one field that holds a value
    return replace(
        patient,
        retry=laid_over(base.retry, members, at),
        budget=read_settings(members["budget"], base.budget) if "budget" in members else base.budget,
    )


def _admission(at: Place, base: Admission, known: Collection[str]) -> Admission:
    members = at.members((*QUOTAS, *options_of(Admission), STORE))

    def quota(name: str, default: Quota, without: Collection[str] = ()) -> Quota:
        return read_settings(members[name], default, without=without) if name in members else default

    admission = laid_over(base, members, at)
    return replace(
        admission,
        default=quota("default", base.default),
        providers={
            _known_provider(name, place, name, known): read_settings(place, Quota())
            for name, place in _members_of("providers", members).items()
        },
        models={
            _known_model(name, place, known): read_settings(place, Quota(), without=("shared",))
            for name, place in _members_of("models", members).items()
        },
        user=quota("user", base.user, ("shared",)),
        users={
            name: read_settings(place, Quota(), without=("shared",))
            for name, place in _members_of("users", members).items()
        },
        client=quota("client", base.client, ("shared",)),
    )


def _members_of(name: str, members: Mapping[str, Place]) -> dict[str, Place]:
    return members[name].members() if name in members else {}


def _known_provider(provider: str, at: Place, name: str, known: Collection[str]) -> str:
    """`name`, which is counted for `provider`. A limit for a name that nobody has would never be missed."""
    if provider not in known:
        raise at.wrong(f"the name of a provider ({', '.join(known)})", name=provider, nearest=known)
    return name


def _known_model(name: str, at: Place, known: Collection[str]) -> str:
    provider, slash, model = name.partition("/")
    if not slash or not model:
        raise at.wrong("a model as PROVIDER/MODEL", name=name)
    return _known_provider(provider, at, name, known)
