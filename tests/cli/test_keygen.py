"""`rxlapce keygen`: lines that the reader of key files takes, in files that it takes."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from rxlapce.cli.keygen import keygen
from rxlapce.errors import ConfigError
from rxlapce.transports.key_file import read_keys


def test_a_key_on_standard_output_is_a_line_of_a_key_file(tmp_path: Path) -> None:
    said = CliRunner().invoke(keygen, ["me@home"])
    assert said.exit_code == 0
    path = tmp_path / "keys"
    path.write_text(said.stdout)
    path.chmod(0o600)
    assert len(read_keys(path)["me@home"].secret) == 32


def test_a_file_is_made_for_its_owner_alone_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    for name in ("one", "two"):
        said = CliRunner().invoke(keygen, [name, "--file", str(path)])
        assert said.exit_code == 0
        assert said.stdout == ""
        assert f"added {name!r}" in said.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = read_keys(path)
    assert list(keys) == ["one", "two"]
    assert keys["one"].secret != keys["two"].secret


def test_a_name_is_not_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    CliRunner().invoke(keygen, ["me", "--file", str(path)])
    before = path.read_text()
    said = CliRunner().invoke(keygen, ["me", "--file", str(path)])
    assert isinstance(said.exception, ConfigError)
    assert "has a key called 'me' already" in str(said.exception)
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["two words", "", "x" * 65, "uid:0"])
def test_a_name_that_no_line_can_have_is_a_misuse(name: str) -> None:
    assert CliRunner().invoke(keygen, [name]).exit_code == 2


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_no_secret_is_written_into_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    path.touch()
    path.chmod(mode)
    said = CliRunner().invoke(keygen, ["me", "--file", str(path)])
    assert isinstance(said.exception, ConfigError)
    assert "is open to other users" in str(said.exception)
    assert path.read_text() == ""


def test_no_secret_is_written_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys", 0o600)
    said = CliRunner().invoke(keygen, ["me", "--file", str(tmp_path / "keys")])
    assert isinstance(said.exception, ConfigError)


@pytest.mark.parametrize("before", ["# mine\n", "# mine", f"you {'0b' * 32}", f"you {'0b' * 32}\n\n"])
def test_a_line_is_added_to_a_file_that_was_written_by_hand(tmp_path: Path, before: str) -> None:
    path = tmp_path / "keys"
    path.write_text(before)
    path.chmod(0o600)
    assert CliRunner().invoke(keygen, ["me", "--file", str(path)]).exit_code == 0
    assert path.read_text().startswith(before)
    assert list(read_keys(path)) == (["you", "me"] if "you" in before else ["me"])
