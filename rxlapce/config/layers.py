"""Where each setting comes from: a flag, else the environment, else the file, else its default."""

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rxlapce.config.options import options_of, sections_of
from rxlapce.config.overrides import with_rate_limit
from rxlapce.config.serve import ServeSettings
from rxlapce.config.sources import Config
from rxlapce.errors import ConfigError
from rxlapce.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

    from rxlapce.config.document import Place  # which needs YAML's reader

T = TypeVar("T", bound="DataclassInstance")

#: Settings of all models' quotas, and of the health checks, which a flag lays over whatever else there is.
RATE_LIMIT: Final = "limits.*.requests"
HEALTH: Final = "health.enabled"
#: What `RATE_LIMIT` is laid over.
_RATE_LIMITS: Final = re.compile(
    r"limits\.(default|providers\..+|models\..+)\.requests|providers\.[^.]+\.keys\[\d+\]\.requests"
)


class Source(StrEnum):
    """Who said it; the first one wins."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """What a flag or a variable says: the value, and the flag's or the variable's name."""

    value: Any
    source: Source
    where: str


@dataclass(frozen=True, slots=True)
class Row:
    """A setting by its path in the file; `where` is a flag, a variable, or FILE:LINE, "" for a default."""

    name: str
    value: Any
    source: Source
    where: str


def daemon_settings(
    telemetry: TelemetrySettings, serve: ServeSettings, given: Mapping[str, Given]
) -> tuple[TelemetrySettings, ServeSettings]:
    """Both as the file has them, with what flags and variables say of them, by their paths, laid over.

    Raises `ConfigError` with the flag or the variable.
    """
    return _laid_over(telemetry, "telemetry", given), _laid_over(serve, "serve", given)


def with_given(config: Config, given: Mapping[str, Given], assumed: Collection[str] = ()) -> Config:
    """`config` with what flags and variables say laid over; names that are `assumed` count as configured providers.

    Raises `ConfigError` with the flag or the variable.
    """
    telemetry, serve = daemon_settings(config.telemetry, config.serve, given)
    settings = config.settings
    if RATE_LIMIT in given:
        settings = with_rate_limit(settings, given[RATE_LIMIT].value)
    if HEALTH in given:
        settings = replace(settings, health=replace(settings.health, enabled=given[HEALTH].value))
    chosen = serve.default_provider
    if chosen is not None and chosen not in config.providers and chosen not in assumed:
        where = given["serve.default_provider"].where if "serve.default_provider" in given else "serve.default_provider"
        names = ", ".join(config.providers) or "none"
        raise ConfigError(f"{where}: {chosen!r} is not configured; configured: {names}")
    return replace(config, settings=settings, telemetry=telemetry, serve=serve)


def _laid_over(base: T, path: str, given: Mapping[str, Given]) -> T:
    found = {
        name: given[f"{path}.{name}"] for name in options_of(type(base)) if f"{path}.{name}" in given
    }  # by the names of the fields
    values: dict[str, Any] = {name: one.value for name, one in found.items()}
    for name in sections_of(type(base)):
        values[name] = _laid_over(getattr(base, name), f"{path}.{name}", given)
    try:
        return dataclasses.replace(base, **values)
    except ValueError as error:
        said = str(error)
        first = next((one.where for name, one in found.items() if name in said), None)
        raise ConfigError(f"{first or path}: {said}") from None


# -- for people -------------------------------------------------------------------------------------------------------


def rows(config: Config, sections: "Mapping[str, Place]", given: Mapping[str, Given]) -> Iterator[Row]:
    """Every setting of `config`, which is what `sections` and `given` make, in the order of the file's sections.

    First those that have a default, then what else stands in the file: names and what they stand for. What refers to
    something, such as a key, is shown as it stands there, and followed no further.
    """
    said = {path: place for name, place in sections.items() for path, place in _leaves(name, place)}
    told: set[str] = set()
    for path, value in _settings(config):
        told.add(path)
        yield _row(path, value, said, given)
    for name, provider in config.providers.items():
        if provider.origin.startswith("environment") and not any(p.startswith(f"providers.{name}.") for p in said):
            yield Row(f"providers.{name}", "configured", Source.ENVIRONMENT, provider.origin.partition(": ")[2])
    for path in said:
        if path not in told:
            yield _row(path, None, said, given)


def _row(path: str, value: Any, said: "Mapping[str, Place]", given: Mapping[str, Given]) -> Row:
    """The setting at `path`, whose value is `value`, or what stands in the file."""
    over = given.get(path)
    if RATE_LIMIT in given and _RATE_LIMITS.fullmatch(path):
        over = given[RATE_LIMIT]
        value = over.value or None
    if over is not None:
        return Row(path, value, over.source, over.where)
    if path in said:
        place = said[path]
        return Row(path, _plain(place) if value is None else value, Source.FILE, _where(place))
    return Row(path, value, Source.DEFAULT, "")


def _settings(config: Config) -> Iterator[tuple[str, Any]]:
    """Every setting with a default: its path, and its value now."""
    settings, admission = config.settings, config.settings.admission
    yield from _fields("timeouts", settings.timeouts)
    for name in ("default", "user", "client"):
        yield from _fields(f"limits.{name}", getattr(admission, name))
    yield from _fields("limits", admission)
    yield "limits.store", None  # or as the file refers to it: the address may hold a password
    yield from _fields("retry", settings.retry)
    yield "retry.patience_s", settings.patience_s
    yield from _fields("retry.budget", settings.budget)
    yield from _fields("breaker", settings.breaker)
    yield from _fields("fallback", settings.fallback)
    yield from _fields("health", settings.health)
    yield from _fields("telemetry", config.telemetry)
    yield from _fields("serve", config.serve)


def _fields(path: str, settings: "DataclassInstance") -> Iterator[tuple[str, Any]]:
    for name in options_of(type(settings)):
        yield f"{path}.{name}", getattr(settings, name)
    if path != "limits":  # whose quotas are told one by one
        for name in sections_of(type(settings)):
            yield from _fields(f"{path}.{name}", getattr(settings, name))


def _leaves(path: str, place: "Place") -> "Iterator[tuple[str, Place]]":
    """What stands in the file, as far down as it is names, or lists of what has names; another list is one value."""
    within: dict[str, Place] = {}
    if place.is_mapping():
        within = {f"{path}.{name}": member for name, member in place.members().items()}
    elif place.is_list() and all(item.is_mapping() for item in place.items()):
        within = {f"{path}[{number}]": item for number, item in enumerate(place.items())}
    if not within:
        yield path, place
    for below, member in within.items():
        yield from _leaves(below, member)


def _where(place: "Place") -> str:
    return f"{place.file}:{place.node.start_mark.line + 1}"


def _plain(place: "Place") -> Any:
    """What stands there, as JSON has it."""
    if place.is_mapping():
        return {name: _plain(member) for name, member in place.members().items()}
    if place.is_list():
        return [_plain(item) for item in place.items()]
    for read in (place.flag, place.integer, place.number, place.text):
        with suppress(ConfigError):
            return read()
    return None
