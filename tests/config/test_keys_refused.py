"""What is said where a reference leads nowhere; and that no message of any of them holds a key."""

import os
import select
import sys
import time
from pathlib import Path

import pytest

from rxlapce.config.key_command import CommandFailed, output_of
from rxlapce.config.keys import KEY as A_KEY
from rxlapce.config.keys import MAX_SECRET_BYTES, Keys, Wanted
from rxlapce.config.sources import load_config
from rxlapce.errors import ConfigError, WrongPassphrase
from rxlapce.secret import Secret
from rxlapce.testing.vaults import FAST, MemoryKeyring
from rxlapce.vault import OpenVault, OsKeyring
from rxlapce.vault.opened import PassphraseKey

CANARY = "sk-canary-0123456789abcdef"
UNUSABLE = f"{CANARY} and more"
TEXT = Wanted(what="the passphrase", remedy="take it out", text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a key in every state that a key can be in."""
    made = {"good": CANARY, "open": CANARY, "blank": UNUSABLE, "empty": "\n", "long": CANARY * 1000}
    for name, text in made.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes").write_bytes(b"\xff" + CANARY.encode())
    (tmp_path / "bytes").chmod(0o600)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, code in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!{code}\n" if code.startswith("/") else f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o700)
    (tmp_path / "not-executable").write_text(CANARY)
    return tmp_path


PROGRAMS = {
    "fails": f"echo {CANARY}; echo {CANARY} >&2; exit 3",
    "killed": f"echo {CANARY}; kill -9 $$",
    "says-nothing": "exit 0",
    "says-blanks": f"echo {UNUSABLE}",
    "says-bytes": f"printf '\\377{CANARY}'",
    "says-much": f"while :; do echo {CANARY}; done",
    "no-interpreter": "/nowhere/interpreter",
}


def opened() -> OpenVault:
    made = OpenVault.made(PassphraseKey(Secret("correct horse")), FAST)
    made = made.with_entry("openai", "work", Secret(UNUSABLE), set_at="2026-11-23T04:54:09Z")
    return made.with_entry("groq", "home", Secret(CANARY), set_at="2026-11-23T04:54:09Z")


REFUSED = {
    # what stands in the file -> what is said, with {f} for the folder
    CANARY: "expected a reference to the key such as env:GROQ_API_KEY (env:NAME, file:/PATH, keyring:SERVICE/NAME, "
    "exec:COMMAND ARG..., cred:NAME, vault:PROVIDER/NAME), never the key itself",
    "env:NOT_SET": "the environment has no NOT_SET: set it, or take this provider out",
    "env:sk_canary_0123456789abcdef": "the environment has no such variable: set it, or take this provider out",
    "env:EMPTY": "the environment has no EMPTY: set it, or take this provider out",
    "env:BLANK": "BLANK holds a blank, a line end or a non-ASCII character, which no key has: was it pasted whole?",
    "file:{f}/nowhere": "there is no file {f}/nowhere: make it with mode 0600, or take this provider out",
    "file:{f}/open": "{f}/open: it is open to other users (mode 0644): chmod 600 it",
    "file:{f}/dir": "{f}/dir: it is no regular file",
    "file:{f}/pipe": "{f}/pipe: it is no regular file",
    "file:{f}/long": "{f}/long: it is larger than 16,384 bytes",
    "file:{f}/blank": "what file: gives holds a blank, a line end or a non-ASCII character, which no key has",
    "file:{f}/empty": "what file: gives is empty",
    "file:{f}/bytes": "{f}/bytes is no text in UTF-8",
    "keyring:rxlapce/nothing": "the keyring has nothing for this service and name: keyring set SERVICE NAME, or take "
    "this provider out",
    "keyring:rxlapce/blank": "what keyring: gives holds a blank, a line end or a non-ASCII character, which no key has",
    f"exec:{CANARY}": "the command is not found in PATH",
    f"exec:./{CANARY}": "the command is no program: expected an absolute path, or a name that is found in PATH",
    "exec:{f}/dir": "the command is no program: expected an absolute path, or a name that is found in PATH",
    "exec:{f}/not-executable": "the command is no program: expected an absolute path, or a name that is found in PATH",
    "exec:{f}/no-interpreter": "{f}/no-interpreter cannot be run: No such file or directory",
    f"exec:fails {CANARY}": "{f}/fails ended with status 3: run it by hand to see why",
    "exec:killed": "{f}/killed was ended by SIGKILL",
    "exec:says-nothing": "what exec: gives is empty",
    "exec:says-blanks": "what exec: gives holds a blank, a line end or a non-ASCII character, which no key has",
    "exec:says-bytes": "what the command prints is no text in UTF-8",
    "exec:says-much": "{f}/says-much printed more than 16,384 bytes",
    "cred:nowhere": "systemd gave no credential of this name: add LoadCredential= to the unit, or take this "
    "provider out",
    "cred:link": "the credential cannot be read: Too many levels of symbolic links",
    "cred:dir": "it cannot be read: Is a directory",
    "cred:long": "it is larger than 16,384 bytes",
    "cred:blank": "what cred: gives holds a blank, a line end or a non-ASCII character, which no key has",
    "vault:openai/wrok": "the vault has nothing of this name; it has groq/home, openai/work: rxlapce key set "
    "PROVIDER/NAME, or take this provider out",
    "vault:openai/work": "what vault: gives holds a blank, a line end or a non-ASCII character, which no key has",
}


@pytest.mark.parametrize("reference", REFUSED)
def test_where_a_reference_leads_nowhere_it_is_said_why_and_nothing_is_shown(folder: Path, reference: str) -> None:
    memory = MemoryKeyring()
    memory.set_password("rxlapce", "blank", UNUSABLE)
    (folder / "link").symlink_to("good")
    environ = {
        "EMPTY": " \n",
        "BLANK": UNUSABLE,
        "CREDENTIALS_DIRECTORY": str(folder),
        "PATH": f"{folder}:/bin:/usr/bin",
    }
    keys = Keys(environ, vault=opened, keyring=OsKeyring(lambda: memory))
    with pytest.raises(ConfigError) as refused:
        keys.fetch(reference.replace("{f}", str(folder)), ConfigError)
    assert str(refused.value) == REFUSED[reference].replace("{f}", str(folder))
    assert CANARY not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert "canary" not in str(refused.value)


def test_outside_a_service_there_are_no_credentials() -> None:
    with pytest.raises(ConfigError, match=r"no service of systemd with credentials \(CREDENTIALS_DIRECTORY is"):
        Keys({}).fetch("cred:a", ConfigError)


def test_a_passphrase_may_hold_what_no_key_does_but_is_not_empty(folder: Path) -> None:
    assert Keys({}).fetch(f"file:{folder}/blank", ConfigError, TEXT) == Secret(UNUSABLE)
    with pytest.raises(ConfigError, match="what file: gives is empty"):
        Keys({}).fetch(f"file:{folder}/empty", ConfigError, TEXT)


def test_a_vault_that_does_not_open_is_tried_once() -> None:
    tries = list[int]()

    def wrong() -> OpenVault:
        tries.append(1)
        raise WrongPassphrase("the vault does not open: the passphrase is another")

    keys = Keys({}, vault=wrong)
    with pytest.raises(ConfigError, match="the passphrase is another"):
        keys.fetch("vault:a/b", ConfigError)
    with pytest.raises(ConfigError, match="the vault does not open, as told of another key"):
        keys.fetch("vault:a/c", ConfigError)
    assert tries == [1]
    with pytest.raises(ConfigError, match="there is no vault to look into here"):
        Keys({}).fetch("vault:a/b", ConfigError)


def test_a_command_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    program = tmp_path / "asks"
    program.write_text(f"#!/bin/sh\nexec 3>{tmp_path}/alive\necho {CANARY}\nsleep 600 &\nwait\n")
    program.chmod(0o700)
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    began_s = time.monotonic()
    with pytest.raises(CommandFailed, match=r"asks did not end within 0.2 s: does it ask something\?") as refused:
        output_of([str(program)], os.environ, max_bytes=MAX_SECRET_BYTES, wait_s=0.2)
    assert time.monotonic() - began_s < 10
    assert CANARY not in str(refused.value)
    try:  # whoever lives holds the pipe open
        assert select.select([alive], [], [], 10)[0] == [alive]
        assert os.read(alive, 1) == b""
    finally:
        os.close(alive)


def test_a_command_has_no_input_and_no_terminal() -> None:
    code = "import os,sys; print(sys.stdin.read() == '', os.getsid(0) == os.getpid())"
    said = output_of([sys.executable, "-S", "-c", code], os.environ, max_bytes=100)
    assert said == b"True True\n"


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f"'{CANARY}'",
        f"[{CANARY}]",
        f"{{env: {CANARY}}}",
        f"env:{CANARY}",
        f"exec:'{CANARY}",
        f"!!binary {CANARY}",
    ],
)
@pytest.mark.parametrize("member", ["key: {}", "keys: {}", "keys: [{}]", "keys: [{{name: a, key: {}}}]"])
def test_a_key_in_the_file_is_never_shown(tmp_path: Path, value: str, member: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(f"providers:\n  openai: {{{member.format(value)}}}\n")
    with pytest.raises(ConfigError) as refused:
        load_config({}, path)
    assert CANARY not in str(refused.value)
    assert f"{path}:2:" in str(refused.value)
    assert A_KEY.what == "the key"
