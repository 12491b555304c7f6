"""A way out as a session has it: sink, writer and lane, with a reader in another process."""

import asyncio
import fcntl
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.codec.signing import MIN_SECRET_BYTES, SignedFrameDecoder, Signer
from rxlapce.daemon.sink import StreamSink
from rxlapce.flow import Exchange, Receiver, Stage
from rxlapce.operators.stages import StageGauges
from rxlapce.tokens import StreamToken
from rxlapce.transports.shm import ShmSender
from rxlapce.transports.signed_writer import SignedFrameWriter
from rxlapce.transports.unix import SignedWays, attach
from rxlapce.transports.writer import FrameWriter

Lane = Literal["ring", "socket"]
RING_BYTES: Final = 1 << 20
#: Any key will do.
_KEY: Final = bytes(MIN_SECRET_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A lane, whether its reader sleeps whenever nothing is left or looks without end, and whether frames are signed.

    By the ring only a reader that sleeps is woken; by the socket the kernel sees to it.
    """

    lane: Lane
    awake: bool = False
    signed: bool = False

    @property
    def name(self) -> str:
        """For a table."""
        return f"{self.lane}, {'signed, ' if self.signed else ''}{'awake' if self.awake else 'asleep'}"


@dataclass(frozen=True, slots=True)
class Open:
    """A way that is open: `push` gives a token to the sink, whose frame goes with the loop's next round."""

    push: Callable[[StreamToken], None]
    writer: FrameWriter
    is_read: Callable[[], bool]
    """Whether the reader has taken everything and rests, if it is one that does."""


@asynccontextmanager
async def opened(way: Way) -> AsyncGenerator[Open]:
    """Open it, and a reader; all is closed at the end."""
    signer = Signer(_KEY) if way.signed else None
    if way.lane == "ring":
        shm = ShmSender(RING_BYTES)
        memory, fd = shm.fds
        with _reader(fd, memory, shm.capacity, awake=way.awake):
            shm.release_passed()
            shm.start(_fail)
            writer = FrameWriter(shm.lane) if signer is None else SignedFrameWriter(shm.lane, signer)
            try:
                yield Open(_pushing(writer), writer, lambda: not shm.in_ring_bytes and shm.reader_sleeps != way.awake)
            finally:
                shm.close()
    else:
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        signed = None if signer is None else SignedWays(signer, SignedFrameDecoder(_KEY))
        with _reader(theirs.fileno(), theirs.fileno(), 0, awake=way.awake):
            theirs.close()
            connection = await attach(mine, lambda _: None, lambda _: None, signed=signed)
            try:
                yield Open(_pushing(connection.writer), connection.writer, lambda: _unread(mine) == 0)
            finally:
                await connection.close()


def _pushing(writer: FrameWriter) -> Callable[[StreamToken], None]:
    """What a pipeline's last stage calls with each token."""
    receivers: list[Receiver[StreamToken]] = []

    def on_subscribe(receiver: Receiver[StreamToken], _: SchedulerBase | None) -> DisposableBase:
        receivers.append(receiver)
        return Disposable()

    sink = StreamSink(1, writer, Exchange(), None, _ended, StageGauges())
    sink.start(Stage(on_subscribe), AsyncIOScheduler(asyncio.get_running_loop()))
    return receivers[0].on_next


def _unread(sock: socket.socket) -> int:
    """Bytes that the peer has not taken out of a socket."""
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0])


def _ended(sink: StreamSink, outcome: str) -> None:
    raise RuntimeError(f"stream {sink.request_id} ended: {outcome}")


def _fail(error: Exception) -> None:
    raise error


@contextmanager
def _reader(fd: int, memory: int, capacity: int, *, awake: bool) -> Generator[None]:
    """A reader that is ready; it ends by itself when the sender has closed."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.forwarding.reader"),
            *(str(fd), str(memory), str(capacity), str(int(awake))),
        ],
        pass_fds=(fd, memory),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as out:
        try:
            if out.readline() != "ready\n":
                raise RuntimeError("the reader did not start")
            yield
            if process.wait(10) != 0:
                raise RuntimeError("the reader failed")
        finally:
            process.kill()
            process.wait()
