"""All that configures the program: the environment, and a file beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.operators.store_address import StoreAddress
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias
from rxlapce.routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who can be asked, by name; names for several of their models; and what is done when one fails.

    `store` is where a team's daemons count their quotas together; None: each counts for itself.
    """

    providers: Mapping[str, Provider]
    aliases: tuple[Alias, ...] = ()
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    store: StoreAddress | None = None


def load_config(
    environ: Mapping[str, str], file: Path | None = None, *, played: Mapping[str, Provider] | None = None
) -> Config:
    """What `environ` and `file` set.

    The providers are those of `environ`, then those of the file, whose names are never the same. `played` are providers
    besides them, or in the place of those of the same name: those that a simulator plays.

    Raises `ConfigError` that says where and what is wrong; also for an alias of models that nobody configured.
    """
    providers = load_provider_configs_from_env(environ) | dict(played or {})
    if file is None:
        return Config(providers=providers)
    # YAML's reader and what needs it: a start without a file does not
    from rxlapce.config.aliases import read_aliases
    from rxlapce.config.file import read_sections
    from rxlapce.config.resilience import STORE, read_resilience
    from rxlapce.config.store import read_store
    from rxlapce.config.vendors import read_vendors

    sections = read_sections(file)
    vendors = read_vendors(sections["providers"], environ) if "providers" in sections else {}
    providers = {**providers, **vendors}
    settings = read_resilience(sections, (*SPECS, "simulator", *vendors))
    aliases = read_aliases(sections["models"], providers, settings) if "models" in sections else ()
    limits = sections["limits"].members() if "limits" in sections else {}
    store = read_store(limits[STORE], environ) if STORE in limits else None
    return Config(providers=providers, aliases=aliases, settings=settings, store=store)


def load_provider_configs(environ: Mapping[str, str], file: Path | None = None) -> dict[str, Provider]:
    """The providers of `environ`, then those of `file`; what else is in the file is not looked at.

    So who is configured can be shown while an alias names one who is not. Raises `ConfigError` as `load_config`.
    """
    providers = load_provider_configs_from_env(environ)
    if file is None:
        return providers
    from rxlapce.config.file import read_sections  # as above
    from rxlapce.config.vendors import read_vendors

    sections = read_sections(file)
    return providers | (read_vendors(sections["providers"], environ) if "providers" in sections else {})
