"""Secrets that are planted, and looked for wherever a daemon writes: none is anywhere but where it belongs.

Keys, a passphrase, prompts, answers and a header are words that occur nowhere else. A daemon is run with them at log
level debug, by providers that echo what they were sent in every way that an error can; then all that it said is read.
"""

import json
import os
import resource
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector, web
from aiohttp.test_utils import TestServer

from rxlapce.bridge import Client, connect
from rxlapce.cli.status_view import screen
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.errors import ProviderError
from rxlapce.messages import NUMBERS, Credit
from rxlapce.requests import ChatRequest, Message
from rxlapce.secret import Secret
from rxlapce.telemetry.audit_verify import files_of, verify
from rxlapce.testing.daemons import DaemonProcess, daemon_process
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.vaults import FAST
from rxlapce.tokens import Text
from rxlapce.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.asyncio(loop_factories=["uvloop"])]

#: Long enough to be masked, and of no alphabet that something else is written in.
KEYS: Final = {where: f"sk-canary-{where}-7Qm3xV9pLr2T" for where in ("env", "file", "exec", "vault")}
PASSPHRASE: Final = "canary passphrase 5Hb8wZ"
PROMPT: Final = "canary prompt 4Kd6nY what shall I sing"
ANSWER: Final = "canary answer 8Gs1cJ tweet"
HEADER: Final = "canary-header-2Fv7eM"
#: What no place may show but the answer's own frames, and the error's, which are its asker's.
CONTENT: Final = (PROMPT, ANSWER)
SECRETS: Final = (*KEYS.values(), PASSPHRASE, HEADER)


def event(member: object) -> bytes:
    return b"data: " + json.dumps(member).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}}]})


END: Final = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


async def provider(request: web.Request) -> web.StreamResponse:
    """Answers as the model's name says, and tells in it what it was sent: the key, the prompt."""
    body = await request.json()
    asked = body["messages"][-1]["content"]
    echo = f"you sent {request.headers['Authorization']} and said {asked}; {ANSWER}"
    error = {"error": {"message": echo, "type": "invalid_request_error", "code": echo}}
    refusals = {"auth": 401, "quote": 400, "busy": 503, "slow": 429, "gone": 404}
    headers = {"x-request-id": echo[:200], "set-cookie": f"session={HEADER}", "x-secret": HEADER}
    if body["model"] in refusals:
        return web.json_response(error, status=refusals[body["model"]], headers=headers)
    if body["model"] == "html":
        return web.Response(text=f"<html>{echo}</html>", status=502, content_type="text/html", headers=headers)
    response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
    await response.prepare(request)
    pieces = {
        "good": [delta(ANSWER), END],
        "event": [delta(ANSWER), event(error)],
        "garbage": [delta(ANSWER), b"data: {" + echo.encode() + b"\n\n"],
        "shape": [event({"choices": echo})],
        "cut": [delta(ANSWER)],
    }[body["model"]]
    for piece in pieces:
        await response.write(piece)
    if body["model"] == "cut" and request.transport is not None:
        request.transport.close()
    return response


#: What a bug looks like: an exception that quotes, in a handler, and in a callback of the loop.
BUG: Final = """
import asyncio
from rxlapce.daemon.handlers import ProviderRoutes

def late(words):
    raise LookupError(words)

def breaking(handler):
    def broken(self, command, exchange):
        if command.request.model.endswith("/bug"):
            asked = command.request.messages[-1].content
            asyncio.get_running_loop().call_soon(late, asked)
            raise LookupError(asked)
        return handler(self, command, exchange)
    return broken

ProviderRoutes.stream, ProviderRoutes.unary = breaking(ProviderRoutes.stream), breaking(ProviderRoutes.unary)
"""
#: Prints the key, and leaves what a look at the process list shows of it: but for the variable that the daemon itself
#: was given a key in, which all that it starts are given too.
HELPER: Final = """#!/bin/sh
tr '\\0' '\\n' < /proc/$$/cmdline > "$0.seen"
tr '\\0' '\\n' < /proc/$$/environ | grep -v ^CANARY_KEY= >> "$0.seen"
cat "$0.key"
"""
REFUSED: Final = ("auth", "quote", "busy", "slow", "gone", "html", "event", "garbage", "shape", "cut", "bug")


@dataclass(slots=True)
class Seen:
    """All that was written or told, by where."""

    text: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, where: str, text: str | bytes) -> None:
        self.text[where] = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")

    def leaks(self, *words: str, but: tuple[str, ...] = ()) -> list[str]:
        return [
            f"{word!r} in {where}: ...{text[max(0, text.find(word) - 200) : text.find(word) + 80]}..."
            for where, text in self.text.items()
            for word in words
            if word in text and where not in but
        ]


@dataclass(slots=True)
class Setup:
    """A folder with everything planted in it, and the configuration that names it."""

    folder: Path
    base_url: str

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"

    @property
    def metrics(self) -> Path:
        return self.folder / "m.sock"

    def private(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.touch(mode)
        path.write_text(text)
        path.chmod(mode)
        return path

    def config(self) -> str:
        helper = self.private("helper", HELPER, stat.S_IRWXU)
        self.private("helper.key", KEYS["exec"])
        passphrase = self.private("passphrase", PASSPHRASE)
        vault = Vault(self.folder / "vault.json", lambda: Secret(PASSPHRASE), cost=FAST)
        vault.put("canary", "one", Secret(KEYS["vault"]))
        refs = {
            "env": "env:CANARY_KEY",
            "file": f"file:{self.private('key', KEYS['file'])}",
            "exec": f"exec:{helper}",
            "vault": "vault:canary/one",
        }
        vendors = "\n".join(f"  by-{name}: {{base_url: '{self.base_url}', key: '{ref}'}}" for name, ref in refs.items())
        return f"""
providers:
{vendors}
vault: {{file: {vault.path}, unlock: "file:{passphrase}"}}
limits: {{default: {{requests: null}}}}
retry: {{max_attempts: 2, min_s: 0.001, base_s: 0.001, max_s: 0.001}}
health: {{enabled: false}}
models:
  chained: {{ask: [by-env/busy, by-file/event, by-exec/good]}}
telemetry:
  logs: {{level: debug, format: json, file: {self.log}}}
  audit: {{file: {self.audit}}}
  metrics: {{listen: "unix:{self.metrics}"}}
"""

    def environ(self) -> dict[str, str]:
        self.private("sitecustomize.py", BUG)
        bare = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        return {**bare, "CANARY_KEY": KEYS["env"], "PYTHONPATH": str(self.folder), "PYTHONFAULTHANDLER": "1"}


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider)
    async with TestServer(app) as server:
        yield Setup(tmp_path, str(server.make_url("/v1")))


def ask(model: str) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content=PROMPT),))


async def asked(client: Client, model: str, seen: Seen) -> str:
    """The answer's text; the error is among what was seen."""
    text = ""
    try:
        async for token in client.chat_stream(ask(model)):
            text += token.text if isinstance(token, Text) else ""
    except ProviderError as error:
        seen.add(f"error frame of {model}", json.dumps(error.to_dict()))
    return text


async def ask_everything(client: Client, seen: Seen) -> None:
    for way in KEYS:
        assert await asked(client, f"by-{way}/good", seen) == ANSWER
        for model in REFUSED:
            await asked(client, f"by-{way}/{model}", seen)
            assert f"error frame of by-{way}/{model}" in seen.text
            with suppress(ProviderError):
                await client.chat(ask(f"by-{way}/{model}"))
    await asked(client, "chained", seen)
    await asked(client, "nobody/knows", seen)


async def break_the_protocol(path: Path) -> None:
    async with await RawPeer.greeted(path) as peer:
        payload = json.dumps({"type": "credit", "frames": PROMPT}).encode()
        peer.send_bytes(encode_frame(NUMBERS[Credit], int(Flag.REQUEST), 7, payload))
        await peer.receive()


async def look_around(daemon: DaemonProcess, client: Client, seen: Seen) -> None:
    """At what the process list, a report and its limits show."""
    report = await client.status()
    seen.add("status", msgspec.json.encode(report))
    seen.add("status screen", "\n".join(screen(report, daemon.path, verbose=True)))
    seen.add("models", msgspec.json.encode(await client.models()))
    processes = Path("/proc") / str(daemon.pid)
    seen.add("command line", (processes / "cmdline").read_bytes())
    assert resource.prlimit(daemon.pid, resource.RLIMIT_CORE)[0] == 0, "a core would hold every key"


async def scraped(path: Path) -> str:
    """What a Prometheus gets."""
    async with (
        ClientSession(connector=UnixConnector(path=str(path))) as session,
        session.get("http://daemon/metrics") as response,
    ):
        return await response.text()


async def test_no_secret_and_no_content_is_anywhere_but_where_it_belongs(
    setup: Setup, capfd: pytest.CaptureFixture[str]
) -> None:
    seen, path = Seen(), setup.folder / "d.sock"
    async with daemon_process(path, "--log-level", "debug", environ=setup.environ(), config=setup.config()) as daemon:
        async with await connect(path) as client:
            await ask_everything(client, seen)
            await break_the_protocol(path)
            await look_around(daemon, client, seen)
        seen.add("metrics", await scraped(setup.metrics))
        daemon.process.send_signal(signal.SIGABRT)  # every thread's stack is written down
        assert await daemon.exit_code() == -signal.SIGABRT
    out, err = capfd.readouterr()
    seen.add("standard output", out)
    seen.add("standard error", err)
    seen.add("log", setup.log.read_bytes())
    seen.add("audit log", setup.audit.read_bytes())
    seen.add("helper's process", (setup.folder / "helper.seen").read_bytes())

    told = [json.loads(line)["event"] for line in setup.log.read_text().splitlines()]
    assert {"stream_start", "first_token", "retry", "fallback", "error", "stream_end", "protocol_error"} <= set(told)
    assert {"request_start", "request_end", "handler_failed", "loop_error", "audit_head"} <= set(told)
    assert "\nrxlapce_fallbacks_total{" in seen.text["metrics"]
    assert "Fatal Python error: Aborted" in seen.text["standard error"]
    checked = verify(files_of(setup.audit))
    assert (checked.problems, checked.torn) == ([], [])
    assert checked.rows > len(KEYS) * len(REFUSED), "no row is lost with the process"

    errors = tuple(where for where in seen.text if where.startswith("error frame"))
    assert seen.leaks(*SECRETS) == []
    assert seen.leaks(*CONTENT, but=errors) == []


async def test_the_search_finds_what_is_there() -> None:
    seen = Seen()
    seen.add("here", f"... {PROMPT} ...")
    assert len(seen.leaks(*CONTENT)) == 1
