"""Providers from all that configures them: the environment, and a file beside it."""

from collections.abc import Mapping
from pathlib import Path

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.providers.provider import Provider


def load_provider_configs(environ: Mapping[str, str], file: Path | None = None) -> dict[str, Provider]:
    """The providers of `environ`, then those of `file` (`config.vendors`), whose names are never the same.

    Raises `ConfigError` that says where and what is wrong.
    """
    providers = load_provider_configs_from_env(environ)
    if file is not None:
        from rxlapce.config.vendors import load_vendors  # YAML's reader, which a start without a file does not need

        providers |= load_vendors(file, environ)
    return providers
