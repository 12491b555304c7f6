"""A simulated provider that misbehaves at random: `python -m benchmarks.soak.provider SEED` prints its URL.

It serves until standard input ends. Each request draws what becomes of it; one whose model's name has options of its
own (`sim:fault=none`) gets those. Now and then everything is refused for some seconds. All answers are steady: the text
depends on the prompt alone.
"""

import asyncio
import random
import sys
from dataclasses import replace
from typing import Final

import uvloop

from rxlapce.simulator import Options, Simulator
from rxlapce.simulator.options import Fault

#: So many tokens has each answer.
TOKENS: Final = 60
HUGE_BYTES: Final = 40_000
#: One that puts a model to rest stops all requests to it until a probe has its first token: drawn one time in ten, or
#: the daemon would mostly refuse.
SELDOM: Final = frozenset({Fault.AUTH, Fault.QUOTA, Fault.RATE_LIMIT})
FAULTS: Final = tuple(fault for fault in Fault if fault is not Fault.NONE)


def drawn(chance: random.Random) -> Options:
    """One request's behaviour: a fault for one of five, and one of many paces."""
    options = Options(
        steady=1,
        tokens=TOKENS,
        tps=chance.choice((0, 10, 20, 40)),
        ttft=chance.choices((0, 0.1, 0.5, 7.0), (60, 19, 19, 2))[0],
        jitter=0.5,
        keepalive=chance.choice((0, 0.3)),
        split=chance.choice((None, None, None, 0)),
        size=HUGE_BYTES,
    )
    if chance.random() < 0.8:
        return options
    fault = chance.choice(FAULTS)
    if fault in SELDOM and chance.random() < 0.9:
        fault = Fault.CUT
    retry_after = 0.5 if fault is Fault.RATE_LIMIT else None
    return replace(options, fault=fault, after=chance.choice((None, 0, 1, 30, TOKENS)), retry_after=retry_after)


async def fail_at_times(simulator: Simulator, chance: random.Random) -> None:
    """Be out of order for a few seconds now and then."""
    while True:
        await asyncio.sleep(chance.uniform(10, 40))
        simulator.outage = 503
        await asyncio.sleep(chance.uniform(1, 4))
        simulator.outage = None


async def main(seed: int) -> None:
    """Serve until standard input ends."""
    chance = random.Random(seed)  # noqa: S311 - test data
    async with Simulator(seed=1, by_model=lambda _: drawn(chance), keep=1) as simulator:
        print(simulator.base_url, flush=True)
        failing = asyncio.create_task(fail_at_times(simulator, chance))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        failing.cancel()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
