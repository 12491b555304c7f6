"""The editors: connections that keep requests of all kinds under way.

`python -m benchmarks.soak.clients SOCKET KEYS REQUESTS SECONDS SEED` keeps so many requests under way over eight
connections, half of them with a ring and half of them signed, and prints as JSON what became of them all.
"""

import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from rxlapce.answer import AnswerBuilder
from rxlapce.bridge import Client, connect
from rxlapce.codec.frame import Frame
from rxlapce.errors import Phase, ProviderError
from rxlapce.messages import NUMBERS, StreamDone, StreamError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Seam
from rxlapce.transports.key_file import only_key

CONNECTIONS: Final = 8
PROMPTS: Final = tuple(f"{number}: what is a stream, and how does it {verb}?" for number in range(3) for verb in
                       ("fail", "begin", "flow", "end"))  # fmt: skip
#: Who is asked: mostly the alias, sometimes one of its models alone.
MODELS: Final = ("soak", "soak", "soak", "openai/sim", "anthropic/sim", "local/sim")
#: What is asked, and how it is read: `slow` takes its time with each token, `stalled` stops in the midst for seconds.
KINDS: Final = ("stream", "slow", "stalled", "cancel", "unary", "question")
WEIGHTS: Final = (64, 10, 4, 10, 10, 2)
#: Asked of it, a model behaves.
REFERENCE: Final = "local/sim:fault=none,tps=0,ttft=0,split=0"
_TERMINAL: Final = frozenset({NUMBERS[StreamDone], NUMBERS[StreamError]})
#: What `fault=huge` says in the midst of an answer.
_HUGE: Final = re.compile("x{1000,}")


class Tally(msgspec.Struct, kw_only=True):
    """What became of all requests. `outcomes`: by kind of request, and whole, error kind or cancelled."""

    outcomes: dict[str, dict[str, int]] = {}
    seams: int = 0
    wrong: list[str] = []
    """Answers that were told as whole and are not what the model says, as prompt and text."""
    truncated: int = 0
    doubled: int = 0
    without_end: int = 0
    """Streams without a terminal frame; `ended_twice` have more than one."""
    ended_twice: int = 0
    streams: int = 0

    def count(self, kind: str, outcome: str) -> None:
        """One request more."""
        counts = self.outcomes.setdefault(kind, {})
        counts[outcome] = counts.get(outcome, 0) + 1

    def compare(self, prompt: str, text: str, whole: str) -> None:
        """Look at an answer that was told to be whole."""
        said = _HUGE.sub("", text)
        if said == whole:
            return
        self.wrong.append(f"{prompt!r}: {said!r}")
        if whole.startswith(said):
            self.truncated += 1
        elif len(said) > len(whole):
            self.doubled += 1


class Ends:
    """Counts the terminal frames of every stream of every connection, by looking at all frames that come in."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[int, int]] = Counter()
        hear = Client.on_frames

        seen = self.seen

        def on_frames(self: Client, frames: Sequence[Frame]) -> None:
            for frame in frames:
                if frame.number in _TERMINAL:
                    seen[id(self), frame.request_id] += 1
            hear(self, frames)

        # The client itself forgets a stream at its first terminal frame, so that a second one would not show; and it
        # has no hook for frames, which nobody else wants to see.
        Client.on_frames = on_frames  # type: ignore[method-assign]  # see above


class Editor:
    """One place in the crowd: asks, reads in its own way, and asks again until the time is over."""

    def __init__(self, client: Client, tally: Tally, whole: dict[str, str], chance: random.Random) -> None:
        self.client = client
        self.tally = tally
        self.whole = whole
        self.chance = chance

    async def run(self, until_s: float) -> None:
        """Ask one after the other. The first questions of all are spread over some seconds, as later ones are."""
        await asyncio.sleep(self.chance.uniform(0, 5))
        while time.monotonic() < until_s:
            prompt = self.chance.choice(PROMPTS)
            request = _request(self.chance.choice(MODELS), prompt)
            kind = self.chance.choices(KINDS, WEIGHTS)[0]
            try:
                if kind == "question":
                    await self.client.status()
                    self.tally.count(kind, "whole")
                elif kind == "unary":
                    self.tally.compare(prompt, (await self.client.chat(request)).text, self.whole[prompt])
                    self.tally.count(kind, "whole")
                else:
                    self.tally.count(kind, await self.read(request, kind, prompt))
            except ProviderError as error:
                self.tally.count(kind, error.kind.value)
                # As an editor's user: at once after what was sent, and not at once after a refusal. Without that pause,
                # two hundred who ask again at once keep the daemon so busy with refusing that its probes time out.
                await asyncio.sleep(self.chance.uniform(0.5, 1.5) if error.phase is Phase.ADMIT else 0)

    async def read(self, request: ChatRequest, kind: str, prompt: str) -> str:
        """One stream, to its end or to where the reader has had enough; how that was."""
        self.tally.streams += 1
        builder, taken = AnswerBuilder(), 0
        enough = self.chance.randrange(60) if kind == "cancel" else None
        stream = self.client.chat_stream(request, window=4 if kind in ("slow", "stalled") else 256)
        stalls_at = self.chance.randrange(1, 30) if kind == "stalled" else None
        if enough == 0:  # in the same breath
            stream.subscribe(on_error=lambda _: None).dispose()
            await asyncio.sleep(0)
            return "cancelled"
        async with aclosing(aiter(stream)) as tokens:
            async for token in tokens:
                builder.add(token)
                self.tally.seams += isinstance(token, Seam)
                taken += 1
                if taken == enough:
                    return "cancelled"
                if taken == stalls_at:
                    await asyncio.sleep(self.chance.uniform(2, 8))
                elif kind == "slow":
                    await asyncio.sleep(self.chance.uniform(0, 0.15))
        self.tally.compare(prompt, builder.answer().text, self.whole[prompt])
        return "whole"


def _request(model: str, prompt: str) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content=prompt),))


async def _reference(client: Client, prompt: str) -> str:
    """The whole answer, asked for until there is one: who comes late may come into an outage."""
    while True:
        try:
            return (await client.chat(_request(REFERENCE, prompt))).text
        except ProviderError:
            await asyncio.sleep(0.5)


async def main(path: Path, keys: Path, requests: int, seconds: float, seed: int) -> None:
    """Keep them under way; print the tally."""
    key = only_key(keys)
    chance, tally, ends = random.Random(seed), Tally(), Ends()  # noqa: S311 - test data
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                await connect(
                    path,
                    transport="shm" if number % 2 else "socket",
                    client=f"soak {number}",
                    key=key if number % 4 > 1 else None,
                )
            )
            for number in range(CONNECTIONS)
        ]
        whole = {prompt: await _reference(clients[0], prompt) for prompt in PROMPTS}
        until_s = time.monotonic() + seconds
        editors = [
            Editor(clients[number % CONNECTIONS], tally, whole, random.Random(chance.random()))  # noqa: S311 - test data
            for number in range(requests)
        ]
        await asyncio.gather(*(editor.run(until_s) for editor in editors))
        for client in clients:
            await client.ping()  # the answers to the last cancels come before it, but for those in the ring
        await asyncio.sleep(0.5)
        failed = sum(
            count
            for kind in ("unary", "question")
            for outcome, count in tally.outcomes.get(kind, {}).items()
            if outcome != "whole"
        )
        tally.ended_twice = sum(count > 1 for count in ends.seen.values())
        tally.without_end = tally.streams + failed - len(ends.seen)  # a unary failure has the same frame
    print(msgspec.json.encode(tally).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
