"""The sink of frames, over a lane that takes what the test says."""

import asyncio

import pytest

from rxlapce.codec.frame import HEADER_BYTES, FrameDecoder
from rxlapce.errors import ConnectionLost
from rxlapce.testing.transports import loop_rounds
from rxlapce.transports.lane import ignore_room
from rxlapce.transports.writer import FrameWriter


class ScriptedLane:
    """Takes `room` bytes in all; `give` makes more room and says so."""

    def __init__(self, room: int) -> None:
        self.on_room = ignore_room
        self.room = room
        self.taken = bytearray()
        self.writes = 0

    def write(self, data: bytearray | memoryview) -> int:
        self.writes += 1
        count = min(self.room, len(data))
        self.taken += data[:count]
        self.room -= count
        return count

    def give(self, room: int) -> None:
        self.room += room
        self.on_room()


async def test_frames_of_one_loop_round_are_one_write() -> None:
    lane = ScriptedLane(10_000)
    writer = FrameWriter(lane)
    for n in range(10):
        writer.send(0x312, 0x24, n, b"token")
    assert lane.writes == 0
    assert writer.pending_bytes == 10 * (HEADER_BYTES + 5)
    await writer.drained()
    assert (lane.writes, writer.flushes, writer.frames, writer.bytes_taken) == (1, 1, 10, 290)
    assert [frame.request_id for frame in FrameDecoder().feed(lane.taken)] == list(range(10))


async def test_flush_hands_over_at_once_and_the_round_s_end_has_nothing_to_add() -> None:
    lane = ScriptedLane(10_000)
    writer = FrameWriter(lane)
    writer.send(0x312, 0x24, 1, b"token")
    writer.flush()
    assert lane.writes == 1
    await loop_rounds()
    assert lane.writes == 1


async def test_a_full_lane_is_not_asked_again_before_it_has_room() -> None:
    lane = ScriptedLane(40)
    writer = FrameWriter(lane)
    for n in range(5):
        writer.send(0x312, 0x24, n, b"token")
        await loop_rounds()
    writes = lane.writes
    writer.send(0x312, 0x24, 5, b"token")
    writer.flush()
    await loop_rounds()
    assert lane.writes == writes
    lane.give(1000)
    await loop_rounds()
    assert [frame.request_id for frame in FrameDecoder().feed(lane.taken)] == list(range(6))


async def test_the_gate_closes_over_high_water_and_opens_at_low_water() -> None:
    lane = ScriptedLane(0)
    writer = FrameWriter(lane, high_water_bytes=1000, low_water_bytes=100)
    while writer.flow.is_open:
        writer.send(0x312, 0x24, 0, bytes(76))
    assert writer.pending_bytes == 1100
    lane.give(900)
    assert not writer.flow.is_open, "200 bytes wait, and low water is 100"
    lane.give(100)
    assert writer.flow.is_open
    assert writer.pending_bytes == 100


async def test_a_burst_over_high_water_goes_out_at_once_instead_of_closing_the_gate() -> None:
    lane = ScriptedLane(10_000)
    writer = FrameWriter(lane, high_water_bytes=1000, low_water_bytes=100)
    for _ in range(50):
        writer.send(0x312, 0x24, 0, bytes(76))
    assert lane.writes == 4
    assert writer.flow.closings == 0
    await writer.drained()
    assert len(lane.taken) == 5000


async def test_bytes_taken_in_small_parts_come_in_order_and_the_front_is_cut_off() -> None:
    lane = ScriptedLane(0)
    writer = FrameWriter(lane)
    for n in range(300):
        writer.send(0x312, 0x24, n, n.to_bytes(2, "little") * 20)
    await loop_rounds()
    for _ in range(300):
        lane.give(64)
        writer.send(0x313, 0x24, 0, b"")
    lane.give(100_000)
    frames = FrameDecoder().feed(lane.taken)
    assert [frame.request_id for frame in frames[:300]] == list(range(300))
    assert len(frames) == 600


async def test_a_peer_that_reads_nothing_is_given_up() -> None:
    overflows: list[ConnectionLost] = []
    writer = FrameWriter(ScriptedLane(0), max_pending_bytes=100_000, on_overflow=overflows.append)
    for _ in range(200):
        writer.send(0x004, 0x20, 0, bytes(976))
    await loop_rounds()
    assert len(overflows) == 1
    assert "it has left 101,000 bytes" in str(overflows[0])
    assert (writer.closed, writer.pending_bytes, writer.flow.is_open) == (True, 0, True)


async def test_giving_up_is_raised_out_of_send_where_nobody_listens() -> None:
    writer = FrameWriter(ScriptedLane(0), max_pending_bytes=100_000)
    for _ in range(100):
        writer.send(0x004, 0x20, 0, bytes(976))
    with pytest.raises(ConnectionLost, match="gave the peer up"):
        writer.send(0x004, 0x20, 0, bytes(976))
    assert writer.closed


async def test_a_frame_that_cannot_be_is_refused_and_the_others_go_on() -> None:
    lane = ScriptedLane(1000)
    writer = FrameWriter(lane)
    writer.send(0x312, 0x24, 1, b"one")
    with pytest.raises(ValueError, match="a payload has at most"):
        writer.send(0x312, 0x24, 2, bytes(10 * 2**20 + 1))
    writer.send(0x312, 0x24, 3, b"three")
    await writer.drained()
    assert writer.frames == 2
    assert [frame.request_id for frame in FrameDecoder().feed(lane.taken)] == [1, 3]


async def test_a_cancelled_wait_for_the_drain_leaves_the_others_waiting() -> None:
    lane = ScriptedLane(0)
    writer = FrameWriter(lane)
    writer.send(0x312, 0x24, 1, b"one")
    first, second = (asyncio.ensure_future(writer.drained()) for _ in range(2))
    await loop_rounds()
    first.cancel()
    await loop_rounds()
    assert first.cancelled()
    assert not second.done()
    lane.give(1000)
    await second


@pytest.mark.parametrize(("low", "high", "most"), [(10, 10, 100), (-1, 10, 100), (1, 101, 100)])
async def test_water_marks_that_make_no_sense_are_refused(low: int, high: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"got {low}, {high}, {most}"):
        FrameWriter(ScriptedLane(0), high_water_bytes=high, low_water_bytes=low, max_pending_bytes=most)
