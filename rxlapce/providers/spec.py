"""What is known of a kind of provider before it is configured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rxlapce.providers.provider import Provider
from rxlapce.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user set for one provider: `base_url` without a trailing slash, None where the default holds."""

    key: Secret | None = None
    base_url: str | None = None
    extra: Mapping[str, str]
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A kind of provider: its name, one line about it, the variables it reads, and how it is built.

    It is configured as soon as one of `needs` is set. `extra_env` maps further variables to names in `Settings.extra`.
    """

    name: str
    summary: str
    key_env: str
    base_url_env: str
    needs: tuple[str, ...]
    build: Callable[[Settings], Provider]
    extra_env: Mapping[str, str]
