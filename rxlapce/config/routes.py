"""Which request goes which pipeline, from the file's section `routes`: the first one that takes it.

    routes:
      - {models: [fast, "openai/*"], users: [ada], pipeline: editor}
      - {kinds: [complete], pipeline: quick}

What none of them takes goes the pipeline `default`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rxlapce.config.document import Place, did_you_mean
from rxlapce.config.options import read_options
from rxlapce.config.pipelines import Written
from rxlapce.pipeline.check import faults_for
from rxlapce.pipeline.reach import reach_of, unreachable
from rxlapce.pipeline.spec import DEFAULT, Rule
from rxlapce.providers.provider import Provider
from rxlapce.registry import option, required
from rxlapce.routing.alias import Alias
from rxlapce.routing.ways import Asks, Takes

_LISTS: Final = ("models", "users", "clients", "kinds")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """A route: it takes a request that fits all that it says."""

    models: tuple[str, ...] = option(
        (), help="names that are asked for: aliases, or PROVIDER/MODEL; a * at the end stands for any rest"
    )
    users: tuple[str, ...] = option((), help="who asks: the system's name for them, or the one that a signature proves")
    clients: tuple[str, ...] = option((), help="programs, by the names that they give themselves")
    kinds: tuple[Asks, ...] = option((), help="what is asked for: chat, complete")
    pipeline: str = required(help="the name of the pipeline that such a request goes")


@dataclass(frozen=True, slots=True)
class Names:
    """Who can be asked: aliases and providers, and `assumed`, names of providers of which nothing else is known."""

    aliases: Sequence[Alias]
    providers: Mapping[str, Provider]
    assumed: Collection[str] = ()

    @property
    def of_providers(self) -> tuple[str, ...]:
        """The providers' names."""
        return (*self.providers, *self.assumed)


def read_routes(at: Place, pipelines: Collection[str], names: Names) -> tuple[Rule, ...]:
    """The routes in their order; `pipelines` are the names of those that the file has.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, a route that is wrong is left out.
    """
    rules: list[Rule] = []
    places: list[tuple[int, Place]] = []
    for number, place in enumerate(at.items("a list of routes")):
        with place.collect():
            rules.append(_route(place, pipelines, names))
            places.append((number, place))
    for late, before in unreachable(rules).items():
        place, first = places[late][1], places[before]
        with place.collect():
            line = first[1].node.start_mark.line + 1
            raise place.error(f"no request gets here: routes[{first[0]}] in line {line} takes all that this one does")
    return tuple(rules)


def check_reach(written: Mapping[str, Written], rules: Sequence[Rule], names: Names) -> None:
    """Gather what is wrong with the file's pipelines for what gets to them."""
    reaches = reach_of(rules, names.aliases, names.of_providers)
    for name, one in written.items():
        if name in reaches:
            one.tell(faults_for(one.pipeline, reaches[name], names.aliases, names.providers))


def _route(at: Place, pipelines: Collection[str], names: Names) -> Rule:
    settings = read_options(at, RouteSettings)
    members = at.members()
    for name in _LISTS:
        if name in members:
            with members[name].collect():
                _check_list(members[name])
    if "models" in members:
        for item in members["models"].items():
            with item.collect():
                _check_pattern(item, names)
    if settings.pipeline not in (*pipelines, DEFAULT):
        listed = ", ".join(dict.fromkeys((DEFAULT, *pipelines)))
        near = did_you_mean(settings.pipeline, pipelines)
        raise members["pipeline"].error(f"there is no pipeline {settings.pipeline!r}; there are: {listed}{near}")
    takes = Takes(models=settings.models, users=settings.users, clients=settings.clients, kinds=settings.kinds)
    return Rule(takes=takes, pipeline=settings.pipeline)


def _check_list(at: Place) -> None:
    items = at.items()
    if not items:
        raise at.wrong("a list of one or more", got="an empty list: leave it out, and any fits")
    said: set[str] = set()
    for item in items:
        with item.collect():
            text = item.text()
            if text in said:
                raise item.error(f"{text!r} stands here a second time")
            said.add(text)


def _check_pattern(at: Place, names: Names) -> None:
    """A pattern that no name fits would never be missed."""
    said = at.text()
    start, star, rest = said.partition("*")
    provider, slash, model = start.partition("/")
    aliases = [alias.name for alias in names.aliases]
    if rest:
        raise at.error(f"{said!r}: a * stands at the end alone")
    if slash:
        found = provider in names.of_providers and bool(model or star)
    elif star:
        found = any(name.startswith(start) for name in (*aliases, *(f"{name}/" for name in names.of_providers)))
    else:
        found = said in aliases or said in names.of_providers
    if not found:
        known = (*aliases, *names.of_providers)
        near = did_you_mean(provider, known)
        raise at.error(f"{said!r} is no alias, and no model as PROVIDER/MODEL of a provider that there is{near}")
