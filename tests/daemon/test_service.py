"""The daemon under a service manager: the socket that is passed, and what the manager hears."""

import asyncio
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.daemon.systemd import Notifier, Reporter, Supervision
from rxlapce.errors import ProviderError
from rxlapce.simulator import Simulator
from rxlapce.telemetry.logs import logger
from rxlapce.testing.asking import Collected, ask, heard, truth
from rxlapce.testing.daemons import daemon_process
from rxlapce.testing.processes import until
from rxlapce.testing.service_manager import Manager, manager

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


def ready(told: dict[str, str]) -> bool:
    return told.get("READY") == "1"


def stopping(told: dict[str, str]) -> bool:
    return told.get("STOPPING") == "1"


def alive(told: dict[str, str]) -> bool:
    return told.get("WATCHDOG") == "1"


def base_url(simulator: Simulator) -> tuple[str, str]:
    return "--base-url", f"{simulator.base_url}/v1"


def is_there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Manager]:
    async with manager(tmp_path) as running:
        yield running


# -- the socket -------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
async def test_who_connects_while_no_daemon_runs_is_served_by_the_next_and_the_socket_stays(
    simulator: Simulator, systemd: Manager
) -> None:
    systemd.listen()
    early = asyncio.ensure_future(connect(systemd.path))  # waits for the handshake's answer
    first = await systemd.start(*base_url(simulator), "--drain", "5")
    async with await early as client:
        told = await systemd.until(ready)
        assert told["MAINPID"] == str(first.pid)
        got = Collected(client.chat_stream(ask("tokens=30,tps=200")))
        await got.until(1)
        heard_draining: list[float] = []
        client.on_draining = heard_draining.append
        first.terminate()
        await systemd.until(stopping)
        between = asyncio.ensure_future(connect(systemd.path))
        second = await systemd.start(*base_url(simulator))
        async with await between as next_client:
            assert (await next_client.chat(ask("tokens=3"))).text
        assert await got.end() is None
        assert heard(got.items) == await truth(simulator, 0)
        assert await first.wait() == 0
        assert heard_draining == [5.0]
    second.terminate()
    assert await second.wait() == 0
    assert is_there(systemd.path)


@pytest.mark.heavy
async def test_a_socket_in_a_folder_open_to_others_is_refused(simulator: Simulator, systemd: Manager) -> None:
    systemd.listen()
    systemd.path.parent.chmod(0o755)
    process = await systemd.start(*base_url(simulator), stderr=subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"is open to other users (mode 0755)" in said


@pytest.mark.heavy
@pytest.mark.parametrize("option", [("--replace",), ("--path", "/somewhere/else.sock")])
async def test_options_that_say_another_place_are_a_misuse(
    simulator: Simulator, systemd: Manager, option: tuple[str, ...]
) -> None:
    systemd.listen()
    process = await systemd.start(*base_url(simulator), *option, stderr=subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"neither --path nor --replace" in said


# -- what the manager hears -------------------------------------------------------------------------------------------


@pytest.mark.heavy
async def test_it_is_told_that_the_daemon_serves_lives_drains_and_stops(simulator: Simulator, systemd: Manager) -> None:
    process = await systemd.start(
        *base_url(simulator), "--path", str(systemd.path), "--drain", "20", environ={"WATCHDOG_USEC": "100000"}
    )
    begun = await systemd.until(ready)
    assert begun["STATUS"] == "serving: 0 clients, 0 requests under way"
    async with await connect(systemd.path) as client:
        got = Collected(client.chat_stream(ask("fault=stall,after=2")))
        await got.until(2)
        under_way = await systemd.until(lambda told: "1 clients, 1 requests" in told.get("STATUS", ""))
        assert alive(under_way)
        process.terminate()
        told = await systemd.until(stopping)
        assert told["STATUS"] == "draining: 1 clients, 1 requests under way"
        assert 20e6 < int(told["EXTEND_TIMEOUT_USEC"]) <= 30e6
        await systemd.until(alive, after=len(systemd.told))  # while it drains, too
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert await got.end() is not None
    assert sum(map(ready, systemd.told)) == 1


@pytest.mark.heavy
async def test_it_hears_by_a_socket_without_a_file_too(simulator: Simulator, tmp_path: Path) -> None:
    async with manager(tmp_path, abstract=True) as systemd:
        process = await systemd.start(*base_url(simulator), "--path", str(systemd.path))
        assert (await systemd.until(ready))["MAINPID"] == str(process.pid)


async def test_signs_of_life_end_while_the_loop_stands_still(tmp_path: Path) -> None:
    async with manager(tmp_path) as systemd:
        supervision = Supervision(notify_socket=systemd.notify_socket, watchdog_s=0.02)
        reporter = Reporter(supervision, lambda: "well", logger(level="error"))
        reporter.ready()
        await systemd.until(alive)
        await systemd.until(alive, after=len(systemd.told))
        systemd.read()
        assert select.select([systemd.notify_fd], [], [], 0.1) == ([], [], []), "the loop stands still in here"
        await systemd.until(alive, after=len(systemd.told))
        assert [told.get("STATUS") for told in systemd.told].count("well") == 1
        reporter.close()


async def test_what_the_manager_has_no_room_for_is_told_with_the_next(tmp_path: Path) -> None:
    async with manager(tmp_path) as systemd:
        notifier = Notifier(systemd.notify_socket, logger(level="error"))
        asyncio.get_running_loop().remove_reader(systemd.notify_fd)
        for number in range(5000):  # more than any queue of datagrams
            notifier.tell({"STATUS": str(number)})
        notifier.tell({"READY": "1"})
        systemd.read()
        assert not any(map(ready, systemd.told))
        notifier.tell({"STATUS": "last\nline"})
        systemd.read()
        assert systemd.told[-1] == {"STATUS": "last line", "READY": "1"}
        notifier.close()


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234"])
async def test_a_manager_that_cannot_be_told_is_logged_once_and_does_no_harm(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    notifier = Notifier(address, logger(as_json=True))
    notifier.tell({"READY": "1"})
    notifier.tell({"WATCHDOG": "1"})
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] in ("notify_failed", "notify_socket_unknown")


# -- signals, limits, and a log that is not read ----------------------------------------------------------------------


@pytest.mark.heavy
async def test_a_hangup_ends_nothing_and_reopens_the_log_file(simulator: Simulator, path: Path, tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.old"
    options = ("--log-file", str(log), "--log-level", "info")
    async with daemon_process(path, *base_url(simulator), *options) as daemon, await connect(path) as client:
        log.rename(old)
        daemon.process.send_signal(signal.SIGHUP)
        await until(lambda: log.exists() and bool(log.stat().st_size))
        await client.ping()
        events = [json.loads(line) for line in log.read_text().splitlines()]
        assert (events[0]["event"], events[0]["reopened"]) == ("hangup", str(log))
        assert "daemon_listening" in old.read_text()


@pytest.mark.heavy
async def test_a_standard_error_that_nobody_reads_holds_up_no_request(simulator: Simulator, path: Path) -> None:
    reading, writing = os.pipe()
    ready_read, ready_write = os.pipe()
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rxlapce", "serve", *base_url(simulator), "--path", str(path), "--drain", "0",
        "--log-format", "json", "--ready-fd", str(ready_write), pass_fds=(ready_write,), stderr=writing,
    )  # fmt: skip
    os.close(ready_write)
    os.close(writing)
    try:
        assert await asyncio.to_thread(os.read, ready_read, 10) == b"ready\n"
        async with await connect(path) as client:
            unknown = ask(provider="x" * 500)  # lines of the log have its name
            refused = await asyncio.gather(*(client.chat(unknown) for _ in range(100)), return_exceptions=True)
            assert all(isinstance(error, ProviderError) for error in refused)
            kept = os.read(reading, 1 << 20)
            assert (await client.chat(ask("tokens=1"))).text
        assert b"log_lines_lost" not in kept
        lost = next(event for line in os.read(reading, 1 << 20).splitlines() if b"log_lines_lost" in line
                    for event in [json.loads(line)])  # fmt: skip
        assert lost["count"] > 5
        daemon.terminate()
        assert await daemon.wait() == 0
    finally:
        os.close(reading)
        os.close(ready_read)
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells another process's limits")
async def test_it_may_open_as_many_files_as_the_hard_limit_allows(simulator: Simulator, path: Path) -> None:
    command = 'ulimit -Sn 100; ulimit -Hn 2000; exec "$@"'
    daemon = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, "sh", sys.executable, "-m", "rxlapce", "serve", *base_url(simulator),
        "--path", str(path), "--log-format", "json", stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert daemon.stderr is not None
        async for line in daemon.stderr:
            if json.loads(line)["event"] == "open_files":
                assert (json.loads(line)["before"], json.loads(line)["limit"]) == (100, 2000)
                break
        assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE) == (2000, 2000)
    finally:
        daemon.kill()
        await daemon.communicate()
