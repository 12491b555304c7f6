"""Cases of clients that lie: torn frames, flipped bits, wild indices, connections without end."""

import asyncio
from collections import Counter
from typing import Any, Final, Self

from benchmarks.faults.finding import Said, Size
from benchmarks.faults.rig import Rig
from rxlapce.bridge import connect
from rxlapce.errors import HandshakeRefused, RxlapceError

#: Each of them says which check found it.
NAMED: Final = frozenset(
    {"BadMagic", "BadVersion", "BadFlags", "BadMessageType", "FrameTooLarge", "BadChecksum", "BadSignature"}
)
#: A length that was flipped to a larger one waits for bytes that never come, and its connection ends inside it.
UNFINISHED: Final = "no word"
MAX_HANDSHAKES: Final = 64
HANDSHAKE_S: Final = 5.0
PING_S: Final = 0.1


class Honest:
    """Somebody who connects and asks again and again while others attack: waits in ms, and refusals."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.waits_ms: list[float] = []
        self.refused = 0
        self.failed: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                async with await connect(self.rig.path, client="honest") as client:
                    await client.ping()
                self.waits_ms.append((loop.time() - began_s) * 1000)
            except HandshakeRefused:
                self.refused += 1
            except RxlapceError as error:
                self.failed.append(repr(error))
            await asyncio.sleep(PING_S)

    def told(self) -> str:
        """In a phrase."""
        longest = max(self.waits_ms, default=0.0)
        middle = sorted(self.waits_ms)[len(self.waits_ms) // 2] if self.waits_ms else 0.0
        return (
            f"{len(self.waits_ms)} honest clients were served meanwhile (median {middle:.0f} ms, longest {longest:.0f})"
        )


def listed(counts: Counter[str]) -> str:
    """Names with their counts, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


async def torn_frames(rig: Rig, size: Size) -> Said:
    """Halves of frames, then the end, or a pause and the rest."""
    said = Said()
    ends: Counter[str] = Counter(await rig.attack("torn", 1.0))
    hanging = {name: count for name, count in ends.items() if "hanging" in name or "answered by" in name}
    said.expect(not hanging, f"not as promised: {hanging}")
    said.expect(ends["answered"] == 1, "a frame in two parts was not answered")
    said.figures = dict(ends)
    cut = sum(count for name, count in ends.items() if name.startswith(("handshake", "request")))
    said.happened = f"{cut} connections ended inside a frame, and were let go; half a frame, a second, and the rest "
    said.happened += "was answered; 4 clients went with 9 MiB of a frame sent"
    return said


async def _flipped(rig: Rig, kind: str, step: int, least: str) -> Said:
    said = Said()
    ends: Counter[str] = Counter(await rig.attack(kind, step))
    logged = Counter(event["error"] for event in rig.events() if event["event"] == "protocol_error")
    strange = {name: count for name, count in ends.items() if name not in NAMED and name != UNFINISHED}
    said.expect(not strange, f"not as promised: {strange}")
    said.expect(ends[least] > 0, f"no {least} among them")
    named = Counter({name: count for name, count in ends.items() if name in NAMED})
    said.expect(named == logged, f"the log tells of {dict(logged)}")
    unfinished = ends[UNFINISHED]
    said.figures = dict(ends)
    said.happened = f"{ends.total()} bits flipped, none taken: {listed(named)}; {unfinished} made a frame longer than "
    said.happened += "what came"
    return said


async def flipped_bits(rig: Rig, size: Size) -> Said:
    """Every bit of a frame, one a connection."""
    return await _flipped(rig, "flipped", size.step, "BadChecksum")


async def flipped_bits_signed(rig: Rig, size: Size) -> Said:
    """Every bit of a signed frame and its trailer."""
    return await _flipped(rig, "flipped-signed", size.step, "BadSignature")


async def hostile_ring(rig: Rig, size: Size) -> Said:
    """Wild positions and flags in the shared memory, wake-ups without end or without a socket."""
    said = Said()
    ends: Counter[str] = Counter(await rig.attack("ring", size.rounds))
    logged = Counter(event.get("error") for event in rig.events() if event["event"] == "protocol_error")
    corrupt, harmless = 4 * size.rounds, 4 * size.rounds
    said.expect(ends["corrupt: RingCorrupt"] == corrupt, f"wild positions: {dict(ends)}")
    said.expect(ends["harmless: whole"] == harmless, f"wild flags: {dict(ends)}")
    said.expect(logged == {"RingCorrupt": corrupt}, f"the log tells of {dict(logged)}")
    said.figures = dict(ends)
    said.happened = f"{corrupt} wild read positions: that client was given up with RingCorrupt, and the log says so; "
    said.happened += f"{harmless} with wild flags, head or wake-ups got their streams whole"
    return said


async def churn(rig: Rig, size: Size) -> Said:
    """Connections opened and dropped, in every state."""
    said = Said()
    async with Honest(rig) as honest:
        told: Any = await rig.attack("churn", size.connections)
    ends: Counter[str] = Counter(told["ends"])
    rate = size.connections / told["seconds"]
    strange = {name: count for name, count in ends.items() if name.endswith("Error")}
    said.expect(not strange, f"not as promised: {strange}")
    said.expect(not honest.failed, f"honest clients: {honest.failed[:3]}")
    said.expect(len(honest.waits_ms) > 1, "no honest client was served")
    said.figures = {**told, "honest_ms": honest.waits_ms, "honest_refused": honest.refused}
    said.happened = f"{size.connections:,} connections opened and dropped before, inside and after the handshake in "
    said.happened += f"{told['seconds']:.1f} s ({rate:,.0f} a second, {ends['refused']} refused); {honest.told()}"
    return said


async def handshakes_without_end(rig: Rig, size: Size) -> Said:
    """More half-open handshakes than the daemon takes; some silent, some a byte now and then."""
    said = Said()
    async with Honest(rig) as honest:
        told: dict[str, float] = await rig.attack("never-ending", size.handshakes)
    reason = (await rig.status()).refused.get("max_handshakes", 0)
    said.expect(told["hanging"] == 0, f"{told['hanging']} hang for longer than 30 s")
    said.expect(told["closed"] <= MAX_HANDSHAKES, f"{told['closed']} were kept at once")
    said.expect(told["last_closed_s"] < HANDSHAKE_S + 2, f"the last was closed after {told['last_closed_s']:.1f} s")
    said.expect(told["refused"] >= size.handshakes - MAX_HANDSHAKES, f"{told['refused']} were refused")
    said.expect(reason >= told["refused"], f"the daemon counts {reason} refusals")
    said.expect(bool(honest.waits_ms) and not honest.failed, f"honest clients: {honest.failed[:3]}")
    said.figures = {**told, "honest_served": len(honest.waits_ms), "honest_refused": honest.refused}
    said.happened = f"of {size.handshakes} half-open ones {told['refused']:.0f} were refused at once, "
    said.happened += (
        f"{told['closed']:.0f} closed after {told['first_closed_s']:.1f} to {told['last_closed_s']:.1f} s; "
    )
    said.happened += (
        f"meanwhile {honest.refused} honest new clients were told to try again, {len(honest.waits_ms)} served"
    )
    return said
