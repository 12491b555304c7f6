"""The Unix socket: where it is, who may connect, and the end of a connection."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.errors import (
    ConfigError,
    DaemonNotRunning,
    HandshakeRefused,
)
from rxlapce.transports import unix
from rxlapce.transports.listening import listen
from rxlapce.transports.unix import (
    connect,
    default_socket_path,
    peer_uid,
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
