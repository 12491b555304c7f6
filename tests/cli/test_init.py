"""`rxlapce init`: what it finds, asks and writes; and that what it writes is right."""

import asyncio
import contextlib
import os
import pty
import re
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.cli import init as init_module
from rxlapce.cli.init_file import Choices, written
from rxlapce.cli.init_found import Found, servers
from rxlapce.config.check import problems_of
from rxlapce.config.sources import load_config
from rxlapce.simulator import Simulator


class Outcome(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


Command = Callable[..., Outcome]
OPENAI = Found(name="openai", origin="environment: OPENAI_API_KEY")
OLLAMA = Found(
    name="ollama", origin="answers", base_url="http://127.0.0.1:11434/v1", models=("llama3.2:3b", 'say "no"')
)


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server of this machine is looked for but those that a test names."""
    monkeypatch.setattr(init_module, "SERVERS", {})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def local_server() -> Iterator[str]:
    """The base URL of a server of models, on a loop and a thread of its own: the command has its own loop."""
    started, loop, urls = threading.Event(), asyncio.new_event_loop(), list[str]()

    async def serve(stop: asyncio.Event) -> None:
        async with Simulator() as simulator:
            urls.append(simulator.base_url)
            started.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)))
    thread.start()
    assert started.wait(10)
    yield f"{urls[0].removesuffix('/v1')}/v1"
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("requests", [0, 60])
@pytest.mark.parametrize("found", [(), (OPENAI,), (OLLAMA,), (OPENAI, OLLAMA)], ids=["none", "env", "local", "both"])
def test_what_is_written_is_right_and_means_what_was_chosen(
    found: tuple[Found, ...], requests: int, tmp_path: Path
) -> None:
    models = tuple(each.model for each in found if each.model)
    text = written(found, Choices(models=models, requests=requests, goes_on=False))
    assert problems_of(text, "f.yaml") == ()
    file = tmp_path / "f.yaml"
    file.write_text(text)
    config = load_config({"OPENAI_API_KEY": "sk-x"} if OPENAI in found else {}, file)
    assert [target.model for alias in config.aliases for target in alias.targets] == list(models)
    assert config.settings.admission.default.requests == (requests or None)
    assert [name for name in config.providers if name != "openai"] == (["ollama"] if OLLAMA in found else [])


@pytest.mark.parametrize("found", [(), (OPENAI, OLLAMA)])
def test_what_is_in_comments_is_right_too(found: tuple[Found, ...]) -> None:
    text = written(found, Choices(models=()))
    examples = re.sub(r"(?m)^# ?((?: *[a-z_]+:(?: |$)| +(?:metrics|audit|user|users|base_url|key)).*)$", r"\1", text)
    assert "\nusers" not in examples
    assert "  users:" in examples
    assert problems_of(examples, "f.yaml") == ()


def test_a_name_that_yaml_would_read_otherwise_stays_what_it_is(tmp_path: Path) -> None:
    odd = Found(name="vllm", origin="", base_url="http://127.0.0.1:8000/v1", models=('no: "#1"',))
    text = written((odd,), Choices(models=('vllm/no: "#1"',)))
    file = tmp_path / "f.yaml"
    file.write_text(text)
    assert load_config({}, file).aliases[0].targets[0].model == 'vllm/no: "#1"'


def test_it_writes_what_it_found_for_this_user_alone_and_says_what_to_do(
    command: Command, local_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(init_module, "SERVERS", {"ollama": local_server, "vllm": "http://127.0.0.1:9/v1"})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    done = command("init", "--yes")
    assert done.code == 0
    file = tmp_path / "rxlapce" / "config.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert problems_of(file.read_text(), str(file)) == ()
    config = load_config({"OPENAI_API_KEY": "sk-x"}, file)
    assert list(config.providers) == ["openai", "ollama"]
    assert config.providers["ollama"].base_url == local_server
    assert config.aliases[0].targets[0].model == "openai/gpt-4.1-mini"
    assert "found openai: environment: OPENAI_API_KEY\n" in done.err
    assert "found ollama: answers at http://127.0.0.1:" in done.err
    assert f"  rxlapce serve --config {file}\n" in done.err
    assert "canary" not in done.out + done.err + file.read_text()


def test_a_server_that_a_variable_configures_is_not_written_again(
    command: Command, local_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_module, "SERVERS", {"ollama": local_server})
    monkeypatch.setenv("LOCAL_BASE_URL", local_server)
    done = command("init", "--yes", "-")
    assert done.code == 0
    assert "ollama" not in done.out
    assert "# local comes from the environment: LOCAL_BASE_URL" in done.out


def test_with_nobody_to_ask_it_says_what_would_change_that(command: Command, tmp_path: Path) -> None:
    done = command("init", "--yes", str(tmp_path / "f.yaml"))
    assert done.code == 0
    assert problems_of((tmp_path / "f.yaml").read_text(), "f") == ()
    assert "found nobody who could be asked\n" in done.err
    assert "Without any of it:  rxlapce demo\n" in done.err


def test_a_file_that_is_there_stays_unless_it_is_forced(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("health: {enabled: false}\n")
    done = command("init", "--yes", str(file))
    assert done.code == 1
    assert done.err == f"Error: {file} is there already: --force replaces it, and another FILE leaves it\n"
    assert file.read_text() == "health: {enabled: false}\n"
    assert command("init", "--yes", "--force", str(file)).code == 0
    assert file.read_text().startswith("# The configuration of rxlapce.")


def test_without_a_terminal_it_asks_nothing_and_says_how_to_go_on(command: Command, tmp_path: Path) -> None:
    done = command("init", str(tmp_path / "f.yaml"))
    assert done.code == 2
    assert "add --yes" in done.err
    assert not (tmp_path / "f.yaml").exists()


def test_a_folder_in_which_nothing_can_be_written_is_an_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = command("init", "--yes", str(tmp_path / "file" / "config.yaml"))
    assert done.code == 1
    assert "was not written: " in done.err


async def test_servers_that_are_silent_are_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and nobody accepts
        async with asyncio.timeout(5):
            assert await servers({"silent": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}, wait_s=0.1) == []


@pytest.mark.heavy
def test_on_a_terminal_it_asks_and_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    child, terminal = pty.fork()
    if child == 0:
        with contextlib.suppress(BaseException):  # between fork and exec nothing may return into the test run
            program = [sys.executable, "-m", "rxlapce", "init", "--no-probe", str(file)]
            environ = {**os.environ, "OPENAI_API_KEY": "sk-canary-0123456789", "NO_COLOR": "1"}
            os.execve(sys.executable, program, environ)  # noqa: S606 - ours
        os._exit(127)
    said = bytearray()
    answers = [
        (b"gpt-4.1-mini]: ", b"gpt-5\n"),
        (b"write PROVIDER/MODEL", b"openai/gpt-4.1-mini, openai/gpt-4.1\n"),
        (b"[Y/n]: ", b"n\n"),
        (b"[60]: ", b"0\n"),
    ]
    with contextlib.suppress(OSError):  # EIO: the other side has closed
        while data := os.read(terminal, 65536):
            said += data
            if answers and answers[0][0] in said:
                os.write(terminal, answers.pop(0)[1])
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said.decode()
    config = load_config({"OPENAI_API_KEY": "sk-x"}, file)
    assert [target.model for target in config.aliases[0].targets] == ["openai/gpt-4.1-mini", "openai/gpt-4.1"]
    assert config.settings.admission.default.requests is None
    assert "after_commit: fail" in file.read_text()
    assert b"canary" not in said
