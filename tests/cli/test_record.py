"""`rxlapce record` and `rxlapce replay`, as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import click
import pytest

from rxlapce.cli.listening import address
from rxlapce.cli.record_proxy import base_urls, provider_of
from rxlapce.operators.recording import read_recording


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
FAST = "openai/sim:tps=0,ttft=0,tokens=12"


@contextmanager
def running(*arguments: str) -> Generator[dict[str, Any]]:
    """What a command that serves says in its first line; it is ended as by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "rxlapce", *arguments, "--json"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(process.stdout.readline())
        yield said | {"next": lambda: json.loads(process.stdout.readline()) if process.stdout else None}
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        if process.stdout is not None:
            process.stdout.close()


def ask(url: str) -> bytes:
    turns = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "sim:tps=0,ttft=0,tokens=12", "stream": True, "messages": turns}).encode()
    headers = {"Authorization": "Bearer sk-never-in-a-file", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - a server of this test's
    with urllib.request.urlopen(request) as response:  # noqa: S310 - a server of this test's
        answer: bytes = response.read()
    return answer


@pytest.mark.heavy
def test_an_answer_is_recorded_shown_again_and_decoded(command: Command, tmp_path: Path) -> None:
    file = str(tmp_path / "a.rec")
    asked = command("record", "-o", file, "--simulator", "-m", FAST, "hello")
    assert (asked.code, len(asked.out) > 20) == (0, True)
    for word in (
        "> hello",
        "outcome",
        "whole",
        "rxlapce replay",
        "openai.chat.completions (HTTP 200 text/event-stream)",
    ):
        assert word in asked.err
    again = command("replay", file, "--print", "--speed", "0")
    assert (again.code, again.out) == (0, asked.out)
    tokens = [
        json.loads(line) for line in command("replay", file, "--print", "--speed", "0", "--json").out.splitlines()
    ]
    assert "".join(one["token"].get("text", "") for one in tokens).strip() == asked.out.strip()
    assert tokens[-1]["token"]["type"] == "finish"
    decoded = command("decode", file)
    assert decoded.code == 0
    assert json.loads(decoded.out)["text"].strip() == asked.out.strip()
    events = command("decode", file, "--events").out.splitlines()
    assert json.loads(events[-1])["end"] is True


@pytest.mark.heavy
def test_a_refusal_is_recorded_with_its_body_and_told(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "r.rec"
    refused = command("record", "-o", str(file), "--simulator", "-m", "anthropic/sim:status=529", stdin=b"hello")
    assert refused.code == 1
    assert "Error: anthropic: Overloaded" in refused.err
    assert "failed: Overloaded" in refused.err
    assert json.loads(read_recording(file).body)["error"]["type"] == "overloaded_error"
    assert command("replay", str(file), "--print", "--speed", "0").code == 1
    decoded = json.loads(command("decode", str(file)).out)
    assert (decoded["error"]["kind"], decoded["error"]["status"]) == ("overloaded", 529)


@pytest.mark.heavy
def test_the_summary_is_one_line_of_json_where_it_is_asked_for(command: Command, tmp_path: Path) -> None:
    said = command("record", "-o", str(tmp_path / "a.rec"), "--simulator", "-m", FAST, "--json", "hello")
    (line,) = said.out.splitlines()
    told = json.loads(line)
    assert (told["end"], told["status"], told["api"]) == ("completed", 200, "openai.chat.completions")
    assert told["bytes"] == len(read_recording(tmp_path / "a.rec").body)


@pytest.mark.heavy
def test_ctrl_c_leaves_a_whole_file_of_what_had_come(tmp_path: Path) -> None:
    file = tmp_path / "a.rec"
    process = subprocess.Popen(
        [sys.executable, "-m", "rxlapce", "record", "-o", str(file), "-m", "simulator/sim:tps=40,ttft=0", "--simulator",
         "hello"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"left before its end" in told
    recording = read_recording(file)
    assert recording.body
    assert recording.end is not None
    assert recording.end.end == "disposed"


@pytest.mark.heavy
def test_any_program_is_recorded_on_its_way_and_the_recording_answers_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    with (
        running("simulate", "--tps", "0", "--ttft", "0") as simulator,
        running("record", "--listen", "127.0.0.1:0", "--to", simulator["url"], "-o", str(folder)) as proxy,
    ):
        first = ask(f"{proxy['url']}/v1/chat/completions")
        told = proxy["next"]()
    (file,) = folder.iterdir()
    assert told["file"] == str(file)
    assert (told["status"], told["end"], told["bytes"]) == (200, "completed", len(first))
    assert "sk-never-in-a-file" not in file.read_text()
    with running("replay", str(file), "--speed", "0") as provider:
        assert provider["environ"] == {"OPENAI_BASE_URL": f"{provider['url']}/v1"}
        assert ask(f"{provider['environ']['OPENAI_BASE_URL']}/chat/completions") == first


@pytest.mark.heavy
def test_the_document_s_python_reads_a_recording(command: Command, tmp_path: Path) -> None:
    command("record", "-o", str(tmp_path / "answer.rec"), "--simulator", "-m", FAST, "hello")
    document = (Path(__file__).parents[2] / "docs/recording.md").read_text()
    program = document.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    first, *_, last = done.stdout.splitlines()
    assert first == f"sim:tps=0,ttft=0,tokens=12 200 {len(read_recording(tmp_path / 'answer.rec').body)} bytes"
    assert last == "completed sse"


# -- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("record", "-o", "{0}/new.rec"), 2, "nothing to ask: give a PROMPT, or pipe one in"),
        (("record", "-o", "{0}/there.rec", "hi"), 1, "there.rec is there already: a recording overwrites nothing"),
        (("record", "-o", "{0}/no/a.rec", "hi"), 1, "there is no folder {0}/no for the recording"),
        (("record", "-o", "{0}/a.rec", "-m", "acme/x", "hi"), 1, "no provider 'acme'; configured providers"),
        (("record", "-o", "{0}/x", "--listen", "127.0.0.1:0"), 2, "--listen HOST:PORT and --to URL go together"),
        (("record", "-o", "{0}/x", "--to", "https://a.b", "hi"), 2, "PROMPT asks a provider; with --listen others ask"),
        (("record", "-o", "{0}/x", "--listen", "nowhere", "--to", "https://a.b"), 2, "expected HOST:PORT, for example"),
        (("record", "-o", "{0}/there.rec", "--listen", "127.0.0.1:0", "--to", "https://a.b"), 1, "is no folder"),
        (("replay", "{0}/gone.rec"), 2, "'{0}/gone.rec' does not exist"),
        (("replay", "{0}/there.rec"), 1, "there.rec is no recording that this version can play: JSON is malformed"),
        (("replay", "{0}/there.rec", "--print"), 1, "there.rec is no recording that this version can play"),
    ],
)
def test_what_is_wrong_is_told(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    (tmp_path / "there.rec").write_text("data: {}\n")
    said = command(*(argument.replace("{0}", str(tmp_path)) for argument in arguments))
    assert said.code == code, said.err
    assert told.replace("{0}", str(tmp_path)) in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("said", "place"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_a_host_and_a_port(said: str, place: tuple[str, int]) -> None:
    assert address(said) == place


@pytest.mark.parametrize("said", ["80", ":80", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_no_address_is_refused(said: str) -> None:
    with pytest.raises(click.BadParameter, match="expected HOST:PORT"):
        address(said)


@pytest.mark.parametrize(
    ("url", "provider", "variables"),
    [
        ("https://api.openai.com", "openai", {"OPENAI_BASE_URL": "http://h:1/v1"}),
        ("https://api.openai.com/v1", "openai", {"OPENAI_BASE_URL": "http://h:1"}),
        ("https://api.anthropic.com", "anthropic", {"ANTHROPIC_BASE_URL": "http://h:1"}),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "bedrock", {"BEDROCK_BASE_URL": "http://h:1"}),
        ("https://mine.openai.azure.com", "azure", {"AZURE_OPENAI_ENDPOINT": "http://h:1"}),
        ("https://api.x.ai", "xai", {"XAI_BASE_URL": "http://h:1/v1"}),
        ("https://openrouter.ai", "openrouter", {"OPENROUTER_BASE_URL": "http://h:1/api/v1"}),
        ("https://generativelanguage.googleapis.com", "gemini", {"GEMINI_BASE_URL": "http://h:1"}),
        ("http://127.0.0.1:9", "", {"OPENAI_BASE_URL": "http://h:1/v1"}),
    ],
)
def test_who_a_url_is_tells_which_variable_leads_here(url: str, provider: str, variables: dict[str, str]) -> None:
    assert provider_of(url) == provider
    path = url.partition("://")[2].partition("/")[2]
    assert base_urls("http://h:1", provider, f"/{path}" if path else "") == variables
