"""What is asked of a rig, in which order."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

from rxlapce.crashtest.rig import Rig

Play = Callable[[Rig], Awaitable[None]]

#: Requests to a model that always fails: more than open a breaker.
_UNTIL_OPEN: Final = 6
#: A reader leaves when it has so many tokens.
_SEEN: Final = 10
#: The name of a second model of the first provider's.
OTHER_MODEL: Final = "sim-other"


async def once(rig: Rig) -> None:
    """One request."""
    await rig.ask()


async def thrice(rig: Rig) -> None:
    """Three requests, one after the other."""
    for _ in range(3):
        await rig.ask()


async def leave(rig: Rig) -> None:
    """One whose reader leaves in the middle of the answer, and another."""
    reading = await rig.ask(leave_after=_SEEN)
    if reading.cancelled and not await rig.disconnected():
        rig.complaints.append("the provider did not see that the reader had left")
    await rig.ask()


async def two_models(rig: Rig) -> None:
    """Requests until the first model's breaker is open; then one to another model of the same server."""
    for _ in range(_UNTIL_OPEN):
        await rig.ask()
    await rig.ask(f"{rig.setup.primary.provider.name}/{OTHER_MODEL}")


async def through_an_outage(rig: Rig) -> None:
    """One request every few seconds while the primary is down, and until it is back."""
    outage = rig.conditions.outage
    if outage is None:
        raise ValueError("the conditions have no outage")
    loop = asyncio.get_running_loop()
    started_s = loop.time()

    async def until(at_s: float) -> None:
        await asyncio.sleep(started_s + at_s - loop.time())

    async def restore() -> None:
        await until(outage.down_s)
        await rig.restore()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(restore())
        for number in itertools.count():
            at_s = number * outage.every_s
            enough = number >= outage.requests and at_s > outage.down_s
            if enough and (rig.completed_at_primary() or at_s > outage.down_s + outage.back_within_s):
                break
            await until(at_s)
            tasks.create_task(rig.ask())
