"""`rxlapce demo` as a newcomer runs it, and what is left of it when it ends in a bad way."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Protocol

import click
import pytest

from rxlapce.cli.demo import Run
from rxlapce.messages import StreamChunk, StreamDone
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.tokens import Finish, FinishKind, Seam, StreamToken, Text, ToolCall, Usage, UsageReport


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
CANARY = "sk-canary-0123456789"
FAST = "sim:tps=0,tokens=40"
SLOW = "sim:tps=5,tokens=1000"
MEMBERS = ["provider", "model", "transport", "tokens", "text_sha256", "ttft_ms", "tokens_per_s", "gaps", "finish"]


# -- what it prints ---------------------------------------------------------------------------------------------------


@pytest.mark.heavy
def test_json_ends_in_one_object_about_the_text_before_it(command: Command) -> None:
    done = command("demo", "-m", FAST, "--json", "hi")
    assert done.code == 0
    text, _, last = done.out.rstrip("\n").rpartition("\n")
    record = json.loads(last)
    assert list(record) == MEMBERS
    told = {name: record[name] for name in ("provider", "model", "transport", "tokens", "gaps")}
    assert told == {"provider": "simulator", "model": "sim", "transport": "shm", "tokens": 40, "gaps": 0}
    assert record["finish"] in ("stop", "length")
    assert record["ttft_ms"] > 0
    assert record["tokens_per_s"] > 0
    texts = (text, text + "\n")  # a line that the answer leaves open is ended for the object
    assert record["text_sha256"] in [hashlib.sha256(one.encode()).hexdigest() for one in texts]


def test_without_a_key_it_says_so_what_happened_and_what_to_try_next(command: Command) -> None:
    done = command("demo", "-m", FAST, "--transport", "socket")
    assert done.code == 0
    assert f"No key is set, so a simulator answers: simulator/{FAST}" in done.err
    assert "> What is backpressure" in done.err
    assert "40 (40 by the provider's count)" in done.err
    assert "For a real model set a key" in done.err
    assert "simulator -> daemon -> Unix socket" in done.err
    summary = {row.split("  ")[0]: row for row in done.err.splitlines() if "  " in row}
    assert list(summary) == ["tokens", "frames", "first token", "speed", "between tokens", "the way", "finish"]
    starts = {len(row) - len(row.partition("  ")[2].lstrip()) for row in summary.values()}
    assert len(starts) == 1, "the values stand in one column"


@pytest.mark.heavy
def test_base_url_asks_that_server_for_the_first_model_it_lists(command: Command) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "rxlapce", "simulate", "--json", "--quiet", "--tps", "0", "--ttft", "0"],
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        done = command("demo", "--base-url", f"{url}/v1", "--json", "hi")
        server.terminate()
    assert done.code == 0
    assert f"The server at {url}/v1: local/sim" in done.err
    record = json.loads(done.out.splitlines()[-1])
    assert (record["provider"], record["model"], record["finish"]) == ("local", "sim", "stop")


@pytest.mark.heavy
def test_a_server_behind_a_proxy_is_asked_by_it_for_its_models_too(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "rxlapce", "simulate", "--json", "--quiet", "--tps", "0", "--ttft", "0"],
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout is not None
        # A server takes a proxy's request, whose target is a whole URL, for one of its own.
        monkeypatch.setenv("http_proxy", json.loads(server.stdout.readline())["url"])
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        done = command("demo", "--base-url", "http://models.invalid/v1", "--json", "hi")
        server.terminate()
    assert done.code == 0, done.err
    assert "The server at http://models.invalid/v1: local/sim" in done.err


@pytest.mark.heavy
def test_a_proxy_of_the_environment_is_not_in_the_way_of_the_simulator(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    done = command("demo", "-m", FAST, "--json", "hi")
    assert done.code == 0, done.err


@pytest.mark.heavy
def test_variables_of_amazons_other_tools_do_not_choose_bedrock(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_PROFILE", "work")
    done = command("demo", "-m", FAST, "--json", "hi")
    assert done.code == 0, done.err
    assert "No key is set, so a simulator answers" in done.err
    monkeypatch.setenv("BEDROCK_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", CANARY)
    meant = command("demo", "hi")
    assert meant.code == 1
    assert "bedrock: cannot connect to 127.0.0.1:9" in meant.err


def test_server_that_does_not_answer_is_an_error_that_names_it(command: Command) -> None:
    done = command("demo", "--base-url", "http://127.0.0.1:9/v1")
    assert (done.code, done.out) == (1, "")
    assert "local: cannot connect to 127.0.0.1:9" in done.err


def test_two_ways_to_choose_who_answers_are_a_misuse(command: Command) -> None:
    done = command("demo", "--simulator", "--base-url", "http://127.0.0.1:9/v1")
    assert done.code == 2
    assert "exclude each other" in done.err


@pytest.mark.heavy
def test_answer_that_breaks_off_is_shown_and_then_told_as_an_error(command: Command) -> None:
    done = command("demo", "--simulator", "-m", "sim:tps=0,fault=cut,after=10", "hi")
    assert done.code == 1
    assert done.out.strip()
    assert done.err.splitlines()[-1].startswith("Error: simulator: ")
    assert "truncated" in done.err


RESTARTED: list[StreamToken] = [Text("Hel"), Seam(1, "restart: b/m answers"), Text("Hi"), UsageReport(Usage(output=2))]


def test_what_is_kept_of_an_answer_is_what_its_reader_keeps() -> None:
    seen = Run()
    for token in (*RESTARTED, ToolCall(0, "c", "f"), Text("?"), Seam(2, "rewind: c/m answers"), Text("!")):
        seen.add(token)
    assert (seen.text, seen.usage, len(seen.arrivals)) == ("Hi!", Usage(output=2), 5)


async def test_json_is_about_the_answer_that_counts(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "d.sock"

    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        for seq, token in enumerate(RESTARTED):
            peer.send(StreamChunk(seq, token), request_id)
        peer.send(StreamDone(len(RESTARTED), Finish(FinishKind.STOP, model="m")), request_id)
        await peer.receive_all()

    @contextlib.asynccontextmanager
    async def running(*_options: str) -> AsyncGenerator[Path]:
        yield path

    monkeypatch.setattr("rxlapce.cli.demo.running_daemon", running)
    async with fake_daemon(path, script):
        done = await asyncio.to_thread(command, "demo", "--json", "--transport", "socket", "hi")
    assert done.code == 0, done.err
    *text, last = done.out.splitlines()
    assert text == ["Hel", "Hi"]
    assert json.loads(last)["text_sha256"] == hashlib.sha256(b"Hi").hexdigest()
    assert "rxlapce: the answer begins anew: b/m answers" in done.err


# -- on a terminal ----------------------------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and all that is written to a terminal of 140 columns."""
    child, terminal = pty.fork()
    if child == 0:
        # Between fork and exec: whatever fails here must not return into the test run.
        with contextlib.suppress(BaseException):
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 140, 0, 0))
            program = [sys.executable, "-m", "rxlapce", *arguments]
            os.execve(sys.executable, program, {**os.environ, "TERM": "xterm-256color", **environment})  # noqa: S606 - ours
        os._exit(127)
    written = bytearray()
    with contextlib.suppress(OSError):  # EIO: the other side has closed
        while data := os.read(terminal, 65536):
            written += data
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), written.decode().replace("\r\n", "\n")


def test_terminal_shows_the_question_the_answer_as_markdown_and_the_summary() -> None:
    code, written = on_a_terminal("demo", "-m", "sim:tps=300")
    assert code == 0
    last = written.rpartition("\x1b[?25h")[2]  # the cursor is back: what follows stays on the screen
    assert "\x1b[1mBackpressure" in last, "rendered, not shown as **Backpressure**"
    lines = click.unstyle(last).splitlines()
    assert any(line.startswith("what happened ─") for line in lines)
    assert any(line.startswith("finish ") and line.rstrip().endswith("stop") for line in lines)
    assert max(len(line.rstrip()) for line in lines) <= 100
    first = click.unstyle(written.partition("\x1b[?25l")[0])
    assert "│ What is backpressure, and why should a stream of tokens have it? │" in first


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("environment", "markdown"),
    [pytest.param({"NO_COLOR": "1"}, True, marks=pytest.mark.heavy), ({"TERM": "dumb"}, False)],
    ids=["NO_COLOR", "dumb"],
)
def test_terminal_without_colours_gets_none(environment: dict[str, str], markdown: bool) -> None:
    code, written = on_a_terminal("demo", "--simulator", "-m", "simulator/sim:tps=0", **environment)
    assert code == 0
    assert "\x1b[3" not in written.replace("\x1b[3m", "")  # italics are no colour
    assert "\x1b[9" not in written
    assert ("**Backpressure**" not in written) is markdown
    if not markdown:
        assert "\x1b" not in written


# -- bad ends ---------------------------------------------------------------------------------------------------------


class Running:
    """A demo in the middle of its answer, and the daemon that it has started."""

    def __init__(self, process: subprocess.Popen[bytes], daemon: int, folder: Path) -> None:
        self.process = process
        self.daemon = daemon
        self.folder = folder
        self._watch = os.pidfd_open(daemon)

    def until_the_daemon_has_ended(self) -> bool:
        """Whether it ends within 10 s."""
        ready, _, _ = select.select([self._watch], [], [], 10)
        return bool(ready)

    def close(self) -> None:
        os.close(self._watch)


def children_of(parent: int) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"PPid:\t{parent}\n" in (entry / "status").read_text():
                found.append(int(entry.name))
    return found


def arguments_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    if not hasattr(os, "pidfd_open") or not Path("/proc/self/status").exists():
        pytest.skip("needs Linux: processes are watched by pidfd and /proc")
    environment = {**os.environ, "TMPDIR": str(folder), "OPENAI_API_KEY": CANARY}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "rxlapce", "demo", "--simulator", "-m", SLOW],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    with process:
        assert process.stdout is not None
        try:
            assert os.read(process.stdout.fileno(), 1), "it streams"
            (daemon,) = [child for child in children_of(process.pid) if "serve" in arguments_of(child)]
            demo = Running(process, daemon, folder)
            yield demo
            demo.close()
        finally:
            process.kill()


def named_memory() -> set[str]:
    """What of ours stands in /dev/shm: nothing, as the ring has no name."""
    return {entry.name for entry in Path("/dev/shm").iterdir() if "rxlapce" in entry.name}  # noqa: S108 - only listed


def test_ctrl_c_is_130_and_leaves_no_daemon_folder_memory_or_shown_key(running: Running) -> None:
    assert list(running.folder.iterdir()) != []
    assert CANARY not in arguments_of(running.process.pid) + arguments_of(running.daemon), "everybody can list them"
    running.process.send_signal(signal.SIGINT)
    out, err = running.process.communicate(timeout=15)
    assert running.process.returncode == 130
    assert b"Traceback" not in err
    assert CANARY.encode() not in out + err
    assert out.endswith(b"\n")
    assert running.until_the_daemon_has_ended()
    assert list(running.folder.iterdir()) == []
    assert named_memory() == set()


@pytest.mark.heavy
def test_kill_9_ends_the_daemon_by_its_lifeline_and_takes_the_folder_along(running: Running) -> None:
    running.process.kill()
    assert running.process.wait(5) == -signal.SIGKILL
    assert running.until_the_daemon_has_ended()
    assert list(running.folder.iterdir()) == []
    assert named_memory() == set()
