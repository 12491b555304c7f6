"""How an answer is drawn while it grows."""

import io

import click
import pytest
from rich.console import Console

from rxlapce.cli.live import FREE_COLUMNS, MAX_COLUMNS, PlainView, TerminalView, answer_view
from rxlapce.tokens import Reasoning, Refusal, Seam, StreamToken, Text, ToolCall

LONG = "word " * 60


def drawn(width: int, *pieces: StreamToken) -> str:
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


def left(*pieces: StreamToken) -> str:
    """The answer that stays on the screen."""
    return click.unstyle(drawn(80, *pieces).rpartition("\x1b[?25h")[2]).strip()


def test_restart_clears_the_answer_and_a_dim_line_tells_why() -> None:
    said = (Text("It is "), Seam(1, "restart: b/m answers, a/m broke off (truncated)"))
    assert left(*said, Text("It was.")) == "It was."
    assert left(*said) == ""
    note = "the answer begins anew: b/m answers, a/m broke off (truncated)"
    assert f"\x1b[2m{note}\x1b[0m" in drawn(80, *said)


def test_rewind_drops_what_came_from_the_first_call_on_and_continue_drops_nothing() -> None:
    call, rewind = ToolCall(0, "c", "f", "{}"), Seam(1, "rewind: b/m answers")
    said = (Text("It "), call, Text("rains."), call, Text("Still."), rewind)
    assert left(*said, Text("snows.")) == "It snows."
    assert left(*said, Text("snows"), ToolCall(0, "d", "g"), Text("?"), rewind, Text("!")) == "It snows!"
    assert left(Text("It "), rewind, Text("rains.")) == "It rains."
    assert left(Text("It "), call, Text("ra"), Seam(1, "continue: b/m answers"), Text("ins.")) == "It rains."
    assert "the answer goes back to where its first tool call began: b/m answers" in drawn(80, *said)


def test_thoughts_are_discarded_with_the_answer_that_they_were_for() -> None:
    console = Console(file=io.StringIO(), width=80, height=40, force_terminal=True)

    def shown(*pieces: StreamToken) -> str:
        view = TerminalView(console)
        for piece in pieces:
            view.show(piece)
        with console.capture() as captured:
            console.print(view.rendered())
        return click.unstyle(captured.get()).strip()

    restart, rewind = Seam(1, "restart: b/m answers"), Seam(1, "rewind: b/m answers")
    assert shown(Reasoning("old"), restart, Reasoning("new")) == "new"
    assert shown(Reasoning("kept "), ToolCall(0, "c", "f"), Reasoning("old"), rewind, Reasoning("new")) == "kept new"


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
