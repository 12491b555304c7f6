"""The doctor's checks of the machine, each where all is well and where it is not."""

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rxlapce.cli import doctor_system as system
from rxlapce.cli.doctor_facts import Check, Facts, Finding, Level, facts_here


@pytest.fixture
def facts(folder: Path) -> Facts:
    """A machine where all is well, with this user's own folder for sockets; nothing listens there."""
    return Facts(
        environ={"XDG_RUNTIME_DIR": str(folder)},
        path=folder / "d.sock",
        uid=folder.stat().st_uid,
        home=folder,
        python=(3, 11, 7),
        requirements=("aiohttp>=3.14", "redis<8,>=5.2; extra == 'redis'"),
        version_of={"aiohttp": "3.14.1"}.get,
        has_module=lambda name: True,
        shm_unavailable=None,
        make_ring=lambda: None,
        open_files=4096,
        unit_dirs=(),
        log_dirs=(folder,),
        free_bytes=lambda _: 10 << 30,
        encoding="utf-8",
    )


def found(check: Check, facts: Facts) -> Finding:
    (finding,) = check(facts)
    assert bool(finding.remedy) == (finding.level is not Level.OK)
    return finding


def level(check: Check, facts: Facts) -> Level:
    return found(check, facts).level


def test_this_machine_s_python_and_packages_are_well() -> None:
    here = facts_here(None, None, None)
    assert level(system.python, here) is Level.OK
    assert found(system.packages, here).said == "all packages are there"
    assert here.has_module("rxlapce.cli")
    assert not here.has_module("no_such_package.part")


@pytest.mark.parametrize(
    ("version", "expected"), [((3, 10, 14), Level.PROBLEM), ((3, 11, 0), Level.OK), ((3, 14, 0), Level.OK)]
)
def test_python(facts: Facts, version: tuple[int, ...], expected: Level) -> None:
    assert level(system.python, replace(facts, python=version)) is expected


@pytest.mark.parametrize(
    ("requirement", "installed", "said"),
    [
        ("a>=3.14", "3.14", None),
        ("a>=3.14", "3.14.0rc1", None),
        ("a>=3.14", "3.9", "a 3.9 is installed, and >=3.14 is needed"),
        ("a>=3.14", None, "a is not installed"),
        ("a<8,>=5.2", "7.1", None),
        ("a<8,>=5.2", "8.0", "a 8.0 is installed, and <8,>=5.2 is needed"),
        ("a[fast]>=2; sys_platform != 'win32'", "1", "a 1 is installed, and >=2 is needed"),
        ("a>=3; extra == 'vertex'", None, None),
        ("a", "0", None),
    ],
)
def test_a_package(facts: Facts, requirement: str, installed: str | None, said: str | None) -> None:
    finding = found(system.packages, replace(facts, requirements=(requirement,), version_of={"a": installed}.get))
    assert (finding.level is Level.PROBLEM) == (said is not None)
    assert finding.said == (said or "all packages are there")


def test_a_checkout_that_is_not_installed_is_told(facts: Facts) -> None:
    assert level(system.packages, replace(facts, requirements=None)) is Level.WARNING


def test_shared_memory(facts: Facts) -> None:
    def fails() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    assert found(system.shared_memory, facts).said == "a ring can be made"
    assert "by the socket" in found(system.shared_memory, replace(facts, shm_unavailable="not here")).said
    assert "Too many open files" in found(system.shared_memory, replace(facts, make_ring=fails)).said
    assert level(system.shared_memory, replace(facts, make_ring=fails)) is Level.WARNING


def test_the_runtime_folder(facts: Facts, folder: Path) -> None:
    assert level(system.runtime_dir, facts) is Level.OK
    assert level(system.runtime_dir, replace(facts, environ={"RXLAPCE_SOCKET": "/x"})) is Level.OK
    assert "to user" in found(system.runtime_dir, replace(facts, uid=facts.uid + 1)).said
    gone = replace(facts, environ={"XDG_RUNTIME_DIR": str(folder / "gone")})
    assert "No such file" in found(system.runtime_dir, gone).said
    folder.chmod(0o750)
    open_to_others = found(system.runtime_dir, facts)
    assert (open_to_others.level, "mode 0750" in open_to_others.said) == (Level.PROBLEM, True)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0o1777, Level.WARNING), (0o755, Level.WARNING), (0o777, Level.PROBLEM), (0o770, Level.PROBLEM)],
)
def test_where_the_socket_is_in_tmp(facts: Facts, folder: Path, mode: int, expected: Level) -> None:
    folder.chmod(mode)
    assert level(system.runtime_dir, replace(facts, environ={}, tmp=folder)) is expected


def test_somebody_else_s_tmp_is_a_problem(facts: Facts, folder: Path) -> None:
    if facts.uid == 0:
        os.chown(folder, 4711, -1)
    elsewhere = replace(facts, environ={}, tmp=folder, uid=folder.stat().st_uid + 1)
    assert level(system.runtime_dir, elsewhere) is Level.PROBLEM


def test_the_socket_s_path(facts: Facts, folder: Path) -> None:
    assert level(system.socket_path, facts) is Level.OK
    assert "makes it" in found(system.socket_path, replace(facts, path=folder / "new" / "d.sock")).said
    longest = folder / ("x" * (107 - len(str(folder)) - 1))
    assert level(system.socket_path, replace(facts, path=longest)) is Level.OK
    long = longest.with_name(longest.name + "x")
    assert "107 is the most" in found(system.socket_path, replace(facts, path=long)).said
    (folder / "link").symlink_to(folder)
    assert "no folder" in found(system.socket_path, replace(facts, path=folder / "link" / "d.sock")).said
    (folder / "dangling").symlink_to(folder / "gone")
    assert "no folder" in found(system.socket_path, replace(facts, path=folder / "dangling" / "d.sock")).said
    folder.chmod(0o755)
    assert found(system.socket_path, facts).remedy.startswith(f"chmod 700 {folder}")


def test_the_socket_itself(facts: Facts) -> None:
    assert "nothing" in found(system.stale_socket, facts).said
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(facts.path))
        listener.listen()
        assert found(system.stale_socket, facts).said == "somebody listens"
    assert level(system.stale_socket, facts) is Level.WARNING
    facts.path.unlink()
    facts.path.write_text("")
    finding = found(system.stale_socket, facts)
    assert (finding.level, finding.remedy) == (Level.PROBLEM, f"remove it: rm {facts.path}")


def test_somebody_who_listens_and_does_not_answer_is_a_problem(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:  # no stream socket can connect to it
        other.bind(str(facts.path))
        assert level(system.stale_socket, facts) is Level.PROBLEM


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, Level.OK), (64, Level.PROBLEM), (256, Level.WARNING), (1023, Level.WARNING), (1024, Level.OK)],
)
def test_open_files(facts: Facts, limit: int, expected: Level) -> None:
    assert level(system.open_files, replace(facts, open_files=limit)) is expected


@pytest.mark.parametrize(
    ("unit", "expected", "said"),
    [
        (None, Level.OK, "no systemd unit"),
        ("[Service]\nExecStart={folder}/rxlapce serve\n", Level.OK, "rxlapce"),
        ("[Service]\nExecStart=-'{folder}/rxlapce' serve\n", Level.OK, "rxlapce"),
        ("[Service]\nExecStart={folder}/gone serve\n", Level.PROBLEM, "not there"),
        ("[Service]\nExecStart={folder}/gone\nExecStart={folder}/rxlapce serve\n", Level.OK, "rxlapce"),
        ("[Service]\n", Level.PROBLEM, "starts nothing"),
    ],
)
def test_the_service(facts: Facts, folder: Path, unit: str | None, expected: Level, said: str) -> None:
    program = folder / "rxlapce"
    program.touch(0o700)
    if unit is not None:
        (folder / "rxlapce.service").write_text(unit.format(folder=folder))
    finding = found(system.service, replace(facts, unit_dirs=(folder / "none", folder)))
    assert (finding.level, said in finding.said) == (expected, True)


@pytest.mark.parametrize(
    ("free", "expected"), [(1 << 20, Level.PROBLEM), (100 << 20, Level.WARNING), (1 << 30, Level.OK)]
)
def test_the_disk_with_the_least_room_counts(facts: Facts, folder: Path, free: int, expected: Level) -> None:
    (folder / "log").mkdir()

    def free_bytes(where: Path) -> int:
        return free if where.name == "log" else 1 << 40

    on_two = replace(facts, log_dirs=(folder, folder / "log", folder / "none"), free_bytes=free_bytes)
    finding = found(system.disk, on_two)
    assert (finding.level, str(folder / "log") in finding.said) == (expected, True)
    assert level(system.disk, replace(facts, log_dirs=())) is Level.OK


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", Level.OK), ("UTF8", Level.OK), ("ANSI_X3.4-1968", Level.WARNING)]
)
def test_the_terminal(facts: Facts, encoding: str, expected: Level) -> None:
    assert level(system.terminal, replace(facts, encoding=encoding)) is expected


@pytest.mark.parametrize(
    "check", [system.python, system.packages, system.socket_path, system.open_files, system.disk, system.terminal]
)
def test_a_machine_where_all_is_well_has_no_finding_but_ok(
    facts: Facts, check: Callable[[Facts], list[Finding]]
) -> None:
    assert level(check, facts) is Level.OK
