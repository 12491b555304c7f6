"""Options that several commands have."""

from pathlib import Path

import click

from rxlapce.transports.key_file import SigningKey, read_keys

config_option = click.option(
    "--config", type=click.Path(path_type=Path), envvar="RXLAPCE_CONFIG", show_envvar=True,
    help="A YAML file: further vendors, names for models, and what is done when a provider fails.",
)  # fmt: skip

key_option = click.option(
    "--key-file", type=click.Path(path_type=Path), envvar="RXLAPCE_KEY_FILE", show_envvar=True,
    help="Sign with the first secret of this file (see `rxlapce keygen`).",
)  # fmt: skip


def first_key(path: Path | None) -> SigningKey | None:
    """The key to sign with, of `--key-file`; None without one. Raises `ConfigError`."""
    return None if path is None else next(iter(read_keys(path).values()))
