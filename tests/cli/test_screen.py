import json

import pytest

from rxlapce.cli.screen import json_line, printable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\ttext\nof two lines, \U0001f680 and \u00e9", None),
        ("\x1b]52;c;aGFoYQ==\x07", "]52;c;aGFoYQ=="),
        ("a\x1b[2Jb\rc\x08\x7f\x9b1m", "a[2Jbc1m"),
    ],
)
def test_what_could_command_a_terminal_is_left_out(said: str, shown: str | None) -> None:
    assert printable(said) == (said if shown is None else shown)


@pytest.mark.parametrize("text", ["a\u2028b\u2029c\x85d", "\n\r\v\f\x1c\x1d\x1e", "\\u2028 \U0001f680"])
def test_json_is_one_line_for_every_reader_and_says_the_same(text: str) -> None:
    (line,) = json_line({"text": text}).splitlines()
    assert json.loads(line) == {"text": text}
