"""The file of rows: chained, closed at its size, continued after anything, shared by processes."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rxlapce.errors import ConfigError
from rxlapce.telemetry.audit_chain import GENESIS, closed_files, read_row
from rxlapce.telemetry.audit_file import AuditFile
from rxlapce.telemetry.audit_verify import files_of, verify
from rxlapce.testing.auditing import Time, rows_in, written

ROW = {"event": "request", "outcome": "completed"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """No file of this process may be longer: a write past it takes a part, then fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def sound(path: Path) -> int:
    """How many rows the log has, all of which are as they were written."""
    result = verify(files_of(path))
    assert result.problems == []
    return result.rows


def test_a_row_names_the_one_before_and_its_own_content(path: Path) -> None:
    file = written(path, 2)
    opened, first, second = rows_in(path)
    assert (opened["seq"], opened["event"], opened["after"], opened["prev"]) == (1, "opened", None, GENESIS)
    assert (first["seq"], first["prev"]) == (2, opened["hash"])
    assert (second["seq"], second["prev"]) == (3, first["hash"])
    assert (file.head.seq, file.head.hash) == (3, second["hash"])
    row = read_row(path.read_bytes().splitlines()[2])
    assert row is not None
    assert row.intact


def test_the_file_is_this_user_s_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        written(path, 1)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_opened_again_goes_on_with_the_chain(path: Path) -> None:
    written(path, 3)
    written(path, 2)
    assert [row["seq"] for row in rows_in(path)] == [1, 2, 3, 4, 5, 6]
    assert sound(path) == 6


def test_a_full_file_is_closed_and_the_next_names_it(path: Path) -> None:
    file = written(path, 20, max_bytes=1200)
    closed = closed_files(path)
    assert len(closed) == file.closed > 2
    assert [found for _, found in closed] == sorted(found for _, found in closed), "names sort by time"
    assert all(found.stat().st_size <= 1200 for found in files_of(path))
    last, opened = rows_in(closed[-1][1])[-1], rows_in(path)[0]
    assert (opened["event"], opened["after"], opened["prev"]) == ("opened", closed[-1][1].name, last["hash"])
    assert sound(path) == 20 + len(closed) + 1


def test_files_beyond_the_kept_ones_are_removed_and_the_chain_says_so(path: Path) -> None:
    written(path, 40, max_bytes=1200, kept=2)
    closed = closed_files(path)
    assert len(closed) == 2
    assert rows_in(path)[0]["removed_to"] == closed[0][0] - 1
    sound(path)


def test_what_was_removed_is_known_to_the_next_process_too(path: Path) -> None:
    written(path, 40, max_bytes=1200, kept=2)
    for _ in range(3):
        written(path, 10, max_bytes=1200, kept=2)
        sound(path)


def test_a_row_that_is_longer_than_a_file_is_written_alone(path: Path) -> None:
    file = AuditFile(path, 600, now=Time())
    for _ in range(3):
        file.append({**ROW, "user": "x" * 900})
    file.close()
    assert [len(rows_in(found)) for found in files_of(path)] == [2, 2, 2]
    sound(path)


def test_a_row_that_lost_nothing_but_its_line_s_end_is_whole(path: Path) -> None:
    written(path, 3)
    path.write_bytes(path.read_bytes()[:-1])
    assert sound(path) == 4
    written(path, 1)
    assert [row["seq"] for row in rows_in(path)] == [1, 2, 3, 4, 5]
    assert sound(path) == 5


@pytest.mark.parametrize("cut", [2, 30, 120])
def test_a_row_that_lost_its_end_is_ended_and_told(path: Path, cut: int) -> None:
    written(path, 3)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    file = AuditFile(path, 1 << 20, now=Time())
    file.append(ROW)
    file.close()
    whole, torn = data.count(b"\n") - 1, rows_in_end(path)
    assert file.torn == torn["bytes"] > 0
    assert (torn["event"], torn["seq"]) == ("torn", whole + 1)
    result = verify(files_of(path))
    assert (result.problems, [one.line for one in result.torn]) == ([], [4])
    assert result.head.seq == whole + 2


def rows_in_end(path: Path) -> dict[str, Any]:
    """The row before the last."""
    row = read_row(path.read_bytes().splitlines()[-2])
    assert row is not None
    return row.members


@pytest.mark.parametrize("rest", [b"\0" * 70_000, b"no row\nnor this\n", b"{}", b"\n"])
def test_whatever_a_crash_left_at_the_end_is_gone_on_from(path: Path, rest: bytes) -> None:
    written(path, 3)
    with path.open("ab") as file:
        file.write(rest)
    written(path, 2)
    result = verify(files_of(path))
    assert (result.problems, len(result.torn), result.head.seq) == ([], 1, 7)


def test_a_file_of_which_a_crash_left_nothing_goes_on_after_the_closed_ones(path: Path) -> None:
    written(path, 20, max_bytes=1200)
    last = rows_in(closed_files(path)[-1][1])[-1]
    path.write_bytes(b"")
    written(path, 1)
    assert (rows_in(path)[0]["prev"], rows_in(path)[0]["after"]) == (last["hash"], closed_files(path)[-1][1].name)
    sound(path)


def test_of_what_another_process_writes_each_row_follows_the_other(path: Path) -> None:
    old, new = (AuditFile(path, 1500, now=Time()) for _ in range(2))
    for number in range(30):
        (old, new)[number % 3 == 0].append({**ROW, "by": "old" if number % 3 else "new"})
    old.close()
    new.close()
    assert len(closed_files(path)) >= 3
    assert sound(path) == 30 + len(closed_files(path)) + 1


def test_a_file_that_another_process_has_is_not_waited_for(path: Path) -> None:
    file = AuditFile(path, 1 << 20, now=Time())
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            file.append(ROW)
        begun = AuditFile(path, 1 << 20, now=Time())
    for each in (file, begun):
        each.append(ROW)
        each.close()
    assert sound(path) == 3


def test_a_full_disk_leaves_nothing_of_a_row(path: Path) -> None:
    file = AuditFile(path, 1 << 20, now=Time())
    size = path.stat().st_size
    for room in (0, 1, 50):
        with files_of_at_most(size + room), pytest.raises(OSError, match=r".") as caught:
            file.append(ROW)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert path.stat().st_size == size
    file.append(ROW)
    file.close()
    assert sound(path) == 2


def test_a_disk_that_fills_while_the_next_file_is_begun_costs_no_row(path: Path) -> None:
    file = AuditFile(path, 600, now=Time())
    file.append(ROW)
    with files_of_at_most(0), pytest.raises(OSError, match=r"."):
        file.append({**ROW, "user": "x" * 300})
    file.append({**ROW, "user": "x" * 300})
    file.close()
    assert sound(path) == 4


def test_a_file_that_was_moved_away_is_missed_and_the_chain_goes_on(path: Path) -> None:
    file = AuditFile(path, 1 << 20, now=Time())
    file.append(ROW)
    path.rename(path.with_name("moved.jsonl"))
    file.append(ROW)
    file.close()
    assert [row["seq"] for row in rows_in(path)] == [3, 4]
    (problem,) = verify(files_of(path)).problems
    assert problem.message == "rows 1 to 2 are missing before it: a file was removed, and not for `kept`"


def test_what_was_written_is_given_out_to_be_synced_once(path: Path) -> None:
    file = AuditFile(path, 700, now=Time())
    for _ in range(4):
        file.append(ROW)
    unsynced = file.take_unsynced()
    try:
        assert file.closed >= 1
        assert {os.fstat(number).st_ino for number in unsynced} == {
            *(found.stat().st_ino for found in files_of(path)),
            path.parent.stat().st_ino,
        }
        assert file.take_unsynced() == []
    finally:
        for number in unsynced:
            os.close(number)
    file.close()


def test_a_file_that_cannot_be_opened_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write the audit log to .*gone/audit.jsonl: No such file"):
        AuditFile(tmp_path / "gone" / "audit.jsonl", 1 << 20)


KILLED = """
import os, signal, sys
from pathlib import Path
from typing import Any
from rxlapce.telemetry.audit_file import AuditFile
file = AuditFile(Path(sys.argv[1]), 4000)
for number in range(int(sys.argv[2])):
    file.append({"event": "request", "number": number})
    os.write(1, b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.heavy
def test_a_process_that_is_killed_loses_no_row_and_two_at_once_keep_one_chain(path: Path) -> None:
    done = [
        subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), "50"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [len(process.communicate()[0]) for process in done]
    rows = [row for found in files_of(path) for row in rows_in(found)]
    assert sum(row["event"] == "request" for row in rows) == sum(said) >= 50
    sound(path)
