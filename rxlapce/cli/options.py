"""Options that several commands have."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from rxlapce.config.file import default_config_file
from rxlapce.transports.key_file import SigningKey, read_keys

F = TypeVar("F", bound=Callable[..., Any])
#: What `--config` says where no file is meant.
NO_FILE: Final = "none"


def _file(_: click.Context, __: click.Parameter, said: Path | None) -> Path | None:
    if said is not None:
        return None if str(said) == NO_FILE else said
    usual = default_config_file(os.environ)
    return usual if usual.is_file() else None


def _config_option(help_text: str) -> Callable[[F], F]:
    return click.option(
        "--config", type=click.Path(path_type=Path), envvar="RXLAPCE_CONFIG", show_envvar=True, callback=_file,
        help=f"{help_text}  [default: $XDG_CONFIG_HOME/rxlapce/config.yaml, if it is there; none: no file]",
    )  # fmt: skip


config_option = _config_option("The configuration, a YAML file.")
serve_config_option = _config_option("The configuration, a YAML file; read anew when it changes.")

key_option = click.option(
    "--key-file", type=click.Path(path_type=Path), envvar="RXLAPCE_KEY_FILE", show_envvar=True,
    help="Sign with the first secret of this file (see `rxlapce keygen`).",
)  # fmt: skip


def first_key(path: Path | None) -> SigningKey | None:
    """The key to sign with, of `--key-file`; None without one. Raises `ConfigError`."""
    return None if path is None else next(iter(read_keys(path).values()))
