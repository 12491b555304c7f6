"""From a model's name and a request to the models that are asked for it, in order; every decision with its reason."""

import difflib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias, Choose, Target
from rxlapce.routing.needs import Needs

#: What a request needs of which nothing is known.
NO_NEEDS: Final = Needs(images=False, tools=False, prompt_tokens=0, answer_tokens=0)


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, and by which of its models; `keyed` says that the provider is asked by one of several keys."""

    provider: Provider
    model: str
    keyed: bool = False

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider.name}/{self.model}"

    @property
    def key(self) -> str | None:
        """The name of the key that is asked by, where there are several."""
        return self.provider.key if self.keyed else None

    @property
    def label(self) -> str:
        """`name`, and the key where there are several."""
        return self.name if self.key is None else f"{self.name} by key {self.key}"

    def by_each_key(self) -> "tuple[Route, ...]":
        """The route by each key of its provider, in their order; itself, if there is one."""
        accounts = self.provider.accounts
        return tuple(Route(account, self.model, keyed=True) for account in accounts) or (self,)


@dataclass(frozen=True, slots=True)
class PlannedRoute:
    """One of the models that are asked, as its target describes it, and why it stands where it does.

    Where a provider has several keys, a model of its is asked by one after the other, each of which has a place.
    """

    route: Route
    target: Target
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked for a request, in order, and who is not, each with the reason.

    `alias` is None where the request names a model itself.
    """

    name: str
    alias: Alias | None
    routes: tuple[PlannedRoute, ...]
    left_out: tuple[tuple[Target, str], ...] = ()

    @property
    def has_others(self) -> bool:
        """Whether more than one model is asked, by however many keys."""
        return len({planned.route.name for planned in self.routes}) > 1

    def left_after(self, place: int) -> tuple[bool, bool]:
        """Whether another model is left behind the route at `place`; and whether another key of the same model is."""
        name = self.routes[place].route.name
        left = [planned.route.name for planned in self.routes[place + 1 :]]
        return any(other != name for other in left), name in left

    @property
    def how(self) -> str:
        """How the name was read, in a sentence."""
        if self.alias is None:
            return f"{self.name} names a model"
        if len(self.alias.targets) == 1:
            return f"{self.name} is an alias for one model"
        return f"{self.name} is an alias for {len(self.alias.targets)} models, {_CHOOSING[self.alias.choose]}"


_CHOOSING: Final = {
    Choose.IN_ORDER: "asked in the order in which they are written",
    Choose.WEIGHTED: "asked by chance, as their weights say",
    Choose.LEAST_BUSY: "the least busy first",
}


class RouteState(Protocol):
    """What is known of the models at the moment."""

    def running(self, route: Route) -> int:
        """The requests that it has under way, waiting ones too."""
        ...

    def obstacle(self, route: Route) -> str | None:
        """Why it can hardly answer now; None if nothing is known against it."""
        ...


class Idle:
    """The state of a program in which nothing runs and nothing is known."""

    def running(self, route: Route) -> int:
        """None."""
        return 0

    def obstacle(self, route: Route) -> str | None:
        """None."""
        return None


class Router:
    """Resolves `provider/model`, the prefix stripped; an alias; a name without a known prefix by `default`, if any.

    A provider's name alone asks for the default model that it is configured with (Azure's deployment). An alias goes
    before all of these. Never another vendor in silence: a provider's name is never a model's of the default, and what
    cannot be resolved is an error that lists what is configured.

    Raises `ValueError` for a default that is not configured, and for an alias that has a provider's name, none at all,
    a slash or a doubled name, or whose models are other aliases or not to be had.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        default: str | None = None,
        *,
        aliases: Iterable[Alias] = (),
        chance: Callable[[], float] = random.random,
    ) -> None:
        if default is not None and default not in providers:
            raise ValueError(f"the default provider {default!r} is not configured")
        self.providers = dict(providers)
        self.default = default
        self.aliases: dict[str, Alias] = {}  # while they are checked: an error of theirs lists providers alone
        self._chance = chance
        self.aliases = self._checked(tuple(aliases))

    def _checked(self, aliases: Sequence[Alias]) -> dict[str, Alias]:
        """The aliases by name. Raises `ValueError` for one that could not be asked, or would hide something else."""
        names = Counter(alias.name for alias in aliases)
        for alias in aliases:
            if not alias.name or "/" in alias.name:
                raise ValueError(f"{alias.name!r} cannot name models: it is empty, or has a slash")
            if alias.name in self.providers:
                raise ValueError(f"{alias.name!r} cannot name models: it is a provider's name")
            if names[alias.name] > 1:
                raise ValueError(f"{alias.name!r} cannot name models: there are two of that name")
            for target in alias.targets:
                if target.model in names:
                    raise ValueError(f"the alias {alias.name!r} names {target.model!r}, an alias: expected a model")
                try:
                    self._resolve(target.model)
                except ProviderError as error:
                    raise ValueError(f"the alias {alias.name!r} names {target.model!r}: {error.message}") from None
        return {alias.name: alias for alias in aliases}

    def route(self, name: str) -> Route:
        """The first route of `name`, whatever is asked. Raises `ProviderError` (bad_request) in phase `admit`."""
        alias = self.aliases.get(name)
        return self._resolve(name if alias is None else alias.targets[0].model)

    def names_of(self, name: str) -> tuple[str, ...]:
        """The names by which a request for `name` is known: this, and where it is no alias its model's whole name."""
        if name in self.aliases:
            return (name,)
        try:
            whole = self._resolve(name).name
        except ProviderError:  # told by who plans it
            return (name,)
        return (name,) if whole == name else (name, whole)

    def plan(self, name: str, needs: Needs = NO_NEEDS, state: RouteState | None = None) -> Plan:
        """Who is asked by the name `name` for a request with such `needs`, as things stand.

        Of an alias's models those are left out that do not take such a request, and a second name of one; the rest are
        put in order by `Alias.choose`, and then who has an obstacle goes behind who has none: it is asked when
        everybody else has failed. A model that the request itself names is asked whatever it is said to take.

        Raises `ProviderError` (bad_request, phase admit) for a name that is not known, and where nobody is left.
        """
        told = state or Idle()
        alias = self.aliases.get(name)
        if alias is None:
            route = self._resolve(name)
            why = _though(_named(name, route), _obstacle(route, told))
            return Plan(name, None, _by_keys(PlannedRoute(route, Target(model=name), why), told))
        fit, left_out = self._fit(alias, needs)
        if not fit:
            raise self._nobody(name, left_out)
        ordered = [(*one, _obstacle(one[1], told)) for one in self._ordered(alias, fit, told)]
        free = [PlannedRoute(route, target, why) for target, route, why, obstacle in ordered if obstacle is None]
        hindered = [
            PlannedRoute(route, target, f"{why}, but behind the others: {obstacle}" if free else _though(why, obstacle))
            for target, route, why, obstacle in ordered
            if obstacle is not None
        ]
        routes = tuple(route for planned in (*free, *hindered) for route in _by_keys(planned, told))
        return Plan(name, alias, routes, left_out)

    def provider(self, name: str) -> Provider:
        """The provider of that name. Raises `ProviderError` of kind `bad_request` in phase `admit`."""
        found = self.providers.get(name)
        if found is None:
            raise self._unknown(f"no provider {name!r}", _nearest(name, self.providers))
        return found

    def _resolve(self, name: str) -> Route:
        prefix, slash, model = name.partition("/")
        provider = self.providers.get(prefix)
        if provider is not None:
            chosen = model or provider.default_model
            if not chosen:
                raise self._unknown(f"{name!r} names a provider but no model: expected {prefix}/MODEL")
            return Route(provider, chosen)
        if self.default is not None and name and not slash:
            return Route(self.providers[self.default], name)
        meant = _nearest(prefix, (*self.aliases, *self.providers))
        if meant in self.providers:
            meant = f"{meant}/{model or 'MODEL'}"
        has_prefix = slash and prefix
        what = (
            f"no provider {prefix!r}" if has_prefix else f"{name!r} has no provider in front: expected PROVIDER/MODEL"
        )
        raise self._unknown(what, meant)

    def _fit(self, alias: Alias, needs: Needs) -> tuple[list[tuple[Target, Route]], tuple[tuple[Target, str], ...]]:
        """Who takes the request, and who does not and why. Two names can be one model's: a provider's default."""
        fit: dict[str, tuple[Target, Route]] = {}
        left_out: list[tuple[Target, str]] = []
        for target in alias.targets:
            route = self._resolve(target.model)
            reason = unfit(target, needs)
            if reason is None and route.name in fit:
                reason = f"is {route.name}, which is asked already"
            if reason is None:
                fit[route.name] = (target, route)
            else:
                left_out.append((target, reason))
        return list(fit.values()), tuple(left_out)

    def _ordered(
        self, alias: Alias, fit: Sequence[tuple[Target, Route]], state: RouteState
    ) -> list[tuple[Target, Route, str]]:
        """The targets in the order of `alias.choose`, each with the reason for its place."""
        match alias.choose:
            case Choose.IN_ORDER:
                place = {target: number for number, target in enumerate(alias.targets, 1)}
                return [(target, route, f"number {place[target]} as written") for target, route in fit]
            case Choose.WEIGHTED:
                total = sum(target.weight for target, _ in fit)
                return [
                    (target, route, f"drawn, first in {100 * target.weight / total:.3g} % of requests")
                    for target, route in self._drawn(fit)
                ]
            case Choose.LEAST_BUSY:
                load = {target: state.running(route) for target, route in fit}
                # With this request: else an idle model of weight 1 would come before an idle one of weight 4.
                ranked = sorted(fit, key=lambda one: (load[one[0]] + 1) / one[0].weight)
                return [
                    (target, route, f"{load[target]} under way at weight {target.weight}") for target, route in ranked
                ]

    def _drawn(self, fit: Sequence[tuple[Target, Route]]) -> list[tuple[Target, Route]]:
        """A random order, in which each is before another as often as its weight is of both their weights."""
        left, drawn = list(fit), list[tuple[Target, Route]]()
        while left:
            at = self._chance() * sum(target.weight for target, _ in left)
            place = 0
            while place < len(left) - 1 and at >= left[place][0].weight:
                at -= left[place][0].weight
                place += 1
            drawn.append(left.pop(place))
        return drawn

    def _unknown(self, what: str, meant: str | None = None) -> ProviderError:
        """The error `what`, with what was meant instead, if that is known; first, as a long list is cut at its end."""
        hint = f" (did you mean {meant}?)" if meant is not None else ""
        names = ", ".join(sorted(self.providers)) or "none (rxlapce providers names the variables that set one up)"
        aliases = f"; aliases: {', '.join(sorted(self.aliases))}" if self.aliases else ""
        text = f"{what}{hint}; configured providers: {names}{aliases}"
        return ProviderError(ErrorKind.BAD_REQUEST, text, phase=Phase.ADMIT)

    def _nobody(self, name: str, left_out: Iterable[tuple[Target, str]]) -> ProviderError:
        reasons = "; ".join(f"{target.model} {reason}" for target, reason in left_out)
        return ProviderError(
            ErrorKind.BAD_REQUEST, f"no model of {name!r} takes this request: {reasons}", phase=Phase.ADMIT
        )


def _obstacle(route: Route, state: RouteState) -> str | None:
    """Why the model can hardly answer by any of its keys."""
    obstacles = [state.obstacle(each) for each in route.by_each_key()]
    return None if None in obstacles else obstacles[0]


def _by_keys(planned: PlannedRoute, state: RouteState) -> tuple[PlannedRoute, ...]:
    """The route by each of its keys: in their order, but those that can hardly answer behind the others."""
    routes = planned.route.by_each_key()
    if len(routes) == 1:
        return (planned,)
    found = [(route, state.obstacle(route)) for route in routes]
    free = [route for route, obstacle in found if obstacle is None]
    ordered = [(route, "") for route in free]
    ordered += [(route, f", though {obstacle}" if free else "") for route, obstacle in found if obstacle is not None]
    return tuple(
        replace(planned, route=route, why=f"{planned.why}; by {_nth(place)} key, {route.key}{though}")
        for place, (route, though) in enumerate(ordered)
    )


def _nth(place: int) -> str:
    return "its" if place == 0 else "its next"


def _named(name: str, route: Route) -> str:
    """Why `route` is asked where the request names no alias."""
    if name == route.name:
        return "named by the request"
    if name.partition("/")[0] == route.provider.name:
        return f"the model that {route.provider.name} is configured with"
    return f"named by the request, and {route.provider.name} is the default provider"


def _though(why: str, obstacle: str | None) -> str:
    return why if obstacle is None else f"{why}, though {obstacle}"


def _nearest(said: str, names: Iterable[str]) -> str | None:
    """The name that is nearest to `said`, whatever their case; None if none is near."""
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(said.casefold(), folded, n=1)
    return folded[near[0]] if near else None


def unfit(target: Target, needs: Needs) -> str | None:
    """Why `target` does not take a request with such `needs`; None if it does."""
    if needs.images and not target.images:
        return "takes no images"
    if needs.tools and not target.tools:
        return "takes no tools"
    if target.context is not None and needs.tokens > target.context:
        return f"has a context of {target.context} tokens, and the request takes about {needs.tokens}"
    return None
