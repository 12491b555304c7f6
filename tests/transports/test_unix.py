"""The Unix socket: who may listen where, who may connect, and the end of a connection."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.errors import (
    ConfigError,
    ConnectionLost,
    DaemonAlreadyRunning,
    DaemonNotRunning,
    HandshakeRefused,
)
from rxlapce.transports import unix
from rxlapce.transports.unix import (
    connect,
    default_socket_path,
    listen,
    peer_uid,
    remove_socket,
)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "daemon.sock"


# -- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "runtime", "expected"),
    [
        ("/a/b.sock", "/run/user/7", "/a/b.sock"),
        (None, "/run/user/7", "/run/user/7/rxlapce/daemon.sock"),
        ("", "", f"/tmp/rxlapce-{os.geteuid()}/daemon.sock"),  # noqa: S108 - the documented default
    ],
)
def test_the_default_path(monkeypatch: pytest.MonkeyPatch, chosen: str | None, runtime: str, expected: str) -> None:
    monkeypatch.delenv("RXLAPCE_SOCKET", raising=False)
    if chosen is not None:
        monkeypatch.setenv("RXLAPCE_SOCKET", chosen)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert default_socket_path() == Path(expected)


def test_listening_makes_a_socket_for_this_user_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        with listen(path) as listener:
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert not listener.getblocking()
            assert not listener.get_inheritable()
    finally:
        os.umask(old)
    assert [entry.name for entry in path.parent.iterdir()] == ["daemon.sock"], "no lock file"


def test_a_second_daemon_is_refused_and_the_first_goes_on(path: Path) -> None:
    with listen(path):
        with pytest.raises(DaemonAlreadyRunning, match="a daemon already listens at"):
            listen(path)
        connect(path, 1).close()


def test_a_daemon_too_busy_to_accept_is_running(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix, "BACKLOG", 0)
    with listen(path):
        waiting = connect(path, 1)
        with pytest.raises(DaemonAlreadyRunning):
            listen(path)
        with pytest.raises(ConnectionLost, match="too busy to accept a connection"):
            connect(path, 0.01)
        waiting.close()


def test_a_socket_left_by_a_dead_daemon_is_taken_over(path: Path) -> None:
    listen(path).close()
    assert path.exists()
    with pytest.raises(DaemonNotRunning, match=r"no daemon answers at .*start it with: rxlapce serve"):
        connect(path, 1)
    with listen(path):
        connect(path, 1).close()


def test_a_file_in_the_socket_s_place_is_left_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    with pytest.raises(ConfigError, match="exists and is no socket: remove it"):
        listen(path)
    assert path.read_text() == "precious"


def test_a_directory_open_to_others_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o750)
    with pytest.raises(ConfigError, match=r"is open to other users \(mode 0750\); make it yours alone \(chmod 700\)"):
        listen(path)


def test_a_directory_that_is_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"cannot be the socket's directory: (Not a directory|Too many levels)"):
        listen(path)


def test_a_directory_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=rf"belongs to user {owner}, not to you \({owner + 1}\)"):
        listen(path)


def test_a_directory_that_is_a_file_is_refused(path: Path) -> None:
    path.parent.write_text("")
    with pytest.raises(ConfigError, match="cannot be the socket's directory"):
        listen(path)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bytes long and a Unix socket's may be 107: set RXLAPCE_SOCKET"):
        listen(tmp_path / ("x" * 108))


RACER = """
import sys, pathlib
from rxlapce.errors import DaemonAlreadyRunning
from rxlapce.transports.unix import listen
print("ready", flush=True)
sys.stdin.readline()
try:
    listener = listen(pathlib.Path(sys.argv[1]))
    print("won", flush=True)
except DaemonAlreadyRunning:
    print("lost", flush=True)
sys.stdin.readline()
"""


def test_of_daemons_that_start_at_once_over_a_stale_socket_one_wins(path: Path) -> None:
    listen(path).close()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(4)
    ]

    def say(racer: subprocess.Popen[str]) -> None:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()

    def hear(racer: subprocess.Popen[str]) -> str:
        assert racer.stdout is not None
        return racer.stdout.readline().strip()

    assert [hear(racer) for racer in racers] == ["ready"] * 4
    for racer in racers:
        say(racer)
    assert sorted(hear(racer) for racer in racers) == ["lost", "lost", "lost", "won"]
    connect(path, 1).close()
    for racer in racers:
        say(racer)
        racer.communicate()


# -- removing -------------------------------------------------------------------------------------------------------


def test_the_listener_removes_its_own_file_once(path: Path) -> None:
    with listen(path) as listener:
        remove_socket(path, listener)
        assert not path.exists()
        remove_socket(path, listener)


def test_a_file_that_another_daemon_has_put_there_since_stays(path: Path) -> None:
    with listen(path) as listener:
        path.rename(path.with_name("kept"))  # its inode stays in use, so that the next one is another
        with listen(path):
            remove_socket(path, listener)
            connect(path, 1).close()


def test_removing_after_the_directory_has_gone_does_nothing(path: Path) -> None:
    with listen(path) as listener:
        path.unlink()
        path.parent.rmdir()
        remove_socket(path, listener)
        assert not path.parent.exists()


def test_removing_for_a_socket_that_listen_did_not_make_is_a_mistake(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(TypeError, match="takes what listen returned"):
        remove_socket(path, other)


# -- connecting -----------------------------------------------------------------------------------------------------


def test_connecting_where_nothing_is_says_how_to_start_it(path: Path) -> None:
    with pytest.raises(DaemonNotRunning, match=r"no daemon at .*; start it with: rxlapce serve"):
        connect(path, 1)


def test_a_socket_of_another_user_is_not_connected_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listen(path):
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        with pytest.raises(ConfigError, match=rf"belongs to user {owner}, not to you \({owner + 1}\)"):
            connect(path, 1)


def test_a_daemon_that_runs_as_another_user_is_not_talked_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_: socket.socket) -> int:
        return 12345

    with listen(path):
        monkeypatch.setattr(unix, "peer_uid", other)
        with pytest.raises(HandshakeRefused, match="runs as user 12345"):
            connect(path, 1)


def test_a_connected_socket_does_not_block_and_knows_its_peer(path: Path) -> None:
    with listen(path), connect(path, 1) as sock:
        assert not sock.getblocking()
        assert peer_uid(sock) == os.geteuid()
