"""`rxlapce models`, `count`, `providers --check`: what is free to learn, of every provider and of a vendor's file."""

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.config.simulated import KEY, simulated_environ
from rxlapce.providers import SPECS

#: Who counts tokens, by the API that a request without a wish asks by or the one named.
COUNTING = ("anthropic", "gemini", "vertex", "bedrock")


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """The base URL of a `rxlapce simulate` that demands the key of `simulated_environ`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rxlapce", "simulate", "--json", "--quiet", "--api-key-env", "SIMULATED"],
        stdout=subprocess.PIPE,
        env={**os.environ, "SIMULATED": KEY},
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def all_configured(simulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in simulated_environ(simulator).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    return simulator


def rows(outcome: Outcome) -> list[dict[str, object]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_every_provider_that_answers_is_said_to_be_healthy(command: Command, all_configured: str) -> None:
    done = command("providers", "--check", "--json")
    assert {row["provider"]: row["health"] for row in rows(done)} == dict.fromkeys(SPECS, "ok")
    assert done.code == 0


def test_a_refused_key_and_a_dead_server_are_told_apart_and_fail(
    command: Command, all_configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-wrong-0123456789")
        done = command("providers", "--check", "--json")
    said = {row["provider"]: str(row["health"]) for row in rows(done)}
    assert "network in phase connect" in said["openai"]
    assert "auth in phase headers" in said["anthropic"]
    assert "sk-wrong" not in done.out + done.err
    assert said["xai"] == "ok"
    assert done.code == 1


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenAI is a server that refuses in words which rename a terminal's window and write into its clipboard."""
    body = json.dumps({"error": {"message": "no \x1b]0;renamed\x07\x1b]52;c;YQ==\x07\x9b2Jkey"}}).encode()

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_request(self, code: object = None, size: object = None) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [("models",), ("providers", "--check"), ("count", "-m", "openai/m", "--api", "responses", "hi")],
    ids=["models", "providers", "count"],
)
def test_what_a_provider_says_does_not_steer_the_terminal(
    command: Command, hostile: None, arguments: tuple[str, ...]
) -> None:
    done = command(*arguments)
    assert done.code == 1
    assert "no ]0;renamed" in done.out + done.err
    assert not {"\x1b", "\x07", "\x9b"} & set(done.err)
    assert not {"\x07", "\x9b"} & set(done.out)


def test_models_are_listed_by_the_names_that_chat_takes(command: Command, all_configured: str) -> None:
    done = command("models")
    assert (done.code, done.err) == (0, "")
    listed = done.out.splitlines()
    for name in SPECS:
        assert any(line.startswith(f"{name}/") for line in listed), name
    assert "openai/sim" in listed
    one = command("models", "gemini", "--json")
    assert rows(one)
    assert {row["provider"] for row in rows(one)} == {"gemini"}


def test_a_provider_that_cannot_be_asked_does_not_hide_the_others(
    command: Command, all_configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-wrong-0123456789")
    done = command("models", "anthropic", "openai")
    assert done.code == 1
    assert "openai/sim" in done.out.splitlines()
    assert "anthropic: " in done.err
    assert "sk-wrong" not in done.err


def test_models_of_a_provider_that_is_not_configured_name_those_that_are(command: Command, all_configured: str) -> None:
    done = command("models", "grok")
    assert done.code == 1
    assert "'grok' is not configured; configured: openai, anthropic" in done.err


@pytest.mark.parametrize("provider", COUNTING)
def test_tokens_are_counted_by_who_can(command: Command, all_configured: str, provider: str) -> None:
    model = f"{provider}/sim"
    short = command("count", "-m", model, "one two three")
    longer = command("count", "-m", model, "--json", "one two three " * 50)
    assert (short.code, longer.code) == (0, 0)
    assert 0 < int(short.out) < int(str(json.loads(longer.out)["input_tokens"]))


def test_what_is_piped_in_is_counted(command: Command, all_configured: str) -> None:
    done = command("count", "-m", "openai/sim", "--api", "responses", stdin=b"one two three")
    assert int(done.out) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_a_closed_standard_input_or_output_is_an_empty_one(all_configured: str, closed: str) -> None:
    program = f"exec {shlex.quote(sys.executable)} -m rxlapce count -m anthropic/sim hello {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", program], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) is (">" not in closed)


def test_who_cannot_count_says_so(command: Command, all_configured: str) -> None:
    done = command("count", "-m", "xai/sim", "hello")
    assert done.code == 1
    assert "xai has no endpoint that counts tokens" in done.err


def test_a_vendor_of_the_file_is_shown_checked_and_listed(
    command: Command, simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text(f"providers:\n  mine:\n    base_url: {simulator}/v1\n    key: env:MINE\n")
    monkeypatch.setenv("MINE", KEY)
    shown = command("providers", "--config", str(file), "--check", "--json")
    (row,) = (row for row in rows(shown) if row["provider"] == "mine")
    assert (row["configured"], row["key"], row["health"]) == (True, True, "ok")
    monkeypatch.setenv("RXLAPCE_CONFIG", str(file))
    assert "mine/sim" in command("models", "mine").out.splitlines()
    assert "vendors.yaml:3" in command("providers").out.replace("\n", "").replace(" ", "")


def test_an_error_of_the_file_is_told_with_its_place(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text("providers:\n  mine:\n    base_ulr: http://127.0.0.1/v1\n")
    done = command("providers", "--config", str(file))
    assert done.code == 1
    assert "vendors.yaml:3:5" in done.err
    assert "base_url" in done.err


@pytest.fixture
def aliases(all_configured: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with two aliases is set for all commands."""
    file = tmp_path / "rxlapce.yaml"
    file.write_text(
        "models:\n  fast: {ask: [anthropic/sim, openai/sim], choose: least_busy}\n  other: {ask: [gemini/sim]}\n"
    )
    monkeypatch.setenv("RXLAPCE_CONFIG", str(file))


def test_aliases_are_listed_before_the_models_with_what_they_stand_for(command: Command, aliases: None) -> None:
    lines = command("models").out.splitlines()
    assert lines[:2] == ["fast (least busy: anthropic/sim, openai/sim)", "other (in order: gemini/sim)"]
    assert "openai/sim" in lines
    first, second, *others = rows(command("models", "--json"))
    asks = ["anthropic/sim", "openai/sim"]
    assert first == {"provider": None, "model": "fast", "choose": "least_busy", "asks": asks}
    assert second["model"] == "other"
    assert all(row["provider"] in SPECS for row in others)


def test_the_models_of_one_provider_are_listed_without_aliases(command: Command, aliases: None) -> None:
    lines = command("models", "gemini").out.splitlines()
    assert lines
    assert all(line.startswith("gemini/") for line in lines)


def test_tokens_of_an_alias_are_those_of_its_first_model(command: Command, aliases: None) -> None:
    by_alias, by_name = (command("count", "-m", model, "one two three") for model in ("fast", "anthropic/sim"))
    assert (by_alias.code, by_alias.out) == (0, by_name.out)


def test_providers_are_shown_while_an_alias_names_one_who_is_not_configured(
    command: Command, aliases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    assert command("providers").code == 0
    done = command("models")
    assert done.code == 1
    assert "rxlapce.yaml:3:17: models.other.ask[0]: gemini is not configured: set GEMINI_API_KEY" in done.err
