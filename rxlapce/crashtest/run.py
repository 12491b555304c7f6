"""Running cases: each on a rig of its own, several at once."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from rxlapce.crashtest.cases import Case
from rxlapce.crashtest.result import Result, result_of
from rxlapce.crashtest.rig import Rig
from rxlapce.crashtest.setup import Setup
from rxlapce.crashtest.verdict import Verdict

#: Cases at once. Most of them wait for a timeout; more would make the waits of one the work of another.
AT_ONCE: Final = 8


def _unheard(case: Case) -> None:
    pass


async def run_case(case: Case, setup: Setup) -> Result:
    """What comes of one case; a rig that breaks is a failed case too."""
    within_s = min(setup.within_s, case.expect.within_s) if setup.is_known else setup.within_s
    started_s = time.monotonic()
    try:
        async with Rig(setup, case.conditions, within_s=within_s) as rig:
            started_s = time.monotonic()
            await case.play(rig)
            return await result_of(case, rig, time.monotonic() - started_s)
    except Exception as error:  # noqa: BLE001 - the other cases go on, and this one is told as failed
        reason = f"the test itself broke: {type(error).__name__}: {error}"
        wall_s = time.monotonic() - started_s
        return Result(case=case.name, verdict=Verdict.FAIL, reason=reason, wall_s=wall_s)


async def run_cases(
    cases: Iterable[Case],
    setup: Setup,
    *,
    at_once: int = AT_ONCE,
    on_start: Callable[[Case], None] = _unheard,
    on_end: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """What comes of the cases, in their order; the longest begin first. Cancelling ends all that run."""
    places = asyncio.Semaphore(at_once)
    chosen = list(cases)

    async def one(case: Case) -> Result:
        async with places:
            on_start(case)
            result = await run_case(case, setup)
            on_end(result)
            return result

    async with asyncio.TaskGroup() as tasks:
        longest_first = sorted(chosen, key=lambda case: -case.takes_s)
        running = {case.name: tasks.create_task(one(case)) for case in longest_first}
    return [running[case.name].result() for case in chosen]
