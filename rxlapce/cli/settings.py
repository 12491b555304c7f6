"""The options of `rxlapce serve` that are settings of the file too, and what was said of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from rxlapce.config.layers import HEALTH, RATE_LIMIT, Given, Source

F = TypeVar("F", bound=Callable[..., Any])
#: What a flag or a variable says for "nowhere", where a file says null.
NOWHERE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option's parameter, and what it is in the file; `value` makes the file's value of the option's."""

    parameter: str
    path: str
    value: Callable[[Any], Any] = lambda said: said


def _path(said: Path) -> str | None:
    return None if str(said) == NOWHERE else str(said)


def _listen(said: str) -> str | None:
    return None if said == NOWHERE else said


def expanded(said: str) -> Path:
    """The path, with `~` as a shell has it."""
    return Path(said).expanduser()


SETTINGS: Final = (
    Setting(parameter="path", path="serve.path", value=str),
    Setting(parameter="ring_kib", path="serve.ring_kib"),
    Setting(parameter="drain_s", path="serve.drain_s"),
    Setting(parameter="key_file", path="serve.key_file", value=_path),
    Setting(parameter="require_signing", path="serve.require_signing"),
    Setting(parameter="default_provider", path="serve.default_provider"),
    Setting(parameter="log_level", path="telemetry.logs.level"),
    Setting(parameter="log_format", path="telemetry.logs.format"),
    Setting(parameter="log_file", path="telemetry.logs.file", value=_path),
    Setting(parameter="log_mib", path="telemetry.logs.mib"),
    Setting(parameter="metrics", path="telemetry.metrics.listen", value=_listen),
    Setting(parameter="audit", path="telemetry.audit.file", value=_path),
    Setting(parameter="rate_limit", path=RATE_LIMIT),
    Setting(parameter="no_health", path=HEALTH, value=lambda said: not said),
)

_OPTIONS: Final = (
    click.option("--path", type=click.Path(path_type=Path), envvar="RXLAPCE_SOCKET", show_envvar=True,
                 help="Socket to listen on.  [default: the user's own]"),
    click.option("--default-provider", metavar="NAME", envvar="RXLAPCE_DEFAULT_PROVIDER", show_envvar=True,
                 help="Who answers a model name without PROVIDER/ in front."),
    click.option("--rate-limit", metavar="N", type=click.IntRange(0), envvar="RXLAPCE_RATE_LIMIT", show_envvar=True,
                 help="Requests a minute for each model of every provider, whatever the file says; 0: no limit.  "
                 "[default: 60]"),
    click.option("--no-health/--health", default=None, envvar="RXLAPCE_NO_HEALTH", show_envvar=True,
                 help="Do not look after the providers' health."),
    click.option("--ring-kib", type=click.IntRange(4, 1 << 20), envvar="RXLAPCE_RING_KIB", show_envvar=True,
                 help="Ring of a client, a power of two.  [default: 1024]"),
    click.option("--drain", "drain_s", type=click.FloatRange(0), envvar="RXLAPCE_DRAIN", show_envvar=True,
                 help="Seconds that running streams get to finish on SIGTERM.  [default: 5]"),
    click.option("--key-file", type=click.Path(path_type=Path), envvar="RXLAPCE_KEY_FILE", show_envvar=True,
                 help="Secrets of clients that sign (see `rxlapce keygen`)."),
    click.option("--require-signing/--no-require-signing", default=None, envvar="RXLAPCE_REQUIRE_SIGNING",
                 show_envvar=True, help="Serve signed connections only."),
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), envvar="RXLAPCE_LOG_LEVEL",
                 show_envvar=True, help="Log from this level up.  [default: info]"),
    click.option("--log-format", type=click.Choice(["auto", "text", "json"]), envvar="RXLAPCE_LOG_FORMAT",
                 show_envvar=True, help="auto: text on a terminal, JSON elsewhere.  [default: auto]"),
    click.option("--log-file", type=click.Path(path_type=Path), envvar="RXLAPCE_LOG_FILE", show_envvar=True,
                 help="Log to this file instead of standard error; none: there."),
    click.option("--log-mib", type=click.IntRange(1), envvar="RXLAPCE_LOG_MIB", show_envvar=True,
                 help="Size at which the file becomes PATH.1, that PATH.2, that PATH.3.  [default: 10]"),
    click.option("--metrics", metavar="LISTEN", envvar="RXLAPCE_METRICS", show_envvar=True,
                 help="Serve metrics at HOST:PORT or unix:/PATH; none: nowhere.  [default: none]"),
    click.option("--audit", type=click.Path(path_type=Path), envvar="RXLAPCE_AUDIT", show_envvar=True,
                 help="Write down in this file who asked which model when; none: nowhere.  [default: none]"),
)  # fmt: skip


def setting_options(command: F) -> F:
    """Give `command` the options; `given` then tells what was said of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given(context: click.Context) -> Mapping[str, Given]:
    """What flags and variables say, by the paths that settings have in the file."""
    found: dict[str, Given] = {}
    parameters = {parameter.name: parameter for parameter in context.command.params}
    for setting in SETTINGS:
        source = context.get_parameter_source(setting.parameter)
        parameter, value = parameters.get(setting.parameter), context.params.get(setting.parameter)
        if parameter is None or value is None:
            continue
        if source is ParameterSource.ENVIRONMENT:
            found[setting.path] = Given(setting.value(value), Source.ENVIRONMENT, str(parameter.envvar))
        elif source is not ParameterSource.DEFAULT:
            names = parameter.secondary_opts if value is False else parameter.opts
            found[setting.path] = Given(setting.value(value), Source.FLAG, names[0])
    return found
