"""The client in Rust: its own tests, and its example `probe` against real daemons."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rxlapce.bridge import connect
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Said, truth
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.testing.processes import until

ROOT = Path(__file__).parents[2]
CRATE = ROOT / "clients" / "rust"
#: Kept between runs, as building takes longer than all of the tests; `make clean` removes it.
TARGET = ROOT / ".cache" / "clients-rust"
CARGO = shutil.which("cargo")
BUILD_S = 900
BOTH_WAYS = pytest.mark.parametrize("way", ["shm", "socket"])

pytestmark = [
    pytest.mark.clients,
    pytest.mark.timeout(60, func_only=True),  # building is not counted: it has its own limit
    pytest.mark.skipif(CARGO is None, reason="cargo is not installed"),
]

Line = dict[str, Any]


def cargo(*arguments: str) -> None:
    """Run cargo on the crate; what it says is shown if it fails."""
    assert CARGO is not None
    environ = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), "CARGO_TERM_COLOR": "never"}
    done = subprocess.run(
        [CARGO, *arguments],
        cwd=CRATE, env=environ, timeout=BUILD_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def examples() -> Path:
    """The folder of the crate's built examples."""
    cargo("build", "--examples", "--offline", "--locked", "--quiet")
    return TARGET / "debug" / "examples"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.sock"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=5) as running:
        yield running


@contextlib.asynccontextmanager
async def serving(simulator: Simulator, path: Path, *options: str) -> AsyncGenerator[DaemonProcess]:
    async with daemon_process(path, "--base-url", f"{simulator.base_url}/v1", *options) as daemon:
        yield daemon


@pytest.fixture
async def daemon(simulator: Simulator, path: Path) -> AsyncIterator[DaemonProcess]:
    """A daemon process with the simulator as `local`."""
    async with serving(simulator, path) as running:
        yield running


@dataclass(slots=True)
class Probe:
    """A running `probe`, which says what it meets line by line."""

    process: asyncio.subprocess.Process

    async def line(self) -> Line:
        """What it says next. Raises EOFError after its last word."""
        assert self.process.stdout is not None
        said = await self.process.stdout.readline()
        if not said:
            raise EOFError(f"the probe ended with {await self.process.wait()}")
        line: Line = msgspec.json.decode(said)
        return line

    async def lines(self) -> list[Line]:
        """All that it still says, until it ends well."""
        assert self.process.stdout is not None
        said = [msgspec.json.decode(line) async for line in self.process.stdout]
        assert await self.process.wait() == 0
        return said


@contextlib.asynccontextmanager
async def probing(
    examples: Path, path: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Probe]:
    process = await asyncio.create_subprocess_exec(
        examples / "probe", str(path), *arguments,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, **(environ or {})}, limit=1 << 24,
    )  # fmt: skip
    try:
        yield Probe(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def probed(examples: Path, path: Path, *arguments: str, **environ: str) -> list[Line]:
    """All that a probe says but its first word and its last, which are about the connection."""
    async with probing(examples, path, *arguments, environ=environ) as probe:
        first, *said, last = await probe.lines()
        assert first["transport"] == arguments[0]
        assert last["lost"]["message"] == "the connection was closed by this side"
        return said


def heard(line: Line) -> Said:
    """What a whole stream said, as the probe tells it."""
    assert line["error"] is None
    calls = tuple((call[0], call[1], call[2]) for call in line["calls"])
    usage = None if line["usage"] is None else (line["usage"][0], line["usage"][1])
    return Said(line["text"], line["reasoning"], calls, line["finish_raw"], line["model"], usage)


@pytest.mark.timeout(BUILD_S)
def test_its_own_tests_pass() -> None:
    cargo("test", "--offline", "--locked", "--quiet")


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize("check", ["clippy --all-targets --offline --locked -- -D warnings", "fmt --check"])
def test_it_is_clean(check: str) -> None:
    name, *arguments = check.split()
    assert CARGO is not None
    if subprocess.run([CARGO, name, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"cargo {name} is not installed")
    cargo(name, *arguments)


@BOTH_WAYS
@pytest.mark.parametrize("scenario", ["stream", "callback"])
async def test_a_stream_is_what_the_provider_said(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str, scenario: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, scenario, "local/sim:tokens=700,reasoning=40")
    assert heard(line) == await truth(simulator)
    assert line["finish"] == "stop"


@BOTH_WAYS
async def test_tool_calls_are_what_the_provider_said(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, "tools", "local/sim:tools=2,tokens=30")
    said = heard(line)
    assert said == await truth(simulator)
    assert len(said.calls) == 2
    assert line["finish"] == "tool_calls"


async def test_a_ring_far_smaller_than_the_stream_loses_nothing(
    examples: Path, simulator: Simulator, path: Path
) -> None:
    async with serving(simulator, path, "--ring-kib", "4"):
        (line,) = await probed(examples, path, "shm", "stream", "local/sim:tokens=20000")
        assert heard(line) == await truth(simulator)


@BOTH_WAYS
async def test_a_frame_larger_than_the_ring_comes_through_it_in_parts(
    examples: Path, simulator: Simulator, path: Path, way: str
) -> None:
    async with serving(simulator, path, "--ring-kib", "4"):
        (line,) = await probed(examples, path, way, "stream", "local/sim:tokens=40,fault=huge,size=300000,after=10")
        assert heard(line) == await truth(simulator)
        assert len(line["text"]) > 300_000


@BOTH_WAYS
async def test_fifty_streams_at_once_are_each_what_the_provider_said(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    said = await probed(examples, daemon.path, way, "many", "local/sim:tokens=1COUNT", "50")
    truths = [await truth(simulator, number) for number in range(50)]
    assert sorted(heard(line).text for line in said) == sorted(one.text for one in truths)
    assert len({heard(line).text for line in said}) == 50


@BOTH_WAYS
async def test_a_cancelled_stream_ends_in_the_daemon_s_word_and_reaches_the_provider(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, "cancel", "local/sim:tokens=100000,tps=200", "5")
    assert line["error"]["kind"] == "cancelled"
    assert line["error"]["delivered_chars"] == len(line["text"]) > 0
    await until(lambda: simulator.open_streams == 0)


@BOTH_WAYS
async def test_a_dropped_stream_is_cancelled(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, "drop", "local/sim:tokens=100000,tps=200", "5")
    assert line == {"under_way": 0}
    await until(lambda: simulator.open_streams == 0)


@BOTH_WAYS
async def test_a_provider_s_error_is_told_as_the_daemon_says_it(
    examples: Path, daemon: DaemonProcess, way: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, "stream", "local/sim:fault=rate_limit,retry_after=7")
    assert (line["error"]["kind"], line["text"], line["finish"]) == ("rate_limit", "", None)
    (line,) = await probed(examples, daemon.path, way, "stream", "local/sim:tokens=90,fault=cut,after=30")
    assert line["error"]["delivered_chars"] == len(line["text"]) > 0
    (line,) = await probed(examples, daemon.path, way, "stream", "nobody/sim")
    assert line["error"]["kind"] == "bad_request"
    assert "nobody" in line["error"]["message"]


@BOTH_WAYS
async def test_the_daemon_s_death_ends_a_stream_behind_what_had_come(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    arguments = way, "begun", "local/sim:tokens=100000,tps=300", "20"
    async with probing(examples, daemon.path, *arguments) as probe:
        assert (await probe.line())["transport"] == way
        assert await probe.line() == {"begun": 20}
        await daemon.kill()
        said = await probe.lines()
    lost = next(line["lost"] for line in said if "lost" in line)
    (line,) = (line for line in said if "text" in line)
    assert line["error"] == lost
    assert lost["kind"] == "ConnectionLost"
    assert len(line["text"].split()) > 5
    assert line["finish"] is None


@BOTH_WAYS
async def test_what_a_dead_daemon_had_written_is_read_to_the_end(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    """The client stands still from the first tokens until the daemon, which has written the rest, is gone."""
    async with (
        probing(examples, daemon.path, way, "begun", "local/sim:tokens=120,tps=100", "5") as probe,
        await connect(daemon.path) as other,
    ):
        await probe.line()
        assert await probe.line() == {"begun": 5}
        probe.process.send_signal(signal.SIGSTOP)
        await simulator.wait_until(lambda: simulator.open_streams == 0)
        while any(client.requests for client in (await other.status()).clients if client.client == "probe"):
            pass
        await daemon.kill()
        probe.process.send_signal(signal.SIGCONT)
        said = await probe.lines()
    assert heard(next(line for line in said if "text" in line)) == await truth(simulator)


@BOTH_WAYS
async def test_a_stream_that_is_not_read_holds_up_no_other(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str
) -> None:
    fast, slow = await probed(examples, daemon.path, way, "slow", "local/sim:tokens=3000,steady=1", PROBE_WINDOW="8")
    assert heard(fast) == heard(slow) == await truth(simulator)


@BOTH_WAYS
@pytest.mark.parametrize("window", ["1", "2", "3"])
async def test_the_smallest_windows_come_to_the_end(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str, window: str
) -> None:
    (line,) = await probed(examples, daemon.path, way, "stream", "local/sim:tokens=300", PROBE_WINDOW=window)
    assert heard(line) == await truth(simulator)


@BOTH_WAYS
async def test_answers_in_one_piece(examples: Path, simulator: Simulator, daemon: DaemonProcess, way: str) -> None:
    (line,) = await probed(examples, daemon.path, way, "chat", "local/sim:tokens=60")
    said = await truth(simulator)
    assert (line["text"], line["finish"]) == (said.text, "stop")
    assert line["turn"] == {"role": "assistant", "content": said.text}
    (line,) = await probed(examples, daemon.path, way, "complete", "local/sim:tokens=60")
    assert line["text"]
    (line,) = await probed(examples, daemon.path, way, "complete_stream", "local/sim:tokens=60")
    assert line["finish"] == "stop"


async def test_an_answer_that_is_late_is_given_up_and_cancelled(
    examples: Path, simulator: Simulator, daemon: DaemonProcess
) -> None:
    (line,) = await probed(examples, daemon.path, "socket", "impatient", "local/sim:fault=hang")
    assert line["late"]["kind"] == "TimedOut"
    await until(lambda: simulator.open_streams == 0)


async def test_questions_to_the_daemon_itself(examples: Path, daemon: DaemonProcess) -> None:
    models, report = await probed(examples, daemon.path, "socket", "questions")
    assert any(name.startswith("local/") for name in models["models"])
    assert report["status"]["pid"] == daemon.pid
    assert [client["client"] for client in report["status"]["clients"]] == ["probe"]


async def test_who_closes_ends_the_streams_under_way(examples: Path, daemon: DaemonProcess) -> None:
    async with probing(examples, daemon.path, "shm", "leave", "local/sim:tokens=100000,tps=100") as probe:
        _, lost, line = await probe.lines()
    assert line["error"] == lost["lost"]
    assert line["error"]["message"] == "the connection was closed by this side"


async def test_an_orderly_stop_lets_a_stream_finish_and_says_so(
    examples: Path, simulator: Simulator, path: Path
) -> None:
    async with serving(simulator, path, "--drain", "20") as daemon:
        async with probing(examples, path, "shm", "begun", "local/sim:tokens=150,tps=100", "20") as probe:
            await probe.line()
            assert await probe.line() == {"begun": 20}
            daemon.terminate()
            draining = await probe.line()
            assert 0 < draining["draining"] <= 20
            said = await probe.lines()
        assert heard(next(line for line in said if "text" in line)) == await truth(simulator)


async def test_no_daemon_is_told_as_such(examples: Path, path: Path) -> None:
    async with probing(examples, path, "shm", "stream", "local/sim") as probe:
        (line,) = await probe.lines()
    assert line["failed"]["kind"] == "NotRunning"
    assert str(path) in line["failed"]["message"]


# -- signed -----------------------------------------------------------------------------------------------------------


def key_file(folder: Path, name: str, secret: bytes) -> Path:
    file = folder / f"{name}-{secret[:2].hex()}.keys"
    file.touch(0o600)
    file.write_text(f"{name} {secret.hex()}\n")
    return file


@BOTH_WAYS
async def test_a_signed_connection_carries_whole_streams(
    examples: Path, simulator: Simulator, path: Path, tmp_path: Path, way: str
) -> None:
    file = key_file(tmp_path, "laptop", b"l" * 32)
    async with serving(simulator, path, "--key-file", str(file), "--require-signing"):
        environ = {"RXLAPCE_KEY_FILE": str(file)}
        (line,) = await probed(examples, path, way, "stream", "local/sim:tokens=9000", **environ)
        assert heard(line) == await truth(simulator)
        said = await probed(examples, path, way, "many", "local/sim:tokens=1COUNT", "50", **environ)
        assert len({heard(line).text for line in said}) == 50
        _, report = await probed(examples, path, way, "questions", **environ)
        assert report["status"]["clients"][0]["signed"] is True


@pytest.mark.parametrize(
    ("name", "secret", "why"),
    [
        ("", b"", "serves signed connections only"),
        ("stranger", b"l" * 32, "no key of the name"),
        ("laptop", b"x" * 32, "it has another secret of the name"),
    ],
)
async def test_who_does_not_know_the_secret_is_refused(
    examples: Path, simulator: Simulator, path: Path, tmp_path: Path, name: str, secret: bytes, why: str
) -> None:
    file = key_file(tmp_path, "laptop", b"l" * 32)
    async with serving(simulator, path, "--key-file", str(file), "--require-signing"):
        environ = {"RXLAPCE_KEY_FILE": str(key_file(tmp_path, name, secret))} if name else {}
        async with probing(examples, path, "shm", "stream", "local/sim", environ=environ) as probe:
            (line,) = await probe.lines()
    assert line["failed"]["kind"] == "HandshakeRefused"
    assert why in line["failed"]["message"]


async def test_who_is_to_sign_does_not_speak_to_a_daemon_that_does_not(
    examples: Path, daemon: DaemonProcess, tmp_path: Path
) -> None:
    environ = {"RXLAPCE_KEY_FILE": str(key_file(tmp_path, "laptop", b"l" * 32))}
    async with probing(examples, daemon.path, "shm", "stream", "local/sim", environ=environ) as probe:
        (line,) = await probe.lines()
    assert "the daemon does not sign" in line["failed"]["message"]


# -- the example for people -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [[], ["--socket"], ["--shm"]])
async def test_ask_streams_an_answer_into_the_terminal(
    examples: Path, simulator: Simulator, daemon: DaemonProcess, option: list[str]
) -> None:
    code, out, err = await asked(examples, daemon.path, *option, "local/sim:tokens=50", "hello")
    assert (code, out, err) == (0, (await truth(simulator)).text + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected", "word"),
    [
        (["local/sim:fault=auth", "hello"], 1, "auth"),
        (["local/sim"], 2, "usage: ask"),
        (["--shm", "--socket", "local/sim", "hello"], 2, "usage: ask"),
    ],
)
async def test_ask_s_exit_codes(
    examples: Path, daemon: DaemonProcess, arguments: list[str], expected: int, word: str
) -> None:
    code, _, err = await asked(examples, daemon.path, *arguments)
    assert code == expected
    assert word in err


async def test_ask_without_a_daemon(examples: Path, path: Path) -> None:
    code, _, err = await asked(examples, path, "local/sim", "hello")
    assert code == 3
    assert "start it with: rxlapce serve" in err


async def asked(examples: Path, path: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code and all that `ask` wrote."""
    process = await asyncio.create_subprocess_exec(
        examples / "ask", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "RXLAPCE_SOCKET": str(path)},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()
