"""References to keys: what they lead to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.config import keys as keys_module
from rxlapce.config.keys import SCHEMES, UNRESOLVED, Keys, Wanted, parsed
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.testing.vaults import FAST, MemoryKeyring
from rxlapce.vault import OpenVault, OsKeyring
from rxlapce.vault.opened import PassphraseKey

KEY = "sk-canary-0123456789abcdef"
TEXT = Wanted(what="the passphrase", text=True)


def no_vault() -> OpenVault:
    raise AssertionError("the vault was opened")


def found(reference: str, keys: Keys | None = None, wanted: Wanted = TEXT, **environ: str) -> str:
    return (keys or Keys(environ, vault=no_vault)).fetch(reference, ConfigError, wanted).reveal()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a key"
    path.touch(0o600)
    return path


def vault_with(**secrets: str) -> Callable[[], OpenVault]:
    opened = OpenVault.made(PassphraseKey(Secret("correct horse")), FAST)
    for name, secret in secrets.items():
        opened = opened.with_entry("openai", name, Secret(secret), set_at="2026-11-23T04:54:09Z")
    return lambda: opened


def test_a_variable_is_taken_without_the_blanks_around_a_key() -> None:
    assert found("env:A_KEY", wanted=Wanted(), A_KEY=f" {KEY}\n") == KEY
    assert found("env:a_key", A_KEY="x", a_key=" two words ") == " two words "


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b" abc \n", " abc "),
        ("schlüssel\n".encode(), "schlüssel"),
    ],
)
def test_of_a_file_the_one_end_of_its_line_is_not_taken(file: Path, data: bytes, value: str) -> None:
    file.write_bytes(data)
    assert found(f"file:{file}") == value


def test_a_file_below_the_home_folder_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(KEY)
    monkeypatch.setenv("HOME", str(file.parent))
    assert found("file:~/a key") == KEY


def test_the_keyring_is_asked_for_service_and_name() -> None:
    memory = MemoryKeyring()
    memory.set_password("rxlapce", "openai/work", KEY)
    assert found("keyring:rxlapce/openai/work", Keys({}, keyring=OsKeyring(lambda: memory))) == KEY


def test_a_command_is_run_without_a_shell_in_the_environment_that_is_known(tmp_path: Path) -> None:
    program = tmp_path / "secret-of"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nprint(sys.argv[1:], os.environ['WHO'], end='\\r\\n')\n")
    program.chmod(0o700)
    said = found("exec:secret-of \"two words\" $HOME | '*'", PATH=str(tmp_path), WHO="me")
    assert said == "['two words', '$HOME', '|', '*'] me"


def test_a_credential_of_systemd_is_read_whoever_owns_it(tmp_path: Path) -> None:
    (tmp_path / "openai.key").write_text(f"{KEY}\n")
    (tmp_path / "openai.key").chmod(0o440)
    assert found("cred:openai.key", CREDENTIALS_DIRECTORY=str(tmp_path)) == KEY


def test_the_vault_is_opened_once_and_when_it_is_needed() -> None:
    opened = list[int]()
    make = vault_with(work=KEY, home="other")

    def opening() -> OpenVault:
        opened.append(1)
        return make()

    keys = Keys({"A": KEY}, vault=opening)
    assert found("env:A", keys) == KEY
    assert opened == []
    assert (found("vault:openai/work", keys), found("vault:openai/home", keys)) == (KEY, "other")
    assert opened == [1]


@pytest.mark.parametrize(
    "reference",
    ["env:NOT_SET", "file:/nowhere", "keyring:a/b", "exec:/nowhere/program", "cred:c", "vault:a/b"],
)
def test_references_that_are_only_read_lead_nowhere(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    for name in ("read_private", "output_of", "read_all"):
        monkeypatch.setattr(keys_module, name, touched)
    keys = Keys({}, vault=no_vault, keyring=OsKeyring(touched), resolve=False)  # type: ignore[arg-type] # never called
    assert keys.fetch(reference, ConfigError) == Secret(UNRESOLVED)
    with pytest.raises(ConfigError, match="never the key itself"):
        keys.fetch(reference.replace(":", "", 1), ConfigError)


@pytest.mark.parametrize(
    "text",
    [
        KEY, "", ":", "env:", "env:1A", "env:A B", f"env:{KEY}", "env", "ENV:A", " env:A", "env:A\n",
        "file:", "file:key", "file:~me/key", "file:../key", "file:/a\0b",
        "keyring:service", "keyring:/name", "keyring:service/",
        "exec:", "exec:  ", "exec:'unclosed", "exec:\0",
        "cred:", "cred:a/b", "cred:..", "cred:.hidden",
        "vault:", "vault:openai", "vault:openai/", "vault:a/b/c", "vault:-a/b",
        "http://h", "base64:AAAA",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parsed(text) is None


def test_each_scheme_has_a_form_and_is_found() -> None:
    forms = {"env": "A", "file": "/a", "keyring": "a/b", "exec": "a b", "cred": "a", "vault": "a/b"}
    assert list(SCHEMES) == list(forms)
    for scheme, rest in forms.items():
        assert parsed(f"{scheme}:{rest}") == (scheme, rest)
        assert parsed(f"{scheme}:{rest}", Wanted(schemes=())) is None


def test_nothing_of_a_key_is_in_the_text_of_what_finds_it() -> None:
    keys = Keys({"A": KEY}, vault=vault_with(work=KEY))
    assert found("vault:openai/work", keys) == KEY
    assert KEY not in f"{keys!r}{keys.fetch('env:A', ConfigError)!r}"
    assert os.environ.get("A") is None
