"""A vault that is open: what its keys give, and what becomes of it, without a file."""

import os
from dataclasses import dataclass, replace
from typing import Final

from rxlapce.errors import ConfigError, VaultTampered, WrongPassphrase
from rxlapce.secret import Secret
from rxlapce.vault.format import (
    FORMAT,
    ID_BYTES,
    MAX_ENTRIES,
    MAX_SECRET_BYTES,
    NAME,
    VERSION,
    Contents,
    Entry,
    KeyringLock,
    Lock,
    PassphraseLock,
    VaultFile,
    sealed_bytes,
)
from rxlapce.vault.sealing import (
    KEY_BYTES,
    SALT_BYTES,
    Cost,
    DoesNotOpen,
    bound_to,
    derived,
    mac,
    same,
    seal,
    subkey,
    unseal,
)

MIN_PASSPHRASE_CHARS: Final = 8
MAX_PASSPHRASE_CHARS: Final = 1024


def check_passphrase(passphrase: Secret) -> None:
    """Raise `ConfigError` for one that nobody should close a vault with, or that was not meant."""
    chars = len(passphrase.reveal())
    if not MIN_PASSPHRASE_CHARS <= chars <= MAX_PASSPHRASE_CHARS:
        raise ConfigError(
            f"the passphrase has {chars} characters: expected {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS}"
        )


def check_label(provider: str, name: str) -> None:
    """Raise `ConfigError` for what can be no entry's name."""
    if not (NAME.fullmatch(provider) and NAME.fullmatch(name)):
        # Not shown: the key itself may have been put there.
        raise ConfigError("expected PROVIDER/NAME, each of letters, digits and . _ @ -, at most 64 of them")


@dataclass(frozen=True, slots=True)
class PassphraseKey:
    """Opens a vault, and closes it again, with what Argon2id makes of a passphrase."""

    passphrase: Secret

    def lock(self, data_key: bytes, vault: str, cost: Cost) -> Lock:
        """A lock with a new salt."""
        salt = os.urandom(SALT_BYTES)
        key = derived(self.passphrase, salt, cost)
        return PassphraseLock(cost, salt, seal(key, data_key, bound=_bound_of_passphrase(vault, cost, salt)))

    def data_key(self, lock: PassphraseLock, vault: str) -> bytes:
        """The data key. Raises `WrongPassphrase`."""
        key = derived(self.passphrase, lock.salt, lock.cost)
        try:
            return unseal(key, lock.data_key, bound=_bound_of_passphrase(vault, lock.cost, lock.salt))
        except DoesNotOpen:
            raise WrongPassphrase(
                "the passphrase is another. (The file is as rxlapce wrote it, unless somebody rewrote its lock and "
                "its checksum on purpose)"
            ) from None


@dataclass(frozen=True, slots=True)
class KeyringKey:
    """Opens a vault, and closes it again, with a key that the system's keyring has under `name`."""

    name: str
    key: Secret

    @classmethod
    def made(cls) -> "KeyringKey":
        """A new one, by a name of its own: the old one stays good until the file that needs it is gone."""
        return cls(os.urandom(ID_BYTES).hex(), Secret(os.urandom(KEY_BYTES).hex()))

    def lock(self, data_key: bytes, vault: str, cost: Cost) -> Lock:
        """A lock that this key opens; a random key needs no Argon2id."""
        del cost
        return KeyringLock(self.name, seal(self._bytes(), data_key, bound=_bound_of_keyring(vault, self.name)))

    def data_key(self, lock: KeyringLock, vault: str) -> bytes:
        """The data key. Raises `WrongPassphrase`."""
        try:
            return unseal(self._bytes(), lock.data_key, bound=_bound_of_keyring(vault, self.name))
        except DoesNotOpen:
            raise WrongPassphrase("the key in the keyring is another than the vault's") from None

    def _bytes(self) -> bytes:
        try:
            key = bytes.fromhex(self.key.reveal())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise WrongPassphrase("what the keyring has is no vault's key: somebody changed it there")
        return key


Key = PassphraseKey | KeyringKey


class OpenVault:
    """The entries of a vault whose seal was found whole, and the key that opens them.

    Nothing is changed in place: what the methods give is the next file. Each raises `ConfigError` where it cannot be.
    """

    def __init__(self, contents: Contents, data_key: bytes) -> None:
        self.contents = contents
        self._data_key = data_key

    def __repr__(self) -> str:
        return f"OpenVault({self.contents.id}, {len(self.contents.entries)} entries)"

    @classmethod
    def made(cls, key: Key, cost: Cost) -> "OpenVault":
        """A new vault without an entry."""
        vault, data_key = os.urandom(ID_BYTES).hex(), os.urandom(KEY_BYTES)
        return cls(Contents(vault, 0, key.lock(data_key, vault, cost), ()), data_key)

    @classmethod
    def unlocked(cls, file: VaultFile, key: Key) -> "OpenVault":
        """The vault, all of whose list is what was written last. Raises `WrongPassphrase`, and `VaultTampered`."""
        contents = file.contents
        match contents.lock, key:
            case PassphraseLock() as lock, PassphraseKey():
                data_key = key.data_key(lock, contents.id)
            case KeyringLock() as lock, KeyringKey():
                data_key = key.data_key(lock, contents.id)
            case _:
                raise WrongPassphrase("the vault is closed in another way: by the keyring, not by a passphrase, or so")
        opened = cls(contents, data_key)
        if not same(opened.file().seal, file.seal):
            raise VaultTampered(opened._what_is_wrong())
        return opened

    def file(self) -> VaultFile:
        """The vault with its seal, as it is written."""
        return VaultFile(self.contents, mac(subkey(self._data_key, "list"), sealed_bytes(self.contents)))

    def get(self, provider: str, name: str) -> Secret | None:
        """The secret of that provider and name; None if there is none. Raises `VaultTampered`."""
        for entry in self.contents.entries:
            if (entry.provider, entry.name) == (provider, name):
                try:
                    return self._secret(entry, entry.provider, entry.name)
                except DoesNotOpen:
                    raise VaultTampered(f"{entry.label} is not what was stored under that name") from None
        return None

    def with_entry(self, provider: str, name: str, secret: Secret, *, set_at: str) -> "OpenVault":
        """The vault with the secret under that name, in the place of one that was there."""
        check_label(provider, name)
        size = len(secret.reveal().encode("utf-8", "surrogatepass"))
        if not 0 < size <= MAX_SECRET_BYTES:
            raise ConfigError(f"expected a secret of 1 to {MAX_SECRET_BYTES:,} bytes, got {size:,}")
        entry = self._sealed(provider, name, secret, set_at)
        others = [each for each in self.contents.entries if each.label != entry.label]
        if len(others) >= MAX_ENTRIES:
            raise ConfigError(f"a vault has {MAX_ENTRIES:,} entries at most: remove one")
        return self._next(tuple(sorted([*others, entry], key=lambda each: each.label)))

    def without(self, provider: str, name: str) -> "OpenVault":
        """The vault without that entry; the same one if there is none."""
        left = tuple(each for each in self.contents.entries if (each.provider, each.name) != (provider, name))
        return self if len(left) == len(self.contents.entries) else self._next(left)

    def rotated(self, key: Key, cost: Cost) -> "OpenVault":
        """The vault with a new data key, closed by `key`: every entry is sealed anew."""
        vault, data_key = self.contents.id, os.urandom(KEY_BYTES)
        emptied = replace(self.contents, lock=key.lock(data_key, vault, cost), entries=())
        new = OpenVault(emptied, data_key)
        entries: list[Entry] = []
        for entry in self.contents.entries:
            secret = self.get(entry.provider, entry.name)
            if secret is not None:
                entries.append(new._sealed(entry.provider, entry.name, secret, entry.set_at))
        return new._next(tuple(entries))

    def _next(self, entries: tuple[Entry, ...]) -> "OpenVault":
        contents = replace(self.contents, generation=self.contents.generation + 1, entries=entries)
        return OpenVault(contents, self._data_key)

    def _sealed(self, provider: str, name: str, secret: Secret, set_at: str) -> Entry:
        plain = secret.reveal().encode("utf-8", "surrogatepass")
        bound = _bound_of_entry(self.contents.id, provider, name)
        return Entry(provider, name, set_at, seal(subkey(self._data_key, "entries"), plain, bound=bound))

    def _secret(self, entry: Entry, provider: str, name: str) -> Secret:
        bound = _bound_of_entry(self.contents.id, provider, name)
        plain = unseal(subkey(self._data_key, "entries"), entry.sealed, bound=bound)
        return Secret(plain.decode("utf-8", "surrogatepass"))

    def _what_is_wrong(self) -> str:
        """Why the seal does not fit, as far as the entries tell."""
        wrong: list[str] = []
        for entry in self.contents.entries:
            if not self._opens(entry, entry):
                owners = [other.label for other in self.contents.entries if self._opens(entry, other)]
                held = f"holds what was stored as {owners[0]}" if owners else "is not what was stored under that name"
                wrong.append(f"{entry.label} {held}")
        if wrong:
            return "; ".join(wrong)
        return (
            "every entry opens, and the list is not the one that was written last: an entry was removed, its "
            "time changed, or an old one put back"
        )

    def _opens(self, entry: Entry, as_of: Entry) -> bool:
        try:
            self._secret(entry, as_of.provider, as_of.name)
        except DoesNotOpen:
            return False
        return True


def _bound_of_passphrase(vault: str, cost: Cost, salt: bytes) -> bytes:
    return bound_to(
        FORMAT, VERSION, vault, "passphrase", cost.memory_kib, cost.passes, cost.lanes, salt.hex()
    )  # fmt: skip


def _bound_of_keyring(vault: str, name: str) -> bytes:
    return bound_to(FORMAT, VERSION, vault, "keyring", name)


def _bound_of_entry(vault: str, provider: str, name: str) -> bytes:
    """An entry opens in its own vault, under its own name, alone."""
    return bound_to(FORMAT, VERSION, vault, "entry", provider, name)
