"""Options that several commands have."""

from pathlib import Path

import click

config_option = click.option(
    "--config", type=click.Path(path_type=Path), envvar="RXLAPCE_CONFIG", show_envvar=True,
    help="A YAML file: further vendors, names for models, and what is done when a provider fails.",
)  # fmt: skip
