"""What is said to a vault that is not as it was written: by accident, or by somebody who knows the format."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rxlapce.errors import VaultDamaged, VaultError, VaultTampered, WrongPassphrase
from rxlapce.secret import Secret
from rxlapce.vault import Vault
from rxlapce.vault.format import MAX_ENTRIES, MAX_FILE_BYTES, read

MakeVault = Callable[..., Vault]
KEY, OTHER, OLD = "sk-canary-0123456789abcdef", "sk-canary-fedcba9876543210", "sk-canary-old0000000000"
PASSPHRASE = "correct horse battery"
Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A vault's file with two entries, and as it was before the second, and before the first was replaced."""

    path: Path
    old: bytes
    now: bytes
    other: bytes

    def rewritten(self, change: Callable[[Members, Members], None]) -> None:
        """Change the members, knowing the old ones, and make the checksum fit: whoever knows the format can."""
        members = json.loads(self.now)
        change(members, json.loads(self.old))
        members.pop("checksum", None)
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        self.path.write_text(json.dumps({**members, "checksum": hashlib.sha256(text.encode()).hexdigest()}))


@pytest.fixture
def file(vault_at: MakeVault, tmp_path: Path) -> Written:
    path = tmp_path / "vault.json"
    vault_at().put("openai", "work", Secret(OLD))
    old = path.read_bytes()
    vault_at().put("openai", "work", Secret(KEY))
    vault_at().put("anthropic", "home", Secret(OTHER))
    vault_at(name="other.json").put("openai", "work", Secret(OTHER))
    return Written(path, old, path.read_bytes(), (tmp_path / "other.json").read_bytes())


def said(vault: Vault, kind: type[VaultError]) -> str:
    """What opening the vault is told, without the path before it; nothing of it is secret."""
    with pytest.raises(VaultError) as refused:
        vault.open()
    assert type(refused.value) is kind
    text = str(refused.value)
    assert str(vault.path) in text
    assert not any(canary in f"{refused.value!r}" for canary in (KEY, OTHER, OLD, PASSPHRASE))
    return text


# -- by accident: told without a key ----------------------------------------------------------------------------------


def test_every_byte_that_is_changed_is_found_or_means_nothing(file: Written) -> None:
    whole = read(file.now)
    quiet = 0
    for place in range(len(file.now)):
        for flip in (0x01, 0x20, 0x80):
            damaged = bytearray(file.now)
            damaged[place] ^= flip
            try:
                found = read(bytes(damaged))
            except VaultDamaged:
                continue
            assert found == whole
            assert chr(file.now[place]).isspace()
            quiet += 1
    assert quiet < 5


def test_every_byte_that_is_changed_is_found_by_whoever_opens_it_too(file: Written, vault_at: MakeVault) -> None:
    for place in range(0, len(file.now), 97):
        damaged = bytearray(file.now)
        damaged[place] ^= 0x02
        file.path.write_bytes(damaged)
        with pytest.raises(VaultDamaged, match=r"vault\.json: "):
            vault_at().open()


def test_a_file_that_ends_anywhere_before_its_end_was_cut_short(file: Written) -> None:
    whole = file.now.rstrip()
    assert read(whole) == read(file.now)
    for length in range(1, len(whole)):
        with pytest.raises(VaultDamaged, match="it ends in the middle: it was cut short"):
            read(whole[:length])
    with pytest.raises(VaultDamaged, match="it is empty"):
        read(b"")


def test_other_white_space_means_nothing(file: Written, vault_at: MakeVault) -> None:
    file.path.write_bytes(json.dumps(json.loads(file.now), indent=8).replace("\n", "\r\n").encode())
    assert vault_at().open().get("openai", "work") == Secret(KEY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b" \n", "it is empty"),
        (b"\0" * 100, "it is no vault: line 1, column 1 is no JSON"),
        (b"\xff\xfe", "it is no vault: byte 0 is no part of a character"),
        (b'{"format": "\xc3', "it ends in the middle"),
        (b"[]", 'it is no vault: expected {"format": "rxlapce-vault"'),
        (b"{}", "format is missing: it was changed by hand, or is no vault"),
        (b'{"format": "rxlapce"}', "it is no vault: expected format 'rxlapce-vault'"),
        (b'{"format": 1.5}', "it is no vault: a number in it is not whole"),
        (b'{"format": NaN}', "it is no vault: a number in it is not whole"),
        (b'{"a": 1, "a": 2}', "a member stands in it twice: it was changed by hand"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": ' + b"9" * 5000 + b"}", "a number in it is too long"),
        (b'{"format": "rxlapce-vault", "version": true}', "version: expected a whole number"),
        (b'{"format": "rxlapce-vault", "version": 2}', "it is of version 2, and this rxlapce reads version 1: a newer"),
        (
            b'{"format": "rxlapce-vault", "version": 0}',
            "it is of version 0, and this rxlapce reads version 1: there",
        ),
        (b"\x00" * (MAX_FILE_BYTES + 1), "larger than 1,048,576 bytes"),
    ],
)
def test_what_is_no_vault_is_told_so(vault_at: MakeVault, tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "vault.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(VaultError) as refused:
        vault_at().open()
    assert message in str(refused.value)


# -- by somebody who knows the format, told without a key -------------------------------------------------------------


def lock(name: str, value: object) -> Callable[[Members, Members], None]:
    def change(members: Members, _: Members) -> None:
        members["lock"][name] = value

    return change


def entry(name: str, value: object) -> Callable[[Members, Members], None]:
    def change(members: Members, _: Members) -> None:
        members["entries"][0][name] = value

    return change


def top(name: str, value: object) -> Callable[[Members, Members], None]:
    def change(members: Members, _: Members) -> None:
        members[name] = value

    return change


MALFORMED: dict[str, tuple[Callable[[Members, Members], None], str]] = {
    "100 GiB for a passphrase": (
        lock("memory_kib", 100 << 20),
        "lock asks for more than a vault may: expected 8 to 1048576 KiB of memory, got 104857600",
    ),
    "a year for a passphrase": (
        lock("passes", 1 << 40),
        "lock asks for more than a vault may: expected 1 to 64 passes",
    ),
    "a year by both": (
        lambda members, _: members["lock"].update(memory_kib=1 << 20, passes=64),
        "expected 1 to 64 passes over 4194304 KiB in all",
    ),
    "a thousand lanes": (lock("lanes", 1000), "lock asks for more than a vault may: expected 1 to 16 lanes, got 1000"),
    "no passes": (lock("passes", 0), "expected 1 to 64 passes"),
    "a cost that is a text": (lock("passes", "3"), "lock.passes: expected a whole number"),
    "a negative cost": (lock("passes", -3), "lock.passes: expected a whole number"),
    "an unknown lock": (lock("kind", "none"), "lock.kind: expected passphrase or keyring"),
    "a lock that is a text": (top("lock", "x"), "lock: expected an object"),
    "a short salt": (lock("salt", "00"), "lock.salt: expected 16 bytes, got 1"),
    "a short nonce": (entry("nonce", "00" * 8), "entries[0].nonce: expected 12 bytes, got 8"),
    "capital digits": (entry("nonce", "AB" * 12), "entries[0].nonce: expected hexadecimal digits in small letters"),
    "an entry that is only a tag": (entry("sealed", "00" * 16), "entries[0].sealed: expected 17 to 16400 bytes"),
    "an entry's name that is a path": (entry("name", "../x"), "entries[0].name: expected a name of letters, digits"),
    "a time that is none": (entry("set", "yesterday"), "entries[0].set: expected a time such as"),
    "an entry that is a list": (lambda members, _: members["entries"].append([]), "entries[2]: expected an object"),
    "entries that are a text": (top("entries", "x"), "entries: expected a list"),
    "an unknown member": (top("extra", KEY), "it has a member that is not known: it was changed by hand"),
    "an unknown member of the lock": (lock("extra", KEY), "lock has a member that is not known"),
    "an unknown member of an entry": (entry("extra", KEY), "entries[0] has a member that is not known"),
    "a missing member": (lambda members, _: members.pop("seal"), "seal is missing: it was changed by hand"),
    "one name twice": (
        lambda members, _: members["entries"].append(members["entries"][1]),
        "entries: two have one name, or they are not in order",
    ),
    "entries in another order": (lambda members, _: members["entries"].reverse(), "entries: two have one name, or"),
    "too many entries": (
        lambda members, _: members.update(entries=members["entries"] * MAX_ENTRIES),
        "it has 2,000 entries, and a vault has 1,000 at most",
    ),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_what_no_vault_has_is_refused_before_any_passphrase_is_asked_for(
    file: Written, vault_at: MakeVault, change: tuple[Callable[[Members, Members], None], str], tmp_path: Path
) -> None:
    file.rewritten(change[0])
    assert change[1] in said(vault_at(), VaultDamaged)

    def asked() -> Secret:
        raise AssertionError("a passphrase was asked for")

    with pytest.raises(VaultDamaged):
        Vault(tmp_path / "vault.json", asked).open()


# -- by somebody who knows the format, told by the keys ---------------------------------------------------------------


def swap(members: Members, _: Members) -> None:
    one, two = members["entries"]
    for name in ("nonce", "sealed"):
        one[name], two[name] = two[name], one[name]


def rename(members: Members, _: Members) -> None:
    members["entries"][1]["provider"] = "zai"


def flip(members: Members, _: Members) -> None:
    sealed = members["entries"][1]["sealed"]
    members["entries"][1]["sealed"] = f"{int(sealed[0], 16) ^ 1:x}{sealed[1:]}"


def copy(members: Members, _: Members) -> None:
    members["entries"].append({**members["entries"][1], "name": "zz"})


def remove(members: Members, _: Members) -> None:
    del members["entries"][0]


def roll_in(members: Members, old: Members) -> None:
    members["entries"][1] = old["entries"][0]


def older(members: Members, _: Members) -> None:
    members["entries"][0]["set"] = "2020-01-01T00:00:00Z"


LIST_IS_ANOTHER = (
    "every entry opens, and the list is not the one that was written last: an entry was removed, its time changed, or "
    "an old one put back"
)
NOT_WHAT_WAS_STORED = "openai/work is not what was stored under that name"
TAMPERED: dict[str, tuple[Callable[[Members, Members], None], str]] = {
    "two entries swapped": (
        swap,
        "anthropic/home holds what was stored as openai/work; openai/work holds what was stored as anthropic/home",
    ),
    "an entry under another provider": (rename, "zai/work is not what was stored under that name"),
    "an entry's bytes": (flip, NOT_WHAT_WAS_STORED),
    "a copy of an entry": (copy, "openai/zz holds what was stored as openai/work"),
    "an entry removed": (remove, LIST_IS_ANOTHER),
    "an old entry put back": (roll_in, LIST_IS_ANOTHER),
    "when it was set": (older, LIST_IS_ANOTHER),
    "the count of writes": (top("generation", 1), LIST_IS_ANOTHER),
    "the seal": (top("seal", "00" * 32), LIST_IS_ANOTHER),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_what_only_the_owner_can_write_is_missed_and_named(
    file: Written, vault_at: MakeVault, change: tuple[Callable[[Members, Members], None], str]
) -> None:
    file.rewritten(change[0])
    text = said(vault_at(), VaultTampered)
    assert f"was tampered with: {change[1]}. Set its keys anew" in text


def from_another_vault(members: Members, other: Members) -> None:
    members["entries"][1] = other["entries"][0]


def test_an_entry_of_another_vault_with_the_same_passphrase_does_not_open(file: Written, vault_at: MakeVault) -> None:
    Written(file.path, file.other, file.now, b"").rewritten(from_another_vault)
    assert NOT_WHAT_WAS_STORED in said(vault_at(), VaultTampered)


@pytest.mark.parametrize(
    "change",
    [
        lock("salt", "00" * 16),
        lock("passes", 2),
        lock("memory_kib", 9),
        lock("nonce", "00" * 12),
        lock("data_key", "00" * 48),
        top("id", "00" * 16),
    ],
    ids=["salt", "passes", "memory", "nonce", "data key", "the vault's id"],
)
def test_a_lock_that_was_rewritten_does_not_open(
    file: Written, vault_at: MakeVault, change: Callable[[Members, Members], None]
) -> None:
    file.rewritten(change)
    assert "does not open: the passphrase is another. (The file is as rxlapce wrote it, unless" in said(
        vault_at(), WrongPassphrase
    )


def test_a_wrong_passphrase_is_told_from_a_damaged_file(file: Written, vault_at: MakeVault) -> None:
    assert "the passphrase is another" in said(vault_at("another passphrase"), WrongPassphrase)
    file.path.write_bytes(file.now.replace(b'"generation": 3', b'"generation": 4'))
    assert "its checksum does not fit: it was damaged or changed" in said(vault_at("another passphrase"), VaultDamaged)


def test_a_passphrase_with_composed_letters_is_the_same_however_it_is_typed(vault_at: MakeVault) -> None:
    vault_at("pässwörter").put("p", "a", Secret(KEY))
    assert vault_at("pa\u0308sswo\u0308rter").open().get("p", "a") == Secret(KEY)
