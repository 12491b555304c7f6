"""What is known of a kind of provider before it is configured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rxlapce.providers.provider import Provider
from rxlapce.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user set for one provider: `base_url` without a trailing slash, None where the default holds.

    `extra` has what is not secret and `secrets` what is, by the names of the spec's `extra_env` and `secret_env`.
    """

    key: Secret | None = None
    base_url: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A kind of provider: its name, one line about it, the variables it reads, and how it is built.

    It is configured as soon as one of `needs` is set. Those of them in `ambient` are set for other programs too: alone
    they make a provider that can be asked by its name, but not one that is chosen. The base URL is also read from
    `more_base_url_env`, if `base_url_env` is not set. `extra_env` and `secret_env` map further variables to names in
    `Settings.extra` and `Settings.secrets`. `build` raises `ConfigError` for settings that do not go together.
    """

    name: str
    summary: str
    key_env: str
    base_url_env: str
    needs: tuple[str, ...]
    build: Callable[[Settings], Provider]
    ambient: tuple[str, ...] = ()
    more_base_url_env: tuple[str, ...] = ()
    extra_env: Mapping[str, str] = field(default_factory=dict[str, str])
    secret_env: Mapping[str, str] = field(default_factory=dict[str, str])
