"""What the parent tells the processes that read: one line a command, one line back."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.cpu import cpu_seconds
from benchmarks.stamps import Tally, write_latencies


class Report(msgspec.Struct):
    """What a process has read between `record` and `report`."""

    tokens: int
    cpu_s: float


class Readers:
    """The streams of one process: `open_one` asks for a stream by its number, and tells `ended` of its end.

    Commands: `ask COUNT MODEL` (answers when each has had a token), `record` (count from here), `report PATH` (what
    came since, latencies to the file), `wait` (for the end of all streams: the faults).
    """

    def __init__(self, first: int, open_one: Callable[[int, str], None]) -> None:
        self.tally = Tally()
        self._open_one = open_one
        self._next = first
        self._asked = 0
        self._ended = 0
        self._changed = asyncio.Event()
        self._since = Report(0, 0.0)

    def changed(self) -> None:
        """Tokens came."""
        self._changed.set()

    def ended(self, stream: int, *, whole: bool) -> None:
        """A stream is over."""
        self.tally.ended(stream, whole=whole)
        self._ended += 1
        self._changed.set()

    async def serve(self) -> None:
        """Do what standard input says until it ends."""
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(await self._do(*line.split()), flush=True)

    async def _do(self, command: str, *words: str) -> str:
        match command:
            case "ask":
                for _ in range(int(words[0])):
                    self._open_one(self._next, words[1])
                    self._next += 1
                    self._asked += 1
                await self._until(lambda: self.tally.begun >= self._asked or self._ended >= self._asked)
                return "open"
            case "record":
                self.tally.recording = True
                del self.tally.latencies_ns[:]
                self._since = Report(self.tally.tokens, cpu_seconds())
                return "recording"
            case "report":
                self.tally.recording = False
                report = Report(self.tally.tokens - self._since.tokens, cpu_seconds() - self._since.cpu_s)
                write_latencies(Path(words[0]), self.tally.latencies_ns)
                return msgspec.json.encode(report).decode()
            case "wait":
                await self._until(lambda: self._ended >= self._asked)
                return msgspec.json.encode(self.tally.faults).decode()
            case _:
                raise ValueError(f"no command {command!r}")

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._changed.clear()
            await self._changed.wait()
