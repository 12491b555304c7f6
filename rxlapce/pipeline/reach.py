"""Which requests get to which pipeline, as far as that can be said before the first one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rxlapce.pipeline.spec import DEFAULT, Rule
from rxlapce.routing.alias import Alias
from rxlapce.routing.ways import Takes, matches

#: Whether a rule takes some of the requests for a name, and whether it takes all that get so far.
_Taken = tuple[bool, bool]


@dataclass(slots=True)
class Reach:
    """The aliases and providers that a pipeline can be asked for, by name.

    Each has what brings it there: the place of a route, None where no route takes it.
    """

    aliases: dict[str, int | None] = field(default_factory=dict[str, int | None])
    providers: dict[str, int | None] = field(default_factory=dict[str, int | None])


def reach_of(rules: Sequence[Rule], aliases: Sequence[Alias], providers: Iterable[str]) -> dict[str, Reach]:
    """What gets to each of the pipelines that are named, and to `default`.

    A rule for some users, clients or kinds alone lets others pass; one that takes all of a name ends its way there.
    """
    found = {DEFAULT: Reach(), **{rule.pipeline: Reach() for rule in rules}}
    for alias in aliases:
        for pipeline, place in _brought(rules, partial(_of_name, alias.name)):
            found[pipeline].aliases.setdefault(alias.name, place)
            for target in alias.targets:
                found[pipeline].providers.setdefault(target.model.partition("/")[0], place)
    for provider in providers:
        for pipeline, place in _brought(rules, partial(_of_provider, provider)):
            found[pipeline].providers.setdefault(provider, place)
    return found


def unreachable(rules: Sequence[Rule]) -> dict[int, int]:
    """The places of the rules that no request can get to, each with that of the one before it that takes all of it."""
    found: dict[int, int] = {}
    for place, rule in enumerate(rules):
        before = next((number for number in range(place) if rules[number].takes.covers(rule.takes)), None)
        if before is not None:
            found[place] = before
    return found


def _brought(rules: Sequence[Rule], taken: Callable[[Takes], _Taken]) -> list[tuple[str, int | None]]:
    """The pipelines that requests for a name get to, and by which rule."""
    brought: list[tuple[str, int | None]] = []
    for place, rule in enumerate(rules):
        some, whole = taken(rule.takes)
        if some:
            brought.append((rule.pipeline, place))
        if whole:
            return brought
    return [*brought, (DEFAULT, None)]


def _of_name(name: str, takes: Takes) -> _Taken:
    some = not takes.models or any(matches(pattern, name) for pattern in takes.models)
    return some, some and _from_all(takes)


def _of_provider(provider: str, takes: Takes) -> _Taken:
    """A model's name is not known here: `openai/gpt*` takes some of what openai can be asked for."""
    names = f"{provider}/"
    wide = [pattern[:-1] for pattern in takes.models if pattern.endswith("*")]
    whole = not takes.models or any(names.startswith(start) for start in wide)
    some = whole or any(pattern.startswith(names) or pattern == provider for pattern in takes.models)
    return some, whole and _from_all(takes)


def _from_all(takes: Takes) -> bool:
    return not (takes.users or takes.clients or takes.kinds)
