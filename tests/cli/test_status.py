"""`rxlapce status`: the screen, the JSON, the exit codes, and watching."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol

import click
import msgspec
import pytest
from rich.cells import cell_len

import rxlapce
from rxlapce.cli.figures import duration, fitted, size
from rxlapce.cli.status_view import MAX_SHOWN, WIDTH, screen, summary, unwell
from rxlapce.messages import Status
from rxlapce.status import ClientStatus, ConfigStatus, ModelStatus, ProviderStatus, StatusReport
from rxlapce.testing.peer import RawPeer, fake_daemon


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]

WELL = StatusReport(
    version=rxlapce.__version__, pid=77, uptime_s=7290.0, memory_bytes=88_290_099, open_files=23, max_open_files=1024,
    tasks=9, connections=3, max_connections=256, requests=2, max_requests=256, window_s=10.0, tokens_per_s=1234.56,
    models=(
        ModelStatus(model="openai/gpt-4.1", running=2, attempts=125, finished=120, failed=3, tokens_per_s=56.1,
                    first_token_s=0.416),
        ModelStatus(model="anthropic/claude-haiku-4-5"),
    ),
    providers=(
        ProviderStatus(name="openai", usable=True, origin="environment: OPENAI_API_KEY"), ProviderStatus(name="local")
    ),
    clients=(ClientStatus(number=1, client="lapce", user="uid 1000", transport="shm", requests=2, ring_bytes=2048),),
)  # fmt: skip
PATH = Path("/run/user/1000/rxlapce/daemon.sock")


def plain(report: StatusReport, *, verbose: bool = False) -> list[str]:
    return [click.unstyle(line) for line in screen(report, PATH, verbose=verbose)]


# -- the screen -------------------------------------------------------------------------------------------------------


def test_the_screen_has_all_that_matters_at_a_glance() -> None:
    assert plain(WELL, verbose=True) == [
        f"● rxlapce {rxlapce.__version__} is running and well",
        " process: 77, up 2 h 1 min, 84.2 MiB, 23 of 1024 files",
        "  socket: /run/user/1000/rxlapce/daemon.sock",
        " clients: 3 of 256",
        "requests: 2 under way, 1,234.6 tokens/s over the last 10 s",
        "",
        "MODEL                                      RUN WAIT   DONE  FAIL   FIRST  TOK/S",
        "openai/gpt-4.1                               2    0    120     3  0.42 s   56.1",
        "anthropic/claude-haiku-4-5                   0    0      0     0       -    0.0",
        "",
        "PROVIDER          HEALTH      BY",
        "openai            well        environment: OPENAI_API_KEY",
        "local             not known   ",
        "",
        "CLIENT                         USER                BY  REQUESTS    UNREAD",
        "lapce                          uid 1000           shm         2   2.0 KiB",
    ]


def test_the_clients_are_shown_when_asked_for() -> None:
    assert plain(WELL) == plain(WELL, verbose=True)[:-3]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (replace(WELL, draining=True), "it is stopping, and takes no new requests"),
        (replace(WELL, open_files=922), "922 of 1024 files are open: raise ulimit -n"),
        (replace(WELL, connections=256), "256 clients are connected, as many as it takes"),
        (replace(WELL, providers=(ProviderStatus(name="a", usable=False, reason="gone"),)), "a: gone"),
        (
            replace(WELL, models=(ModelStatus(model="a/m", breaker="half_open", cause="5 failures"),)),
            "a/m: its circuit is half open: 5 failures",
        ),
    ],
    ids=["draining", "files", "connections", "provider", "breaker"],
)
def test_a_daemon_that_is_not_well_says_why(report: StatusReport, said: str) -> None:
    assert unwell(report) == [said]
    lines = plain(report)
    assert lines[0].endswith("is running, but not well")
    assert f"  unwell: {said}" in lines
    assert summary(report).startswith("unwell ")


@pytest.mark.parametrize(
    "report",
    [
        WELL,
        replace(WELL, open_files=921),
        replace(WELL, open_files=10**6, max_open_files=0),
        replace(WELL, connections=255, refused={"max_connections": 3}),
        replace(WELL, providers=(ProviderStatus(name="a", usable=None, reason="it lists no models"),)),
    ],
    ids=["at rest", "files", "no limit", "refused once", "not known"],
)
def test_a_daemon_that_is_well_is_said_to_be(report: StatusReport) -> None:
    assert unwell(report) == []
    assert plain(report)[0].endswith("is running and well")
    assert summary(report).startswith("well requests=2 tokens_per_s=1234.6 connections=")


def test_a_file_that_was_refused_is_told_once_and_what_is_wrong_in_it_whole() -> None:
    file = "/home/ada/.config/rxlapce/config.yaml"
    wrong = "limits.default.requests: expected a whole number of requests from 1 or null, got no"
    lines = plain(replace(WELL, config=ConfigStatus(file=file, age_s=70, error=f"{file}:24:23: {wrong}")))
    at = lines.index(f"  config: {file}, loaded 1 min 10 s ago")
    assert lines[at + 1 : at + 3] == [
        "  unwell: the file was refused: 24:23: limits.default.requests: expected a",
        "          whole number of requests from 1 or null, got no",
    ]


def test_what_was_refused_and_another_version_are_told() -> None:
    lines = plain(replace(WELL, version="0.0.1", refused={"max_requests": 2, "max_connections": 1}))
    assert " refused: 1 by max_connections, 2 by max_requests, since it started" in lines
    told = f" version: it is 0.0.1 and this command is {rxlapce.__version__}: rxlapce serve --replace"
    assert told in lines


def test_no_line_is_wider_than_the_screen_and_none_steers_the_terminal() -> None:
    hostile = "\x1b]0;x\x07" + "漢" * 200 + "\nsecond line"
    wide = replace(
        WELL,
        models=tuple(
            ModelStatus(model=f"{number}{hostile}", attempts=1, breaker="open", cause=hostile) for number in range(40)
        ),
        providers=(ProviderStatus(name=hostile, usable=False, reason=hostile, origin=hostile),),
        clients=tuple(
            ClientStatus(number=number, client=hostile, user=hostile, transport="socket") for number in range(40)
        ),
    )
    lines = plain(wide, verbose=True)
    assert max(map(cell_len, lines)) <= WIDTH
    assert not [line for line in lines if re.search(r"[\x00-\x1f\x7f-\x9f]", line)]
    assert f"and {40 - MAX_SHOWN} more models: --json tells all" in lines
    assert f"and {40 - MAX_SHOWN} more clients: --json tells all" in lines


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (130, "2 min 10 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 40, "3.0 TiB")])
def test_sizes_have_the_largest_unit_that_they_fill(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize("width", [1, 2, 5, 80])
@pytest.mark.parametrize("text", ["", "abcdef", "漢字漢字", "a\nb\x1b[2J"])
def test_a_fitted_text_has_the_width(text: str, width: int) -> None:
    assert cell_len(fitted(text, width)) == width


# -- the command ------------------------------------------------------------------------------------------------------


def test_a_running_daemon_is_shown_and_the_exit_code_is_0(command: Command, simulated: Path) -> None:
    done = command("status", "--path", str(simulated), "-v")
    assert (done.code, done.err) == (0, "")
    assert "is running and well" in done.out
    assert "rxlapce status" in done.out
    assert "\x1b" not in done.out


def test_json_is_the_report_of_the_wire(command: Command, simulated: Path) -> None:
    done = command("status", "--path", str(simulated), "--json")
    (line,) = done.out.splitlines()
    report = json.loads(line)
    assert report.pop("type") == "status_report"
    assert set(report) == {field.name for field in fields(StatusReport)}
    assert msgspec.convert(report, StatusReport).providers[0].name == "simulator"


def test_without_a_daemon_the_exit_code_is_1_and_the_way_to_start_one_is_told(command: Command, folder: Path) -> None:
    for arguments in ((), ("--json",)):
        done = command("status", "--path", str(folder / "none.sock"), *arguments)
        assert (done.code, done.out) == (1, "")
        assert "start it with: rxlapce serve" in done.err


def test_somebody_else_s_socket_is_no_daemon_of_ours(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d.sock").touch()
    monkeypatch.setattr(os, "geteuid", lambda: (folder / "d.sock").stat().st_uid + 1)
    done = command("status", "--path", str(folder / "d.sock"))
    assert (done.code, "belongs to user" in done.err) == (1, True)


def answering(report: StatusReport) -> Callable[[RawPeer], Awaitable[None]]:
    async def script(peer: RawPeer) -> None:
        request_id, asked = await peer.receive()
        assert asked == Status()
        peer.send(report, request_id)
        await peer.receive_all()

    return script


async def test_a_daemon_that_is_not_well_has_exit_code_3(command: Command, folder: Path) -> None:
    async with fake_daemon(folder / "d.sock", answering(replace(WELL, draining=True))):
        done = await asyncio.to_thread(command, "status", "--path", str(folder / "d.sock"))
    assert (done.code, done.err) == (3, "")
    assert "unwell: it is stopping" in done.out


async def test_a_daemon_that_cannot_be_asked_has_exit_code_3(command: Command, folder: Path) -> None:
    async def leaves(peer: RawPeer) -> None:
        await peer.receive()

    async with fake_daemon(folder / "d.sock", leaves):
        done = await asyncio.to_thread(command, "status", "--path", str(folder / "d.sock"))
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("rxlapce is running, but cannot be asked: the daemon closed the connection")


def watching(path: Path, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "rxlapce", "status", "--path", str(path), "--watch", *arguments],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("0.1",), rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ well requests=0 "), (("0.1", "--json"), rb'\{"type":"status_rep')],
)
def test_watching_writes_a_line_each_time(simulated: Path, arguments: tuple[str, ...], told: bytes) -> None:
    with watching(simulated, *arguments) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert re.match(told, process.stdout.readline())
        process.send_signal(2)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"\n"  # click ends the line that ^C stands in


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), b" not running: no daemon at "), (("--json",), b'{"type":"no_report","message":"no daemon at ')],
    ids=["lines", "json"],
)
def test_watching_tells_of_a_daemon_that_is_gone_and_goes_on(
    folder: Path, arguments: tuple[str, ...], told: bytes
) -> None:
    with watching(folder / "none.sock", "0.1", *arguments) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert told in process.stdout.readline()
        process.send_signal(2)
        assert process.wait(10) == 130


@pytest.mark.heavy
async def test_watching_goes_on_with_the_next_daemon(folder: Path) -> None:
    path = folder / "d.sock"

    async def once(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        peer.send(WELL, request_id)

    async with fake_daemon(path, once):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "rxlapce", "status", "--path", str(path), "--watch", "0.1", "--json",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["type"] == "status_report"
    assert json.loads(await process.stdout.readline())["type"] == "no_report"
    async with fake_daemon(path, once):
        while json.loads(await process.stdout.readline())["type"] != "status_report":
            pass
    process.send_signal(2)
    assert await process.wait() == 130


@pytest.mark.heavy
def test_watching_on_a_terminal_redraws_in_place(simulated: Path) -> None:
    ours, theirs = pty.openpty()
    with watching(simulated, "0.1", stdout=theirs) as process:
        os.close(theirs)
        drawn = b""
        while drawn.count(b"\x1b[H") < 3:
            drawn += os.read(ours, 4096)
        process.send_signal(2)
        assert process.wait(10) == 130
    os.close(ours)
    first, second = drawn.split(b"\x1b[H")[1:3]
    assert first.count(b"\r\n") == second.count(b"\r\n") == first.count(b"\x1b[K") - 1
    assert first.endswith(b"\x1b[K\x1b[J")
    assert b"\x1b[32m" in first
