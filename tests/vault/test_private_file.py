"""A file of this user's alone: what is read, and what is refused."""

import os
from pathlib import Path

import pytest

from rxlapce.vault import private_file
from rxlapce.vault.private_file import NotPrivate, read_private


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(b"secret\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_this_user_alone_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read_private(file, max_bytes=7) == b"secret\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_file_that_others_have_a_right_to_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(NotPrivate, match=rf"open to other users \(mode {mode:04o}\): chmod 600 it"):
        read_private(file, max_bytes=100)


def test_a_file_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(NotPrivate, match=f"belongs to user {mine}, not to you"):
        read_private(file, max_bytes=100)


def test_more_than_the_bound_is_refused(file: Path) -> None:
    with pytest.raises(NotPrivate, match="larger than 6 bytes"):
        read_private(file, max_bytes=6)


def test_a_folder_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("/")):
        with pytest.raises(NotPrivate, match="no regular file"):
            read_private(path, max_bytes=100)


def test_what_is_not_there_is_told_apart(tmp_path: Path, file: Path) -> None:
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("nothing", "no/such/folder", "dangling"):
        with pytest.raises(FileNotFoundError):
            read_private(tmp_path / name, max_bytes=100)
    with pytest.raises(NotPrivate, match="cannot be read: Not a directory"):
        read_private(file / "below", max_bytes=100)


def test_own_links_are_followed_wherever_they_stand_on_the_way(tmp_path: Path, file: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "by name").symlink_to("key")
    (tmp_path / "absolute").symlink_to(file)
    (tmp_path / "folder" / "up").symlink_to("../by name")
    (tmp_path / "way").symlink_to("folder")
    for name in ("by name", "absolute", "folder/up", "way/up", "way/../key", "./folder/../key"):
        assert read_private(tmp_path / name, max_bytes=100) == b"secret\n"


def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "way").symlink_to(".")
    real = os.stat

    def of_another(path: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        changed = list(real(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))
        changed[4] = 4711
        return os.stat_result(changed)

    monkeypatch.setattr(os, "stat", of_another)
    for name in ("link", "way/key"):
        with pytest.raises(NotPrivate, match="a link on the way belongs to user 4711"):
            read_private(tmp_path / name, max_bytes=100)


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(NotPrivate, match="too many links"):
        read_private(tmp_path / "one", max_bytes=100)


def test_no_descriptor_is_left_open_whatever_happens(tmp_path: Path, file: Path) -> None:
    (tmp_path / "one").symlink_to("one")
    (tmp_path / "good").symlink_to("key")
    before = len([*Path("/proc/self/fd").iterdir()])
    for name in ("one", "good", "nothing", "key/below", ""):
        try:
            read_private(tmp_path / name, max_bytes=100)
        except (NotPrivate, FileNotFoundError):
            continue
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_new_file_is_private_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = os.fsync

    def synced(descriptor: int) -> None:
        seen.append(os.fstat(descriptor).st_mode & 0o7777)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    old = os.umask(0)
    try:
        private_file.replace_private(tmp_path / "new", b"data")
    finally:
        os.umask(old)
    assert (tmp_path / "new").read_bytes() == b"data"
    assert seen[0] == 0o600  # and then the folder's
    assert len(seen) == 2
