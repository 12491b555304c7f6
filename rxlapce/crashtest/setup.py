"""Who is asked, and under which settings: the built-in providers, or those of somebody's own configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import KEY, simulated_environ
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.providers import SPECS
from rxlapce.providers.listing import Listing, openai_models
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.router import Route, Router
from rxlapce.routing.settings import RoutingSettings, StreamTimeouts

#: Stands for a simulator's address until there is one; nothing is ever sent there.
NOWHERE: Final = "http://127.0.0.1:9"
#: The seconds that each answer may take, unless somebody says otherwise.
DEFAULT_WITHIN_S: Final = 60.0

_VARIABLE: Final = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The model that is asked, by its name in `config`, which holds what it takes and nothing else.

    `own`: it is somebody's own configuration, and not the built-in one. `after` is laid over the policy for answers
    that break off. `within_s` is the most that an answer may take.
    """

    model: str
    config: Config
    own: bool
    after: AfterCommit | None = None
    within_s: float = DEFAULT_WITHIN_S

    @property
    def is_known(self) -> bool:
        """Whether it is known what comes of each case: in the built-in configuration, as it is."""
        return not self.own and self.after is None

    @property
    def targets(self) -> tuple[Target, ...]:
        """The models that may be asked, in the order of the configuration."""
        alias = next((alias for alias in self.config.aliases if alias.name == self.model), None)
        return (Target(model=self.model),) if alias is None else alias.targets

    @property
    def primary(self) -> Route:
        """The first of them."""
        return Router(self.config.providers, aliases=self.config.aliases).route(self.model)

    def providers(self, primary_url: str, fallback_url: str) -> dict[str, Provider]:
        """The providers at the simulators' addresses: the first model's at the one, all others at the other."""
        first = self.primary.provider.name
        return {
            name: redirected(provider, primary_url if name == first else fallback_url)
            for name, provider in self.config.providers.items()
        }


def built_in(*, after: AfterCommit | None = None, within_s: float = DEFAULT_WITHIN_S) -> Setup:
    """OpenAI's dialect, then Anthropic's, with short limits; answers that break off are continued."""
    alias = Alias(name="built-in", targets=(Target(model="openai/sim-first"), Target(model="anthropic/sim-second")))
    timeouts = StreamTimeouts(connect_s=1.0, headers_s=1.5, first_token_s=2.0, idle_s=2.0)
    settings = RoutingSettings(timeouts=timeouts, fallback=FallbackPolicy(after_commit=AfterCommit.CONTINUE))
    config = Config(
        providers=load_provider_configs_from_env(simulated_environ(NOWHERE)), aliases=(alias,), settings=settings
    )
    return Setup(model=alias.name, config=_narrowed(config, alias.name), own=False, after=after, within_s=within_s)


def of_file(
    file: Path, model: str | None = None, *, after: AfterCommit | None = None, within_s: float = DEFAULT_WITHIN_S
) -> Setup:
    """What the configuration `file` says of `model` (default: its first alias).

    The environment is that of a simulator, and each variable that the file names holds a dummy: nobody's keys are
    needed, read or sent. Raises `ConfigError` for a file that is wrong, and a name that it does not have.
    """
    config = load_config(_environ_for(file), file, resolve=False)  # no key is needed, and none fetched
    if model is None:
        if not config.aliases:
            raise ConfigError(f"{file}: it names no models (section `models`): say which PROVIDER/MODEL to ask")
        model = config.aliases[0].name
    try:
        narrowed = _narrowed(config, model)
    except ProviderError as error:
        raise ConfigError(error.message) from None
    return Setup(model=model, config=narrowed, own=True, after=after, within_s=within_s)


def _environ_for(file: Path) -> Mapping[str, str]:
    try:
        text = file.read_text()
    except (OSError, UnicodeError):
        text = ""  # `load_config` says what is wrong with it
    return dict.fromkeys(_VARIABLE.findall(text), KEY) | simulated_environ(NOWHERE)


def _narrowed(config: Config, model: str) -> Config:
    """The configuration with no alias but `model`, and no provider but those that it asks. Raises `ProviderError`."""
    Router(config.providers, aliases=config.aliases).route(model)  # an error names all that there is
    aliases = tuple(alias for alias in config.aliases if alias.name == model)
    router = Router(config.providers, aliases=aliases)
    asked = [target.model for alias in aliases for target in alias.targets] or [model]
    providers = {route.provider.name: route.provider for route in map(router.route, asked)}
    return replace(config, providers=providers, aliases=aliases)


def redirected(provider: Provider, url: str) -> Provider:
    """`provider` as the simulator at `url` plays it; a vendor of a file by OpenAI's paths and list of models."""
    if provider.name in SPECS:
        return load_provider_configs_from_env(simulated_environ(url))[provider.name]
    listing = Listing(path="/models", read=openai_models)
    # By one key: the others would be asked at the address that they have.
    return replace(provider, base_url=f"{url}/v1", listing=listing, health_path=None, accounts=())
