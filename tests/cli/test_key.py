"""`rxlapce key`: what it keeps, asks and says; and that no key is ever shown, or taken from the command line."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from click.shell_completion import ShellComplete

from rxlapce.cli import key as key_module
from rxlapce.cli import passphrase
from rxlapce.cli.main import cli
from rxlapce.config.sources import load_config
from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.testing.vaults import FAST, MemoryKeyring
from rxlapce.vault import Vault, os_keyring
from rxlapce.vault import vault as vault_module

KEY, OTHER = "sk-canary-0123456789abcdef", "sk-canary-fedcba9876543210"
PASSPHRASE = "correct horse battery"


class Outcome(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, without a terminal, in which a passphrase is fast."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "RXLAPCE_VAULT", "RXLAPCE_VAULT_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(vault_module, "Cost", lambda: FAST)
    monkeypatch.setattr(key_module, "ask_on_terminal", lambda: None)
    (tmp_path / "pw").touch(0o600)
    (tmp_path / "pw").write_text(f"{PASSPHRASE}\n")
    return tmp_path


@pytest.fixture
def key(command: Command, here: Path) -> Command:
    """Runs `rxlapce key` with the passphrase at hand; no secret may be in what it says."""

    def run(*arguments: str, stdin: bytes = b"", ref: str = f"file:{here}/pw") -> Outcome:
        done = command("key", *arguments, "--passphrase-ref", ref, stdin=stdin)
        assert not any(secret in done.out + done.err for secret in (KEY, OTHER, PASSPHRASE))
        return done

    return run


def held(path: Path, label: str) -> str | None:
    found = Vault(path, lambda: Secret(PASSPHRASE)).open().get(*label.split("/"))
    return None if found is None else found.reveal()


def test_a_piped_key_is_kept_in_the_usual_vault_and_a_configuration_finds_it(key: Command, here: Path) -> None:
    done = key("set", "openai/work", stdin=f"{KEY}\n".encode())
    usual = here / ".config/rxlapce/vault.json"
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"set openai/work in the new vault {usual}\na configuration refers to it so:  key: vault:openai/work\n"
    )
    assert held(usual, "openai/work") == KEY
    assert key("set", "openai/work", stdin=OTHER.encode()).err.startswith(f"replaced openai/work in {usual}\n")
    (here / "f.yaml").write_text(
        f"providers: {{openai: {{key: 'vault:openai/work'}}}}\nvault: {{unlock: 'file:{here}/pw'}}"
    )
    openai = load_config({"HOME": str(here)}, here / "f.yaml").providers["openai"]
    assert openai.auth.secrets == (Secret(OTHER),)


def test_names_are_listed_without_the_passphrase_for_people_and_for_machines(
    command: Command, key: Command, here: Path
) -> None:
    vault = str(here / "v.json")
    key("set", "openai/work", "--vault", vault, stdin=KEY.encode())
    key("set", "anthropic/home", "--vault", vault, stdin=OTHER.encode())
    done = command("key", "list", "--vault", vault)
    time = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"anthropic/home  {time}\nopenai/work  {time}\n", done.out)
    assert done.err == f"{vault} has 2 keys\n"
    lines = command("key", "list", "--json", "--vault", vault).out.splitlines()
    assert [{**json.loads(line), "set": None} for line in lines] == [
        {"provider": "anthropic", "name": "home", "set": None},
        {"provider": "openai", "name": "work", "set": None},
    ]
    assert key("list", "--verify", "--vault", vault).err == f"{vault} is whole, and has 2 keys\n"


def test_what_is_listed_may_be_a_lie_and_is_verified_only_with_the_passphrase(key: Command, here: Path) -> None:
    key("set", "openai/work", "--vault", str(here / "v.json"), stdin=KEY.encode())
    text = (here / "v.json").read_text()
    (here / "v.json").write_text(text.replace('"work"', '"play"'))
    done = key("list", "--vault", str(here / "v.json"))
    assert done.code == 1
    assert done.err.startswith(f"Error: the vault {here}/v.json: its checksum does not fit: it was damaged or changed.")


def test_a_key_is_removed_and_one_that_is_not_there_is_an_error(key: Command, here: Path) -> None:
    vault = ("--vault", str(here / "v.json"))
    for name in ("work", "home"):
        key("set", f"openai/{name}", *vault, stdin=KEY.encode())
    done = key("rm", "openai/wrok", *vault)
    assert (done.code, done.err) == (
        1, f"Error: the vault {here}/v.json has no openai/wrok; it has openai/home, openai/work\n",
    )  # fmt: skip
    assert key("rm", "openai/work", *vault).err == f"removed openai/work from {here}/v.json\n"
    assert held(here / "v.json", "openai/work") is None
    assert held(here / "v.json", "openai/home") == KEY


def test_all_is_sealed_anew_by_the_same_or_a_new_passphrase(key: Command, here: Path) -> None:
    vault = ("--vault", str(here / "v.json"))
    key("set", "openai/work", *vault, stdin=KEY.encode())
    before = (here / "v.json").read_text()
    assert key("rotate", *vault).err == f"sealed 1 key of {here}/v.json anew\n"
    assert held(here / "v.json", "openai/work") == KEY
    assert (here / "v.json").read_text() != before
    (here / "pw2").touch(0o600)
    (here / "pw2").write_text("another passphrase")
    assert key("rotate", "--new-passphrase-ref", f"file:{here}/pw2", *vault).code == 0
    done = key("list", "--verify", *vault)
    assert done.code == 1
    assert done.err.startswith(f"Error: the vault {here}/v.json does not open: the passphrase is another.")
    assert key("list", "--verify", *vault, ref=f"file:{here}/pw2").code == 0


def test_the_keyring_closes_a_vault(
    command: Command, key: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MemoryKeyring()
    monkeypatch.setattr(os_keyring.OsKeyring.__init__, "__defaults__", (lambda: memory,))
    vault = ("--vault", str(here / "v.json"))
    assert command("key", "set", "openai/work", "--keyring", *vault, stdin=KEY.encode()).code == 0
    assert command("key", "list", "--verify", *vault).code == 0
    assert len(memory.kept) == 1
    key("set", "openai/work", "--vault", str(here / "w.json"), stdin=KEY.encode())
    assert key("rotate", "--to-keyring", "--vault", str(here / "w.json")).code == 0
    assert command("key", "list", "--verify", "--vault", str(here / "w.json")).code == 0
    assert len(memory.kept) == 2


@pytest.mark.parametrize(
    "arguments", [("openai/work", KEY), (f"openai/work={KEY}",), (KEY,), (KEY, "openai/work"), (f"--key={KEY}", "a/b")]
)
def test_a_key_on_the_command_line_is_a_misuse_and_is_not_repeated(
    command: Command, here: Path, arguments: tuple[str, ...]
) -> None:
    done = command("key", "set", *arguments, "--vault", str(here / "v.json"), stdin=KEY.encode())
    assert done.code == 2
    assert KEY not in done.err
    assert not (here / "v.json").exists()


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        (b"", "Error: what was given is empty: was it pasted whole?\n"),
        (b"\n", "Error: what was given is empty: was it pasted whole?\n"),
        (f"{KEY} {KEY}".encode(), "Error: what was given holds a blank, a line end or a non-ASCII character"),
        (b"\xff", "Error: standard input is no text in UTF-8\n"),
        (b"x" * 20_000, "Error: standard input is larger than 16,384 bytes, and no key\n"),
    ],
)
def test_what_is_no_key_is_not_kept(key: Command, here: Path, stdin: bytes, said: str) -> None:
    done = key("set", "openai/work", "--vault", str(here / "v.json"), stdin=stdin)
    assert done.code == 1
    assert done.err.startswith(said)
    assert not (here / "v.json").exists()


def test_where_the_passphrase_is_may_be_said_in_many_ways(
    command: Command, key: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = ("--vault", str(here / "v.json"))
    key("set", "openai/work", *vault, stdin=KEY.encode())
    verify = ("list", "--verify", *vault)
    monkeypatch.setenv("PW", PASSPHRASE)
    assert key(*verify, ref="env:PW").code == 0
    assert key(*verify, ref=f"exec:cat {here}/pw").code == 0
    (here / "f.yaml").write_text(f"vault: {{file: {here}/v.json, unlock: 'env:PW'}}\n")
    assert command("key", "list", "--verify", "--config", str(here / "f.yaml")).code == 0
    monkeypatch.setenv("RXLAPCE_VAULT_PASSPHRASE_FILE", str(here / "pw"))
    assert command("key", *verify).code == 0
    (here / "pw").chmod(0o644)
    assert command("key", *verify).err == (
        f"Error: RXLAPCE_VAULT_PASSPHRASE_FILE: {here}/pw: it is open to other users (mode 0644): chmod 600 it\n"
    )
    monkeypatch.delenv("RXLAPCE_VAULT_PASSPHRASE_FILE")
    assert "and there is no terminal to ask at: say where it is in vault.unlock" in command("key", *verify).err
    done = key(*verify, ref=PASSPHRASE.replace(" ", "-"))
    assert done.err.startswith("Error: --passphrase-ref: expected a reference to the passphrase such as file:")
    assert PASSPHRASE.replace(" ", "-") not in done.err
    assert key(*verify, ref="env:NOT_SET").err.startswith("Error: --passphrase-ref: the environment has no NOT_SET")


def test_options_that_contradict_each_other_are_a_misuse(key: Command) -> None:
    assert key("rotate", "--new-passphrase", "--to-keyring").code == 2


def test_the_new_passphrase_is_asked_for_twice_and_must_be_the_same(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers: list[str] = []

    def ask(prompt: str) -> Secret:
        asked.append(prompt)
        return Secret(answers.pop(0))

    monkeypatch.setattr(key_module, "ask_on_terminal", lambda: ask)
    vault = ("--vault", str(here / "v.json"))
    answers[:] = [PASSPHRASE, "something else"]
    done = command("key", "set", "openai/work", *vault, stdin=KEY.encode())
    assert done.err == "Error: the two passphrases are not the same: nothing was changed\n"
    assert not (here / "v.json").exists()
    answers[:] = [PASSPHRASE, PASSPHRASE]
    assert command("key", "set", "openai/work", *vault, stdin=KEY.encode()).code == 0
    assert asked[-2:] == [f"New passphrase of {here}/v.json", "Once more"]
    answers[:] = ["a new passphrase", "a new passphrase", PASSPHRASE]
    assert command("key", "rotate", "--new-passphrase", *vault).code == 0
    assert asked[-1] == f"Passphrase of {here}/v.json"
    with pytest.raises(ConfigError, match="the passphrase is another"):
        held(here / "v.json", "openai/work")
    monkeypatch.setattr(key_module, "ask_on_terminal", lambda: None)
    done = command("key", "rotate", "--new-passphrase", *vault)
    assert "no terminal to ask for the new passphrase at: give --new-passphrase-ref" in done.err


def test_the_shell_completes_the_names_of_the_vault(key: Command, here: Path) -> None:
    for label in ("openai/work", "openai/home", "anthropic/home"):
        key("set", label, "--vault", str(here / "v.json"), stdin=KEY.encode())

    def completed(*arguments: str, incomplete: str) -> list[str]:
        shell = ShellComplete(cli, {}, "rxlapce", "_RXLAPCE_COMPLETE")
        return [item.value for item in shell.get_completions(["key", *arguments], incomplete)]

    assert completed("rm", "--vault", str(here / "v.json"), incomplete="op") == ["openai/home", "openai/work"]
    assert completed("rm", "--vault", str(here / "no.json"), incomplete="") == []
    assert completed(incomplete="r") == ["rm", "rotate"]


@pytest.mark.heavy  # a process, and Argon2id at its full cost
def test_at_a_terminal_nothing_that_is_typed_is_shown(here: Path) -> None:
    terminal, other = pty.openpty()
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from rxlapce.cli.main import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "key", "set", "openai/work"],
        stdin=other, stdout=other, stderr=other, start_new_session=True,
    )  # fmt: skip
    os.close(other)
    shown = bytearray()
    for prompt, typed in ((b"Key for openai/work: ", KEY), (b"vault.json: ", PASSPHRASE), (b"Once more: ", PASSPHRASE)):
        while not shown.rstrip(b" ").endswith(prompt.rstrip(b" ")):
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{typed}\n".encode())
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:  # the terminal's other side has gone
        pass
    os.close(terminal)
    assert child.wait(10) == 0
    assert b"set openai/work in the new vault" in shown
    assert KEY.encode() not in shown
    assert PASSPHRASE.encode() not in shown
    assert held(here / ".config/rxlapce/vault.json", "openai/work") == KEY


def test_without_a_terminal_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(os, "open", none)
    assert passphrase.ask_on_terminal() is None
