"""`rxlapce chat` against a daemon in a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from rxlapce.messages import ErrorBody, StreamChunk, StreamDone, StreamError
from rxlapce.testing.peer import RawPeer, fake_daemon
from rxlapce.tokens import Finish, FinishKind, Reasoning, Seam, StreamToken, Text


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
TOKEN = msgspec.json.Decoder(StreamToken)
#: Fast, and long enough to come in many frames. The same question has the same answer.
MODEL = "simulator/sim:tps=0,tokens=300"


def process(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "rxlapce", "chat", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def text_of(lines: str) -> str:
    tokens = [TOKEN.decode(line) for line in lines.splitlines()]
    assert isinstance(tokens[-1], Finish)
    return "".join(token.text for token in tokens if isinstance(token, Text))


def test_without_a_daemon_it_says_how_to_start_one(command: Command, folder: Path) -> None:
    done = command("chat", "-m", "openai/x", "--path", str(folder / "d.sock"), "hi")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"Error: no daemon at {folder}/d.sock (No such file or directory); start it with: rxlapce serve\n"
    )


def test_socket_is_found_by_the_environment(command: Command, simulated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RXLAPCE_SOCKET", str(simulated))
    assert command("chat", "-m", MODEL, "hi").code == 0


def test_the_same_text_comes_by_each_transport_as_prose_and_as_json(command: Command, simulated: Path) -> None:
    ask = ("chat", "-m", MODEL, "--path", str(simulated), "what is backpressure?")
    prose = {command(*ask, "--transport", way).out for way in ("shm", "socket")}
    as_json = {text_of(command(*ask, "--transport", way, "--json").out) for way in ("shm", "socket")}
    assert len(prose) == len(as_json) == 1
    text = as_json.pop()
    assert prose.pop() == text + ("" if text.endswith("\n") else "\n")
    assert len(text) > 500


def test_json_is_one_token_a_line(command: Command, simulated: Path) -> None:
    done = command("chat", "-m", "simulator/sim:tps=0,tokens=12", "--path", str(simulated), "--json", "hi")
    kinds = [json.loads(line)["type"] for line in done.out.splitlines()]
    assert kinds[:12] == ["text"] * 12
    assert kinds[-1] == "finish"


def test_what_is_piped_in_is_asked_after_the_prompt(command: Command, simulated: Path) -> None:
    ask = ("chat", "-m", MODEL, "--path", str(simulated))
    joined = command(*ask, "explain\n\nfn main() {}")
    piped = command(*ask, "explain", stdin=b"fn main() {}\n")
    alone = command(*ask, stdin=b"explain\n\nfn main() {}")
    assert joined.code == piped.code == alone.code == 0
    assert joined.out == piped.out == alone.out
    assert joined.out != command(*ask, "explain").out, "the simulator's answer depends on the question"


def test_nothing_to_ask_is_a_misuse(command: Command) -> None:
    done = command("chat", "-m", MODEL)
    assert done.code == 2
    assert "nothing to ask: give a PROMPT, or pipe one in" in done.err


def test_piped_bytes_that_are_no_text_are_a_misuse_that_says_where(command: Command) -> None:
    done = command("chat", "-m", MODEL, stdin=b"abc\xff")
    assert done.code == 2
    assert "standard input is no UTF-8 text: invalid start byte at byte 3" in done.err


def test_provider_s_error_is_exit_code_1_and_goes_to_standard_error(command: Command, simulated: Path) -> None:
    done = command("chat", "-m", "simulator/sim:fault=overloaded", "--path", str(simulated), "hi")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: simulator: ")
    assert "(overloaded in phase headers, HTTP 503)" in done.err


def test_answer_that_breaks_off_is_an_error_after_its_text(command: Command, simulated: Path) -> None:
    done = command("chat", "-m", "simulator/sim:tps=0,fault=cut,after=10", "--path", str(simulated), "hi")
    assert done.code == 1
    assert done.out.endswith("\n")
    assert done.out.strip()
    assert "(truncated in phase flow, HTTP 200)" in done.err


def test_unknown_provider_lists_the_configured_ones(command: Command, simulated: Path) -> None:
    done = command("chat", "-m", "nobody/model", "--path", str(simulated), "hi")
    assert done.code == 1
    assert "nobody" in done.err
    assert "simulator" in done.err


@pytest.mark.heavy
def test_reader_that_goes_away_is_no_traceback(simulated: Path) -> None:
    with process("-m", "simulator/sim:tps=0,tokens=200000", "--path", str(simulated), "hi") as chat:
        assert chat.stdout is not None
        assert chat.stderr is not None
        assert os.read(chat.stdout.fileno(), 10)
        chat.stdout.close()
        assert chat.stderr.read() == b""
        assert chat.wait(10) == 1


def test_ctrl_c_ends_it_with_130_and_without_a_traceback(simulated: Path) -> None:
    with process("-m", "simulator/sim:tps=5,tokens=1000", "--path", str(simulated), "hi") as chat:
        assert chat.stdout is not None
        assert os.read(chat.stdout.fileno(), 1)
        chat.send_signal(signal.SIGINT)
        out, err = chat.communicate(timeout=10)
        assert (chat.returncode, err.strip()) == (130, b"")
        assert out.endswith(b"\n")


def test_an_answer_fits_the_schema_of_a_file(command: Command, simulated: Path, tmp_path: Path) -> None:
    schema = tmp_path / "person.json"
    schema.write_text('{"type": "object", "properties": {"name": {"type": "string"}, "born": {"type": "integer"}}}')
    ask = ("chat", "-m", "simulator/sim:tps=0", "--path", str(simulated), "--schema", str(schema))
    done = command(*ask, "Who was Ada Lovelace?")
    assert done.code == 0
    assert set(json.loads(done.out)) == {"name", "born"}
    schema.write_text("[]")
    refused = command(*ask, "Who?")
    assert refused.code == 2
    assert "expected a JSON object" in refused.err


def test_a_picture_is_asked_about_and_what_is_none_is_a_misuse(
    command: Command, simulated: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    ask = ("chat", "-m", "simulator/sim:tps=0,tokens=5", "--path", str(simulated), "--json", "what is this?")
    without, counted = (json.loads(command(*ask, *more).out.splitlines()[-2]) for more in ((), ("-a", str(picture))))
    assert counted["usage"]["input"] > without["usage"]["input"], "the simulator counts a picture"
    for wrong, why in (("x.txt", "expected a picture"), ("absent.png", "No such file")):
        done = command(*ask, "-a", str(tmp_path / wrong))
        assert done.code == 2
        assert why in done.err


def test_how_long_to_think_and_by_which_api_are_asked_for(command: Command, simulated: Path) -> None:
    ask = ("chat", "-m", "simulator/sim:tps=0,tokens=5", "--path", str(simulated), "--json", "--effort", "low")
    kinds = [json.loads(line)["type"] for line in command(*ask, "think").out.splitlines()]
    assert "reasoning" in kinds
    refused = command(*ask, "--api", "converse", "think")
    assert refused.code == 1
    assert "simulator has no API 'converse'; it has chat_completions" in refused.err


# -- answers that break off -------------------------------------------------------------------------------------------

CUT = "openai/gpt broke off (truncated)"


async def told(command: Command, path: Path, *tokens: StreamToken, error: ErrorBody | None = None) -> Outcome:
    """What `rxlapce chat` makes of a daemon that says these tokens."""

    async def script(peer: RawPeer) -> None:
        request_id, _ = await peer.receive()
        for seq, token in enumerate(tokens):
            peer.send(StreamChunk(seq, token), request_id)
        seq = len(tokens)
        end = StreamDone(seq, Finish(FinishKind.STOP)) if error is None else StreamError(seq, error)
        peer.send(end, request_id)
        await peer.receive_all()

    async with fake_daemon(path, script):
        return await asyncio.to_thread(command, "chat", "-m", "m", "--path", str(path), "--transport", "socket", "hi")


async def test_an_answer_that_another_model_goes_on_with_is_whole_and_the_seam_is_told(
    command: Command, folder: Path
) -> None:
    seam = Seam(1, f"continue: groq/llama answers, {CUT}")
    done = await told(command, folder / "d.sock", Text("Hel"), seam, Text("lo"))
    assert (done.code, done.out) == (0, "Hello\n")
    assert done.err == f"rxlapce: the answer goes on: groq/llama answers, {CUT}\n"


async def test_an_answer_that_begins_anew_is_told_apart_from_what_was_printed(command: Command, folder: Path) -> None:
    seam = Seam(1, f"restart: groq/llama answers, {CUT}")
    done = await told(command, folder / "d.sock", Text("Hel"), seam, Text("Hi"))
    assert (done.code, done.out) == (0, "Hel\nHi\n")
    assert done.err == f"rxlapce: the answer begins anew: groq/llama answers, {CUT}\n"


async def test_a_seam_amid_thoughts_has_a_line_of_its_own(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    done = await told(command, folder / "d.sock", Reasoning("so"), Seam(1, "restart: b answers"), Text("Hi"))
    assert (done.code, done.out) == (0, "Hi\n")
    assert "\nrxlapce: the answer begins anew: b answers\n" in done.err


@pytest.mark.parametrize(
    ("delivered", "lines"),
    [
        (1234, ["(1,234 characters of the answer had arrived)"]),
        (1, ["(1 character of the answer had arrived)"]),
        (0, []),
        (None, []),
    ],
)
async def test_an_error_is_told_with_how_much_had_arrived(
    command: Command, folder: Path, delivered: int | None, lines: list[str]
) -> None:
    error = ErrorBody("truncated", "same", "flow", "cut off", provider="openai", delivered_chars=delivered)
    done = await told(command, folder / "d.sock", Text("Hel"), error=error)
    assert (done.code, done.out) == (1, "Hel\n")
    assert done.err.splitlines() == [*lines, "Error: openai: cut off (truncated in phase flow)"]
