"""The sink of a signed way: what it hands over is proved, in batches, whatever the lane takes."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.frame import SIGNED, Frame
from rxlapce.codec.signing import MAX_BATCH_BYTES, TRAILER_BYTES, SignedFrameDecoder, Signer
from rxlapce.testing.transports import loop_rounds
from rxlapce.transports.lane import ignore_room
from rxlapce.transports.signed_writer import SignedFrameWriter

KEY = b"k" * 32


class ScriptedLane:
    """Takes `room` bytes in all; `give` makes more room and says so."""

    def __init__(self, room: int) -> None:
        self.on_room = ignore_room
        self.room = room
        self.taken = bytearray()

    def write(self, data: bytearray | memoryview) -> int:
        count = min(self.room, len(data))
        self.taken += data[:count]
        self.room -= count
        return count

    def give(self, room: int) -> None:
        self.room += room
        self.on_room()


def proved(data: bytearray) -> list[Frame]:
    decoder = SignedFrameDecoder(KEY)
    frames = decoder.feed(data)
    assert decoder.error is None
    decoder.close()
    return frames


async def test_frames_of_one_loop_round_have_one_signature() -> None:
    lane = ScriptedLane(10_000)
    writer = SignedFrameWriter(lane, Signer(KEY))
    send = writer.sender(0x312, 0x24, 7)
    for n in range(5):
        writer.send(0x312, 0x24, n, b"token")
        send(b"piece")
    await writer.drained()
    frames = proved(lane.taken)
    assert [frame.request_id for frame in frames] == [0, 7, 1, 7, 2, 7, 3, 7, 4, 7]
    assert [bool(frame.flags & SIGNED) for frame in frames] == [False] * 9 + [True]
    assert len(lane.taken) == 10 * 29 + TRAILER_BYTES


async def test_a_round_that_sends_more_than_a_batch_may_hold_has_several() -> None:
    lane = ScriptedLane(10_000_000)
    writer = SignedFrameWriter(lane, Signer(KEY))
    for _ in range(10):
        writer.send(0x312, 0x24, 1, bytes(MAX_BATCH_BYTES // 3))
    writer.send(0x312, 0x24, 1, bytes(5 * MAX_BATCH_BYTES))
    await loop_rounds()
    assert len(proved(lane.taken)) == 11


async def test_a_closed_writer_signs_nothing() -> None:
    lane = ScriptedLane(10_000)
    writer = SignedFrameWriter(lane, Signer(KEY))
    send = writer.sender(0x312, 0x24, 7)
    writer.send(0x312, 0x24, 1, b"token")
    writer.close()
    writer.send(0x312, 0x24, 1, b"token")
    send(b"token")
    await loop_rounds()
    assert lane.taken == b""


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200), st.integers(0, 300)), max_size=30))
def test_a_lane_that_takes_a_little_at_a_time_gets_the_same_frames(steps: list[tuple[int, int, int]]) -> None:
    async def run() -> None:
        lane = ScriptedLane(0)
        writer = SignedFrameWriter(lane, Signer(KEY))
        sent: list[bytes] = []
        for frames, size, room in steps:
            for _ in range(frames):
                sent.append(bytes([len(sent) % 251]) * size)
                writer.send(0x312, 0x24, 1, sent[-1])
            await asyncio.sleep(0)
            lane.give(room)
        lane.give(1_000_000)
        await writer.drained()
        assert [frame.payload for frame in proved(lane.taken)] == sent

    asyncio.run(run())
