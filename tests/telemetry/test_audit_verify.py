"""What is found of an audit log that somebody has changed, and what is said of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.errors import ConfigError
from rxlapce.telemetry.audit_chain import Head, closed_files, sealed
from rxlapce.telemetry.audit_verify import MAX_TOLD, as_json, files_of, verify
from rxlapce.testing.auditing import written
from rxlapce.testing.thoroughness import examples


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """An `opened` row and eight more."""
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    written(path, 8)
    return path.read_bytes().splitlines(keepends=True)


def problems(path: Path, lines: list[bytes], expect: str | None = None) -> list[str]:
    path.write_bytes(b"".join(lines))
    return [str(one).removeprefix(f"{path}:") for one in verify(files_of(path), expect=expect).problems]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def with_other_outcome(line: bytes) -> bytes:
    return line.replace(b"completed", b"timeout")


def resealed(line: bytes, before: bytes) -> bytes:
    """The row with another outcome and a hash that fits, as somebody makes it who knows how."""
    row = json.loads(line)
    kept = {name: value for name, value in row.items() if name not in ("seq", "prev", "hash")}
    return sealed({**kept, "outcome": "timeout"}, Head(row["seq"] - 1, json.loads(before)["hash"]))[0]


CASES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[str]]] = {
    "nothing": (lambda lines: lines, []),
    "a row changed": (
        lambda lines: [*lines[:3], with_other_outcome(lines[3]), *lines[4:]],
        ["4: row 4 was changed: its content does not have its hash"],
    ),
    "a space more": (
        lambda lines: [*lines[:3], lines[3].replace(b":", b": ", 1), *lines[4:]],
        ["4: row 4 was changed: its content does not have its hash"],
    ),
    "a row changed and sealed anew": (
        lambda lines: [*lines[:3], resealed(lines[3], lines[2]), *lines[4:]],
        ["5: row 5 follows another row 4 than the one before it, which was written anew"],
    ),
    "a row removed": (lambda lines: [*lines[:3], *lines[4:]], ["4: row 4 is missing before row 5"]),
    "rows removed": (lambda lines: [*lines[:3], *lines[6:]], ["4: rows 4 to 6 are missing before row 7"]),
    "the first rows removed": (
        lambda lines: lines[2:],
        [" rows 1 to 2 are missing before it: a file was removed, and not for `kept`"],
    ),
    "rows swapped": (
        lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
        ["5: row 4 stands behind row 5: moved, or a copy"],
    ),
    "a row copied": (
        lambda lines: [*lines[:5], lines[3], *lines[5:]],
        ["6: row 4 stands behind row 5: moved, or a copy"],
    ),
    "the last row cut": (lambda lines: [*lines[:-1], lines[-1][:-40]], ["9: the line is cut off"]),
    "a row cut in the middle": (
        lambda lines: [*lines[:3], lines[3][:-40] + b"\n", *lines[4:]],
        ["4: this line is no row", "5: row 4 is missing before row 5"],
    ),
    "a line put in": (lambda lines: [*lines[:3], b"hello\n", *lines[3:]], ["4: this line is no row"]),
    "all gone": (lambda _: [], [" there is no row in it"]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_was_done_to_it_is_said(path: Path, lines: list[bytes], name: str) -> None:
    tamper, said = CASES[name]
    assert problems(path, tamper(lines)) == said


def test_rows_cut_from_the_end_are_found_by_a_hash_that_was_kept_elsewhere(path: Path, lines: list[bytes]) -> None:
    last = json.loads(lines[-1])["hash"]
    assert problems(path, lines, expect=last) == []
    assert problems(path, lines[:-2]) == [], "the chain alone does not tell"
    assert problems(path, lines[:-2], expect=last) == [
        f" no row has the hash {last}: rows are missing at the end, or all was written anew"
    ]


def test_a_hash_that_was_kept_is_found_also_when_the_log_has_grown_since(path: Path, lines: list[bytes]) -> None:
    assert problems(path, lines, expect=json.loads(lines[4])["hash"]) == []


def test_a_changed_row_does_not_answer_for_the_hash_that_stands_in_it(path: Path, lines: list[bytes]) -> None:
    changed = [*lines[:-1], with_other_outcome(lines[-1])]
    assert len(problems(path, changed, expect=json.loads(lines[-1])["hash"])) == 2


def test_a_row_that_says_torn_excuses_nothing_but_what_it_has_the_hash_of(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines)[:-50])
    written(path, 1)
    torn = path.read_bytes()
    assert problems(path, [torn]) == []
    assert problems(path, [torn.replace(b'"event":"request","request_id":"1.7"', b"x")]) == ["9: this line is no row"]


def test_a_closed_file_that_is_gone_is_missed(path: Path) -> None:
    written(path, 30, max_bytes=1200)
    closed = closed_files(path)
    first, second, third = (seq for seq, _ in closed[:3])
    closed[1][1].unlink()
    (problem,) = verify(files_of(path)).problems
    assert problem.message == f"rows {second} to {third - 1} are missing before row {third}"
    closed[0][1].unlink()
    (problem,) = verify(files_of(path)).problems
    assert (problem.file, problem.line) == (str(closed[2][1]), 0)
    assert problem.message.startswith(f"rows {first} to {third - 1} are missing before it")


def test_a_file_by_itself_need_not_begin_with_the_first_row(path: Path) -> None:
    written(path, 30, max_bytes=1200)
    middle = closed_files(path)[1][1]
    assert verify([middle], whole=False).problems == []
    assert len(verify([middle]).problems) == 1


def test_problems_are_bounded_and_the_rest_is_counted(path: Path) -> None:
    path.write_bytes(b"no row\n" * (MAX_TOLD + 7))
    result = verify([path])
    assert (len(result.problems), result.more_problems) == (MAX_TOLD, 8)


def test_the_result_as_json_has_it_all(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))
    told = as_json(verify([path]))
    head = {"seq": 9, "hash": json.loads(lines[-1])["hash"]}
    assert told == {
        "ok": True, "files": 1, "rows": 9, "first_seq": 1, "head": head, "torn": [], "problems": [], "more_problems": 0
    }  # fmt: skip


def test_where_nothing_was_written_there_is_nothing_to_check(path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no audit log at"):
        files_of(path)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=examples(80), deadline=None)
def test_no_bit_can_be_turned_without_being_found(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    data = bytearray(b"".join(lines))
    place %= len(data) - 1  # but for the last line's end, without which all rows are as they were
    data[place] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "turned.jsonl"
    path.write_bytes(data)
    assert verify([path]).problems
