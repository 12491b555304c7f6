"""Lines that cannot be written: they are lost, counted and told, and nobody waits for them."""

import errno
import io
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rxlapce.errors import ConfigError
from rxlapce.telemetry.log_output import Descriptor, Lines, LogFile, Nowhere, Text
from rxlapce.telemetry.logs import logger


def told(count: int) -> str:
    return f"lost {count}"


class Disk:
    """Takes `room` bytes, and no more until it has more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """No file of this process may be longer: a write past it takes a part, then fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# -- losses -----------------------------------------------------------------------------------------------------------


def test_lines_that_are_lost_are_told_before_the_next_that_is_taken() -> None:
    disk = Disk(4)
    lines = Lines(disk, told)
    for line in ("one", "two", "three"):
        lines.info(line)
    assert lines.lost == 2
    disk.room = 1000
    lines.info("four")
    lines.info("five")
    assert disk.data == b"one\nlost 2\nfour\nfive\n"
    assert lines.lost == 0


def test_a_line_that_was_taken_in_part_is_lost_and_spoils_no_other() -> None:
    disk = Disk(6)
    lines = Lines(disk, told)
    lines.info("one")
    lines.info("two")
    disk.room = 1000
    lines.info("three")
    assert disk.data == b"one\ntw\nlost 1\nthree\n"


def test_where_there_is_room_for_the_notice_alone_the_line_after_it_counts_anew() -> None:
    disk = Disk(0)
    lines = Lines(disk, told)
    lines.info("one")
    disk.room = len(b"lost 1\n")
    lines.info("two")
    assert (disk.data, lines.lost) == (b"lost 1\n", 1)
    disk.room = 3
    lines.info("three")
    disk.room = 1000
    lines.info("four")
    assert disk.data == b"lost 1\nlos\nlost 2\nfour\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_the_logger_tells_losses_as_an_event(as_json: bool) -> None:
    disk = Disk(0)
    log = logger(output=disk, as_json=as_json)
    log.info("one")
    log.bind(session=1).error("two")
    disk.room = 10_000
    log.info("three", frames=1)
    notice, line = disk.data.decode().splitlines()
    assert "three" in line
    assert "log_lines_lost" in notice
    if as_json:
        event = json.loads(notice)
        assert event.pop("timestamp").endswith("Z")
        assert event == {"event": "log_lines_lost", "level": "warning", "count": 2}


def test_text_that_is_no_unicode_is_written_all_the_same() -> None:
    disk = Disk(1000)
    Lines(disk, told).info("a\udc80b")
    assert disk.data == b"a\\udc80b\n"


def test_a_closed_stream_takes_no_lines_and_says_so_as_an_error() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(OSError, match="closed"):
        Text(stream).write(b"line\n")
    logger(stream).error("it goes on")
    assert Nowhere().write(b"12345") == 5


# -- descriptors ------------------------------------------------------------------------------------------------------


def test_a_full_pipe_loses_lines_without_waiting_and_goes_on_when_it_is_read() -> None:
    reading, writing = os.pipe()
    try:
        lines = Lines(Descriptor(writing), told)
        line = "x" * 999
        while not lines.lost:
            lines.info(line)
        lines.info(line)
        assert lines.lost == 2
        taken = os.read(reading, 1 << 20)
        lines.info("again")
        after = os.read(reading, 1 << 20)
        assert after == b"lost 2\nagain\n"
        assert set(taken.decode().split()) == {line}
    finally:
        os.close(reading)
        os.close(writing)


def test_a_line_longer_than_a_pipe_takes_at_once_comes_whole() -> None:
    reading, writing = os.pipe()
    try:
        Lines(Descriptor(writing), told).info("y" * 20_000)
        assert os.read(reading, 1 << 20) == b"y" * 20_000 + b"\n"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_pipe_whose_reader_is_gone_costs_the_lines_alone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        lines = Lines(Descriptor(writing), told)
        lines.info("one")
        lines.info("two")
        assert lines.lost == 2
    finally:
        os.close(writing)


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_a_process_without_a_standard_error_that_takes_anything_logs_on(closed: str) -> None:
    program = "from rxlapce.telemetry.logs import logger; log = logger(); log.info('one'); log.info('two'); print('on')"
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program], stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"on\n"


def test_a_file_of_one_s_own_shell_takes_lines(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        Lines(Descriptor(file.fileno()), told).info("one")
    assert (tmp_path / "log").read_bytes() == b"one\n"


# -- a file -----------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir())}


@pytest.fixture
def opened() -> Iterator[Callable[[Path, int, int], LogFile]]:
    made: list[LogFile] = []

    def make(path: Path, max_bytes: int, kept: int) -> LogFile:
        made.append(LogFile(path, max_bytes, kept))
        return made[-1]

    yield make
    for file in made:
        file.close()


Opened = Callable[[Path, int, int], LogFile]


def test_a_log_file_is_this_user_s_alone_and_is_added_to(tmp_path: Path, opened: Opened) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path / "log", 100, 2).write(b"one\n")
        opened(tmp_path / "log", 100, 2).write(b"two\n")
    finally:
        os.umask(before)
    assert contents(tmp_path) == {"log": "one\ntwo\n"}
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_log_file_is_bounded_and_so_is_their_number(tmp_path: Path, opened: Opened) -> None:
    file = opened(tmp_path / "log", 10, 2)
    for number in range(9):
        file.write(f"line{number}\n".encode()[:5])
    assert contents(tmp_path) == {"log": "line8", "log.1": "line6line7", "log.2": "line4line5"}


def test_a_log_file_alone_begins_anew(tmp_path: Path, opened: Opened) -> None:
    file = opened(tmp_path / "log", 10, 0)
    for number in range(5):
        file.write(f"line{number}".encode())
    assert contents(tmp_path) == {"log": "line4"}


def test_a_line_longer_than_the_bound_is_taken_alone(tmp_path: Path, opened: Opened) -> None:
    file = opened(tmp_path / "log", 10, 2)
    file.write(b"a" * 30)
    file.write(b"b")
    assert contents(tmp_path) == {"log": "b", "log.1": "a" * 30}


def test_of_two_that_write_to_a_file_only_one_turns_it(tmp_path: Path, opened: Opened) -> None:
    old, new = (opened(tmp_path / "log", 10, 3) for _ in range(2))
    old.write(b"old12345")
    new.write(b"n1")
    new.write(b"new56789")
    old.write(b"old-last")
    new.write(b"n")
    assert contents(tmp_path) == {"log": "old-lastn", "log.1": "old12345n1new56789"}


def test_a_file_that_was_renamed_by_others_is_left_at_reopen(tmp_path: Path, opened: Opened) -> None:
    file = opened(tmp_path / "log", 100, 2)
    file.write(b"one\n")
    (tmp_path / "log").rename(tmp_path / "log.old")
    file.write(b"two\n")
    file.reopen()
    file.write(b"three\n")
    assert contents(tmp_path) == {"log": "three\n", "log.old": "one\ntwo\n"}


def test_a_full_disk_costs_lines_which_are_told_when_there_is_room(tmp_path: Path, opened: Opened) -> None:
    lines = Lines(opened(tmp_path / "log", 1000, 2), told)
    with files_of_at_most(6):
        for line in ("one", "two", "three"):
            lines.info(line)
    lines.info("four")
    assert contents(tmp_path) == {"log": "one\ntw\nlost 2\nfour\n"}


def test_a_folder_that_is_gone_or_shut_costs_the_lines_past_the_bound(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = Lines(opened(folder / "log", 10, 1), told)
    lines.info("one")
    (folder / "log").unlink()
    folder.rmdir()
    lines.info("two")
    lines.info("three")  # past the bound
    assert lines.lost == 1
    folder.mkdir()
    lines.info("4")
    assert contents(folder) == {"log": "lost 1\n4\n"}


@pytest.mark.parametrize("where", ["no/such/folder/log", "."])
def test_a_log_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigError, match="cannot write the log to"):
        LogFile(tmp_path / where)


def test_no_thread_is_needed(tmp_path: Path, opened: Opened) -> None:
    before = threading.active_count()
    Lines(opened(tmp_path / "log", 1000, 2), told).info("one")
    assert threading.active_count() == before
