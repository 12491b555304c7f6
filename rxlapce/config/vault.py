"""The vault that `vault:` references are looked up in, and what opens it: the file's section `vault`.

    vault:
      file: ~/.config/rxlapce/vault.json
      unlock: keyring

`unlock` is keyring, prompt, or a reference to the passphrase. Both members are optional. The variable RXLAPCE_VAULT
goes before `file`, and where `unlock` is not said, RXLAPCE_VAULT_PASSPHRASE_FILE names a file of mode 0600 that holds
the passphrase; else whoever sits at the terminal is asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rxlapce.config.keys import Fail, Keys, Wanted
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.vault import OpenVault, OsKeyring, Vault

if TYPE_CHECKING:
    from rxlapce.config.document import Place  # which needs YAML's reader

FILE_VARIABLE: Final = "RXLAPCE_VAULT"
PASSPHRASE_VARIABLE: Final = "RXLAPCE_VAULT_PASSPHRASE_FILE"  # noqa: S105 - a variable's name
#: Asks a person for a passphrase, with this text before it.
Ask = Callable[[str], Secret]

PASSPHRASE: Final = Wanted(
    what="the passphrase",
    remedy="say otherwise how the vault is opened",
    schemes=("env", "file", "keyring", "exec", "cred"),
    example="file:~/.config/rxlapce/passphrase",
    text=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """Which vault, and what opens it: `keyring`, `prompt`, a reference, or None, which is whatever is there.

    `fail` makes the error of what is wrong with `unlock`.
    """

    file: Path
    unlock: str | None = None
    fail: Fail = ConfigError

    def vault(self, environ: Mapping[str, str], ask: Ask | None = None, keyring: OsKeyring | None = None) -> Vault:
        """The vault. It asks for its passphrase when opened, if it needs one; `ask` is None without a terminal."""

        def passphrase() -> Secret:
            return self.passphrase(environ, ask, keyring)

        return Vault(self.file, passphrase, keyring=keyring)

    def passphrase(self, environ: Mapping[str, str], ask: Ask | None, keyring: OsKeyring | None = None) -> Secret:
        """The passphrase, from where the settings say. Raises `ConfigError`."""
        keys = Keys(environ, keyring=keyring)
        given = environ.get(PASSPHRASE_VARIABLE, "")
        if self.unlock == "keyring":
            raise self.fail(
                "the vault is closed by a passphrase: say where that is, or rxlapce key rotate --to-keyring"
            )
        if self.unlock is not None and self.unlock != "prompt":
            return keys.fetch(self.unlock, self.fail, PASSPHRASE)
        if self.unlock is None and given:
            return keys.fetch(f"file:{Path(given).absolute()}", _of_variable, PASSPHRASE)
        if ask is None:
            raise self.fail(
                "the vault needs its passphrase, and there is no terminal to ask at: say where it is in vault.unlock, "
                f"or set {PASSPHRASE_VARIABLE}"
            )
        return ask(f"Passphrase of {self.file}")


def read_vault(at: "Place | None", environ: Mapping[str, str]) -> VaultSettings:
    """The settings of the section at `at`, which may be missing. Raises `ConfigError`."""
    if at is not None and at.is_text():  # which may be the passphrase
        raise at.wrong("a mapping (name: value)", got="a text")
    members = {} if at is None else at.members(("file", "unlock"))
    file = default_file(environ)
    if "file" in members:
        with members["file"].collect():
            file = _path(members["file"])
    if environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE]).expanduser()
    if "unlock" not in members:
        return VaultSettings(file=file)
    place = members["unlock"]
    if not (place.is_text() and place.text() in ("keyring", "prompt")):
        expected = f"keyring, prompt, or {PASSPHRASE.expected}"
        if not place.is_text():
            raise place.wrong(expected, got="something else")
        Keys(environ, resolve=False).fetch(
            place.text(), place.error, PASSPHRASE, place.wrong(expected, got="something else")
        )
    return VaultSettings(file=file, unlock=place.text(), fail=place.error)


def _path(at: "Place") -> Path:
    said = at.text("the vault's path")
    if not said.startswith(("/", "~/")):
        raise at.wrong("an absolute path, or one that begins with ~/")
    return Path(said).expanduser()


def default_file(environ: Mapping[str, str]) -> Path:
    """Where the vault is if nobody says otherwise (XDG Base Directory Specification)."""
    said = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(said) if said.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".config"
    return folder / "rxlapce" / "vault.json"


def keys_of(
    at: "Place | None",
    environ: Mapping[str, str] | None,
    *,
    ask: Ask | None = None,
    keyring: OsKeyring | None = None,
    resolve: bool = True,
) -> Keys:
    """What finds the keys that a file refers to, with the vault that its section at `at` tells of.

    Raises `ConfigError` for what is wrong with the section; the vault is opened when a reference leads into it.
    """
    variables = environ or {}
    settings = read_vault(at, variables)

    def opened() -> OpenVault:
        return settings.vault(variables, ask, keyring).open()

    return Keys(environ, vault=opened, keyring=keyring, resolve=resolve)


def _of_variable(said: str) -> ConfigError:
    return ConfigError(f"{PASSPHRASE_VARIABLE}: {said}")
