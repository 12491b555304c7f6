"""A vault's file: what stands in it, written in one way, and read strictly before any key is asked for.

    {
     "format": "rxlapce-vault",
     "version": 1,
     "id": 32 hexadecimal digits,
     "generation": how often it was written,
     "lock": {"kind": "passphrase", "memory_kib": .., "passes": .., "lanes": .., "salt": .., "nonce", "data_key": ..}
          or {"kind": "keyring", "name": .., "nonce": .., "data_key": ..},
     "entries": [{"provider": .., "name": .., "set": "2026-11-23T04:54:09Z", "nonce": .., "sealed": ..}, ...],
     "seal": HMAC-SHA-256 of all above, by a key that only the data key gives,
     "checksum": SHA-256 of all above, so that a file which was damaged is told from a wrong passphrase
    }

Bytes are hexadecimal digits in small letters, so that no two texts mean the same bytes. The checksum needs no key:
whoever changes the file on purpose can write another, and then the seal does not fit.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from rxlapce.errors import VaultDamaged
from rxlapce.vault.sealing import KEY_BYTES, NONCE_BYTES, SALT_BYTES, TAG_BYTES, Cost, Sealed

FORMAT: Final = "rxlapce-vault"
VERSION: Final = 1
MAX_FILE_BYTES: Final = 1 << 20
MAX_ENTRIES: Final = 1000
MAX_SECRET_BYTES: Final = 16 * 1024
ID_BYTES: Final = 16
MAC_BYTES: Final = 32

#: Provider and name of an entry. Neither can be taken for the other, for a path, or for an option.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_CUT: Final = "it ends in the middle: it was cut short. Put a copy of the whole file back"


@dataclass(frozen=True, slots=True)
class PassphraseLock:
    """The data key, sealed with what Argon2id makes of a passphrase."""

    cost: Cost
    salt: bytes
    data_key: Sealed


@dataclass(frozen=True, slots=True)
class KeyringLock:
    """The data key, sealed with a key that the system's keyring has under `name`."""

    name: str
    data_key: Sealed


Lock = PassphraseLock | KeyringLock


@dataclass(frozen=True, slots=True)
class Entry:
    """A secret under its provider and name, as it is sealed; `set_at` is when, in UTC."""

    provider: str
    name: str
    set_at: str
    sealed: Sealed

    @property
    def label(self) -> str:
        """`provider/name`."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class Contents:
    """All of a vault but its seal; the entries are in the order of their labels."""

    id: str
    generation: int
    lock: Lock
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class VaultFile:
    """A vault as it stands in its file."""

    contents: Contents
    seal: bytes


def sealed_bytes(contents: Contents) -> bytes:
    """What the seal is made of: one text for one vault."""
    return json.dumps(_members(contents), sort_keys=True, separators=(",", ":")).encode()


def written(file: VaultFile) -> bytes:
    """The file's bytes."""
    members = {**_members(file.contents), "seal": file.seal.hex()}
    text = json.dumps({**members, "checksum": _checksum(members)}, indent=1)
    return f"{text}\n".encode()


def read(data: bytes) -> VaultFile:
    """What `written` wrote, however its white space is now. Raises `VaultDamaged`, which says nothing of the path."""
    members = _Members(_parsed(data), "")
    _check_format(members)
    file = VaultFile(
        Contents(
            id=members.hex("id", ID_BYTES).hex(),
            generation=members.integer("generation", 1 << 53),
            lock=_lock(members.object("lock")),
            entries=_entries(members.list("entries")),
        ),
        seal=members.hex("seal", MAC_BYTES),
    )
    checksum = members.hex("checksum", MAC_BYTES).hex()
    members.end()
    if checksum != _checksum({**_members(file.contents), "seal": file.seal.hex()}):
        raise VaultDamaged("its checksum does not fit: it was damaged or changed. Put a copy of the whole file back")
    return file


def _members(contents: Contents) -> dict[str, Any]:
    lock = contents.lock
    held = {"nonce": lock.data_key.nonce.hex(), "data_key": lock.data_key.data.hex()}
    if isinstance(lock, PassphraseLock):
        cost = lock.cost
        costs = {"memory_kib": cost.memory_kib, "passes": cost.passes, "lanes": cost.lanes}
        said = {"kind": "passphrase", **costs, "salt": lock.salt.hex(), **held}
    else:
        said = {"kind": "keyring", "name": lock.name, **held}
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": contents.id,
        "generation": contents.generation,
        "lock": said,
        "entries": [
            {
                "provider": entry.provider,
                "name": entry.name,
                "set": entry.set_at,
                "nonce": entry.sealed.nonce.hex(),
                "sealed": entry.sealed.data.hex(),
            }
            for entry in contents.entries
        ],
    }


def _checksum(members: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# -- reading ----------------------------------------------------------------------------------------------------------


def _parsed(data: bytes) -> dict[str, Any]:
    if not data.strip():
        raise VaultDamaged("it is empty. Put a copy of the whole file back, or remove it to begin a new vault")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.end == len(data) and error.reason == "unexpected end of data":
            raise VaultDamaged(_CUT) from None
        raise VaultDamaged(f"it is no vault: byte {error.start} is no part of a character") from None
    try:
        said = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_no_number)
    except json.JSONDecodeError as error:
        text = text.rstrip()
        if text.startswith("{") and (error.pos >= len(text) or not text.endswith("}")):
            raise VaultDamaged(_CUT) from None
        raise VaultDamaged(f"it is no vault: line {error.lineno}, column {error.colno} is no JSON") from None
    except (ValueError, RecursionError):  # a number of more digits than Python takes; a list in a list in a list
        raise VaultDamaged("it is no vault: a number in it is too long, or it is nested too deeply") from None
    if not isinstance(said, dict):
        raise VaultDamaged('it is no vault: expected {"format": "rxlapce-vault", ...}')
    return cast("dict[str, Any]", said)  # `_once` made it, with names that are texts


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object. JSON's reader takes the last of two without a word; another reader, the first."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise VaultDamaged("a member stands in it twice: it was changed by hand")
        found[name] = value
    return found


def _no_number(said: str) -> Any:
    raise VaultDamaged("it is no vault: a number in it is not whole")


def _check_format(members: "_Members") -> None:
    """First, since of another version nothing else is known."""
    if members.take("format") != FORMAT:
        raise VaultDamaged(f"it is no vault: expected format {FORMAT!r}")
    version = members.integer("version", 1 << 53)
    if version != VERSION:
        advice = "a newer rxlapce wrote it: use that" if version > VERSION else "there is none of that version"
        raise VaultDamaged(f"it is of version {version}, and this rxlapce reads version {VERSION}: {advice}")


def _lock(members: "_Members") -> Lock:
    kind = members.take("kind")
    if kind == "keyring":
        lock: Lock = KeyringLock(members.name("name"), _data_key(members))
    elif kind == "passphrase":
        numbers = {name: members.integer(name, 1 << 53) for name in ("memory_kib", "passes", "lanes")}
        try:
            cost = Cost(**numbers)
        except ValueError as error:
            raise VaultDamaged(f"lock asks for more than a vault may: {error}") from None
        lock = PassphraseLock(cost, members.hex("salt", SALT_BYTES), _data_key(members))
    else:
        raise VaultDamaged("lock.kind: expected passphrase or keyring")
    members.end()
    return lock


def _data_key(members: "_Members") -> Sealed:
    return Sealed(members.hex("nonce", NONCE_BYTES), members.hex("data_key", KEY_BYTES + TAG_BYTES))


def _entries(listed: list[Any]) -> tuple[Entry, ...]:
    if len(listed) > MAX_ENTRIES:
        raise VaultDamaged(f"it has {len(listed):,} entries, and a vault has {MAX_ENTRIES:,} at most")
    entries = tuple(_entry(said, f"entries[{number}]") for number, said in enumerate(listed))
    labels = [entry.label for entry in entries]
    if labels != sorted(set(labels)):
        raise VaultDamaged("entries: two have one name, or they are not in order")
    return entries


def _entry(said: Any, path: str) -> Entry:
    if not isinstance(said, dict):
        raise VaultDamaged(f"{path}: expected an object")
    members = _Members(cast("dict[str, Any]", said), f"{path}.")  # as in `_parsed`
    entry = Entry(
        provider=members.name("provider"),
        name=members.name("name"),
        set_at=members.matching("set", _TIME, "a time such as 2026-11-23T04:54:09Z"),
        sealed=Sealed(members.hex("nonce", NONCE_BYTES), members.hex("sealed", None)),
    )
    members.end()
    return entry


class _Members:
    """The members of an object, each taken once; at the end none may be left."""

    def __init__(self, said: dict[str, Any], path: str) -> None:
        self.left = dict(said)
        self.path = path

    def take(self, name: str) -> Any:
        if name not in self.left:
            raise VaultDamaged(f"{self.path}{name} is missing: it was changed by hand, or is no vault")
        return self.left.pop(name)

    def end(self) -> None:
        if self.left:
            # Not its name: whoever wrote it may have written anything.
            place = self.path.rstrip(".") or "it"
            raise VaultDamaged(f"{place} has a member that is not known: it was changed by hand")

    def integer(self, name: str, above: int) -> int:
        said = self.take(name)
        if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said < above:
            raise VaultDamaged(f"{self.path}{name}: expected a whole number")
        return said

    def hex(self, name: str, size: int | None) -> bytes:
        said = self.take(name)
        if not isinstance(said, str) or not _HEX.fullmatch(said):
            raise VaultDamaged(f"{self.path}{name}: expected hexadecimal digits in small letters")
        data = bytes.fromhex(said)
        if size is not None and len(data) != size:
            raise VaultDamaged(f"{self.path}{name}: expected {size} bytes, got {len(data)}")
        if size is None and not TAG_BYTES < len(data) <= MAX_SECRET_BYTES + TAG_BYTES:
            raise VaultDamaged(f"{self.path}{name}: expected {TAG_BYTES + 1} to {MAX_SECRET_BYTES + TAG_BYTES} bytes")
        return data

    def name(self, name: str) -> str:
        return self.matching(name, NAME, "a name of letters, digits and . _ @ -")

    def matching(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        said = self.take(name)
        if not isinstance(said, str) or not pattern.fullmatch(said):
            raise VaultDamaged(f"{self.path}{name}: expected {expected}")
        return said

    def object(self, name: str) -> "_Members":
        said = self.take(name)
        if not isinstance(said, dict):
            raise VaultDamaged(f"{self.path}{name}: expected an object")
        return _Members(cast("dict[str, Any]", said), f"{self.path}{name}.")  # as in `_parsed`

    def list(self, name: str) -> list[Any]:
        said = self.take(name)
        if not isinstance(said, list):
            raise VaultDamaged(f"{self.path}{name}: expected a list")
        return [*said]
