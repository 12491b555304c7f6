"""Files of secrets: whose they may be, what a line is, and that no error tells a secret."""

import os
from pathlib import Path

import pytest

from rxlapce.errors import ConfigError
from rxlapce.transports.key_file import SigningKey, only_key, read_keys

SECRET = "5ec4e7" * 11


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_come_by_name_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, f"# mine\n\nlaptop {SECRET}  # at home\nann@office.example {SECRET.upper()}\n")
    keys = read_keys(path)
    assert list(keys) == ["laptop", "ann@office.example"]
    assert keys["laptop"] == SigningKey("laptop", bytes.fromhex(SECRET))
    assert only_key(path).name == "laptop"
    assert only_key(path, "ann@office.example").secret == bytes.fromhex(SECRET)


def test_a_key_s_repr_does_not_tell_the_secret() -> None:
    assert repr(SigningKey("me", b"x" * 32)) == "SigningKey('me')"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key; make one with: rxlapce keygen NAME"),
        ("# none\n", "has no key"),
        (f"me {SECRET} more\n", "keys:1: expected a name and a secret, got 3 words"),
        (f"{SECRET}\n", "keys:1: expected a name and a secret, got 1 words"),
        (f"uid:1 {SECRET}\n", "keys:1: expected a name of letters"),
        (f"a {SECRET}\nme {SECRET}x\n", "keys:2: the second word, the secret, is not an even number of hexadecimal"),
        (f"{SECRET[:64]} me\n", "keys:1: the second word, the secret, is not an even number of hexadecimal digits"),
        (f"{SECRET[:64]} abcdef\n", "keys:1: the secret has 3 bytes, expected 32 at least"),
        ("me 5ec4e75ec4e7\n", "keys:1: the secret has 6 bytes, expected 32 at least"),
        (f"me {SECRET}\nme {SECRET}\n", "keys:2: the name 'me' stands there twice"),
    ],
)
def test_a_line_that_is_none_is_told_by_its_number(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_keys(written(tmp_path, text))
    assert why in str(caught.value)
    assert "5ec4e7" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"open to other users \(mode 0640\): chmod 600"):
        read_keys(written(tmp_path, f"me {SECRET}\n", 0o640))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory; make one with: rxlapce keygen"):
        read_keys(tmp_path / "keys")


def test_a_pipe_is_no_key_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys", 0o600)
    with pytest.raises(ConfigError, match="is no regular file"):
        read_keys(tmp_path / "keys")


def test_a_name_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no key 'you'; it has me"):
        only_key(written(tmp_path, f"me {SECRET}\n"), "you")
