"""A daemon that starts its next version and hands over to it."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.errors import ConnectionLost
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, heard, truth
from rxlapce.testing.daemons import daemon_process
from rxlapce.testing.processes import until
from rxlapce.testing.service_manager import Manager, manager

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Manager]:
    async with manager(tmp_path) as running:
        yield running


def is_there(path: Path) -> bool:
    return path.exists()


def ended(pid: int) -> bool:
    """Whether a process that is nobody's child here has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def stop(path: Path) -> None:
    """End the daemon at `path`, whose process is not this one's child, and wait for it."""
    async with await connect(path) as client:
        pid = (await client.status()).pid
        os.kill(pid, signal.SIGTERM)
        await client.closed.wait()
    await until(lambda: ended(pid))


@pytest.mark.heavy
async def test_a_service_goes_on_as_another_process_on_the_same_socket_and_its_streams_finish(
    simulator: Simulator, systemd: Manager
) -> None:
    systemd.listen()
    old = await systemd.start("--base-url", f"{simulator.base_url}/v1", "--drain", "20")
    async with await connect(systemd.path) as client:
        stream = aiter(client.chat_stream(ask("tokens=60"), window=4))  # it waits for its reader
        got = [await anext(stream)]
        old.send_signal(signal.SIGUSR2)
        told = await systemd.until(lambda told: told.get("MAINPID") not in (None, str(old.pid)) and "READY" not in told)
        async with await connect(systemd.path) as other:
            assert str((await other.status()).pid) == told["MAINPID"]
            assert (await other.chat(ask("tokens=3"))).text
        got += [token async for token in stream]
        assert heard(got) == await truth(simulator, 0)
        assert await old.wait() == 0
    assert not any("STOPPING" in told for told in systemd.told), "the service has not stopped"
    ready = [told["MAINPID"] for told in systemd.told if told.get("READY")]
    assert ready == [str(old.pid), told["MAINPID"]]
    await stop(systemd.path)
    assert is_there(systemd.path)


@pytest.mark.heavy
async def test_without_a_manager_s_socket_the_next_one_takes_the_path_over(simulator: Simulator, path: Path) -> None:
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1") as daemon:
        daemon.process.send_signal(signal.SIGUSR2)
        assert await daemon.exit_code() == 0
        await stop(path)
    assert not is_there(path)


@pytest.mark.heavy
async def test_a_next_one_that_does_not_start_leaves_this_one_serving(
    simulator: Simulator, path: Path, tmp_path: Path
) -> None:
    log, keys = tmp_path / "log", tmp_path / "keys"
    keys.touch(mode=0o600)
    keys.write_text(f"laptop {'ab' * 32}\n")
    options = ("--base-url", f"{simulator.base_url}/v1", "--log-file", str(log), "--key-file", str(keys))
    async with daemon_process(path, *options) as daemon, await connect(path) as client:
        keys.write_text("no key\n")
        for _ in range(2):  # it can be asked again
            daemon.process.send_signal(signal.SIGUSR2)
            await until(lambda: "handover_failed" in log.read_text(), timeout_s=15)
            assert "the next daemon ended with exit code 1" in log.read_text()
            log.write_text("")
        assert (await client.chat(ask("tokens=3"))).text
        daemon.terminate()
        assert await daemon.exit_code() == 0
        with pytest.raises(ConnectionLost):
            await client.ping()
