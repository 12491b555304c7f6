"""Cases of who lives and who reads: clients and daemons killed, readers that stand still, a ring that is full."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.finding import Said, Size
from benchmarks.faults.rig import Child, Held, Rig, daemon
from rxlapce.bridge import connect
from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.processes import state

UNCOUNTED: Final = 1 << 30
GONE: Final = "client_gone"
#: The daemon holds for one reader at most its ring, what is behind it and a stream's buffer.
STALLED_KIB: Final = 16 * 1024
ENDED: Final = 300
#: Ways of a stream: name, transport, whether it is signed.
WAYS: Final = (("ring", "shm", False), ("socket", "socket", False), ("signed ring", "shm", True))


def reading(rig: Rig, transport: str, model: str, *, signs: bool = False, path: Path | None = None) -> Any:
    """An editor's process with one stream of `model`, as a context manager."""
    keys = (str(rig.keys),) if signs else ()
    return rig.client("reader", str(path or rig.path), transport, f"local/{model}", str(UNCOUNTED), *keys)


async def whole_text(rig: Rig, model: str, prompt: str) -> str:
    """What the model says to `prompt`."""
    request = ChatRequest(model=f"local/{model}", messages=(Message(role="user", content=prompt),))
    return (await rig.observer.chat(request)).text


async def clients_killed(rig: Rig, size: Size) -> Said:
    """`kill -9` in mid-stream, by every way, four at once."""
    said, killed, slowest_s = Said(), 0, 0.0
    while killed < size.editors:
        async with AsyncExitStack() as stack:
            ways = [WAYS[(killed + number) % len(WAYS)] for number in range(4)]
            readers = [
                await stack.enter_async_context(reading(rig, way, "killed:tps=500,tokens=1000000", signs=signs))
                for _, way, signs in ways
            ]
            for reader in readers:
                await reader.said()
            for reader in readers:
                reader.signal(signal.SIGKILL)
            killed += len(readers)
            all_gone = killed
            slowest_s = max(
                slowest_s,
                await rig.until_served(
                    "killed",
                    lambda told: sum(end == GONE for *_, end in told) == all_gone,  # noqa: B023 - used at once
                ),
            )
    gone = sum(event["event"] == "client_gone" and event["dropped_requests"] == 1 for event in rig.events())
    said.expect(gone == killed, f"the log tells of {gone} clients that went, of {killed}")
    said.expect(slowest_s < 2, f"a provider's stream went on for {slowest_s:.1f} s")
    said.figures = {"killed": killed, "slowest_s": slowest_s}
    said.happened = f"{killed} killed by ring, socket and signed ring; their providers' streams closed within "
    said.happened += f"{slowest_s * 1000:.0f} ms"
    return said


async def daemon_killed(rig: Rig, size: Size) -> Said:
    """A daemon of its own is killed while its readers stand still with all that it sent unread; another takes over."""
    said, path = Said(), rig.folder / "doomed.sock"
    text = await whole_text(rig, f"sim:steady=1,tokens={ENDED}", "hello")
    model = f"doomed:steady=1,tokens=1000,fault=stall,after={ENDED}"
    errors: set[str] = set()
    loop = asyncio.get_running_loop()
    log = rig.folder / "doomed.log"
    with log.open("ab") as file:
        async with AsyncExitStack() as stack:
            async with daemon(path, rig.url, rig.keys, file.fileno()) as process:
                readers: list[Child] = [
                    await stack.enter_async_context(reading(rig, way, model, signs=signs, path=path))
                    for _, way, signs in WAYS
                ]
                for reader in readers:
                    await reader.said()
                    reader.signal(signal.SIGSTOP)
                await rig.until_served("doomed", lambda told: [tokens for tokens, *_ in told] == [ENDED] * len(WAYS))
                async with await connect(path, transport="socket") as client:
                    # Whoever asks after the last token is answered after it went on its way.
                    await client.ping()
                process.kill()
                await process.wait()
            for (name, *_), reader in zip(WAYS, readers, strict=True):
                reader.signal(signal.SIGCONT)
                got: dict[str, Any] = json.loads(await reader.said())
                said.expect(got["text"] == text, f"{name}: {got['chars']} characters of {len(text)} that were sent")
                said.expect("closed the connection" in str(got["error"]), f"{name}: the error says {got['error']!r}")
                errors.add(str(got["error"]))
        began_s = loop.time()
        async with daemon(path, rig.url, rig.keys, file.fileno()), await connect(path) as client:
            request = ChatRequest(
                model=f"local/sim:steady=1,tokens={ENDED}", messages=(Message(role="user", content="hello"),)
            )
            said.expect((await client.chat(request)).text == text, "the next daemon's answer is another one")
            took_s = loop.time() - began_s
    said.figures = {"tokens": ENDED * len(WAYS), "next_daemon_s": took_s, "errors": sorted(errors)}
    said.happened = f"all {ENDED} tokens that it had sent came by ring, socket and signed ring, then "
    said.happened += f"'{errors.pop() if errors else '-'}'; the next daemon answered on the same path after "
    said.happened += f"{took_s:.1f} s, its start included"
    return said


async def reader_stalled(rig: Rig, size: Size) -> Said:
    """SIGSTOP in mid-stream, look at memory and provider for `stall_s`, SIGCONT, and compare all that it got."""
    said, tokens = Said(), 100_000
    text = await whole_text(rig, f"sim:steady=1,tokens={tokens}", "hello")
    before = await rig.held()
    most_kib = 0
    async with AsyncExitStack() as stack:
        readers: list[Child] = [
            await stack.enter_async_context(reading(rig, way, f"stalled:steady=1,tokens={tokens}", signs=signs))
            for _, way, signs in WAYS
        ]
        for reader in readers:
            await reader.said()
            reader.signal(signal.SIGSTOP)
        await rig.until_served("stalled", lambda told: len(told) == len(WAYS) and all(paused for _, paused, _ in told))
        said.expect(all(state(reader.process.pid) == "T" for reader in readers), "a reader does not stand still")
        stood = await _stands(rig)
        until_s = asyncio.get_running_loop().time() + size.stall_s
        while asyncio.get_running_loop().time() < until_s:
            most_kib = max(most_kib, (await rig.held()).private_kib - before.private_kib)
            await asyncio.sleep(0.5)
        later = [told[0] for told in await rig.served("stalled")]
        said.expect(later == stood, f"the provider went on: {stood} tokens, then {later}")
        for (name, *_), reader in zip(WAYS, readers, strict=True):
            reader.signal(signal.SIGCONT)
            got = json.loads(await reader.said(60))
            right = got["sha256"] == sha256(text.encode()).hexdigest() and got["finished"] and not got["gaps"]
            said.expect(right, f"{name}: {got['chars']} characters of {len(text)}, error {got['error']}")
    said.expect(most_kib < STALLED_KIB, f"{most_kib:,} KiB more were held")
    said.figures = {"stall_s": size.stall_s, "most_kib": most_kib, "tokens": tokens, "stood_at": stood}
    said.happened = f"3 readers stopped for {size.stall_s:g} s at {', '.join(f'{at:,}' for at in sorted(stood))} of "
    said.happened += f"{tokens:,} tokens: the providers stood still, the daemon held {most_kib / 1024:.1f} MiB more; "
    said.happened += "then each answer came whole"
    return said


async def _stands(rig: Rig) -> list[int]:
    """How many tokens each stalled stream has, once that no longer grows."""
    told = [one[0] for one in await rig.served("stalled")]
    while True:
        await asyncio.sleep(0.5)
        now = [one[0] for one in await rig.served("stalled")]
        if now == told:
            return now
        told = now


async def ring_full(rig: Rig, size: Size) -> Said:
    """A client that lives and does not look into its ring, with two streams; then it reads them."""
    said, tokens = Said(), 60_000
    text = await whole_text(rig, f"sim:steady=1,tokens={tokens}", "ring")
    before = await rig.held()
    async with rig.client("attacker", "full", str(rig.path), str(rig.keys), str(tokens)) as one:
        await one.said()
        await rig.until_served("full", lambda told: len(told) == 2 and all(paused for _, paused, _ in told))
        held, unread, in_ring = await _waiting(rig, before)
        one.tell()
        got = json.loads(await one.said(60))
    said.expect(got["how"] == "whole", f"afterwards: {got['how']}")
    said.expect(got["sha256"] == [sha256(text.encode()).hexdigest()] * 2, "the texts are other ones")
    said.expect(got["heartbeat"], "a heartbeat was not answered meanwhile")
    said.expect(held < STALLED_KIB, f"{held:,} KiB more were held")
    said.figures = {"more_kib": held, "unread_bytes": unread, "ring_bytes": in_ring}
    said.happened = f"{in_ring / 1024:,.0f} KiB in the ring and {unread / 1024:,.0f} behind it, {held / 1024:.1f} MiB "
    said.happened += "more held; providers stood still, heartbeats were answered; then both streams came whole"
    return said


async def _waiting(rig: Rig, before: Held) -> tuple[int, int, int]:
    """KiB more than before; and of the client, bytes that wait in the daemon and in its ring."""
    report = await rig.status()
    (client,) = (one for one in report.clients if one.client == "raw")
    return (await rig.held()).private_kib - before.private_kib, client.unread_bytes, client.ring_bytes
