"""`rxlapce service`: the units, where they go, and what the service manager is asked."""

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.cli import service_units as units

ROOT = Path(__file__).parents[2]


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]

ANALYZE = shutil.which("systemd-analyze") or ""
needs_analyze = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed")


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with `systemctl` and `launchctl` that write down what they were asked."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("systemctl", "launchctl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>"$HOME/asked"\nexit "${{FAILS:-0}}"\n')
        program.chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def asked(home: Path) -> list[str]:
    file = home / "asked"
    return file.read_text().splitlines() if file.exists() else []


def written(home: Path) -> dict[str, str]:
    folder = home / ".config" / "systemd" / "user"
    return {file.name: file.read_text() for file in sorted(folder.iterdir())}


def setting(unit: str, name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(found)


# -- the units --------------------------------------------------------------------------------------------------------


def test_the_units_to_copy_are_those_that_the_command_writes() -> None:
    assert (ROOT / "deploy/systemd/rxlapce.service").read_text() == units.usual_systemd_service()
    assert (ROOT / "deploy/systemd/rxlapce.socket").read_text() == units.systemd_socket(units.USUAL_SOCKET)
    assert (ROOT / "deploy/launchd/dev.rxlapce.daemon.plist").read_bytes() == units.usual_launchd_agent()


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_units(home: Path, command: Command) -> None:
    assert command("service", "install", "--for", "systemd", "--", "--simulator").code == 0
    folder = home / ".config" / "systemd" / "user"
    done = subprocess.run(
        [ANALYZE, "verify", "--user", *map(str, sorted(folder.iterdir()))],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
def test_systemd_finds_what_is_wrong_with_a_unit(home: Path) -> None:
    broken = home / "rxlapce.service"
    broken.write_text(units.systemd_service(["/no/such/program"]).replace("WatchdogSec", "WatchedSec"))
    (home / "rxlapce.socket").write_text(units.systemd_socket(units.USUAL_SOCKET))
    done = subprocess.run(
        [ANALYZE, "verify", "--user", str(broken)],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_RUNTIME_DIR": str(home)},
    )  # fmt: skip
    assert "WatchedSec" in done.stderr
    assert "/no/such/program is not executable" in done.stderr


def test_the_manager_s_patience_is_longer_than_the_drain_and_the_socket_is_the_clients_own() -> None:
    service, listening = units.usual_systemd_service(), units.systemd_socket(units.USUAL_SOCKET)
    drain = re.findall(r"--drain (\d+)", service)
    assert [int(setting(service, "TimeoutStopSec")) > int(seconds) for seconds in drain] == [True]
    assert setting(service, "Type") == "notify"
    assert setting(listening, "ListenStream") == "%t/rxlapce/daemon.sock"
    assert (setting(listening, "SocketMode"), setting(listening, "DirectoryMode")) == ("0600", "0700")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["/a/rxlapce", "serve"], "/a/rxlapce serve"),
        (["/my programs/rxlapce"], '"/my programs/rxlapce"'),
        (["a", "100%", "$HOME"], "a 100%% $$HOME"),
        (["a", 'say "hi"', "b\\c", ""], 'a "say \\"hi\\"" "b\\\\c" ""'),
    ],
)
def test_words_of_a_command_line_mean_themselves(words: list[str], line: str) -> None:
    assert setting(units.systemd_service(words), "ExecStart") == line


def test_an_agent_is_started_by_a_shell_with_the_keys_of_the_file(home: Path) -> None:
    agent = plistlib.loads(units.launchd_agent([sys.executable, "-c", "import os; print(os.environ['A_KEY'])"]))
    assert (agent["Label"], agent["KeepAlive"]) == (units.LABEL, {"SuccessfulExit": False})
    assert agent["ExitTimeOut"] > units.DRAIN_S
    (home / ".config/rxlapce").mkdir(parents=True)
    (home / ".config/rxlapce/env").write_text("A_KEY='with blanks'\n")
    done = subprocess.run(agent["ProgramArguments"], capture_output=True, text=True, check=True)
    assert done.stdout == "with blanks\n"


# -- the command ------------------------------------------------------------------------------------------------------


def test_install_writes_the_units_and_says_the_two_commands(home: Path, command: Command) -> None:
    done = command("service", "install", "--for", "systemd")
    assert done.out.splitlines() == ["systemctl --user daemon-reload", "systemctl --user enable --now rxlapce.socket"]
    assert asked(home) == []
    assert list(written(home)) == ["rxlapce.service", "rxlapce.socket"], "and no file that was begun"
    program, *arguments = shlex.split(setting(written(home)["rxlapce.service"], "ExecStart"))
    assert os.access(program, os.X_OK)
    assert arguments[-3:] == ["serve", "--drain", "20"]
    shown = re.split(r"^# /.*/(rxlapce\.\w+)\n", command("service", "show", "--for", "systemd").out, flags=re.MULTILINE)
    assert {name: text[:-1] for name, text in zip(shown[1::2], shown[2::2], strict=True)} == written(home)


@pytest.mark.heavy
def test_install_now_starts_it_and_its_program_is_one_that_serves(home: Path, command: Command) -> None:
    assert command("service", "install", "--for", "systemd", "--now", "--", "--simulator", "--ring-kib", "64").code == 0
    assert asked(home) == ["systemctl --user daemon-reload", "systemctl --user enable --now rxlapce.socket"]
    program, *arguments = shlex.split(setting(written(home)["rxlapce.service"], "ExecStart"))
    assert arguments[-3:] == ["--simulator", "--ring-kib", "64"]
    said = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    assert "Run the daemon that editors connect to" in said


def test_installing_again_replaces_what_is_there(home: Path, command: Command) -> None:
    assert command("service", "install", "--for", "systemd", "--", "--simulator").code == 0
    assert command("service", "install", "--for", "systemd").code == 0
    assert "--simulator" not in written(home)["rxlapce.service"]


def test_a_socket_of_one_s_own_is_the_unit_s_too(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RXLAPCE_SOCKET", "/srv/100%/d.sock")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "settings"))
    assert command("service", "install", "--for", "systemd").code == 0
    unit = (home / "settings/systemd/user/rxlapce.socket").read_text()
    assert setting(unit, "ListenStream") == "/srv/100%%/d.sock"


def test_uninstall_stops_it_and_leaves_nothing(home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("service", "install", "--for", "systemd")
    monkeypatch.setenv("FAILS", "1")  # it was never started
    assert command("service", "uninstall", "--for", "systemd").code == 0
    assert written(home) == {}
    assert asked(home) == [
        "systemctl --user disable --now rxlapce.socket rxlapce.service",
        "systemctl --user daemon-reload",
    ]
    again = command("service", "uninstall", "--for", "systemd")
    assert again.code == 1
    assert "no service is installed in" in again.err


def test_launchd_s_agent_goes_where_it_looks(home: Path, command: Command) -> None:
    assert command("service", "install", "--for", "launchd", "--now").code == 0
    path = home / "Library/LaunchAgents/dev.rxlapce.daemon.plist"
    assert "serve --drain 20 --log-file" in plistlib.loads(path.read_bytes())["ProgramArguments"][2]
    assert command("service", "uninstall", "--for", "launchd").code == 0
    assert not path.exists()
    domain = f"gui/{os.getuid()}"
    assert asked(home) == [f"launchctl bootstrap {domain} {path}", f"launchctl bootout {domain}/dev.rxlapce.daemon"]


def test_status_is_the_manager_s_with_its_exit_code(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "3")
    assert command("service", "status", "--for", "systemd").code == 3
    assert asked(home) == ["systemctl --user --no-pager --full status rxlapce.socket rxlapce.service"]


def test_a_manager_that_fails_is_told_with_its_command(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "4")
    done = command("service", "install", "--for", "systemd", "--now")
    assert done.code == 1
    assert "`systemctl --user daemon-reload` failed with exit code 4" in done.err


@pytest.mark.parametrize("action", ["install", "uninstall", "status"])
def test_without_the_manager_it_says_what_to_do(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setenv("PATH", str(home))
    done = command("service", action, "--for", "systemd")
    assert done.code == 1
    assert "there is no systemctl here" in done.err
    assert "`rxlapce serve`" in done.err
    assert not (home / ".config").exists()
    assert command("service", "show", "--for", "systemd").code == 0


@pytest.mark.parametrize(("option", "told"), [("--simulated", "No such option"), ("--ring-kib=x", "not a valid int")])
def test_options_that_serve_does_not_know_are_refused_before_anything_is_written(
    home: Path, command: Command, option: str, told: str
) -> None:
    done = command("service", "install", "--for", "systemd", "--", option)
    assert done.code == 2
    assert told in done.err
    assert not (home / ".config").exists()


def test_a_folder_that_cannot_be_written_is_told(home: Path, command: Command) -> None:
    (home / ".config").touch()
    done = command("service", "install", "--for", "systemd")
    assert done.code == 1
    assert "cannot write" in done.err
