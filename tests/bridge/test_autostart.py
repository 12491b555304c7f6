"""Starting a daemon for whoever wants to connect: one for all, or its own last words."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxlapce.bridge import Bridge, ConnectionState, connect
from rxlapce.bridge.autostart import log_path, start_daemon
from rxlapce.bridge.messages import Ping, Pong, Reconnect, Status, StatusTold
from rxlapce.errors import ConfigError, DaemonNotRunning
from rxlapce.testing.processes import until
from rxlapce.testing.ui import Ui

#: One loop is enough for what happens in other processes.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
heavy = pytest.mark.heavy


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh place for state and socket, an environment of one provider that nobody asks, no daemon left behind."""
    with tempfile.TemporaryDirectory(prefix="rx") as folder:
        for name in ("RXLAPCE_CONFIG", "RXLAPCE_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LOCAL_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("XDG_STATE_HOME", f"{folder}/state")
        yield Path(folder)


async def pid_at(path: Path) -> int:
    async with await connect(path, transport="socket") as client:
        return (await client.status()).pid


async def stop(path: Path, pid: int) -> None:
    """End the daemon that a test has had started, and wait until it is gone."""
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not path.exists())
    await until(lambda: not running(pid))


def running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def facts(pid: int) -> tuple[int, int, int, Path]:
    """Parent, session and terminal of a process, and where it stands (proc(5))."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[1]), int(stat[3]), int(stat[4]), Path(f"/proc/{pid}/cwd").readlink()


@heavy
async def test_editors_that_start_at_once_get_one_daemon_that_outlives_them(home: Path) -> None:
    path = home / "sub" / "d.sock"
    clients = await asyncio.gather(*(connect(path, autostart=True) for _ in range(3)))
    pid = await pid_at(path)
    try:
        assert {(await client.status()).pid for client in clients} == {pid}
        parent, session, terminal, folder = facts(pid)
        assert (terminal, session == os.getsid(0), parent == os.getpid()) == (0, False, False)
        assert folder == Path("/")
        for client in clients:
            await client.aclose()
        assert await pid_at(path) == pid
        log = log_path()
        assert log == home / "state" / "rxlapce" / "daemon.log"
        assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert log.read_text().count("daemon_listening") == 1
    finally:
        await stop(path, pid)
    with pytest.raises(DaemonNotRunning):
        await connect(path)


@heavy
async def test_a_daemon_that_cannot_start_is_told_with_its_own_last_words(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "d.sock"
    monkeypatch.chdir(home)
    (home / "bad.yaml").write_text("retry: {attempts: 5}\n")
    log_path().parent.mkdir(parents=True)
    log_path().write_text("what another one said before\n")
    monkeypatch.setenv("RXLAPCE_CONFIG", "bad.yaml")  # from here, not from where the daemon stands
    with pytest.raises(ConfigError, match=r"has ended: .*bad\.yaml.*attempts") as failed:
        await start_daemon(path)
    assert "before" not in str(failed.value)
    ui = Ui()
    async with Bridge(path, on_message=ui, autostart=True) as bridge:
        bridge.send(Ping(id=1))
        status = await ui.until(ConnectionState.ERROR)
        assert "bad.yaml" in (status.reason or "")
        assert "bad.yaml" in (await ui.failure(1)).error.message


@heavy
async def test_a_bridge_starts_a_daemon_when_it_starts_and_when_it_is_asked_and_not_otherwise(home: Path) -> None:
    path = home / "d.sock"
    ui = Ui()
    pids: list[int] = []
    async with Bridge(path, on_message=ui, autostart=True) as bridge:
        for number in range(2):
            bridge.send(Status(id=number))
            report = await ui.end(number)
            assert isinstance(report, StatusTold)
            pids.append(report.report.pid)
            await stop(path, pids[-1])
            await ui.until(ConnectionState.DISCONNECTED, times=number + 1)
        assert len(set(pids)) == 2
        assert not path.exists()
        bridge.send(Reconnect())
        await ui.until(ConnectionState.CONNECTED, times=3)
        bridge.send(Ping(id=7))
        assert await ui.end(7) == Pong(id=7)
        await stop(path, await pid_at(path))


async def test_none_is_started_at_a_path_of_another_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match=f"belongs to user {uid}, not to you") as refused:
        await start_daemon(home / "d.sock")
    assert str(home) in str(refused.value)
    assert not log_path().exists()


async def test_a_place_where_it_cannot_log_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/file")
    with pytest.raises(ConfigError, match=r"cannot log to .*daemon\.log.* set XDG_STATE_HOME"):
        await start_daemon(home / "d.sock")


async def test_the_log_is_in_the_state_home_or_in_the_users_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log_path() == home / "state" / "rxlapce" / "daemon.log"
    monkeypatch.setenv("HOME", str(home))
    for invalid in ("", "relative/state"):
        monkeypatch.setenv("XDG_STATE_HOME", invalid)
        assert log_path() == home / ".local" / "state" / "rxlapce" / "daemon.log"


async def test_without_autostart_it_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(DaemonNotRunning, match="start it with: rxlapce serve"):
        await connect(home / "d.sock")
