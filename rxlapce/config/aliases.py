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
from collections.abc import Mapping
from typing import Final

from rxlapce.config.document import Place, did_you_mean
from rxlapce.config.options import laid_over, options_of, read_settings
from rxlapce.errors import ConfigError
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.settings import RoutingSettings

_NAME: Final = re.compile(r"[!-.0-~]+")  # visible ASCII without the slash
_FALLBACK: Final = tuple(options_of(FallbackPolicy))
_MODEL: Final = "a model as PROVIDER/MODEL"


def read_aliases(at: Place, providers: Mapping[str, Provider], settings: RoutingSettings) -> tuple[Alias, ...]:
    """The aliases in their order; the models that they name are those of `providers`.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected.
    """
    return tuple(_alias(name, place, providers, settings) for name, place in at.members().items())


def _alias(name: str, at: Place, providers: Mapping[str, Provider], settings: RoutingSettings) -> Alias:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{at}: {name!r} is no name for models: use visible ASCII without '/'")
    if name in providers or name in SPECS or name == "simulator":
        raise ConfigError(f"{at}: {name!r} is a provider's name: choose another for the models")
    members = at.members(("ask", "choose", *_FALLBACK, "timeouts"))
    if "ask" not in members:
        raise ConfigError(f"{at}: ask is missing, such as ask: [openai/gpt-4.1-mini, anthropic/claude-haiku-4-5]")
    has_policy = any(option in members for option in _FALLBACK)
    alias = Alias(
        name=name,
        targets=_targets(members["ask"], providers),
        fallback=laid_over(settings.fallback, members, at) if has_policy else None,
        timeouts=read_settings(members["timeouts"], settings.timeouts) if "timeouts" in members else None,
    )
    return laid_over(alias, members, at)


def _targets(at: Place, providers: Mapping[str, Provider]) -> tuple[Target, ...]:
    """The models to ask, each once: an alias that asks one twice would wait for what has just failed."""
    targets: dict[str, Target] = {}
    for item in at.items("a list of models"):
        target = _target(item, providers)
        if target.model in targets:
            raise ConfigError(f"{item}: {target.model!r} stands here a second time")
        targets[target.model] = target
    if not targets:
        raise at.wrong("a list of one or more models", got="an empty list")
    return tuple(targets.values())


def _target(at: Place, providers: Mapping[str, Provider]) -> Target:
    if not at.is_mapping():
        return Target(model=_model(at, providers))
    members = at.members(options_of(Target))
    if "model" not in members:
        raise ConfigError(f"{at}: model is missing, such as model: openai/gpt-4.1-mini")
    return laid_over(Target(model=_model(members["model"], providers)), members, at)


def _model(at: Place, providers: Mapping[str, Provider]) -> str:
    """The model's name, whose provider is configured. Raises `ConfigError` that says what would configure it."""
    name = at.text(_MODEL)
    prefix, slash, model = name.partition("/")
    if prefix in providers:
        if not model and providers[prefix].default_model is None:
            raise at.wrong(_MODEL)
        return name
    if not slash and prefix not in SPECS:
        raise at.wrong(_MODEL)
    configured = f"configured: {', '.join(providers) or 'none'}"
    if prefix in SPECS:
        raise ConfigError(f"{at}: {prefix} is not configured: set {' or '.join(SPECS[prefix].needs)}; {configured}")
    if prefix == "simulator":
        raise ConfigError(f"{at}: the simulator is there with rxlapce serve --simulator alone; {configured}")
    near = did_you_mean(prefix, (*providers, *SPECS))
    raise ConfigError(f"{at}: there is no provider {prefix!r}; {configured}{near}")
