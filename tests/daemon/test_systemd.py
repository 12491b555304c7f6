"""What a service manager's variables say, and to whom."""

import resource
import sys

import pytest

from rxlapce.daemon.handover import successor_command
from rxlapce.daemon.service import raise_open_files
from rxlapce.daemon.systemd import Supervision, datagram, take_supervision
from rxlapce.errors import ConfigError

ALL = {
    "LISTEN_FDS": "1",
    "LISTEN_PID": "7",
    "LISTEN_FDNAMES": "rxlapce.socket",
    "NOTIFY_SOCKET": "/run/n",
    "WATCHDOG_USEC": "30000000",
    "WATCHDOG_PID": "7",
}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ALL, Supervision(passed=3, notify_socket="/run/n", watchdog_s=30.0)),
        (ALL | {"LISTEN_PID": "8"}, Supervision(notify_socket="/run/n", watchdog_s=30.0)),
        (ALL | {"WATCHDOG_PID": "8"}, Supervision(passed=3, notify_socket="/run/n")),
        ({"WATCHDOG_USEC": "500000"}, Supervision(watchdog_s=0.5)),
        ({"WATCHDOG_USEC": "0"}, Supervision()),
        ({"WATCHDOG_USEC": "soon"}, Supervision()),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "7"}, Supervision()),
        ({"LISTEN_FDS": "1"}, Supervision()),
        ({"NOTIFY_SOCKET": ""}, Supervision()),
        ({}, Supervision()),
    ],
)
def test_the_variables_say_it_to_one_process_and_are_gone_for_its_children(
    said: dict[str, str], expected: Supervision
) -> None:
    environ = {"HOME": "/h", **said}
    assert take_supervision(environ, 7) == expected
    assert environ == {"HOME": "/h"}


@pytest.mark.parametrize("count", ["2", "-1", "all"])
def test_more_than_one_socket_is_an_error_that_says_so(count: str) -> None:
    with pytest.raises(ConfigError, match=f"passed {count} sockets, and the daemon listens on one"):
        take_supervision(ALL | {"LISTEN_FDS": count}, 7)


def test_a_datagram_has_an_assignment_a_line() -> None:
    assert datagram({"READY": "1", "STATUS": "two\nlines"}) == b"READY=1\nSTATUS=two lines"


@pytest.mark.parametrize(
    ("limits", "asked", "told"),
    [
        ((256, 4096), (4096, 4096), (256, 4096)),
        ((256, resource.RLIM_INFINITY), (1 << 20, resource.RLIM_INFINITY), (256, 1 << 20)),
        ((256, 1 << 30), (1 << 20, 1 << 30), (256, 1 << 20)),
        ((4096, 4096), None, (4096, 4096)),
        ((1 << 21, 1 << 30), None, (1 << 21, 1 << 21)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_open_files_are_raised_to_the_hard_limit_within_reason(
    limits: tuple[int, int],
    asked: tuple[int, int] | None,
    told: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wished: list[tuple[int, int]] = []

    def getrlimit(_: int) -> tuple[int, int]:
        return limits

    def setrlimit(_: int, to: tuple[int, int]) -> None:
        wished.append(to)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert raise_open_files() == told
    assert wished == ([] if asked is None else [asked])


def test_a_limit_that_may_not_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def getrlimit(_: int) -> tuple[int, int]:
        return 256, 4096

    def setrlimit(_: int, to: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert raise_open_files() == (256, 256)


def test_the_next_command_line_is_this_one_without_its_descriptors() -> None:
    own = ["python3", "-m", "rxlapce", "serve", "--ready-fd", "5", "--path", "/a", "--lifeline-fd=6", "--replace"]
    plain = [sys.executable, "-m", "rxlapce", "serve", "--path", "/a", "--ready-fd", "9"]
    assert successor_command(own, 9, passed=False) == [*plain, "--replace"]
    shell, flag, script, name, *command = successor_command(own, 9, passed=True)
    assert (shell, flag, name, command) == ("/bin/sh", "-c", "sh", plain)
    assert "LISTEN_PID=$$" in script
