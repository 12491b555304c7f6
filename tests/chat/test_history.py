"""Kept conversations: what a file holds survives, whatever happens to its end."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.chat import history as module
from rxlapce.chat.conversation import Kept
from rxlapce.chat.history import Answered, Asked, History, conversation_of, default_folder, read_lines
from rxlapce.chat.turns import Shown, Standing
from rxlapce.messages import ErrorBody
from rxlapce.requests import Message, Part, RequestedCall
from rxlapce.tokens import Usage

ERROR = ErrorBody(kind="truncated", retry="same", phase="flow", message="it broke off")


def kept(question: str, answer: str, standing: Standing = Standing.DONE) -> Kept:
    shown = Shown(
        standing=standing,
        text=answer,
        counted=3,
        per_s=2.5,
        usage=Usage(input=1, output=2),
        error=ERROR if standing is Standing.FAILED else None,
    )
    return Kept(question=question, model="a/x", shown=shown, turn=Message(role="assistant", content=answer))


def keep(history: History, name: str, *turns: Kept) -> None:
    for turn in turns:
        key = history.asked(name, turn.model, turn.question)
        history.answered(name, key, turn)


def test_what_is_kept_is_loaded_with_all_its_figures(tmp_path: Path) -> None:
    history = History(tmp_path / "chats")
    call = RequestedCall(id="c", name="look", arguments='{"a": 1}')
    turns = [kept("one?", "1"), kept("zwei?\nsecond line 🐢", "2 `x`", Standing.FAILED)]
    turn = Message(role="assistant", parts=(Part(tool_call=call), Part(reasoning="h", signature="s")))
    turns.append(Kept(question="3", model="b/y", shown=Shown(standing=Standing.CANCELLED), turn=turn))
    keep(history, "n", *turns)
    assert History(tmp_path / "chats").load("n") == turns


def test_files_are_the_users_alone(tmp_path: Path) -> None:
    history = History(tmp_path / "state" / "chats")
    before = os.umask(0)
    try:
        keep(history, "n", kept("one?", "1"))
    finally:
        os.umask(before)
    assert (tmp_path / "state" / "chats").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "chats" / "n.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_question_without_an_answer_counts_as_cancelled(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.asked("n", "a/x", "are you there?")
    (turn,) = history.load("n")
    assert (turn.question, turn.shown.standing) == ("are you there?", Standing.CANCELLED)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=4), st.data())
def test_a_torn_end_costs_its_own_line_and_no_other(said: list[tuple[str, str]], data: st.DataObject) -> None:
    lines: list[bytes] = []
    for number, (question, answer) in enumerate(said):
        whole = kept(question, answer)
        lines += [
            msgspec.json.encode(Asked(str(number), "", "a/x", question)),
            msgspec.json.encode(Answered(str(number), "", whole.shown, whole.turn)),
        ]
    written = b"\n".join(lines) + b"\n"
    cut = data.draw(st.integers(0, len(written)))
    turns = conversation_of(read_lines(written[:cut]))
    ended = written[: cut + 1].count(b"\n")  # a line that lacks nothing but its end is whole
    assert len(turns) == (ended + 1) // 2
    assert [turn.question for turn in turns] == [question for question, _ in said][: len(turns)]
    assert [turn.shown.text for turn in turns[: ended // 2]] == [answer for _, answer in said][: ended // 2]


def test_what_is_written_after_a_torn_line_is_read(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, "n", kept("one?", "1"), kept("two?", "2"))
    file = tmp_path / "n.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    keep(history, "n", kept("three?", "3"))
    turns = History(tmp_path).load("n")
    assert [(turn.question, turn.shown.text) for turn in turns] == [("one?", "1"), ("two?", ""), ("three?", "3")]


def test_lines_of_a_newer_version_and_rubbish_are_passed_over(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, "n", kept("one?", "1"))
    with (tmp_path / "n.jsonl").open("ab") as file:
        file.write(b'{"type":"pinned","id":"x"}\n\xff\xfe\n[[[[\n\x00\x00\x00\n{"type":"asked"}\n')
    keep(history, "n", kept("two?", "2"))
    assert [turn.shown.text for turn in history.load("n")] == ["1", "2"]


def test_list_tells_the_last_written_first_by_its_first_question(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number, name in enumerate(("a", "b", "c")):
        keep(history, name, kept(f"question\n {name}\x1b[2J", "x"), kept("later", "y"))
        os.utime(tmp_path / f"{name}.jsonl", (number, number))
    (tmp_path / "notes.txt").write_text("not ours")
    (tmp_path / "empty.jsonl").touch()
    keep(history, "a", kept("again", "z"))
    assert [(chat.name, chat.title) for chat in history.chats()] == [
        ("a", "question a[2J"), ("c", "question c[2J"), ("b", "question b[2J")
    ]  # fmt: skip
    assert history.last_model() == "a/x"


def test_a_conversation_that_begins_with_a_pasted_file_is_listed(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, "n", kept("look at this:\n" + "x" * (3 << 20), "long"))
    assert [chat.title[:13] for chat in history.chats()] == ["look at this:"]


def test_deleted_is_gone_and_deleting_twice_is_deleting_once(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, "n", kept("one?", "1"))
    history.delete("n")
    history.delete("n")
    assert history.load("n") == []
    assert list(tmp_path.iterdir()) == []


def test_an_answer_to_what_another_panel_has_deleted_brings_nothing_back(tmp_path: Path) -> None:
    history = History(tmp_path)
    key = history.asked("n", "a/x", "one?")
    History(tmp_path).delete("n")
    history.answered("n", key, kept("one?", "1"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../n", "a/b", "..", ""])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no conversation"):
        History(tmp_path).delete(name)


def test_a_link_in_a_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    (tmp_path / "n.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        keep(History(tmp_path), "n", kept("one?", "1"))


@pytest.mark.parametrize(("bound", "value"), [("MAX_CHATS", 3), ("MAX_BYTES", 2500)])
def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(module, bound, value)
    history = History(tmp_path)
    for number in range(8):
        keep(history, f"n{number}", kept("q" * 300, "a" * 300))
        os.utime(tmp_path / f"n{number}.jsonl", (number, number))
    left = sorted(path.stem for path in tmp_path.iterdir())
    assert left == [f"n{number}" for number in range(8 - len(left), 8)]
    assert len(left) == 3


def test_of_a_huge_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_READ_BYTES", 1200)
    history = History(tmp_path)
    keep(history, "n", *(kept(f"q{number}", "a" * 200) for number in range(9)))
    assert [turn.question for turn in history.load("n")][-1] == "q8"
    assert len(history.load("n")) < 4


def test_without_a_folder_nothing_is_kept() -> None:
    history = History(None)
    keep(history, "n", kept("one?", "1"))
    assert (history.chats(), history.load("n"), history.last_model(), history.keeps) == ([], [], None, False)


def test_names_sort_by_the_time_they_begin() -> None:
    def at(hour: int) -> Callable[[], datetime]:
        return lambda: datetime(2026, 11, 23, hour, tzinfo=UTC)

    names = [History(None, now=at(hour)).new_name() for hour in (8, 9, 10)]
    assert names == sorted(names)


def test_folder_is_where_state_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_folder() == Path("/h/.local/state/rxlapce/chats")
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert default_folder() == Path("/s/rxlapce/chats")
