"""A provider whose tokens are stamped: `python -m benchmarks.load.provider` prints its URL, and serves.

The model's name says what is wanted, as in `benchmarks.replay`; `0@RATE` goes on until a line comes on standard input,
which gives each open stream one more token, its last. The request's message is the stream's number. Ends when standard
input does.
"""

import asyncio
import re
import sys
import time
from typing import ClassVar, Final

import uvloop

from benchmarks.replay import EVENT, Replay, chunk
from benchmarks.stamps import SIZE, stamp

_BEFORE, _AFTER = chunk(EVENT.replace(b" token", b"?" * SIZE)).split(b"?" * SIZE)
_STREAM: Final = re.compile(rb'"content":\s*"(\d+)"')


class Stamped(Replay):
    """One connection."""

    open: ClassVar[set["Stamped"]] = set()
    """Those with an answer under way."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = 0
        self.place = 0

    def begun(self, request: bytes) -> None:
        """See `Replay`."""
        found = _STREAM.search(request)
        if found is None:
            raise ValueError(f"no stream's number in {request!r}")
        self.stream, self.place = int(found[1]), 0
        self.open.add(self)

    def events(self, count: int) -> bytes:
        """See `Replay`."""
        now_ns = time.monotonic_ns()
        places = range(self.place, self.place + count)
        self.place = places.stop
        last = -1 if self.left else places.stop - 1
        if not self.left:
            self.open.discard(self)
        return b"".join(
            b"%b%b%b" % (_BEFORE, stamp(self.stream, place, now_ns, last=place == last), _AFTER) for place in places
        )

    def finish(self) -> None:
        """Let the next token be the last."""
        if self.left <= 0:  # it had no end
            self.left = 1

    def connection_lost(self, exc: Exception | None) -> None:
        """See `Replay`."""
        self.open.discard(self)
        super().connection_lost(exc)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stamped, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        for connection in tuple(Stamped.open):
            connection.finish()
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
