"""`rxlapce keygen`: lines that the reader of key files takes, in files that it takes."""

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
