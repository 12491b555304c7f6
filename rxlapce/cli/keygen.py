"""`rxlapce keygen`: a new secret for signed connections."""

import secrets
from pathlib import Path

import click

from rxlapce.codec.signing import MIN_SECRET_BYTES
from rxlapce.transports.key_file import NAME, SigningKey, add_key, line_of


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
    key = SigningKey(name, secrets.token_bytes(MIN_SECRET_BYTES))
    if path is None:
        click.echo(line_of(key), nl=False)
        return
    add_key(path, key)
    click.echo(f"added {name!r} to {path}", err=True)
