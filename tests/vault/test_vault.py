"""A vault in its file: what is put in comes out, changes are whole, and writers lose nothing of each other's."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.errors import ConfigError, VaultError, VaultMissing, WrongPassphrase
from rxlapce.secret import Secret
from rxlapce.testing.thoroughness import examples
from rxlapce.testing.vaults import FAST, MemoryKeyring
from rxlapce.vault import IN_KEYRING, OpenVault, OsKeyring, Vault
from rxlapce.vault import vault as vault_module
from rxlapce.vault.format import MAX_SECRET_BYTES, read, written
from rxlapce.vault.opened import PassphraseKey
from rxlapce.vault.private_file import only_writer

MakeVault = Callable[..., Vault]
KEY, OTHER = "sk-canary-0123456789abcdef", "sk-canary-fedcba9876543210"
PASSPHRASE = "correct horse battery"
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,20}", fullmatch=True)
SECRETS = st.text(min_size=1, max_size=200)


def shown(vault: Vault, provider: str, name: str) -> str | None:
    found = vault.open().get(provider, name)
    return None if found is None else found.reveal()


def test_what_is_put_in_comes_out_and_is_not_in_the_file(vault_at: MakeVault, tmp_path: Path) -> None:
    vault = vault_at()
    assert not vault.exists()
    assert vault.put("openai", "work", Secret(KEY)) is False
    assert vault.put("anthropic", "home", Secret(OTHER)) is False
    assert (shown(vault, "openai", "work"), shown(vault, "anthropic", "home")) == (KEY, OTHER)
    assert shown(vault, "openai", "home") is None
    assert [(each.provider, each.name, each.set_at) for each in vault.listed()] == [
        ("anthropic", "home", "2026-11-23T04:54:09Z"),
        ("openai", "work", "2026-11-23T04:54:09Z"),
    ]
    data = (tmp_path / "vault.json").read_bytes()
    assert not any(canary.encode() in data for canary in (KEY, OTHER, PASSPHRASE))
    assert not any(canary.encode().hex().encode() in data for canary in (KEY, OTHER, PASSPHRASE))
    assert stat.S_IMODE((tmp_path / "vault.json").stat().st_mode) == 0o600


@settings(max_examples=examples(20), deadline=None)
@given(st.dictionaries(st.tuples(NAMES, NAMES), SECRETS, max_size=5), st.text(min_size=8, max_size=30))
def test_any_secrets_come_out_of_the_bytes_of_a_vault(secrets: dict[tuple[str, str], str], passphrase: str) -> None:
    key = PassphraseKey(Secret(passphrase))
    opened = OpenVault.made(key, FAST)
    for (provider, name), secret in secrets.items():
        opened = opened.with_entry(provider, name, Secret(secret), set_at="2026-11-23T04:54:09Z")
    again = OpenVault.unlocked(read(written(opened.file())), key).rotated(PassphraseKey(Secret("another one")), FAST)
    assert {label: again.get(*label) for label in secrets} == {label: Secret(said) for label, said in secrets.items()}
    assert again.contents.generation == len(secrets) + 1


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), SECRETS), max_size=6))
def test_a_vault_holds_what_a_mapping_holds(
    vault_at: MakeVault, tmp_path: Path, steps: list[tuple[bool, str, str]]
) -> None:
    (tmp_path / "vault.json").unlink(missing_ok=True)
    vault, model = vault_at(), dict[str, str]()
    vault.put("p", "first", Secret("-"))
    for puts, name, secret in steps:
        if puts:
            assert vault.put("p", name, Secret(secret)) is (name in model)
            model[name] = secret
        else:
            assert vault.remove("p", name) is (model.pop(name, None) is not None)
    opened = vault.open()
    held = {each.name: opened.get("p", each.name) for each in vault.listed() if each.name != "first"}
    assert held == {name: Secret(secret) for name, secret in model.items()}


def test_a_new_passphrase_opens_it_and_the_old_one_does_not(vault_at: MakeVault, tmp_path: Path) -> None:
    vault = vault_at()
    vault.put("openai", "work", Secret(KEY))
    before = read((tmp_path / "vault.json").read_bytes()).contents
    assert vault.rotate(Secret("another passphrase")) == 1
    with pytest.raises(WrongPassphrase, match=r"vault.json does not open: the passphrase is another"):
        vault.open()
    assert shown(vault_at("another passphrase"), "openai", "work") == KEY
    after = read((tmp_path / "vault.json").read_bytes()).contents
    assert (after.id, after.generation) == (before.id, before.generation + 1)
    assert after.lock != before.lock
    assert after.entries[0].sealed != before.entries[0].sealed


def test_a_new_data_key_leaves_the_passphrase(vault_at: MakeVault, tmp_path: Path) -> None:
    vault = vault_at()
    vault.put("openai", "work", Secret(KEY))
    before = read((tmp_path / "vault.json").read_bytes()).contents.entries
    assert vault.rotate() == 1
    assert shown(vault, "openai", "work") == KEY
    assert read((tmp_path / "vault.json").read_bytes()).contents.entries != before


def test_the_keyring_opens_a_vault_without_a_passphrase(vault_at: MakeVault, memory: MemoryKeyring) -> None:
    vault = vault_at()
    vault.put("openai", "work", Secret(KEY), lock=IN_KEYRING)
    assert len(memory.kept) == 1
    assert KEY not in str(memory.kept)
    before = set(memory.kept)
    assert shown(vault_at("whatever"), "openai", "work") == KEY
    assert vault.rotate() == 1
    assert len(memory.kept) == 1
    assert set(memory.kept) != before
    assert shown(vault, "openai", "work") == KEY
    vault.rotate(Secret(PASSPHRASE))
    assert memory.kept == {}
    assert shown(vault, "openai", "work") == KEY
    vault.rotate(IN_KEYRING)
    assert len(memory.kept) == 1


def test_a_keyring_that_lost_the_key_or_has_another_says_so(vault_at: MakeVault, memory: MemoryKeyring) -> None:
    vault = vault_at()
    vault.put("openai", "work", Secret(KEY), lock=IN_KEYRING)
    ((service, name),) = memory.kept
    for held, said in (("00" * 32, "is another than the vault's"), (KEY, "is no vault's key")):
        memory.kept[service, name] = held
        with pytest.raises(WrongPassphrase, match=said) as refused:
            vault.open()
        assert KEY not in str(refused.value)
    memory.kept.clear()
    with pytest.raises(
        WrongPassphrase, match=r"the keyring has no key for the vault .*: is it that of another machine\?"
    ):
        vault.open()


def test_there_is_no_vault_before_something_is_set(vault_at: MakeVault) -> None:
    for ask in (vault_at().open, vault_at().listed, lambda: vault_at().remove("a", "b"), vault_at().rotate):
        with pytest.raises(VaultMissing, match="make one with: rxlapce key set PROVIDER/NAME"):
            ask()


@pytest.mark.parametrize("passphrase", ["", "seven77", "x" * 1025])
def test_a_vault_is_not_closed_by_a_passphrase_that_nobody_meant(vault_at: MakeVault, passphrase: str) -> None:
    with pytest.raises(ConfigError, match="expected 8 to 1024") as refused:
        vault_at(passphrase).put("openai", "work", Secret(KEY))
    assert not passphrase or passphrase not in str(refused.value)
    vault_at().put("openai", "work", Secret(KEY))
    with pytest.raises(ConfigError, match="expected 8 to 1024"):
        vault_at().rotate(Secret(passphrase))
    assert shown(vault_at(), "openai", "work") == KEY


@pytest.mark.parametrize(
    ("provider", "name"), [("", "a"), ("a", ""), ("a", "b/c"), ("-a", "b"), (KEY * 4, "b"), ("a b", "c")]
)
def test_a_name_that_is_none_is_refused_and_not_shown(vault_at: MakeVault, provider: str, name: str) -> None:
    with pytest.raises(ConfigError, match="expected PROVIDER/NAME, each of letters") as refused:
        vault_at().put(provider, name, Secret(KEY))
    assert KEY not in str(refused.value)


def test_secrets_and_entries_have_bounds(vault_at: MakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = vault_at()
    vault.put("a", "b", Secret("x" * MAX_SECRET_BYTES))
    for wrong in ("", "x" * (MAX_SECRET_BYTES + 1)):
        with pytest.raises(ConfigError, match="expected a secret of 1 to"):
            vault.put("a", "c", Secret(wrong))
    monkeypatch.setattr(vault_module, "MAX_FILE_BYTES", 40_000)
    with pytest.raises(VaultError, match="would be larger than 40,000 bytes"):
        vault.put("a", "c", Secret("x" * MAX_SECRET_BYTES))
    assert [each.name for each in vault.listed()] == ["b"]
    opened = OpenVault.made(PassphraseKey(Secret(PASSPHRASE)), FAST)
    monkeypatch.setattr("rxlapce.vault.opened.MAX_ENTRIES", 2)
    for number in range(2):
        opened = opened.with_entry("p", f"{number}", Secret("-"), set_at="2026-11-23T04:54:09Z")
    with pytest.raises(ConfigError, match="2 entries at most"):
        opened.with_entry("p", "more", Secret("-"), set_at="2026-11-23T04:54:09Z")
    assert opened.with_entry("p", "0", Secret("+"), set_at="2026-11-23T04:54:09Z").get("p", "0") == Secret("+")


def test_writers_at_once_lose_nothing_of_each_other(vault_at: MakeVault) -> None:
    vault_at().put("p", "first", Secret("-"))
    start, failed = threading.Barrier(6), list[Exception]()

    def write(number: int) -> None:
        try:
            start.wait(10)
            vault_at().put("p", f"n{number}", Secret(f"secret {number}"))
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert failed == []
    opened = vault_at().open()
    assert [opened.get("p", f"n{number}") for number in range(6)] == [Secret(f"secret {number}") for number in range(6)]


def test_a_writer_waits_only_so_long(vault_at: MakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault_at().put("p", "a", Secret("-"))
    monkeypatch.setattr(vault_module, "WRITER_WAIT_S", 0.0)
    with only_writer(tmp_path / "vault.json", wait_s=0.0):
        with pytest.raises(VaultError, match="another process has been changing it"):
            vault_at().put("p", "b", Secret("-"))
        assert shown(vault_at(), "p", "a") == "-"  # who only reads waits for nobody


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_write_that_fails_leaves_the_old_vault_and_nothing_else(
    vault_at: MakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    vault_at().put("p", "a", Secret(KEY))
    before, names = (tmp_path / "vault.json").read_bytes(), sorted(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", full)
        elif step == "replace":
            patch.setattr(Path, "replace", full)
        else:
            patch.setattr("rxlapce.vault.private_file.FileIO", full)
        with pytest.raises(VaultError, match=r"vault.json: it cannot be written: No space left on device"):
            vault_at().put("p", "b", Secret(OTHER))
    assert (tmp_path / "vault.json").read_bytes() == before
    assert sorted(tmp_path.iterdir()) == names


def test_a_linked_vault_is_written_where_it_is(vault_at: MakeVault, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "vault.json").symlink_to(tmp_path / "real" / "v.json")
    vault_at().put("p", "a", Secret(KEY))
    vault_at().put("p", "b", Secret(OTHER))
    assert (tmp_path / "vault.json").is_symlink()
    assert shown(vault_at(name="real/v.json"), "p", "a") == KEY


def test_a_vault_that_others_may_read_is_refused(vault_at: MakeVault, tmp_path: Path) -> None:
    vault_at().put("p", "a", Secret(KEY))
    (tmp_path / "vault.json").chmod(0o640)
    with pytest.raises(VaultError, match=r"open to other users \(mode 0640\): chmod 600 it"):
        vault_at().open()


def test_nothing_of_an_open_vault_is_in_its_text(vault_at: MakeVault, memory: MemoryKeyring) -> None:
    vault = vault_at()
    vault.put("p", "a", Secret(KEY))
    opened = vault.open()
    said = f"{opened!r} {vars(vault)!r} {PassphraseKey(Secret(PASSPHRASE))!r}"
    assert KEY not in said
    assert PASSPHRASE not in said
    assert OsKeyring(lambda: memory).get("a", "b") is None
