"""`rxlapce key`: the vault of keys."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec

import click

from rxlapce.cli.options import config_option
from rxlapce.cli.passphrase import ask_on_terminal, twice, typed
from rxlapce.cli.screen import json_line
from rxlapce.config.keys import KEY, MAX_SECRET_BYTES, fault_of, line_of, parsed
from rxlapce.config.vault import FILE_VARIABLE, PASSPHRASE, VaultSettings, read_vault
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.vault import IN_KEYRING, Vault

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

P = ParamSpec("P")

_NOT_HERE: Final = (
    "the key is never given on the command line, where everybody who lists processes sees it: type it when asked, or "
    "pipe it in. If this was one, your shell's history has it now: revoke it at the provider"
)


def _fail(option: str) -> Callable[[str], ConfigError]:
    return lambda said: ConfigError(f"{option}: {said}")


def with_vault(command: Callable[Concatenate[VaultSettings, P], None]) -> Callable[P, None]:
    """The options by which a command finds the vault and opens it; it gets what they say."""

    @config_option
    @click.option("--vault", "file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                  envvar=FILE_VARIABLE, show_envvar=True,
                  help="The vault, if it is neither the configuration's nor the usual one.")  # fmt: skip
    @click.option("--passphrase-ref", "reference", metavar="REF",
                  help="Where the passphrase is, such as file:~/passphrase or exec:pass show rxlapce.")  # fmt: skip
    @wraps(command)
    def found(*args: P.args, **kwargs: P.kwargs) -> None:
        config, file, reference = (kwargs.pop(name) for name in ("config", "file", "reference"))
        settings = _settings(config, file, reference)  # type: ignore[arg-type] # as the options above convert them
        command(settings, *args, **kwargs)

    return found


def _settings(config: Path | None, file: Path | None, reference: str | None) -> VaultSettings:
    at = None
    if config is not None:
        from rxlapce.config.file import read_sections  # YAML's reader

        at = read_sections(config).get("vault")
    settings = read_vault(at, os.environ)
    if file is not None:
        settings = replace(settings, file=file.expanduser())
    if reference is not None:
        if parsed(reference, PASSPHRASE) is None:
            raise ConfigError(f"--passphrase-ref: expected {PASSPHRASE.expected}")
        settings = replace(settings, unlock=reference, fail=_fail("--passphrase-ref"))
    return settings


def _entries(context: click.Context, _: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """The names in the vault, for the shell; nothing of it needs the passphrase."""
    from click.shell_completion import CompletionItem  # only while completing

    try:
        config, file = context.params.get("config"), context.params.get("file")
        listed = _settings(config, file, None).vault(os.environ).listed()
    except ConfigError:
        return []
    names = [f"{entry.provider}/{entry.name}" for entry in listed]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.group()
def key() -> None:
    """Keep providers' keys in a vault: a file that a passphrase or the desktop's keyring opens.

    A configuration refers to them as vault:PROVIDER/NAME. See docs/keys.md.
    """


@key.command("set")
@with_vault
@click.option("--keyring", is_flag=True, help="Let the desktop's keyring open a new vault, instead of a passphrase.")
@click.argument("labels", metavar="PROVIDER/NAME", nargs=-1)
def set_key(settings: VaultSettings, keyring: bool, labels: tuple[str, ...]) -> None:
    """Keep a key as PROVIDER/NAME, such as openai/work; one that is there is replaced.

    The key is asked for, or read from standard input where that is no terminal. Makes the vault if there is none.
    """
    if len(labels) > 1 or any("=" in label for label in labels):
        raise click.UsageError(_NOT_HERE)  # click's own error would show it
    label = "".join(labels)
    provider, name = _label(label)
    vault = _vault(settings, new=True)
    secret = typed(f"Key for {label}") if sys.stdin.isatty() else _piped()
    if fault := fault_of(secret.reveal(), KEY):
        raise ConfigError(f"what was given {fault}: was it pasted whole?")
    made = not vault.exists()
    replaced = vault.put(provider, name, secret, lock=IN_KEYRING if keyring else None)
    what = "replaced" if replaced else "set"
    click.echo(f"{what} {label} in {'the new vault ' if made else ''}{vault.path}", err=True)
    click.echo(f"a configuration refers to it so:  key: vault:{label}", err=True)


@key.command("list")
@with_vault
@click.option("--verify", is_flag=True, help="Open the vault, and see that every entry is as it was written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for machines.")
def list_keys(settings: VaultSettings, verify: bool, as_json: bool) -> None:
    """List the names in the vault, and when each was set; never a key.

    Needs no passphrase, and proves nothing: who can write the file can write these names. With --verify it does.
    """
    vault = _vault(settings)
    if verify:
        opened = vault.open()
        for sealed in opened.contents.entries:
            opened.get(sealed.provider, sealed.name)
    listed = vault.listed()
    for entry in listed:
        if as_json:
            click.echo(json_line({"provider": entry.provider, "name": entry.name, "set": entry.set_at}))
        else:
            click.echo(f"{entry.provider}/{entry.name}  {entry.set_at}")
    if not as_json:
        found = "is whole, and has" if verify else "has"
        click.echo(f"{vault.path} {found} {len(listed)} {'key' if len(listed) == 1 else 'keys'}", err=True)


@key.command("rm")
@with_vault
@click.argument("label", metavar="PROVIDER/NAME", shell_complete=_entries)
def remove_key(settings: VaultSettings, label: str) -> None:
    """Forget the key PROVIDER/NAME.

    Copies of the file that were made before still hold it: revoke a key that nobody is to use any more.
    """
    provider, name = _label(label)
    vault = _vault(settings)
    if not vault.remove(provider, name):
        has = ", ".join(f"{entry.provider}/{entry.name}" for entry in vault.listed()) or "nothing"
        raise ConfigError(f"the vault {vault.path} has no {label}; it has {has}")
    click.echo(f"removed {label} from {vault.path}", err=True)


@key.command("rotate")
@with_vault
@click.option("--new-passphrase", is_flag=True, help="Ask for a new passphrase.")
@click.option("--new-passphrase-ref", "new", metavar="REF", help="Where the new passphrase is.")
@click.option("--to-keyring", is_flag=True, help="Let the desktop's keyring open the vault from now on.")
def rotate_keys(settings: VaultSettings, new_passphrase: bool, new: str | None, to_keyring: bool) -> None:
    """Seal every key anew with a new data key; what opens the vault stays, unless an option says otherwise.

    All or nothing: the file is the old one until the new one is whole. Copies that were made before open as before.
    """
    if new_passphrase + (new is not None) + to_keyring > 1:
        raise click.UsageError("--new-passphrase, --new-passphrase-ref and --to-keyring: say one of them at most")
    vault = _vault(settings)
    vault.listed()  # that it is one, before a new passphrase is asked for
    by: Secret | None = None
    if new is not None:
        by = replace(settings, unlock=_reference(new), fail=_fail("--new-passphrase-ref")).passphrase(os.environ, None)
    elif new_passphrase:
        by = twice(_terminal())(f"Passphrase of {vault.path}")
    count = vault.rotate(IN_KEYRING if to_keyring else by)
    click.echo(f"sealed {count} {'key' if count == 1 else 'keys'} of {vault.path} anew", err=True)


def _vault(settings: VaultSettings, *, new: bool = False) -> Vault:
    """The vault, which is asked for at the terminal; twice, if it is to be made."""
    ask = ask_on_terminal()
    if new and ask is not None and not settings.vault(os.environ).exists():
        ask = twice(ask)
    return settings.vault(os.environ, ask)


def _terminal() -> Callable[[str], Secret]:
    ask = ask_on_terminal()
    if ask is None:
        raise ConfigError("there is no terminal to ask for the new passphrase at: give --new-passphrase-ref")
    return ask


def _reference(said: str) -> str:
    if parsed(said, PASSPHRASE) is None:
        raise ConfigError(f"--new-passphrase-ref: expected {PASSPHRASE.expected}")
    return said


def _label(said: str) -> tuple[str, str]:
    """Provider and name. What is wrong is not shown: it may be the key."""
    if parsed(f"vault:{said}") is None:
        raise click.BadParameter(
            "expected PROVIDER/NAME, such as openai/work: letters, digits and . _ @ -, at most 64 each",
            param_hint="PROVIDER/NAME",
        )
    provider, _, name = said.partition("/")
    return provider, name


def _piped() -> Secret:
    """What stands on standard input, without the one end of its line."""
    data = sys.stdin.buffer.read(MAX_SECRET_BYTES + 1)
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(f"standard input is larger than {MAX_SECRET_BYTES:,} bytes, and no key")
    return Secret(line_of(data, "standard input"))
