"""Whom somebody meets first who names nobody: quick and cheap models of what is configured."""

from collections.abc import Mapping
from typing import Final

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider

#: By provider, in the order in which a configured one is chosen.
FIRST_MODELS: Final[Mapping[str, str]] = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-2.5-flash",
    "xai": "grok-4-fast",
    "openrouter": "openai/gpt-4.1-mini",
    "vertex": "gemini-2.5-flash",
    "bedrock": "amazon.nova-lite-v1:0",
}


def is_meant(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable is set that nobody sets but for this provider."""
    spec = SPECS[name]
    return any(environ.get(variable, "").strip() for variable in spec.needs if variable not in spec.ambient)


def configured_providers(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Those that `environ` configures and means. Raises `ConfigError` for what is wrong in it."""
    found = load_provider_configs_from_env(environ)
    return {name: provider for name, provider in found.items() if is_meant(name, environ)}
