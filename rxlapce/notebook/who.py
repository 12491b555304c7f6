"""Who answers in a notebook: whoever the environment has a key for, else a simulator on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.first_models import FIRST_MODELS, configured_providers
from rxlapce.errors import ConfigError

#: The provider that is a simulator and nobody else, and its model.
SIMULATOR: Final = "simulator"
SIMULATED_MODEL: Final = "sim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who answers a question that names nobody, and why. `simulated`: it is a simulator in this very process."""

    provider: str
    model: str
    why: str
    simulated: bool = False

    def __str__(self) -> str:
        return f"{self.why}: {self.provider}/{self.model}" if self.model else f"{self.why}: {self.provider}"

    __repr__ = __str__


def who_answers(environ: Mapping[str, str], *, simulator: bool) -> Who:
    """The first that `environ` has a key for, in the order of `FIRST_MODELS`; a simulator where there is none.

    With `simulator` no key is looked at. A server without a list of our own has no model yet: "". Raises `ConfigError`
    for an environment in which something is wrong.
    """
    if simulator:
        return Who(provider=SIMULATOR, model=SIMULATED_MODEL, why="A simulator, as it was asked for", simulated=True)
    meant = configured_providers(environ)
    for name in (*FIRST_MODELS, "azure", "local"):
        if name in meant:
            provider = meant[name]
            model = provider.default_model or FIRST_MODELS.get(name, "")
            why = f"The server at {provider.base_url}" if name == "local" else f"Configured by the {provider.origin}"
            return Who(provider=name, model=model.removeprefix(f"{name}/"), why=why)
    return Who(provider=SIMULATOR, model=SIMULATED_MODEL, why="No key is set, so a simulator answers", simulated=True)


def model_of(name: str, environ: Mapping[str, str]) -> str | None:
    """The model of the provider `name` that is asked where nobody says one; None if the provider is not configured.

    Raises `ConfigError` for one whose models nobody knows here.
    """
    provider = load_provider_configs_from_env(environ).get(name)
    if provider is None:
        return None
    model = provider.default_model or FIRST_MODELS.get(name)
    if model is None:
        raise ConfigError(f"which of the models of {name} is to answer? Name it: model=...")
    return model
