"""What is said to a text that is no YAML, to the letter; and that none takes the reader down."""

import pytest

from rxlapce.config.file import MAX_FILE_BYTES, text_of
from rxlapce.config.parse import MAX_DEPTH, MAX_VALUES, parse
from rxlapce.errors import ConfigError

TABS = "YAML is indented with blanks, never with tabs"
COLON = "a text that holds ': ' needs quotes, and a line is indented like its siblings"
BRACKET = "a comma is missing, or the bracket is not closed"
INDENT = "a line is indented like its siblings"

#: The text -> what is said to it.
WRONG = {
    "a tab": ("a:\n\tb: 1", rf"f:2:1: not YAML: found character '\t' that cannot start any token; {TABS}"),
    "a text with a colon": ("a: b: c", f"f:1:5: not YAML: mapping values are not allowed here; {COLON}"),
    "a line that is indented": ("a: 1\n b: 2", f"f:2:3: not YAML: mapping values are not allowed here; {COLON}"),
    "a text that begins with @": (
        "a: @x",
        "f:1:4: not YAML: found character '@' that cannot start any token; a text that begins so needs quotes",
    ),
    "a bracket that is not closed": (
        "a: [1\nb: 2",
        f"f:2:2: not YAML: expected ',' or ']', but got ':' (it began in line 1); {BRACKET}",
    ),
    "a brace that is not closed": (
        "a: {x: 1",
        f"f:1:9: not YAML: expected ',' or '}}', but got the end of the file; {BRACKET}",
    ),
    "a quote that is not closed": (
        "a: 'x",
        "f:1:6: not YAML: found unexpected end of stream; the quote is not closed",
    ),
    "a quote within quotes": (
        "a: 'it's'",
        (
            "f:1:8: not YAML: expected <block end>, but found '<scalar>'; nothing may follow a text in quotes; "
            "'' is a quote inside of '...'"
        ),
    ),
    "an escape that there is not": (
        'a: "x\\q"',
        "f:1:7: not YAML: found unknown escape character 'q'; in double quotes \\ begins an escape: take single quotes",
    ),
    "a list after a mapping": (
        "a: 1\n- b",
        f"f:2:1: not YAML: expected <block end>, but found '-' (it began in line 1); {INDENT}",
    ),
    "a list in the line of its name": (
        "a: - b",
        ("f:1:4: not YAML: sequence entries are not allowed here; the first '-' of a list stands in a line of its own"),
    ),
    "a name without an anchor": (
        "a: *x",
        (
            "f:1:4: not YAML: found undefined alias 'x'; &NAME must stand before *NAME; a text that begins with * "
            "needs quotes"
        ),
    ),
    "a star": (
        "a: *",
        (
            "f:1:5: not YAML: expected alphabetic or numeric character, but found nothing more; a text that begins "
            "with * or & needs quotes"
        ),
    ),
    "an anchor that stands twice": (
        "a: &x 1\nb: &x 2",
        "f:2:4: not YAML: found duplicate anchor 'x'; first occurrence, second occurrence (it began in line 1)",
    ),
    "a tag that there is not": (
        "a: !foo!bar x",
        "f:1:4: not YAML: found undefined tag handle '!foo!'; a text that begins with ! needs quotes",
    ),
    "two documents": (
        "---\na: 1\n---\nb: 2",
        (
            "f:3:1: not YAML: expected a single document in the stream, but found another document (it began in "
            "line 2); a file is one document: take the line --- out"
        ),
    ),
    "no value": (
        "a: [1,,2]",
        (
            "f:1:7: not YAML: expected the node content, but found ','; a value is missing; a text that begins so "
            "needs quotes"
        ),
    ),
    "a NUL byte": ("a: 1\nb: x\0", "f:2:5: not YAML: holds the character U+0000, which no text file has"),
    "an escape sequence": ("a: \x1b[2J", "f:1:4: not YAML: holds the character U+001B, which no text file has"),
    "nothing": ("# a comment\n", "f:1:1: the document is empty"),
    "nothing at all": ("", "f:1:1: the document is empty"),
    "a text that holds itself": ("a: &a {b: *a}", "f:1:4: it holds itself: its *NAME stands inside of its &NAME"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_text_that_is_no_yaml_is_told_where_and_what_usually_lies_behind_it(wrong: str) -> None:
    text, said = WRONG[wrong]
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value) == said
    assert [str(problem) for problem in caught.value.problems] == [said]


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse(text_of(b"\xef\xbb\xbfa: 1\n", "f"), "f").value[0][0].value == "a"
    with pytest.raises(ConfigError, match=r"^f:1:5: not YAML: mapping values"):
        parse(text_of(b"\xef\xbb\xbfa: b: c", "f"), "f")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a: 1".encode("utf-16"), "f: it is UTF-16: save it as UTF-8"),
        ("a: 1\nb: \xe4".encode("latin-1"), "f:2:4: not UTF-8: byte 8 is no part of a character"),
        ("a: ä\nä: ".encode() + b"\xff", "f:2:4: not UTF-8: byte 10 is no part of a character"),
        (b"a" * (MAX_FILE_BYTES + 1), "f: larger than 262144 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_told(data: bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        text_of(data, "f")
    assert str(caught.value) == said


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_a_place_is_counted_by_whatever_ends_a_line(line_end: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:3:5: "):
        parse(f"a: 1{line_end}b: 2{line_end}c: d: e", "f")
    with pytest.raises(ConfigError, match=r"^f:3:4: .*U\+0007"):
        parse(f"a: 1{line_end}b: 2{line_end}c: \a", "f")


DEEP = {
    "lists in lists": "[" * 400,
    "mappings in mappings": "{" * 400,
    "lists in lines": "- " * 400,
    "mappings in lines": "".join(" " * depth + "a:\n" for depth in range(300)),
}


@pytest.mark.parametrize("deep", DEEP)
def test_what_is_nested_too_deeply_is_told_and_not_a_matter_of_the_stack(deep: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f:\d+:\d+: not YAML: nested more than {MAX_DEPTH} deep$"):
        parse(DEEP[deep], "f")


def test_what_is_nested_as_deeply_as_may_be_is_read() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f").value
    with pytest.raises(ConfigError, match="nested"):
        parse("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "f")


def test_anchors_that_stand_for_anchors_do_not_grow_without_bound() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    with pytest.raises(ConfigError, match=rf"^f:6:4: with its anchors it has more than {MAX_VALUES} values$"):
        parse("\n".join(lines), "f")
    assert parse("\n".join(lines[:4]), "f").value
