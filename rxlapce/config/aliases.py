"""Names of the user's own for one or several models, from the file's section `models`.

    models:
      fast:
        ask:
          - groq/llama-3.3-70b
          - model: openai/gpt-4.1-mini
            weight: 2
        choose: weighted
        after_commit: continue
        timeouts: {first_token_s: 5}

`ask` lists the models; a text is short for a mapping with `model` alone. What the alias says of `fallback` and
`timeouts` is laid over what holds for all.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from rxlapce.config.document import Place, did_you_mean, is_told
from rxlapce.config.options import laid_over, options_of, read_settings
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.settings import RoutingSettings, StreamTimeouts

_NAME: Final = re.compile(r"[!-.0-~]+")  # visible ASCII without the slash
_FALLBACK: Final = tuple(options_of(FallbackPolicy))
_MODEL: Final = "a model as PROVIDER/MODEL"
#: Stands in the place of a target that is wrong, of which the error tells.
_NOBODY: Final = Target(model="")


@dataclass(frozen=True, slots=True)
class Known:
    """Whom an alias may name: `providers`, and `assumed`, the names of those of whom nothing else is known.

    That is a provider of the file whose own definition is wrong, which is told once, and where a file is checked
    without its environment whoever that would configure.
    """

    providers: Mapping[str, Provider]
    assumed: Collection[str] = ()


def read_aliases(
    at: Place, providers: Mapping[str, Provider], settings: RoutingSettings, assumed: Collection[str] = ()
) -> tuple[Alias, ...]:
    """The aliases in their order; the models that they name are those of `providers`, or of a name that is `assumed`.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, an alias that is wrong has what is right of it.
    """
    known = Known(providers, assumed)
    aliases: list[Alias] = []
    for name, place in at.members().items():
        alias = Alias(name=name, targets=(_NOBODY,))
        with place.collect():
            alias = _alias(name, place, known, settings)
        aliases.append(alias)
    return tuple(aliases)


def _alias(name: str, at: Place, known: Known, settings: RoutingSettings) -> Alias:
    before = len(at.gathered)
    members = at.members(("ask", "choose", *_FALLBACK, "timeouts"))
    told = at.gathered[before:]
    with at.collect():
        _check_name(name, at, known)
    targets: tuple[Target, ...] = (_NOBODY,)
    with at.collect():
        if "ask" in members:
            targets = _targets(members["ask"], known)
        elif not is_told("ask", told):
            raise at.error("ask is missing, such as ask: [openai/gpt-4.1-mini, anthropic/claude-haiku-4-5]")
    fallback: FallbackPolicy | None = None
    if any(option in members for option in _FALLBACK):
        with at.collect():
            fallback = laid_over(settings.fallback, members, at, told)
    timeouts: StreamTimeouts | None = None
    if "timeouts" in members:
        with at.collect():
            timeouts = read_settings(members["timeouts"], settings.timeouts)
    alias = Alias(name=name, targets=targets, fallback=fallback, timeouts=timeouts)
    with at.collect():
        return laid_over(alias, members, at, told)
    return alias


def _check_name(name: str, at: Place, known: Known) -> None:
    if not _NAME.fullmatch(name):
        raise at.name_error(f"{name!r} is no name for models: use visible ASCII without '/'")
    if name in known.providers or name in known.assumed or name in SPECS or name == "simulator":
        raise at.name_error(f"{name!r} is a provider's name: choose another for the models")


def _targets(at: Place, known: Known) -> tuple[Target, ...]:
    """The models to ask, each once: an alias that asks one twice would wait for what has just failed."""
    items = at.items("a list of models")
    if not items:
        raise at.wrong("a list of one or more models", got="an empty list")
    targets: dict[str, Target] = {}
    for item in items:
        with item.collect():
            target = _target(item, known)
            if target.model in targets:
                raise item.error(f"{target.model!r} stands here a second time")
            targets[target.model] = target
    return tuple(targets.values()) or (_NOBODY,)


def _target(at: Place, known: Known) -> Target:
    if not at.is_mapping():
        return Target(model=_model(at, known))
    before = len(at.gathered)
    members = at.members(options_of(Target))
    told = at.gathered[before:]
    with at.collect():
        if "model" in members:
            _model(members["model"], known)
        elif not is_told("model", told):
            raise at.error("model is missing, such as model: openai/gpt-4.1-mini")
    return laid_over(_NOBODY, members, at, told)


def _model(at: Place, known: Known) -> str:
    """The model's name, whose provider is configured. Raises `ConfigError` that says what would configure it."""
    name = at.text(_MODEL)
    prefix, slash, model = name.partition("/")
    if prefix in known.assumed:
        return name
    providers = known.providers
    if prefix in providers:
        if not model and providers[prefix].default_model is None:
            raise at.wrong(_MODEL)
        return name
    if not slash and prefix not in SPECS:
        raise at.wrong(_MODEL)
    configured = f"configured: {', '.join((*providers, *known.assumed)) or 'none'}"
    if prefix in SPECS:
        raise at.error(f"{prefix} is not configured: set {' or '.join(SPECS[prefix].needs)}; {configured}")
    if prefix == "simulator":
        raise at.error(f"the simulator is there with rxlapce serve --simulator alone; {configured}")
    near = did_you_mean(prefix, (*providers, *known.assumed, *SPECS))
    raise at.error(f"there is no provider {prefix!r}; {configured}{near}")
