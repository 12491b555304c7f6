"""Whatever clients do to a daemon in whatever order, each request ends once and nothing is left.

A seeded walk: starts, cancels, faults, slow readers, goodbyes and vanishing clients, in a random order that the seed
repeats.
"""

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rxlapce.daemon.server import DaemonSettings
from rxlapce.errors import TruncatedFrame
from rxlapce.messages import (
    Cancel,
    Chat,
    ChatResponse,
    ChatStream,
    Credit,
    Disconnect,
    Heartbeat,
    StreamChunk,
    StreamDone,
    StreamError,
)
from rxlapce.providers.http import HttpTimeouts
from rxlapce.routing.settings import StreamTimeouts
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import ask, simulated
from rxlapce.testing.daemons import EmbeddedDaemon, bare, embedded_daemon
from rxlapce.testing.peer import RawPeer
from rxlapce.testing.processes import descriptors, until
from rxlapce.testing.transports import loop_rounds

OPTIONS = (
    "tokens=30", "tokens=700", "tokens=20,tps=2000", "tokens=0", "tokens=9,reasoning=9,split=0", "fault=stall,after=3",
    "fault=hang", "fault=cut,after=5", "fault=end,after=2", "fault=error,after=4", "fault=malformed,after=1",
    "fault=rate_limit", "fault=reset", "fault=no_done,tokens=4", "nonsense=1",
)  # fmt: skip


@dataclass
class Walker:
    """A client, what it asked, and every frame that came for it."""

    peer: RawPeer
    chance: random.Random
    asked: dict[int, str] = field(default_factory=dict[int, str])
    next_seq: Counter[int] = field(default_factory=Counter[int])
    ends: Counter[int] = field(default_factory=Counter[int])
    counted: set[int] = field(default_factory=set[int])
    next_id: int = 1
    reading: bool = True
    _may_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Check each frame as it comes, until the connection ends; stands still while `reading` is False."""
        while True:
            while not self.reading:
                self._may_read.clear()
                await self._may_read.wait()
            try:
                request_id, message = await self.peer.receive()
            except (EOFError, ConnectionError, TruncatedFrame):
                return
            if isinstance(message, Heartbeat | Disconnect):
                continue
            assert request_id in self.asked, message
            assert not self.ends[request_id], f"{self.asked[request_id]}: {message} after its end"
            match message:
                case StreamChunk() | StreamDone() | StreamError():
                    assert message.seq == self.next_seq[request_id], self.asked[request_id]
                    self.next_seq[request_id] += 1
                    if isinstance(message, StreamChunk):
                        if request_id in self.counted:
                            self.peer.send(Credit(frames=1), request_id)
                    else:
                        self.ends[request_id] += 1
                case ChatResponse():
                    self.ends[request_id] += 1
                case _:
                    raise AssertionError(message)

    def stand_still(self, still: bool) -> None:
        self.reading = not still
        self._may_read.set()

    def ask(self) -> None:
        """One more request of a random kind, sometimes cancelled in the same breath."""
        number, self.next_id = self.next_id, self.next_id + 1
        options = self.chance.choice(OPTIONS)
        request = ask(options, provider=self.chance.choice(("openai", "anthropic", "nobody")))
        if self.chance.random() < 0.3:
            self.asked[number] = f"chat {request.model}"
            self.peer.send(Chat(request=request), number)
        else:
            credit = self.chance.choice((None, None, 1, 20))
            if credit is not None:
                self.counted.add(number)
            self.asked[number] = f"stream {request.model} credit={credit}"
            self.peer.send(ChatStream(request=request, credit=credit), number)
        if self.chance.random() < 0.1:
            self.peer.send(Cancel(), number)

    def cancel(self) -> None:
        """Cancel any request, ended or not."""
        if self.asked:
            self.peer.send(Cancel(), self.chance.choice([*self.asked]))

    @property
    def unended(self) -> list[str]:
        """Requests that still owe a terminal frame."""
        return [what for number, what in self.asked.items() if self.ends[number] != 1]


async def walk(embedded: EmbeddedDaemon, seed: int, steps: int) -> int:
    """Do `steps` random things with up to six clients; return how many requests ended. Leaves no client."""
    chance = random.Random(seed)  # noqa: S311 - a test's
    walkers: list[tuple[Walker, asyncio.Task[None]]] = []
    ended = 0
    for _ in range(steps):
        deed = chance.random()
        if not walkers or (deed < 0.06 and len(walkers) < 6):
            made = Walker(await RawPeer.greeted(embedded.path), random.Random(chance.random()))  # noqa: S311
            walkers.append((made, asyncio.ensure_future(made.read())))
            continue
        walker, reading = chance.choice(walkers)
        if deed < 0.60:
            walker.ask()
        elif deed < 0.75:
            walker.cancel()
        elif deed < 0.85:
            walker.stand_still(chance.random() < 0.5)
        elif deed < 0.88:
            walkers.remove((walker, reading))
            if chance.random() < 0.5:
                walker.peer.send(Disconnect(reason="bye"))
            walker.stand_still(False)
            await walker.peer.close()
            await reading
            ended += sum(walker.ends.values())
        await loop_rounds(chance.choice((0, 0, 1, 3, 20)))
        assert not reading.done() or reading.result() is None
    for walker, _ in walkers:
        walker.stand_still(False)
    await until(lambda: not any(walker.unended for walker, _ in walkers) or any(task.done() for _, task in walkers))
    for walker, reading in walkers:
        assert walker.unended == []
        await walker.peer.close()
        await reading
        ended += sum(walker.ends.values())
    return ended


async def is_as_it_was(embedded: EmbeddedDaemon, simulator: Simulator) -> None:
    """Fails unless the daemon soon holds nothing of its clients any more."""
    daemon, http = embedded.daemon, embedded.http
    await until(lambda: not daemon.sessions and not len(daemon.tasks) and not http.open_streams)
    assert daemon.requests == 0
    await until(lambda: not simulator.open_streams)


async def walks(simulator: Simulator, settings: DaemonSettings, seeds: range, steps: int) -> None:
    async with embedded_daemon(
        settings,
        *simulated(simulator.base_url),
        http_timeouts=HttpTimeouts(connect_s=2, headers_s=0.3, answer_s=0.5),
        routing=bare(StreamTimeouts(first_token_s=1, idle_s=0.3)),
    ) as embedded:
        await walk(embedded, 0, steps)  # what is made once and kept
        await is_as_it_was(embedded, simulator)
        tasks = named_tasks()
        ended = 0
        for seed in seeds:
            ended += await walk(embedded, seed, steps)
            await is_as_it_was(embedded, simulator)
        assert ended > len(seeds) * steps // 10, "the walks asked too little to show anything"
        # Sockets come and go with what is kept alive between daemon and simulator; a ring's memory must not stay.
        assert named_tasks() == tasks
        assert not [target for target in descriptors(os.getpid()) if target.startswith("/memfd")]


def named_tasks() -> set[str]:
    """The tasks of ours; asyncio's and aiohttp's own are only numbered."""
    return {name for task in asyncio.all_tasks() if not (name := task.get_name()).startswith("Task-")}


@pytest.mark.parametrize("start", [1, pytest.param(4, marks=pytest.mark.heavy)])
async def test_random_interleavings_end_each_request_once_and_leave_nothing(
    simulator: Simulator, path: Path, start: int
) -> None:
    await walks(simulator, DaemonSettings(path=path), range(start, start + 3), steps=120)


@pytest.mark.heavy
@pytest.mark.timeout(400)
async def test_many_random_interleavings_end_each_request_once_and_leave_nothing(
    simulator: Simulator, path: Path
) -> None:
    await walks(simulator, DaemonSettings(path=path), range(100, 140), steps=400)
