"""All that configures the program: the environment, and a file beside it."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.serve import ServeSettings
from rxlapce.operators.store_address import StoreAddress
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.routing.alias import Alias
from rxlapce.routing.settings import RoutingSettings
from rxlapce.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from rxlapce.config.document import Place  # which needs YAML's reader
    from rxlapce.config.file import FileText
    from rxlapce.config.keys import Keys
    from rxlapce.config.vault import Ask
    from rxlapce.pipeline.spec import Pipeline, Rule  # and what all stages need


def _none() -> "dict[str, Pipeline]":
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Who can be asked, by name; names for several of their models; and what is done when one fails.

    `store` is where a team's daemons count their quotas together; None: each counts for itself. `pipelines` are those
    that the file defines, and `routes` say which requests go which; the rest goes the pipeline `default`.
    `telemetry` and `serve` are of the daemon itself.
    """

    providers: Mapping[str, Provider]
    aliases: tuple[Alias, ...] = ()
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    store: StoreAddress | None = None
    pipelines: "Mapping[str, Pipeline]" = field(default_factory=_none)
    routes: "tuple[Rule, ...]" = ()
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    serve: ServeSettings = field(default_factory=ServeSettings)


def load_config(
    environ: Mapping[str, str],
    file: "Path | FileText | None" = None,
    *,
    played: Mapping[str, Provider] | None = None,
    ask: "Ask | None" = None,
    resolve: bool = True,
) -> Config:
    """What `environ` and `file` set.

    The providers are those of `environ`, then those of the file; a built-in one that the file has keys for is asked by
    these. `played` are providers besides them, or in the place of those of the same name: those that a simulator plays.
    `ask` asks for the passphrase of a vault, where there is a terminal. May block while keys are fetched; if not to
    `resolve`, none is: who only wants to know who would be asked needs none.

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
    config = read_config(read_sections(file, problems), environ, providers, ask=ask, resolve=resolve)
    problems.raise_any()
    return config


def load_daemon_settings(file: "Path | FileText | None") -> tuple[TelemetrySettings, ServeSettings]:
    """What `file` says of the daemon itself; the rest of it is not looked at. Raises `ConfigError` as `load_config`."""
    if file is None:
        return TelemetrySettings(), ServeSettings()
    from rxlapce.config.document import Problems  # as above
    from rxlapce.config.file import read_sections

    problems = Problems()
    found = _daemon(read_sections(file, problems), None)
    problems.raise_any()
    return found


def read_config(
    sections: "Mapping[str, Place]",
    environ: Mapping[str, str] | None,
    providers: Mapping[str, Provider],
    assumed: Collection[str] = (),
    *,
    ask: "Ask | None" = None,
    resolve: bool = True,
) -> Config:
    """What the `sections` of a file set, beside `providers`; names that are `assumed` count as configured too.

    Without an `environ` references are read but not followed: a key or an address that is not there is no error. What
    is wrong is gathered where the sections' errors are, and then the configuration is not whole.
    """
    from rxlapce.config.aliases import read_aliases  # as above
    from rxlapce.config.resilience import STORE, read_resilience
    from rxlapce.config.store import read_store
    from rxlapce.config.vendors import Vendors, read_vendors

    keys = _keys(sections, environ, ask, resolve=resolve)
    vendors = Vendors()
    defined: tuple[str, ...] = ()
    if "providers" in sections:
        with sections["providers"].collect():
            defined = tuple(sections["providers"].members())
            vendors = read_vendors(sections["providers"], keys)
    providers = {**providers, **vendors.providers}
    # An alias of a provider whose definition is wrong is no second error.
    assumed = tuple(dict.fromkeys(name for name in (*defined, *assumed) if name not in providers))
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
    pipelines, routes = _ways(sections, settings, aliases, providers, assumed)
    telemetry, serve = _daemon(sections, (*providers, *assumed))
    return Config(
        providers=providers,
        aliases=aliases,
        settings=settings,
        store=store,
        pipelines=pipelines,
        routes=routes,
        telemetry=telemetry,
        serve=serve,
    )


def _daemon(
    sections: "Mapping[str, Place]", providers: Collection[str] | None
) -> tuple[TelemetrySettings, ServeSettings]:
    """What the file says of the daemon itself. Without `providers` it may name one that there is not."""
    from rxlapce.config.daemon import read_serve  # as above
    from rxlapce.config.options import read_settings

    telemetry, serve = TelemetrySettings(), ServeSettings()
    if "telemetry" in sections:
        with sections["telemetry"].collect():
            telemetry = read_settings(sections["telemetry"], telemetry)
    if "serve" in sections:
        with sections["serve"].collect():
            serve = read_serve(sections["serve"], providers)
    return telemetry, serve


def _ways(
    sections: "Mapping[str, Place]",
    settings: RoutingSettings,
    aliases: Sequence[Alias],
    providers: Mapping[str, Provider],
    assumed: Collection[str],
) -> "tuple[dict[str, Pipeline], tuple[Rule, ...]]":
    """The pipelines, and which requests go them."""
    if not {"pipelines", "routes"} & sections.keys():
        return {}, ()
    from rxlapce.config.pipelines import Written, read_pipelines  # as above
    from rxlapce.config.routes import Names, check_reach, read_routes

    written: dict[str, Written] = {}
    defined: tuple[str, ...] = ()
    if "pipelines" in sections:
        with sections["pipelines"].collect():
            defined = tuple(sections["pipelines"].members())
            written = read_pipelines(sections["pipelines"], settings)
    names = Names(aliases, providers, assumed)
    rules: tuple[Rule, ...] = ()
    if "routes" in sections:
        before = len(sections["routes"].gathered)
        with sections["routes"].collect():
            rules = read_routes(sections["routes"], defined, names)
        if len(sections["routes"].gathered) > before:
            return {}, ()  # what gets to a pipeline is not known
    check_reach(written, rules, names)
    return {name: one.pipeline for name, one in written.items()}, rules


def _keys(
    sections: "Mapping[str, Place]", environ: Mapping[str, str] | None, ask: "Ask | None", *, resolve: bool = True
) -> "Keys":
    """What follows the file's references; only reads them without an `environ`, or if the section `vault` is wrong."""
    from rxlapce.config.keys import Keys  # as above
    from rxlapce.config.vault import keys_of

    at = sections.get("vault")
    with at.collect() if at is not None else nullcontext():
        return keys_of(at, environ, ask=ask, resolve=resolve)
    return Keys(environ, resolve=False)


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
