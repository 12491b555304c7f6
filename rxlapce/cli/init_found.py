"""What `rxlapce init` finds: providers by the environment's variables, and servers of this machine that answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rxlapce.config.env import check_base_url, load_provider_configs_from_env
from rxlapce.errors import ProviderError
from rxlapce.providers.discovery import list_models
from rxlapce.providers.local import COMPATIBLE
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import Settings

#: Servers of models that run on people's own machines, and where each listens unless told otherwise.
SERVERS: Final[Mapping[str, str]] = {
    "ollama": "http://127.0.0.1:11434/v1",
    "lm-studio": "http://127.0.0.1:1234/v1",
    "llama-cpp": "http://127.0.0.1:8080/v1",
    "vllm": "http://127.0.0.1:8000/v1",
}
#: A server of this machine that says nothing for so long is taken for none.
WAIT_S: Final = 1.5
#: Of each provider a small model that is fast and costs little, where its list cannot be asked for.
SMALL: Final[Mapping[str, str]] = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "xai": "grok-3-mini",
    "openrouter": "openai/gpt-4.1-mini",
    "vertex": "gemini-2.5-flash",
    "bedrock": "amazon.nova-lite-v1:0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Somebody who can be asked. `base_url` is that of a server of this machine, None for a provider of a variable's.

    `models` are those that it lists; none for a provider, which is not asked without need.
    """

    name: str
    origin: str
    base_url: str | None = None
    models: tuple[str, ...] = ()

    @property
    def model(self) -> str | None:
        """A model to begin with, as `PROVIDER/MODEL`; None where none is known."""
        model = self.models[0] if self.models else SMALL.get(self.name)
        return None if model is None else f"{self.name}/{model}"


def by_variables(environ: Mapping[str, str]) -> list[Found]:
    """The providers that `environ` configures, by the names of its variables alone. Raises `ConfigError`."""
    return [
        Found(name=name, origin=provider.origin) for name, provider in load_provider_configs_from_env(environ).items()
    ]


async def servers(known: Mapping[str, str], wait_s: float = WAIT_S) -> list[Found]:
    """Those of `known` that list models now, asked all at once; never longer than `wait_s` seconds."""
    from rxlapce.providers.http import HttpClient  # aiohttp takes a quarter of a second to load

    async with HttpClient(proxy_for=lambda _: None) as client:

        async def ask(name: str, base_url: str) -> Found | None:
            check_base_url(base_url, name)
            provider = COMPATIBLE.build(Settings(base_url=base_url, origin=base_url))
            try:
                async with asyncio.timeout(wait_s):
                    models = await list_models(client, provider)
            except (ProviderError, TimeoutError):
                return None
            return Found(name=name, origin=f"answers at {base_url}", base_url=base_url, models=tuple(sorted(models)))

        answers = await asyncio.gather(*(ask(name, base_url) for name, base_url in known.items()))
    return [found for found in answers if found is not None]


def not_again(found: Sequence[Found], providers: Sequence[Provider]) -> list[Found]:
    """The servers of `found` that are not configured by a variable already."""
    taken = {provider.base_url.rstrip("/") for provider in providers}
    return [each for each in found if each.base_url not in taken]
