"""`rxlapce keygen`: a new secret for signed connections."""

import os
import secrets
from pathlib import Path

import click

from rxlapce.codec.signing import MIN_SECRET_BYTES
from rxlapce.errors import ConfigError
from rxlapce.transports.key_file import NAME, read_keys


@click.command()
@click.argument("name")
@click.option("--file", "path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Add the line to FILE, which is made with mode 0600.  [default: standard output]")  # fmt: skip
def keygen(name: str, path: Path | None) -> None:
    """Make a new secret called NAME, for clients that sign.

    Daemon and client each read it from a file of mode 0600: give both `--key-file FILE`, or set RXLAPCE_KEY_FILE.
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter("a name has letters, digits and . _ @ -, at most 64 of them", param_hint="NAME")
    line = f"{name} {secrets.token_hex(MIN_SECRET_BYTES)}\n"
    if path is None:
        click.echo(line, nl=False)
        return
    if path.exists() and path.stat().st_size and name in read_keys(path):
        raise ConfigError(f"{path} has a key called {name!r} already: choose another name, or remove its line")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"added {name!r} to {path}", err=True)
