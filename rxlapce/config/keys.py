"""References to secrets: a file says where a key is, and never what it is.

    env:NAME                  a variable of the environment
    file:/PATH                a file of this user's alone (mode 0600 or stricter); file:~/PATH is below the home folder
    keyring:SERVICE/NAME      the desktop's keyring
    exec:COMMAND ARG...       what a command prints, such as a password manager's; no shell sees it
    cred:NAME                 a credential that systemd hands to the service
    vault:PROVIDER/NAME       rxlapce's own vault

No error shows what stood in the place of a reference, for it may be the key itself; nor what a reference led to.
"""

import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rxlapce.config.key_command import CommandFailed, output_of
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.vault.os_keyring import OsKeyring
from rxlapce.vault.private_file import NotPrivate, read_all, read_private

if TYPE_CHECKING:
    from rxlapce.config.document import Place  # which needs YAML's reader
    from rxlapce.vault.opened import OpenVault

MAX_SECRET_BYTES: Final = 16 * 1024
#: What stands for each key where references are only looked at (`Keys.resolve`).
UNRESOLVED: Final = "unresolved"

#: What may follow each scheme, and how a reference of it looks.
SCHEMES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "env": (re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "env:NAME"),
    "file": (re.compile(r"(?:/|~/)[^\0]+"), "file:/PATH"),
    "keyring": (re.compile(r"[^/\0]+/[^\0]+"), "keyring:SERVICE/NAME"),
    "exec": (re.compile(r"[^\0]*[^\0\s][^\0]*"), "exec:COMMAND ARG..."),
    "cred": (re.compile(r"[A-Za-z0-9_:@-][A-Za-z0-9_.:@-]*"), "cred:NAME"),
    "vault": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}/[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"), "vault:PROVIDER/NAME"),
}
#: A variable's name as everybody writes them. Any other may be a key that was put behind `env:`.
_PLAIN_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

Fail = Callable[[str], ConfigError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reference is to give. `what` names it in errors; `remedy` ends "set it, or ..." where it is missing.

    `text` is for what is no key: a passphrase or an address may hold any character, a key is visible ASCII.
    """

    what: str = "the key"
    remedy: str = "take this provider out"
    schemes: Collection[str] = tuple(SCHEMES)
    example: str = "env:GROQ_API_KEY"
    text: bool = False

    @property
    def expected(self) -> str:
        """What should stand there, in the words of an error."""
        forms = ", ".join(SCHEMES[scheme][1] for scheme in self.schemes)
        return f"a reference to {self.what} such as {self.example} ({forms}), never {self.what} itself"


KEY: Final = Wanted()


class Keys:
    """Finds what references lead to. `vault` opens the vault, at the first reference to it and no more than once.

    With `resolve` false, and where there is no `environ`, the references are only read: nothing is run, opened or
    asked; `UNRESOLVED` stands for each.

    All raise `ConfigError`. May block: for as long as a command (10 s), a keyring (20 s) or whoever types may take.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None,
        *,
        vault: "Callable[[], OpenVault] | None" = None,
        keyring: OsKeyring | None = None,
        resolve: bool = True,
    ) -> None:
        self.environ = environ
        self.resolve = resolve and environ is not None
        self._variables: Mapping[str, str] = environ or {}
        self._open_vault = vault
        self._keyring = keyring or OsKeyring()
        self._vault: OpenVault | None = None
        self._vault_failed = False

    def secret(self, at: "Place", wanted: Wanted = KEY) -> Secret:
        """What the reference at `at` leads to."""
        wrong = at.wrong(wanted.expected, got="something else")
        if not at.is_text():
            raise wrong
        return self.fetch(at.text(), at.error, wanted, wrong)

    def fetch(self, reference: str, fail: Fail, wanted: Wanted = KEY, wrong: ConfigError | None = None) -> Secret:
        """What `reference` leads to. What is wrong is told by `fail`; that it is no reference, by `wrong` if given."""
        scheme, rest = parsed(reference, wanted) or ("", "")
        if not scheme:
            raise wrong or fail(f"expected {wanted.expected}")
        if not self.resolve:
            return Secret(UNRESOLVED)
        try:
            value = self._found(scheme, rest, wanted)
            fault = fault_of(value, wanted)
        except (NotPrivate, CommandFailed, ConfigError) as error:
            if isinstance(error, ConfigError) and error.problems:
                raise  # it has a place of its own: that of what opens the vault
            raise fail(str(error)) from None
        if fault is not None:
            raise fail(f"what {scheme}: gives {fault}")
        return Secret(value)

    def _found(self, scheme: str, rest: str, wanted: Wanted) -> str:
        match scheme:
            case "env":
                return self._variable(rest, wanted)
            case "file":
                return self._file(rest, wanted)
            case "keyring":
                return self._in_keyring(rest, wanted)
            case "exec":
                printed = output_of(shlex.split(rest), self._variables, max_bytes=MAX_SECRET_BYTES)
                return line_of(printed, "what the command prints")
            case "cred":
                return self._credential(rest, wanted)
            case _:
                return self._in_vault(rest, wanted)

    # -- the schemes --------------------------------------------------------------------------------------------------

    def _variable(self, name: str, wanted: Wanted) -> str:
        value = self._variables.get(name, "")
        if not value.strip():
            shown = name if _PLAIN_VARIABLE.fullmatch(name) else "such variable"
            raise NotFound(f"the environment has no {shown}: set it, or {wanted.remedy}")
        value = value if wanted.text else value.strip()
        if (fault := fault_of(value, wanted)) is not None:
            raise NotFound(f"{name} {fault}: was it pasted whole?")
        return value

    def _file(self, said: str, wanted: Wanted) -> str:
        path = Path(said).expanduser() if said.startswith("~/") else Path(said)
        try:
            return line_of(read_private(path, max_bytes=MAX_SECRET_BYTES), str(path))
        except FileNotFoundError:
            raise NotFound(f"there is no file {path}: make it with mode 0600, or {wanted.remedy}") from None
        except NotPrivate as error:
            raise NotFound(f"{path}: {error}") from None

    def _in_keyring(self, said: str, wanted: Wanted) -> str:
        service, _, name = said.partition("/")
        found = self._keyring.get(service, name)
        if found is None:
            raise NotFound(
                f"the keyring has nothing for this service and name: keyring set SERVICE NAME, or {wanted.remedy}"
            )
        return found.reveal()

    def _credential(self, name: str, wanted: Wanted) -> str:
        folder = self._variables.get("CREDENTIALS_DIRECTORY", "")
        if not folder:
            raise NotFound(
                "this is no service of systemd with credentials (CREDENTIALS_DIRECTORY is not set): add "
                f"LoadCredential= to its unit, or {wanted.remedy}"
            )
        try:
            # Owner and rights are systemd's business: it gives them by access lists too.
            descriptor = os.open(Path(folder) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(
                f"systemd gave no credential of this name: add LoadCredential= to the unit, or {wanted.remedy}"
            ) from None
        except OSError as error:
            raise NotFound(f"the credential cannot be read: {error.strerror}") from None
        try:
            return line_of(read_all(descriptor, max_bytes=MAX_SECRET_BYTES), "the credential")
        finally:
            os.close(descriptor)

    def _in_vault(self, said: str, wanted: Wanted) -> str:
        opened = self._opened_vault()
        provider, _, name = said.partition("/")
        found = opened.get(provider, name)
        if found is None:
            has = ", ".join(entry.label for entry in opened.contents.entries) or "nothing"
            raise NotFound(
                f"the vault has nothing of this name; it has {has}: rxlapce key set PROVIDER/NAME, or {wanted.remedy}"
            )
        return found.reveal()

    def _opened_vault(self) -> "OpenVault":
        if self._open_vault is None:
            raise NotFound("there is no vault to look into here")
        if self._vault_failed:  # asked once: nobody types a passphrase for each key
            raise NotFound("the vault does not open, as told of another key")
        if self._vault is None:
            self._vault_failed = True
            self._vault = self._open_vault()
            self._vault_failed = False
        return self._vault


class NotFound(ConfigError):
    """There is nothing where the reference leads; the text is for people."""


def parsed(reference: str, wanted: Wanted = KEY) -> tuple[str, str] | None:
    """The scheme and what follows it; None for what is no reference of those that are `wanted`."""
    scheme, colon, rest = reference.partition(":")
    if not colon or scheme not in wanted.schemes or not SCHEMES[scheme][0].fullmatch(rest):
        return None
    if scheme == "exec":
        try:
            return (scheme, rest) if shlex.split(rest) else None
        except ValueError:  # a quote that is not closed
            return None
    return scheme, rest


def line_of(data: bytes, where: str) -> str:
    """The text without the one line end that editors and commands put behind it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise NotFound(f"{where} is no text in UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def fault_of(value: str, wanted: Wanted) -> str | None:
    """Why `value` can be no secret; None if it can."""
    if not value:
        return "is empty"
    if not wanted.text and any(not "!" <= char <= "~" for char in value):
        return "holds a blank, a line end or a non-ASCII character, which no key has"
    return None
