"""A vault of keys in a file: opened for one question at a time, written whole or not at all."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rxlapce.errors import VaultDamaged, VaultError, VaultMissing, VaultTampered, WrongPassphrase
from rxlapce.secret import Secret
from rxlapce.vault.format import MAX_FILE_BYTES, Contents, KeyringLock, VaultFile, read, written
from rxlapce.vault.opened import Key, KeyringKey, OpenVault, PassphraseKey, check_label, check_passphrase
from rxlapce.vault.os_keyring import OsKeyring
from rxlapce.vault.private_file import NotPrivate, only_writer, read_private, replace_private
from rxlapce.vault.sealing import Cost

#: What the keyring calls the keys of vaults.
SERVICE: Final = "rxlapce vault"
WRITER_WAIT_S: Final = 10.0


class InKeyring:
    """Says that a vault is to be closed by a key in the system's keyring, rather than by a passphrase."""


IN_KEYRING: Final = InKeyring()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry as anybody who can read the file sees it."""

    provider: str
    name: str
    set_at: str


def now() -> str:
    """The time, as entries have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Vault:
    """The vault in the file `path`, which `passphrase` gives the passphrase of when it is needed.

    A vault that the keyring closes asks for none. `cost` is for passphrases that are set; to open, the file says what
    it takes. Whoever changes it reads and writes under a lock, so that two lose nothing of each other's. All raise
    `VaultError` (`errors.VaultMissing`, `VaultDamaged`, `WrongPassphrase`, `VaultTampered`), which holds no secret, and
    tells the path; and what `passphrase` and the keyring raise.

    Blocks: a quarter of a second and more for Argon2id, and as long as the user or the keyring takes.
    """

    def __init__(
        self,
        path: Path,
        passphrase: Callable[[], Secret],
        *,
        keyring: OsKeyring | None = None,
        cost: Cost | None = None,
        now: Callable[[], str] = now,
    ) -> None:
        self.path = path
        self._passphrase = passphrase
        self._keyring = keyring or OsKeyring()
        self._cost = cost or Cost()
        self._now = now

    def exists(self) -> bool:
        """Whether there is a file, whatever is in it."""
        try:
            return self.path.exists()
        except OSError:  # a folder that may not be looked into: whoever reads or writes is told
            return False

    def listed(self) -> list[Listed]:
        """The entries by name, and nothing of what they hold. Needs no passphrase, and so proves nothing."""
        return [
            Listed(provider=entry.provider, name=entry.name, set_at=entry.set_at)
            for entry in self._read().contents.entries
        ]

    def open(self) -> OpenVault:
        """The vault, opened, and found to be what was written last."""
        return self._opened(None)[0]

    def put(self, provider: str, name: str, secret: Secret, *, lock: InKeyring | None = None) -> bool:
        """Keep `secret` under that name; whether one was there. Makes the vault if there is none, closed by `lock`."""
        check_label(provider, name)
        passphrase = self._asked() if self.exists() else None if lock is not None else self._passphrase()
        with self._writing():
            opened = self._opened(passphrase)[0] if self.exists() else self._made(lock, passphrase)
            replaced = any((each.provider, each.name) == (provider, name) for each in opened.contents.entries)
            self._write(opened.with_entry(provider, name, secret, set_at=self._now()))
        return replaced

    def remove(self, provider: str, name: str) -> bool:
        """Forget what is kept under that name; whether anything was."""
        passphrase = self._asked()
        with self._writing():
            opened = self._opened(passphrase)[0]
            left = opened.without(provider, name)
            if left is opened:
                return False
            self._write(left)
        return True

    def rotate(self, new: Secret | InKeyring | None = None) -> int:
        """Seal every entry with a new data key, closed by `new`, or as before; how many there are.

        A new data key each time: who had the old file and the old passphrase opens nothing that is written now.
        """
        if isinstance(new, Secret):
            check_passphrase(new)
        passphrase = self._asked()
        with self._writing():
            opened, key = self._opened(passphrase)
            keyring = isinstance(new, InKeyring) or (new is None and isinstance(key, KeyringKey))
            fresh = self._key_in_keyring() if keyring else PassphraseKey(new) if isinstance(new, Secret) else key
            self._write(opened.rotated(fresh, self._cost))
            if isinstance(key, KeyringKey):
                self._keyring.remove(SERVICE, key.name)  # now that no file needs it
        return len(opened.contents.entries)

    # -- the file -----------------------------------------------------------------------------------------------------

    def _read(self) -> VaultFile:
        try:
            return read(read_private(self.path, max_bytes=MAX_FILE_BYTES))
        except FileNotFoundError:
            said = f"there is no vault at {self.path}; make one with: rxlapce key set PROVIDER/NAME"
            raise VaultMissing(said) from None
        except VaultDamaged as error:
            raise VaultDamaged(f"the vault {self.path}: {error}") from None
        except NotPrivate as error:
            raise VaultError(f"the vault {self.path}: {error}") from None

    @contextmanager
    def _writing(self) -> Generator[None]:
        """The block in which nobody else changes the file; what goes wrong with it there is told with its path."""
        try:
            with only_writer(self.path, wait_s=WRITER_WAIT_S):
                yield
        except NotPrivate as error:
            raise VaultError(f"the vault {self.path}: {error}") from None

    def _write(self, opened: OpenVault) -> None:
        data = written(opened.file())
        if len(data) > MAX_FILE_BYTES:
            raise VaultError(f"the vault {self.path} would be larger than {MAX_FILE_BYTES:,} bytes: remove an entry")
        replace_private(self.path, data)

    # -- its keys -----------------------------------------------------------------------------------------------------

    def _asked(self) -> Secret | None:
        """The passphrase, before anybody is kept waiting for the file; None where none is needed."""
        return None if isinstance(self._read().contents.lock, KeyringLock) else self._passphrase()

    def _opened(self, passphrase: Secret | None) -> tuple[OpenVault, Key]:
        file = self._read()
        key = self._key_to(file.contents, passphrase)
        try:
            return OpenVault.unlocked(file, key), key
        except WrongPassphrase as error:
            raise WrongPassphrase(f"the vault {self.path} does not open: {error}") from None
        except VaultTampered as error:
            raise VaultTampered(
                f"the vault {self.path} was tampered with: {error}. Set its keys anew in a new vault, and at the "
                "providers revoke the old ones"
            ) from None

    def _key_to(self, contents: Contents, passphrase: Secret | None) -> Key:
        if not isinstance(contents.lock, KeyringLock):
            return PassphraseKey(passphrase or self._passphrase())
        name = contents.lock.name
        secret = self._keyring.get(SERVICE, name)
        if secret is None:
            raise WrongPassphrase(f"the keyring has no key for the vault {self.path}: is it that of another machine?")
        return KeyringKey(name, secret)

    def _made(self, lock: InKeyring | None, passphrase: Secret | None) -> OpenVault:
        if lock is not None:
            return OpenVault.made(self._key_in_keyring(), self._cost)
        passphrase = passphrase or self._passphrase()
        check_passphrase(passphrase)
        return OpenVault.made(PassphraseKey(passphrase), self._cost)

    def _key_in_keyring(self) -> KeyringKey:
        """A new key, which the keyring has before a file needs it."""
        key = KeyringKey.made()
        self._keyring.put(SERVICE, key.name, key.key)
        return key
