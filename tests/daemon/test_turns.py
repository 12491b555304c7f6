"""One client's flood of frames: each has its turn, in order, and so have all the other clients."""

import asyncio
from collections.abc import Callable

import pytest

from rxlapce.codec.frame import Frame
from rxlapce.daemon import turns
from rxlapce.daemon.turns import Turns
from rxlapce.messages import Cancel, Heartbeat, ProtocolFailure
from rxlapce.testing.daemons import EmbeddedDaemon
from rxlapce.testing.peer import RawPeer, frame_of


class Reading:
    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def frames(*request_ids: int) -> list[Frame]:
    return [Frame(5, 0x10, request_id, b"") for request_id in request_ids]


def counted(done: list[int]) -> Callable[[Frame], None]:
    return lambda frame: done.append(frame.request_id)


async def test_one_frame_a_round_is_handed_on_when_each_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    done: list[int] = []
    reading, ours = Reading(), Turns(counted(done))
    ours.take(frames(1))
    assert done == []
    ours.start(reading)
    assert done == [1]
    ours.take(frames(2, 3, 4))
    ours.at_last(lambda: done.append(0))
    for expected in ([1, 2], [1, 2, 3], [1, 2, 3, 4, 0]):
        assert done == expected
        await asyncio.sleep(0)
    assert reading.told == ["pause", "resume"]


async def test_frames_that_are_quick_are_handed_on_at_once() -> None:
    done: list[int] = []
    reading, ours = Reading(), Turns(counted(done))
    ours.start(reading)
    ours.take(frames(1, 2))
    ours.at_last(lambda: done.append(0))
    assert done == [1, 2, 0]
    assert reading.told == []


async def test_what_is_dropped_has_no_turn_and_reading_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    done: list[int] = []
    reading, ours = Reading(), Turns(counted(done))
    ours.start(reading)
    ours.take(frames(1, 2, 3))
    ours.at_last(lambda: done.append(0))
    ours.drop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == [1]
    assert reading.told == ["pause", "resume"]


async def test_frames_behind_one_whose_handler_has_a_bug_have_their_turn() -> None:
    done: list[int] = []

    def on_frame(frame: Frame) -> None:
        if frame.request_id == 1:
            raise LookupError("a bug")
        done.append(frame.request_id)

    ours = Turns(on_frame)
    ours.start(Reading())
    with pytest.raises(LookupError):
        ours.take(frames(1, 2, 3))
    await asyncio.sleep(0)
    assert done == [2, 3]


async def test_other_clients_are_answered_amid_a_flood(
    embedded: EmbeddedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    async with await RawPeer.greeted(embedded.path) as loud, await RawPeer.greeted(embedded.path) as other:
        loud.send_bytes(frame_of(Cancel(), 1, "client") * 4000)
        loud.send(Heartbeat(echo=True), 7)
        last = asyncio.create_task(loud.receive())
        for number in range(1, 20):
            other.send(Heartbeat(echo=True), number)
            assert await other.receive() == (number, Heartbeat())
        assert not last.done()
        assert await last == (7, Heartbeat())


async def test_the_word_about_a_bad_frame_comes_behind_the_answers_to_the_good_ones(
    embedded: EmbeddedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    async with await RawPeer.greeted(embedded.path) as peer:
        beats = [frame_of(Heartbeat(echo=True), number, "client") for number in range(1, 50)]
        peer.send_bytes(b"".join(beats) + b"\xff" * 24)
        *answers, (_, word) = await peer.receive_all()
        assert [number for number, _ in answers] == list(range(1, 50))
        assert isinstance(word, ProtocolFailure)
        assert word.error == "BadMagic"
