"""The one suite that every way for frames to travel must pass.

A transport's test gives a function that opens a connected `Link` and runs each of `CHECKS` with it:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_mine(check): await check(open_mine)

A new transport adds such a function, not a test file. Nothing here sleeps; a check that waits for ever is ended by the
test runner's own time limit.
"""

# ruff: noqa: S101 - checks are for tests: `assert` is what they are made of

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from rxlapce.codec.frame import Flag, Frame, encode_frame
from rxlapce.errors import BadChecksum, BadMagic, TruncatedFrame
from rxlapce.transports.lane import ByteLane
from rxlapce.transports.writer import HIGH_WATER_BYTES, LOW_WATER_BYTES, FrameWriter

CHUNK: Final = 0x0312
_FLAGS: Final = int(Flag.STREAM_PART | Flag.RESPONSE)
#: More than any lane under test may hold by itself (a socket's kernel buffers, a ring) before it says "full".
_MUCH_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Inbox:
    """What a receiver got, for a test to wait on: give `on_frames` and `on_end` to the transport."""

    frames: list[Frame] = field(default_factory=list[Frame])
    ends: list[Exception | None] = field(default_factory=list[Exception | None])
    hook: Callable[[], None] | None = None
    """Called after each batch of frames, inside the transport's callback."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def on_frames(self, frames: list[Frame]) -> None:
        """The transport's callback for frames."""
        assert frames, "on_frames got an empty list"
        assert not self.ends, "a frame came after the end"
        self.frames.extend(frames)
        self._news.set()
        if self.hook is not None:
            self.hook()

    def on_end(self, error: Exception | None) -> None:
        """The transport's callback for the end."""
        self.ends.append(error)
        self._news.set()

    async def until(self, count: int) -> list[Frame]:
        """Wait for `count` frames in all, and fail if the end comes before."""
        while len(self.frames) < count:
            assert not self.ends, f"ended with {self.ends[0]!r} after {len(self.frames)} frames of {count}"
            await self._wait()
        return self.frames

    async def end(self) -> Exception | None:
        """Wait for the end, and return the error it came with."""
        while not self.ends:
            await self._wait()
        return self.ends[0]

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connected pair: what is sent by `writer` arrives in `inbox`."""

    writer: FrameWriter
    lane: ByteLane
    inbox: Inbox
    pause: Callable[[], None]
    resume: Callable[[], None]
    close_sender: Callable[[], Awaitable[None]]
    """Close the sending side in order: everything that was sent arrives, then the end."""
    wakeups: Callable[[], int] | None = None
    """How often the reader was woken, where the transport counts it."""

    def send(self, frame: Frame) -> None:
        """Send a frame through the writer."""
        self.writer.send(frame.number, frame.flags, frame.request_id, frame.payload)

    def write_raw(self, data: bytes) -> None:
        """Put a few bytes into the lane past the writer."""
        assert self.lane.write(memoryview(data)) == len(data), "the lane is full"


OpenLink = Callable[[], AbstractAsyncContextManager[Link]]
Check = Callable[[OpenLink], Awaitable[None]]


async def loop_rounds(count: int = 20) -> None:
    """Let the loop go round `count` times, so that whatever is ready to happen does."""
    for _ in range(count):
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


def mixed_frames(count: int, seed: int) -> list[Frame]:
    """Frames of many sizes, none alike, mostly small as tokens are."""
    chance = random.Random(seed)  # noqa: S311 - test data
    block = chance.randbytes(8192)
    sizes = [0, 1, 23, 24, 25, 90, 120, 300, 1500, 4096]
    return [
        Frame(CHUNK, _FLAGS, chance.getrandbits(64), block[chance.randrange(4096) :][: chance.choice(sizes)])
        for _ in range(count)
    ]


async def check_order_and_wholeness(open_link: OpenLink) -> None:
    """10,000 frames of mixed sizes arrive as they were sent, whatever loop rounds they fall into."""
    frames = mixed_frames(10_000, seed=1)
    async with open_link() as link:
        for n, frame in enumerate(frames):
            if not link.writer.flow.is_open:
                await link.writer.flow.wait_open()
            if n % 97 == 0:
                await loop_rounds(1)
            link.send(frame)
        assert await link.inbox.until(len(frames)) == frames
        assert link.writer.frames == len(frames)
        assert link.writer.bytes_taken == sum(24 + len(frame.payload) for frame in frames)


async def check_frame_larger_than_the_lane(open_link: OpenLink) -> None:
    """A frame that no lane holds at once goes through in parts, with its neighbours."""
    large = Frame(CHUNK, _FLAGS, 2, random.Random(2).randbytes(3 * 1024 * 1024 + 1))  # noqa: S311 - test data
    frames = [Frame(CHUNK, _FLAGS, 1, b"before"), large, Frame(CHUNK, _FLAGS, 3, b"after")]
    async with open_link() as link:
        for frame in frames:
            link.send(frame)
        assert await link.inbox.until(3) == frames


async def check_full_lane_closes_the_flow(open_link: OpenLink) -> None:
    """A reader that pauses closes the producer's gate; nothing is lost, and the gate opens when it reads on."""
    async with open_link() as link:
        link.pause()
        frames: list[Frame] = []
        sent = 0
        while link.writer.flow.is_open:
            frame = Frame(CHUNK, _FLAGS, len(frames), bytes(8000))
            link.send(frame)
            frames.append(frame)
            sent += len(frame.payload)
            assert sent < _MUCH_BYTES, "the gate stayed open"
            await loop_rounds(1)
        assert link.writer.pending_bytes > HIGH_WATER_BYTES
        link.send(Frame(CHUNK, _FLAGS, 2**64 - 1, b"a terminal frame is taken all the same"))
        drained = asyncio.ensure_future(link.writer.drained())
        await loop_rounds()
        assert not link.inbox.frames
        assert not drained.done()
        link.resume()
        await link.writer.flow.wait_open()
        assert link.writer.pending_bytes <= LOW_WATER_BYTES
        assert (await link.inbox.until(len(frames) + 1))[:-1] == frames
        await drained
        assert link.writer.pending_bytes == 0
        assert link.writer.flow.closings == 1


async def check_pause_inside_the_callback(open_link: OpenLink) -> None:
    """A reader may pause from within `on_frames`: nothing more comes until it resumes."""
    frames = mixed_frames(3_000, seed=3)
    async with open_link() as link:
        link.inbox.hook = link.pause
        for frame in frames:
            link.send(frame)
        got = 0
        while got < len(frames):
            await link.inbox.until(got + 1)
            got = len(link.inbox.frames)
            await loop_rounds()
            assert len(link.inbox.frames) == got
            link.resume()
        assert link.inbox.frames == frames


async def check_close_delivers_everything_first(open_link: OpenLink) -> None:
    """What was sent before an orderly close arrives, then the end, once and without an error."""
    frames = mixed_frames(500, seed=4)
    async with open_link() as link:
        for frame in frames:
            link.send(frame)
        await link.close_sender()
        assert await link.inbox.end() is None
        assert link.inbox.frames == frames
        await loop_rounds()
        assert link.inbox.ends == [None]


async def check_end_without_a_frame(open_link: OpenLink) -> None:
    """A sender that never says anything ends in order too."""
    async with open_link() as link:
        await link.close_sender()
        assert await link.inbox.end() is None


async def check_torn_frame(open_link: OpenLink) -> None:
    """An end inside a frame is `TruncatedFrame`, after the whole frames before it."""
    whole = Frame(CHUNK, _FLAGS, 7, b"whole")
    for cut in (1, 23, 24, 28):
        async with open_link() as link:
            link.send(whole)
            await link.inbox.until(1)
            link.write_raw(encode_frame(CHUNK, _FLAGS, 8, b"never whole")[:cut])
            await link.close_sender()
            assert isinstance(await link.inbox.end(), TruncatedFrame), cut
            assert link.inbox.frames == [whole]


async def check_corrupt_bytes(open_link: OpenLink) -> None:
    """Bytes that are no frame end the reading with their own error, once, after the frames before them."""
    whole = Frame(CHUNK, _FLAGS, 7, b"whole")
    good = encode_frame(whole.number, whole.flags, whole.request_id, whole.payload)
    for bad, error in ((b"GARBAGE" * 9, BadMagic), (good[:-1] + b"?", BadChecksum)):
        async with open_link() as link:
            link.write_raw(good + bad)
            link.write_raw(good)
            assert isinstance(await link.inbox.end(), error)
            assert link.inbox.frames == [whole]
            await link.close_sender()
            await loop_rounds()
            assert len(link.inbox.ends) == 1


async def check_interleaved_streams(open_link: OpenLink) -> None:
    """Producers that share a writer each keep their own order, and all get through a lane that is often full."""
    streams, each = 16, 200

    async with open_link() as link:

        async def produce(stream: int) -> None:
            for seq in range(each):
                await link.writer.flow.wait_open()
                link.send(Frame(CHUNK, _FLAGS, stream, seq.to_bytes(4, "little") * 300))
                if seq % 7 == stream % 7:
                    await loop_rounds(1)

        async with asyncio.TaskGroup() as producers:
            for stream in range(streams):
                producers.create_task(produce(stream))
        frames = await link.inbox.until(streams * each)
        for stream in range(streams):
            seqs = [int.from_bytes(frame.payload[:4], "little") for frame in frames if frame.request_id == stream]
            assert seqs == list(range(each))


async def check_one_flush_a_loop_round(open_link: OpenLink) -> None:
    """Many small frames of one loop round are handed over once, and wake the reader at most once."""
    rounds, burst = 20, 30
    async with open_link() as link:
        await loop_rounds()
        before = link.wakeups() if link.wakeups else 0
        for n in range(rounds):
            for _ in range(burst):
                link.writer.send(CHUNK, _FLAGS, n, b"token")
            assert link.writer.flushes == n, "nothing is handed over before the round ends"
            await link.inbox.until((n + 1) * burst)
        assert link.writer.flushes == rounds
        if link.wakeups:
            assert link.wakeups() - before <= rounds


async def check_closed_writer_is_quiet(open_link: OpenLink) -> None:
    """A closed writer ignores frames, drops what waits, and lets every waiter go on."""
    async with open_link() as link:
        link.pause()
        while link.writer.flow.is_open:
            link.writer.send(CHUNK, _FLAGS, 0, bytes(60_000))
            await loop_rounds(1)
        drained = asyncio.ensure_future(link.writer.drained())
        await loop_rounds(1)
        link.writer.close()
        link.writer.close()
        await drained
        await link.writer.flow.wait_open()
        frames = link.writer.frames
        link.writer.send(CHUNK, _FLAGS, 0, b"ignored")
        link.writer.flush()
        assert link.writer.frames == frames
        assert link.writer.pending_bytes == 0


CHECKS: Final[tuple[Check, ...]] = (
    check_order_and_wholeness,
    check_frame_larger_than_the_lane,
    check_full_lane_closes_the_flow,
    check_pause_inside_the_callback,
    check_close_delivers_everything_first,
    check_end_without_a_frame,
    check_torn_frame,
    check_corrupt_bytes,
    check_interleaved_streams,
    check_one_flush_a_loop_round,
    check_closed_writer_is_quiet,
)
