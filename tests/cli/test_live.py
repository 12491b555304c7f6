"""How an answer is drawn while it grows."""

import io

import click
import pytest
from rich.console import Console

from rxlapce.cli.live import FREE_COLUMNS, MAX_COLUMNS, PlainView, TerminalView, answer_view
from rxlapce.tokens import Reasoning, Refusal, Text

LONG = "word " * 60


def drawn(width: int, *pieces: Text | Reasoning | Refusal) -> str:
    """All that is written to a terminal of `width` columns."""
    written = io.StringIO()
    view = TerminalView(Console(file=written, width=width, height=40, force_terminal=True))
    with view:
        for piece in pieces:
            view.show(piece)
    return written.getvalue()


@pytest.mark.parametrize(
    ("width", "expected"), [(60, 60 - FREE_COLUMNS), (MAX_COLUMNS + 50, MAX_COLUMNS)], ids=["narrow", "wide"]
)
def test_lines_leave_room_for_an_echoed_ctrl_c_and_are_never_too_long_to_read(width: int, expected: int) -> None:
    lines = click.unstyle(drawn(width, Text(LONG))).splitlines()
    assert max(map(len, lines)) == expected


def test_thoughts_are_shown_until_the_answer_begins() -> None:
    assert "let me see" in drawn(80, Reasoning("let me see"))
    assert "let me see" not in drawn(80, Reasoning("let me see"), Text("Yes.")).rpartition("\x1b[?25h")[2]


def test_refusal_is_shown_as_the_answer() -> None:
    assert "I will not." in drawn(80, Refusal("I will not.")).rpartition("\x1b[?25h")[2]


@pytest.mark.parametrize(("terminal", "kind"), [("xterm", TerminalView), ("dumb", PlainView)])
def test_terminal_without_a_cursor_to_move_gets_bare_text(
    monkeypatch: pytest.MonkeyPatch, terminal: str, kind: type
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", terminal)
    assert isinstance(answer_view(), kind)


def test_without_a_terminal_the_text_is_bare_and_its_last_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    view = answer_view()
    with view:
        view.show(Text("**bold**"))
        view.show(Text(""))
    assert capsys.readouterr().out == "**bold**\n"
    with view:
        view.show(Text("a line\n"))
    assert capsys.readouterr().out == "a line\n"
