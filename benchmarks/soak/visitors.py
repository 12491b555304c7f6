"""Many short connections: `python -m benchmarks.soak.visitors SOCKET KEYS SECONDS SEED`.

Each asks one thing (a sign of life, the daemon's status, its models, an answer, a stream) and goes: in order, or
without a word. Prints as JSON how many asked what, and how many of them got an error.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop

from rxlapce.bridge import Client, connect
from rxlapce.errors import ConnectionLost, RxlapceError
from rxlapce.requests import ChatRequest, Message
from rxlapce.transports.key_file import SigningKey, only_key

AT_ONCE: Final = 6
PAUSE_S: Final = 0.2
MODEL: Final = "soak"


def _request() -> ChatRequest:
    return ChatRequest(model=MODEL, messages=(Message(role="user", content="a word in passing"),))


async def _begin_stream(client: Client) -> None:
    async for _ in client.chat_stream(_request()):
        return


async def _chat(client: Client) -> None:
    await client.chat(_request())


async def _status(client: Client) -> None:
    report = await client.status()
    if report.connections < 1:
        raise RuntimeError(f"a report without the client that asked for it: {report}")


async def _models(client: Client) -> None:
    listed = await client.models()
    if not any(entry.name == MODEL for entry in listed.models):
        raise RuntimeError(f"a list without the alias: {listed}")


ERRANDS: Final[dict[str, Callable[[Client], Awaitable[None]]]] = {
    "ping": Client.ping,
    "status": _status,
    "models": _models,
    "chat": _chat,
    "stream": _begin_stream,
}
WEIGHTS: Final = (45, 30, 5, 5, 15)


async def visit(path: Path, key: SigningKey, chance: random.Random, counts: Counter[str]) -> None:
    """One connection, one errand."""
    name = chance.choices(tuple(ERRANDS), WEIGHTS)[0]
    counts[name] += 1
    try:
        signs = key if chance.random() < 0.5 else None
        client = await connect(path, transport=chance.choice(("shm", "socket")), client="visitor", key=signs)
        async with client:
            await ERRANDS[name](client)
    except ConnectionLost as error:
        late = "waited" in str(error) or "too busy" in str(error)  # as a machine that others use may make it
        counts[f"{name}: {'too slow' if late else 'ConnectionLost'}"] += 1
    except RxlapceError as error:
        counts[f"{name}: {type(error).__name__}"] += 1


async def main(path: Path, keys: Path, seconds: float, seed: int) -> None:
    """Visit until the time is over."""
    chance, counts, key = random.Random(seed), Counter[str](), only_key(keys)  # noqa: S311 - test data
    until_s = time.monotonic() + seconds

    async def one_after_the_other() -> None:
        while time.monotonic() < until_s:
            await visit(path, key, chance, counts)
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE_S))

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
