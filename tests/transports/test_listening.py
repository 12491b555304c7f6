"""Listening on a Unix socket: who may, where; in place of another daemon; on a socket that was passed."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxlapce.errors import ConfigError, ConnectionLost, DaemonAlreadyRunning, DaemonNotRunning
from rxlapce.transports import listening
from rxlapce.transports.listening import adopt, is_at, listen, remove_socket, take_over
from rxlapce.transports.unix import connect

pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "daemon.sock"


# -- alone ------------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(listening, "BACKLOG", 0)
    monkeypatch.setattr(listening, "_PROBE_S", 0.02)
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
from rxlapce.transports.listening import listen
print("ready", flush=True)
sys.stdin.readline()
try:
    listener = listen(pathlib.Path(sys.argv[1]))
    print("won", flush=True)
except DaemonAlreadyRunning:
    print("lost", flush=True)
sys.stdin.readline()
"""


@pytest.mark.heavy
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


# -- in place of another ----------------------------------------------------------------------------------------------

#: Listens like a daemon, under the name of one, until it is told to end.
STANDING = """
import signal, sys, pathlib
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
from rxlapce.transports.listening import listen
listener = listen(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
print(signal.sigwait([signal.SIGTERM]).name, flush=True)
"""


@pytest.fixture
def standing(path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that listens at `path`; its last argument is `serve`, or the fixture's parameter."""
    name = getattr(request, "param", "serve")
    with subprocess.Popen(
        [sys.executable, "-c", STANDING, str(path), name],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_taking_over_leaves_no_moment_without_a_listener_and_asks_by_a_signal(
    path: Path, standing: subprocess.Popen[str]
) -> None:
    before = connect(path, 1)
    listener, predecessor = take_over(path)
    with listener, before, connect(path, 1):
        assert is_at(path, listener)
        listener.accept()[0].close()
        assert [entry.name for entry in path.parent.iterdir()] == ["daemon.sock"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert predecessor is not None
        assert predecessor.pid == standing.pid
        predecessor.ask_to_stop()
        assert standing.stdout is not None
        assert standing.stdout.readline() == "SIGTERM\n"
        standing.wait()
        predecessor.ask_to_stop()
        predecessor.close()
        predecessor.close()
        remove_socket(path, listener)
        assert not path.exists()


def test_who_was_taken_over_does_not_remove_the_successor_s_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ours(_: int) -> list[str]:
        return ["rxlapce", "serve"]

    monkeypatch.setattr(listening, "_arguments", ours)
    with listen(path) as first:
        second, predecessor = take_over(path)
        assert predecessor is not None
        assert predecessor.pid == os.getpid()
        predecessor.close()
        with second:
            assert not is_at(path, first)
            remove_socket(path, first)
            assert is_at(path, second)


@pytest.mark.parametrize("stale", [True, False])
def test_taking_over_where_nobody_listens_is_listening(path: Path, stale: bool) -> None:
    if stale:
        listen(path).close()
    listener, predecessor = take_over(path)
    assert predecessor is None
    with listener, connect(path, 1):
        assert is_at(path, listener)


def test_what_one_that_was_killed_on_the_way_left_is_no_hindrance(path: Path, standing: subprocess.Popen[str]) -> None:
    path.with_name(".new").touch()
    listener, predecessor = take_over(path)
    assert predecessor is not None
    predecessor.close()
    with listener:
        assert [entry.name for entry in path.parent.iterdir()] == ["daemon.sock"]


@pytest.mark.parametrize("standing", ["--user"], indirect=True)
def test_a_process_that_is_no_daemon_is_neither_replaced_nor_signalled(
    path: Path, standing: subprocess.Popen[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"process {standing.pid} .*is no `rxlapce serve`: restart the daemon where"):
        take_over(path)
    assert standing.poll() is None
    connect(path, 1).close()
    assert [entry.name for entry in path.parent.iterdir()] == ["daemon.sock"]


def test_a_daemon_of_another_user_is_not_replaced(
    path: Path, standing: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: socket.socket) -> int:
        return 12345

    monkeypatch.setattr(listening, "peer_uid", other)
    with pytest.raises(ConfigError, match="runs as user 12345, not as you"):
        take_over(path)
    connect(path, 1).close()


def test_a_path_with_no_room_for_the_name_beside_it_is_refused(path: Path) -> None:
    folder = path.parent / ("x" * (104 - len(os.fsencode(path.parent))))
    with pytest.raises(ConfigError, match="bytes long and a Unix socket's may be 107"):
        take_over(folder / "d")
    assert not folder.exists()


# -- made by another --------------------------------------------------------------------------------------------------


def made(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM, *, listening: bool = True) -> int:
    """The descriptor of a socket as a service manager makes it: to block, and to be inherited."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(os.fspath(path))
    if listening:
        sock.listen()
    sock.set_inheritable(True)
    return sock.detach()


def test_a_socket_that_was_passed_is_listened_on_and_its_file_stays(path: Path) -> None:
    listener, where = adopt(made(path))
    assert where == path
    assert not listener.get_inheritable()
    assert not listener.getblocking()
    with listener, connect(path, 1):
        listener.accept()[0].close()
        remove_socket(path, listener)
    assert path.exists()


def test_a_socket_that_was_passed_must_be_in_a_directory_of_ours_alone(path: Path) -> None:
    descriptor = made(path)
    path.parent.chmod(0o755)
    with pytest.raises(ConfigError, match=r"is open to other users \(mode 0755\); make it yours alone"):
        adopt(descriptor)


def test_a_socket_whose_directory_is_gone_is_refused(path: Path) -> None:
    descriptor = made(path)
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(ConfigError, match="in a directory that is not there"):
        adopt(descriptor)


def test_what_was_passed_and_is_no_listening_unix_stream_socket_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not listen: it needs Accept=no"):
        adopt(made(path, listening=False))
    with pytest.raises(ConfigError, match="is no Unix stream socket: ListenStream= must be a path"):
        adopt(made(path.with_name("datagrams"), socket.SOCK_DGRAM, listening=False))
    with pytest.raises(ConfigError, match="is no Unix stream socket"):
        adopt(socket.create_server(("127.0.0.1", 0)).detach())
    with pytest.raises(ConfigError, match="descriptor 999999, which was passed to listen on: Bad file descriptor"):
        adopt(999999)
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="is no socket"):
        adopt(file.fileno())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sockets without a file")
def test_a_socket_without_a_path_is_refused() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0rxlapce-test-{os.getpid()}")
    sock.listen()
    with pytest.raises(ConfigError, match="has no path, so nobody guards it"):
        adopt(sock.detach())
