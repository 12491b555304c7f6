import asyncio

import pytest

from rxlapce.simulator.metronome import BEATS, Metronome


async def test_it_is_never_early() -> None:
    metronome, loop = Metronome(), asyncio.get_running_loop()
    at_s = loop.time() + 0.0123
    await metronome.until(at_s)
    assert loop.time() >= at_s - 1e-6


async def test_those_due_in_one_beat_wake_in_one_turn_and_a_cancelled_one_does_not_matter() -> None:
    metronome, loop = Metronome(), asyncio.get_running_loop()
    at_s = (int(loop.time() * BEATS) + 10.1) / BEATS
    order: list[str] = []

    async def wait(name: str, until_s: float) -> None:
        await metronome.until(until_s)
        order.append(name)

    first, cancelled, second, later = (
        asyncio.create_task(wait(name, until_s))
        for name, until_s in (("first", at_s), ("cancelled", at_s), ("second", at_s + 0.5 / BEATS), ("later", at_s + 1))
    )
    await asyncio.sleep(0)
    cancelled.cancel()
    await first
    assert second.done()
    assert order == ["first", "second"]
    later.cancel()
    with pytest.raises(asyncio.CancelledError):
        await later
