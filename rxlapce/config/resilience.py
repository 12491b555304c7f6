"""What requests may take, and what is done when a provider fails, from the file's sections for it.

Each section is a dataclass of `routing.settings` or of an operator, and its members are their fields. Two are put
together from several: `limits` holds quotas, `retry` also the budget of all retries and the patience of a request that
may still ask elsewhere.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from rxlapce.config.document import Place
from rxlapce.config.options import laid_over, options_of, read_settings
from rxlapce.routing.settings import Admission, Quota, RoutingSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

T = TypeVar("T", bound="DataclassInstance")

#: The members of `limits` that are quotas, or hold quotas by name, and whose those are.
QUOTAS: Final[Mapping[str, str]] = {
    "default": "of each model, where nothing below is for it",
    "providers": "quotas by provider, each for every model of it",
    "models": "quotas by `PROVIDER/MODEL`, each for that model",
    "user": "of everything that one user of the machine asks",
    "users": "quotas by a user's name (`uid 1000`, or whom a signed handshake proves), each instead of `user`",
    "client": "of each program that connects, by the name it gives",
}
#: And the one that says where they are counted, which is read by `config.store`.
STORE: Final = "store"


def read_resilience(sections: Mapping[str, Place], known: Collection[str]) -> RoutingSettings:
    """The settings of the file; what it leaves out has its default. `known` are the names that a provider can have.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, a section that is wrong has its default.
    """
    base = RoutingSettings()
    settings = replace(
        base,
        timeouts=_section(sections, "timeouts", base.timeouts),
        breaker=_section(sections, "breaker", base.breaker),
        fallback=_section(sections, "fallback", base.fallback),
        health=_section(sections, "health", base.health),
    )
    if "limits" in sections:
        with sections["limits"].collect():
            settings = replace(settings, admission=_admission(sections["limits"], base.admission, known))
    if "retry" in sections:
        with sections["retry"].collect():
            settings = _retry(sections["retry"], settings)
    return settings


def _section(members: Mapping[str, Place], name: str, default: T, without: Collection[str] = ()) -> T:
    """The member as it is set; the default where it is not, or where its error is gathered."""
    if name in members:
        with members[name].collect():
            return read_settings(members[name], default, without=without)
    return default


def _retry(at: Place, base: RoutingSettings) -> RoutingSettings:
    before = len(at.gathered)
    members = at.members((*options_of(type(base.retry)), "patience_s", "budget"))
    told = at.gathered[before:]
    settings = replace(base, budget=_section(members, "budget", base.budget))
    with at.collect():
        settings = laid_over(settings, members, at, told)  # `patience_s` is the one field that holds a value
    return replace(settings, retry=laid_over(base.retry, members, at, told))


def _admission(at: Place, base: Admission, known: Collection[str]) -> Admission:
    members = at.members((*QUOTAS, *options_of(Admission), STORE))
    admission = replace(
        base,
        default=_section(members, "default", base.default),
        providers=_quotas(members, "providers", partial(_check_provider, known), ()),
        models=_quotas(members, "models", partial(_check_model, known), ("shared",)),
        user=_section(members, "user", base.user, ("shared",)),
        users=_quotas(members, "users", _any_name, ("shared",)),
        client=_section(members, "client", base.client, ("shared",)),
    )
    return laid_over(admission, members, at)


def _quotas(
    members: Mapping[str, Place], name: str, check: Callable[[str, Place], None], without: Collection[str]
) -> dict[str, Quota]:
    """The quotas by name of the member `name`, each of whose names is checked."""
    quotas: dict[str, Quota] = {}
    if name in members:
        with members[name].collect():
            for said, place in members[name].members().items():
                with place.collect():
                    check(said, place)
                with place.collect():
                    quotas[said] = read_settings(place, Quota(), without=without)
    return quotas


def _any_name(name: str, at: Place) -> None:
    """A user may have any."""


def _check_provider(known: Collection[str], provider: str, at: Place) -> None:
    """A limit for a name that nobody has would never be missed."""
    if provider not in known:
        raise at.wrong(f"the name of a provider ({', '.join(known)})", name=provider, nearest=known)


def _check_model(known: Collection[str], name: str, at: Place) -> None:
    provider, slash, model = name.partition("/")
    if not slash or not model:
        raise at.wrong("a model as PROVIDER/MODEL", name=name)
    _check_provider(known, provider, at)
