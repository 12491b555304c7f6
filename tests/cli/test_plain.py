"""How an answer is printed where nothing can be taken back."""

import pytest

from rxlapce.cli.plain import PlainAnswer, told
from rxlapce.tokens import Reasoning, Refusal, Seam, StreamToken, Text, ToolCall

CONTINUE = Seam(1, "continue: groq/llama answers, openai/gpt broke off (truncated)")
REWIND = Seam(1, "rewind: groq/llama answers")
RESTART = Seam(1, "restart: groq/llama answers")

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *tokens: StreamToken) -> tuple[str, str]:
    """Standard output and standard error of an answer."""
    answer = PlainAnswer()
    for token in tokens:
        answer.show(token)
    answer.end_line()
    said = capsys.readouterr()
    return said.out, said.err


def test_continued_text_is_not_parted_and_the_seam_is_told_beside_it(capsys: Capture) -> None:
    assert printed(capsys, Text("Hel"), CONTINUE, Text("lo")) == (
        "Hello\n",
        "rxlapce: the answer goes on: groq/llama answers, openai/gpt broke off (truncated)\n",
    )


def test_an_answer_that_begins_anew_begins_on_a_line_of_its_own(capsys: Capture) -> None:
    assert printed(capsys, Text("Hel"), RESTART, Text("Hi"), RESTART, Refusal("No\n"), RESTART, Text("Yes")) == (
        "Hel\nHi\nNo\nYes\n",
        "rxlapce: the answer begins anew: groq/llama answers\n" * 3,
    )


def test_a_line_that_a_seam_has_ended_is_not_ended_again(capsys: Capture) -> None:
    assert printed(capsys, Text("Hel"), RESTART, RESTART)[0] == "Hel\n"


def test_rewinding_ends_the_line_only_if_text_stands_behind_the_call(capsys: Capture) -> None:
    note = "rxlapce: the answer goes back to where its first tool call began: groq/llama answers\n"
    call = ToolCall(0, "c", "f", "{}")
    assert printed(capsys, Text("Hel"), call, Reasoning("?"), REWIND, Text("lo")) == ("Hello\n", note)
    assert printed(capsys, Text("Hel"), call, Text("p!"), REWIND, Text("lo")) == ("Help!\nlo\n", note)
    rewound_twice = (Text("a"), call, Text("b"), REWIND, Text("c"), REWIND, Text("d"))
    assert printed(capsys, *rewound_twice) == ("ab\ncd\n", note * 2)
    restarted = (Text("a"), call, Text("b"), RESTART, Text("c"), REWIND, Text("d"))
    assert printed(capsys, *restarted)[0] == "ab\ncd\n"


@pytest.mark.parametrize(("stderr_too", "note_begins"), [(True, "\nrxlapce: "), (False, "rxlapce: ")])
def test_on_a_screen_the_note_does_not_stand_in_the_answer_s_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, stderr_too: bool, note_begins: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: stderr_too)
    out, err = printed(capsys, Text("Hel"), CONTINUE, Text("lo"))
    assert out == "Hello\n"
    assert err.startswith(note_begins)
    assert not printed(capsys, Text("Hel\n"), CONTINUE, Text("lo"))[1].startswith("\n")


def test_a_seam_is_one_line_without_control_characters_whatever_it_says() -> None:
    assert told(Seam(1, "restart: a\x1b[2J\nb")) == "the answer begins anew: a[2J b"
    assert told(Seam(1, "of tomorrow")) == "the answer goes on"
