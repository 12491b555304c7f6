"""The log of a daemon that nobody's terminal shows: it does not grow past its bound, and no fault of it is felt."""

import os
from pathlib import Path

from rxlapce.cli.detached import BoundedLog


def test_a_log_is_set_aside_at_its_bound_and_two_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    path.write_text("old\n")
    descriptor = os.dup(1)
    log = BoundedLog(path, max_bytes=100, descriptor=descriptor)
    for number in range(50):
        print(f"line {number:02}", file=log)
    os.write(descriptor, b"from below\n")
    os.close(descriptor)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["daemon.log", "daemon.log.1"]
    both = (tmp_path / "daemon.log.1").read_text() + path.read_text()
    assert both.endswith("line 48\nline 49\nfrom below\n")
    assert all(file.stat().st_size <= 111 for file in tmp_path.iterdir())
    assert path.stat().st_mode & 0o777 == 0o600
    lines = [line for line in both.splitlines() if line.startswith("line")]
    assert lines == [f"line {number:02}" for number in range(50 - len(lines), 50)]


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(tmp_path: Path) -> None:
    descriptor = os.dup(1)
    log = BoundedLog(tmp_path / "daemon.log", descriptor=descriptor)
    os.close(descriptor)
    assert log.write("lost \ud800\n") == 7
    assert (tmp_path / "daemon.log").read_text() == ""
