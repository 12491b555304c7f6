"""All that configures the program: the environment, and a file beside it."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.operators.store_address import StoreAddress
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias
from rxlapce.routing.settings import RoutingSettings

if TYPE_CHECKING:
    from rxlapce.config.document import Place  # which needs YAML's reader
    from rxlapce.config.keys import Keys
    from rxlapce.config.vault import Ask


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
    environ: Mapping[str, str],
    file: Path | None = None,
    *,
    played: Mapping[str, Provider] | None = None,
    ask: "Ask | None" = None,
) -> Config:
    """What `environ` and `file` set.

    The providers are those of `environ`, then those of the file; a built-in one that the file has keys for is asked by
    these. `played` are providers besides them, or in the place of those of the same name: those that a simulator plays.
    `ask` asks for the passphrase of a vault, where there is a terminal. May block while keys are fetched.

    Raises `ConfigError` that says of all that is wrong where it is and what; also for an alias of models that nobody
    configured.
    """
    providers = load_provider_configs_from_env(environ) | dict(played or {})
    if file is None:
        return Config(providers=providers)
    # YAML's reader and what needs it: a start without a file does not
    from rxlapce.config.document import Problems
    from rxlapce.config.file import read_sections

    problems = Problems()
    config = read_config(read_sections(file, problems), environ, providers, ask=ask)
    problems.raise_any()
    return config


def read_config(
    sections: "Mapping[str, Place]",
    environ: Mapping[str, str] | None,
    providers: Mapping[str, Provider],
    assumed: Collection[str] = (),
    *,
    ask: "Ask | None" = None,
) -> Config:
    """What the `sections` of a file set, beside `providers`; names that are `assumed` count as configured too.

    Without an `environ` references are read but not followed: a key or an address that is not there is no error. What
    is wrong is gathered where the sections' errors are, and then the configuration is not whole.
    """
    from rxlapce.config.aliases import read_aliases  # as above
    from rxlapce.config.resilience import STORE, read_resilience
    from rxlapce.config.store import read_store
    from rxlapce.config.vendors import Vendors, read_vendors

    keys = _keys(sections, environ, ask)
    vendors = Vendors()
    defined: tuple[str, ...] = ()
    if "providers" in sections:
        with sections["providers"].collect():
            defined = tuple(sections["providers"].members())
            vendors = read_vendors(sections["providers"], keys)
    providers = {**providers, **vendors.providers}
    # An alias of a provider whose definition is wrong is no second error.
    assumed = tuple(name for name in (*defined, *assumed) if name not in providers)
    settings = read_resilience(sections, (*SPECS, "simulator", *(name for name in defined if name not in SPECS)))
    if vendors.quotas:
        settings = replace(settings, admission=replace(settings.admission, keys=vendors.quotas))
    aliases: tuple[Alias, ...] = ()
    if "models" in sections:
        with sections["models"].collect():
            aliases = read_aliases(sections["models"], providers, settings, assumed)
    store: StoreAddress | None = None
    if "limits" in sections and sections["limits"].is_mapping():
        limits = sections["limits"].members()
        if STORE in limits:
            with limits[STORE].collect():
                store = read_store(limits[STORE], keys)
    return Config(providers=providers, aliases=aliases, settings=settings, store=store)


def _keys(sections: "Mapping[str, Place]", environ: Mapping[str, str] | None, ask: "Ask | None") -> "Keys":
    """What follows the file's references; only reads them without an `environ`, or if the section `vault` is wrong."""
    from rxlapce.config.keys import Keys  # as above
    from rxlapce.config.vault import keys_of

    at = sections.get("vault")
    with at.collect() if at is not None else nullcontext():
        return keys_of(at, environ or {}, ask=ask, resolve=environ is not None)
    return Keys({}, resolve=False)


def load_provider_configs(
    environ: Mapping[str, str], file: Path | None = None, *, ask: "Ask | None" = None
) -> dict[str, Provider]:
    """The providers of `environ`, then those of `file`; what else is in the file is not looked at.

    So who is configured can be shown while an alias names one who is not. Raises `ConfigError` as `load_config`.
    """
    providers = load_provider_configs_from_env(environ)
    if file is None:
        return providers
    from rxlapce.config.document import Problems  # as above
    from rxlapce.config.file import read_sections
    from rxlapce.config.vendors import read_vendors

    problems = Problems()
    sections = read_sections(file, problems)
    if "providers" in sections:
        with sections["providers"].collect():
            providers |= read_vendors(sections["providers"], _keys(sections, environ, ask)).providers
    problems.raise_any()
    return providers
