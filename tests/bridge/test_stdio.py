"""The bridge by lines of JSON: what an editor in another language sees of it."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from rxlapce.bridge import Bridge
from rxlapce.bridge.messages import (
    Cancel,
    InboundMessage,
    OutboundMessage,
    Ping,
    Pong,
    ProviderChatStream,
    ProviderStreamDone,
    decode_inbound,
    encode,
)
from rxlapce.bridge.stdio import MAX_LINE_BYTES, MAX_WAITING_BYTES, WINDOW, serve_lines
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, heard, truth
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.processes import until
from rxlapce.testing.ui import Ui
from rxlapce.tokens import Text

#: More than the pipe, the bridge and the daemon hold between them.
TOKENS = 4000


class Editor:
    """The other ends of a bridge's input and output."""

    def __init__(self, path: Path, *, finish: bool = False) -> None:
        stdin, self._say = os.pipe()
        self._hear, stdout = os.pipe()
        self._ends = (stdin, stdout)
        self.ui = Ui()

        def make(on_message: Any, flow: Any) -> Bridge:
            return Bridge(path, on_message=on_message, window=WINDOW, flow=flow)

        self.serving = asyncio.ensure_future(serve_lines(make, stdin=stdin, stdout=stdout, finish=finish))
        self._listening: asyncio.Future[None] | None = None

    def say(self, *messages: OutboundMessage) -> None:
        """Write messages."""
        self.write(b"".join(encode(message) + b"\n" for message in messages))

    def write(self, data: bytes) -> None:
        """Write anything that a pipe has room for."""
        assert os.write(self._say, data) == len(data)

    def try_to_write(self, data: bytes) -> int:
        """Write what there is room for now; how much that was."""
        os.set_blocking(self._say, False)
        try:
            return os.write(self._say, data)
        except BlockingIOError:
            return 0

    def listen(self) -> None:
        """Read what comes, from now on."""
        self._listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        rest = b""
        while data := await asyncio.to_thread(os.read, self._hear, 65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message: InboundMessage = decode_inbound(line)
                self.ui(message)
        assert not rest

    def hang_up(self) -> None:
        """End the bridge's input. Idempotent."""
        if self._say >= 0:
            os.close(self._say)
            self._say = -1

    def go_deaf(self) -> None:
        """Close the reading end. Idempotent."""
        if self._hear >= 0:
            os.close(self._hear)
            self._hear = -1

    async def end(self) -> bool:
        """Wait for the bridge's own end, and for the last of what it said."""
        try:
            return await asyncio.wait_for(self.serving, 10)
        finally:
            for end in self._ends:
                os.close(end)
            if self._listening is not None:
                await self._listening

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        if not self.serving.done():
            self.listen()
            await self.end()
        self.go_deaf()


@pytest.fixture
async def editor(embedded: EmbeddedDaemon) -> AsyncIterator[Editor]:
    async with Editor(embedded.path) as running:
        yield running


def asked(number: int, options: str) -> ProviderChatStream:
    return ProviderChatStream(id=number, request=ask(options, provider="openai"))


async def test_a_stream_comes_whole_and_the_bridge_ends_with_its_input(editor: Editor, simulator: Simulator) -> None:
    editor.listen()
    editor.say(Ping(id=1), asked(2, "tokens=500"))
    assert await editor.ui.end(1) == Pong(id=1)
    done = await editor.ui.end(2)
    assert isinstance(done, ProviderStreamDone)
    assert heard([*editor.ui.tokens(2), done.finish]) == await truth(simulator)
    editor.hang_up()
    assert await editor.end()
    assert editor.ui.states == ["connecting", "connected", "disconnected"]


async def test_at_the_end_of_the_input_what_runs_is_cancelled(editor: Editor, embedded: EmbeddedDaemon) -> None:
    editor.listen()
    editor.say(asked(1, "tokens=100000,tps=500"))
    await editor.ui.chunks(1, 3)
    editor.hang_up()
    assert await editor.end()
    assert (await editor.ui.failure(1)).error.kind == "cancelled"
    await until(lambda: not embedded.daemon.sessions)


async def test_it_finishes_first_if_it_is_to(embedded: EmbeddedDaemon) -> None:
    async with Editor(embedded.path, finish=True) as editor:
        editor.listen()
        editor.write(encode(asked(1, "tokens=50,tps=500")))  # the last line has no end
        editor.hang_up()
        assert await editor.end()
        assert isinstance(await editor.ui.end(1), ProviderStreamDone)


async def test_lines_that_are_no_messages_are_answered_and_do_no_harm(editor: Editor) -> None:
    editor.listen()
    editor.write(b'hello\n\n  \n{"method":"ping","params":{"id":"x"}}\n{"method":"sing","params":{"id":5}}\n')
    editor.say(Ping(id=6))
    assert "JSON is malformed" in (await editor.ui.invalid()).message
    error = (await editor.ui.failure(5)).error
    assert error.kind == "bad_request"
    assert error.message.startswith("unknown method 'sing'; known: providerChat, ")
    assert await editor.ui.end(6) == Pong(id=6)
    assert len(editor.ui.messages) == 6  # with two of the connection's state


async def test_a_line_that_is_too_long_is_dropped_and_the_next_one_is_read(editor: Editor) -> None:
    editor.listen()
    piece = b"x" * 65536
    for _ in range(MAX_LINE_BYTES // len(piece) + 1):
        await asyncio.to_thread(editor.write, piece)
    await asyncio.to_thread(editor.write, b"\n")
    editor.say(Ping(id=1))
    assert f"longer than {MAX_LINE_BYTES:,} bytes" in (await editor.ui.invalid()).message
    assert await editor.ui.end(1) == Pong(id=1)


async def test_an_editor_that_does_not_read_stops_its_stream_and_loses_nothing(
    editor: Editor, embedded: EmbeddedDaemon, simulator: Simulator
) -> None:
    editor.say(asked(1, f"tokens={TOKENS},tps=0"))
    before, steady = -1, 0

    def stands() -> bool:
        """Whether the daemon has sent nothing more for a hundred looks."""
        nonlocal before, steady
        sent = [stream.seq for session in embedded.daemon.sessions for stream in session.streams.values()]
        steady = steady + 1 if sent == [before] else 0
        before = sent[0] if sent else -1
        return steady > 100

    await until(stands)
    assert WINDOW < before < TOKENS
    editor.say(Cancel(id=99))
    editor.listen()
    done = await editor.ui.end(1)
    assert isinstance(done, ProviderStreamDone)
    assert len(editor.ui.tokens(1)) == done.seq >= before
    assert heard([*editor.ui.tokens(1), done.finish]) == await truth(simulator)


async def test_an_editor_that_only_asks_and_never_reads_is_not_read_any_more(editor: Editor) -> None:
    line = b'{"method":"' + b"x" * 900 + b'"}\n'
    written = refused = 0
    while refused < 200 and written < 40 * MAX_WAITING_BYTES:
        more = editor.try_to_write(line)
        written += more
        refused = 0 if more else refused + 1
        if not more:
            await asyncio.to_thread(os.sched_yield)
    assert MAX_WAITING_BYTES / 4 < written < 8 * MAX_WAITING_BYTES


async def test_without_a_reader_it_ends_and_says_so(editor: Editor, embedded: EmbeddedDaemon) -> None:
    editor.say(asked(1, "tokens=100000,tps=500"))
    await until(lambda: embedded.daemon.requests == 1)
    editor.go_deaf()
    assert not await editor.end()
    await until(lambda: not embedded.daemon.sessions)


@pytest.mark.heavy
def test_the_command_is_the_same(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="rx") as folder:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "rxlapce", "bridge", "--path", f"{folder}/d.sock", "--finish"],
            input=encode(Ping(id=3)) + b"\n",
            capture_output=True,
            timeout=20,
            check=False,
            cwd=tmp_path,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["method"] for one in told] == ["connectionStatus", "connectionStatus", "providerError"]
    assert told[1]["params"]["state"] == "disconnected"


def test_a_chunk_is_one_short_line() -> None:
    from rxlapce.bridge.messages import ProviderStreamChunk

    line = encode(ProviderStreamChunk(id=1, seq=0, token=Text("Hi\n")))
    expected = b'{"method":"providerStreamChunk","params":{"id":1,"seq":0,"token":{"type":"text","text":"Hi\\n"}}}'
    assert line == expected
