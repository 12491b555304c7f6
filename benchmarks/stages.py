"""What each stage costs a token: `python -m benchmarks.stages`.

In one process, text tokens through one stage at a time into nothing, without the cost of the loop around it. The least
of many short runs in nanoseconds, since whatever disturbs a run makes it longer.
"""

import asyncio
import time
from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, connect
from rxlapce.messages import NUMBERS, StreamChunk, encoder
from rxlapce.operators.backpressure import buffer_with_backpressure
from rxlapce.operators.breaker import Breaker
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.concurrency import Slots, concurrency_gate
from rxlapce.operators.fallback import fallback
from rxlapce.operators.ledger import Limit, MemoryLedger, Unit
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.operators.retry import retry_stream
from rxlapce.operators.timeouts import stream_timeouts
from rxlapce.operators.totals import StreamTotals
from rxlapce.tokens import StreamToken, Text
from rxlapce.transports.writer import FrameWriter

TOKENS = [Text(" token")] * 200
RUNS = 1500
Source = Observable[StreamToken]


class Nowhere:
    """A lane that takes everything."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] = lambda: None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take it."""
        return len(data)


def ignore(_: object) -> None:
    """Take a token."""


def run_ns(push: Callable[[Text], None]) -> float:
    """A token's share of one run, after two that are not counted."""
    push(TOKENS[0])
    push(TOKENS[0])
    began_ns = time.perf_counter_ns()
    for token in TOKENS:
        push(token)
    return (time.perf_counter_ns() - began_ns) / len(TOKENS)


def stage_ns(stage: Callable[[Source, Exchange], Source], scheduler: SchedulerBase) -> float:
    """The same for a stage that is subscribed to for this run alone."""
    receivers: list[Receiver[StreamToken]] = []

    def on_subscribe(receiver: Receiver[StreamToken], _: SchedulerBase | None) -> DisposableBase:
        receivers.append(receiver)
        return Disposable()

    made = stage(Stage(on_subscribe), Exchange())
    subscription = connect(made, Receiver(ignore, ignore, lambda: None), scheduler)
    taken = run_ns(receivers[0].on_next)
    subscription.dispose()
    return taken


def answered(after: AfterCommit) -> Callable[[Source, Exchange], Source]:
    """`fallback` over one leg."""

    def stage(source: Source, exchange: Exchange) -> Source:
        leg = Leg(provider="a", model="m", open=lambda _: source)
        return fallback([leg], policy=FallbackPolicy(after_commit=after), exchange=exchange)

    return stage


async def main() -> None:
    """Measure all in turn, again and again; print the least of each."""
    loop = asyncio.get_running_loop()
    scheduler = AsyncIOScheduler(loop)
    totals, breaker, slots = StreamTotals(), Breaker(loop.time, name="a/m"), Slots(1)
    limiter = RateLimiter(MemoryLedger(Limit(1_000_000, Unit.REQUESTS)))
    writer = FrameWriter(Nowhere())
    send = writer.sender(NUMBERS[StreamChunk], 0, 1)
    payload = encoder.encode(StreamChunk(1000, TOKENS[0]))

    def frame(_: Text) -> None:
        send(payload)

    def encode(token: Text) -> None:
        encoder.encode(StreamChunk(1000, token))

    stages: dict[str, Callable[[Source, Exchange], Source]] = {
        "nothing": lambda source, _: source,
        "stream_timeouts": lambda source, exchange: stream_timeouts(idle_s=60, exchange=exchange)(source),
        "stream_timeouts, with a floor": lambda source, exchange: stream_timeouts(
            min_tokens_per_s=1, exchange=exchange
        )(source),
        "totals.tap": lambda source, exchange: totals.tap("a", "m", exchange=exchange)(source),
        "circuit_break": lambda source, exchange: circuit_break(breaker, exchange=exchange)(source),
        "rate_limit_gate": lambda source, exchange: rate_limit_gate(limiter, "a/m", exchange=exchange)(source),
        "concurrency_gate": lambda source, _: concurrency_gate(slots, "a/m")(source),
        "retry_stream": lambda source, exchange: retry_stream(exchange=exchange)(source),
        "fallback, fail": answered(AfterCommit.FAIL),
        "fallback, continue": answered(AfterCommit.CONTINUE),
        "buffer_with_backpressure": lambda source, exchange: buffer_with_backpressure(
            upstream=exchange.flow, downstream=FlowControl()
        )(source),
    }
    least: dict[str, float] = {}
    for _ in range(RUNS):
        for name, stage in stages.items():
            least[name] = min(least.get(name, 1e9), stage_ns(stage, scheduler))
        for name, push in (("encoding a chunk", encode), ("framing it", frame)):
            least[name] = min(least.get(name, 1e9), run_ns(push))
        writer.flush()
    nothing = least.pop("nothing")
    print(f"{'stage':32} ns a token")
    for name, taken in least.items():
        print(f"{name:32} {taken - nothing:10.0f}")


if __name__ == "__main__":
    asyncio.run(main())
