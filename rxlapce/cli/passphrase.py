"""Secrets typed at the terminal: without an echo, and whatever standard input and output are."""

import getpass
import os
from collections.abc import Callable

import click

from rxlapce.cli.screen import printable
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret

Ask = Callable[[str], Secret]


def ask_on_terminal() -> Ask | None:
    """What asks whoever sits at the terminal; None where there is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return None
    return typed


def typed(prompt: str) -> Secret:
    """What is typed at the terminal. Raises `click.Abort` at its end (^D) and at ^C."""
    try:
        return Secret(getpass.getpass(f"{printable(prompt)}: "))
    except (EOFError, KeyboardInterrupt):
        click.echo(err=True)
        raise click.Abort from None


def twice(ask: Ask) -> Ask:
    """`ask`, and once more for the same: of what is not seen while it is typed."""

    def asked(prompt: str) -> Secret:
        first = ask(f"New passphrase{prompt.removeprefix('Passphrase')}")
        if ask("Once more") != first:
            raise ConfigError("the two passphrases are not the same: nothing was changed")
        return first

    return asked


class Remembered:
    """Asks for each passphrase once, while somebody sits there to be asked: until `close`.

    Afterwards it gives what it was told: a configuration that is read anew opens the vault with it.
    """

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._said: dict[str, Secret] = {}
        self._is_open = True

    @property
    def ask(self) -> Ask | None:
        """What asks; None where nobody could be asked from the beginning."""
        return self._asked if self._ask is not None else None

    def close(self) -> None:
        """Ask no more."""
        self._is_open = False

    def _asked(self, prompt: str) -> Secret:
        if prompt not in self._said:
            if self._ask is None or not self._is_open:
                raise ConfigError("while the daemon runs nobody is asked: restart it, or say where the passphrase is")
            self._said[prompt] = self._ask(prompt)
        return self._said[prompt]
