"""The provider as a process: `python -m benchmarks.faults.provider` prints its URL.

Then, for each line on standard input, it prints what it served by the model's plain name, as JSON; the line "forget"
makes it leave out what it served until then. It ends with its standard input. Answers of 65,536 bytes that nobody reads
fill its connection, so that it soon stands still.
"""

import asyncio
import json
import sys

import uvloop

from rxlapce.simulator import Served, Simulator


async def main() -> None:
    """Serve until standard input ends."""
    asked = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with Simulator(seed=5, send_buffer_bytes=65_536, keep=4096) as simulator:
        print(simulator.base_url, flush=True)
        earlier: dict[int, Served] = {}
        while line := await asked.readline():
            if line == b"forget\n":
                earlier = {id(served): served for served in simulator.served}
            told: dict[str, list[tuple[int, bool, str | None]]] = {}
            for served in simulator.served:
                if id(served) in earlier:
                    continue
                told.setdefault(served.model or "", []).append((served.tokens, served.paused_by_client, served.outcome))
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
