"""A daemon, its provider and a bystander, each a process of its own; and how to see what they hold."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.faults.bystander import Seen
from rxlapce.bridge import Client, connect
from rxlapce.status import StatusReport
from rxlapce.testing.daemons import BARE
from rxlapce.testing.processes import threads

SETTLE_S: Final = 15.0
START_S: Final = 30.0
#: asyncio's own pool fills by and by, and never further than this.
MAX_THREADS: Final = 1 + min(32, (os.cpu_count() or 1) + 4)


@dataclass(slots=True)
class Child:
    """A Python process that is talked to by lines."""

    process: asyncio.subprocess.Process

    async def said(self, within_s: float = START_S) -> str:
        """Its next line. Raises `TimeoutError`, and `EOFError` if it has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        if not line:
            raise EOFError("a process ended early")
        return line.decode().strip()

    async def ask(self, line: str = "", within_s: float = START_S) -> str:
        """Give it a line, and return its next."""
        self.tell(line)
        return await self.said(within_s)

    def tell(self, line: str = "") -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self) -> None:
        """Kill it, if it runs."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncGenerator[Child]:
    """`python -m module`, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    one = Child(process)
    try:
        yield one
    finally:
        await one.end()


@dataclass(frozen=True, slots=True)
class Held:
    """What a daemon holds while nobody asks it anything. Its kept connections to the provider do not count."""

    descriptors: int
    tasks: int
    threads: int
    rings: int
    private_kib: int
    named: frozenset[str]
    """What has a name in shared memory, of anybody's."""


def _held(pid: int, tasks: int) -> Held:
    here = Path(f"/proc/{pid}")
    kept = {line.split()[9] for line in (here / "net/tcp").read_text().splitlines()[1:]}
    links: list[str] = []
    for entry in (here / "fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(str(entry.readlink()))
    parts = (here / "smaps_rollup").read_text().splitlines()
    return Held(
        descriptors=sum(link.removeprefix("socket:[").removesuffix("]") not in kept for link in links),
        tasks=tasks,
        threads=threads(pid),
        rings=(here / "maps").read_text().count("memfd:rxlapce-ring"),
        private_kib=sum(int(line.split()[1]) for line in parts if line.startswith("Private_")),
        named=frozenset(file.name for file in Path("/dev/shm").iterdir()),  # noqa: S108 - looked at, not used
    )


@dataclass(slots=True)
class Rig:
    """A running daemon at `path`, with its provider; `observer` asks it how it is."""

    folder: Path
    path: Path
    keys: Path
    provider: Child
    url: str
    daemon: asyncio.subprocess.Process
    observer: Client
    bystander: Child
    log: Path | None = None
    read_to: int = field(default=0)

    def client(self, module: str, *arguments: str) -> Any:
        """One of this package's processes, as a context manager."""
        return child(f"benchmarks.faults.{module}", *arguments)

    async def attack(self, kind: str, number: float, within_s: float = 300.0) -> Any:
        """Let a hostile process do its worst; what it tells."""
        async with self.client("attacker", kind, str(self.path), str(self.keys), str(number)) as one:
            return json.loads(await one.said(within_s))

    async def status(self) -> StatusReport:
        """How the daemon says that it is."""
        return await self.observer.status()

    async def served(self, model: str) -> list[tuple[int, bool, str | None]]:
        """What the provider served by that name in this case: tokens, whether it stands still, how it ended."""
        told: dict[str, list[tuple[int, bool, str | None]]] = json.loads(await self.provider.ask())
        return told.get(model, [])

    async def until_served(self, model: str, right: Callable[[list[tuple[int, bool, str | None]]], bool]) -> float:
        """Wait until what the provider tells of a model is right; the seconds that took. Raises `TimeoutError`."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.timeout(SETTLE_S):
            while not right(await self.served(model)):  # noqa: ASYNC110 - another process, which tells nobody
                await asyncio.sleep(0.02)
        return loop.time() - began_s

    async def held(self) -> Held:
        """What the daemon holds now."""
        return _held(self.daemon.pid, (await self.status()).tasks)

    async def settled(self, before: Held) -> Held:
        """What it holds once it is no more than `before`, or after `SETTLE_S` seconds."""
        until_s = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            now = await self.held()
            if not more_than(before, now) or asyncio.get_running_loop().time() > until_s:
                return now
            await asyncio.sleep(0.1)

    async def begin(self) -> None:
        """A case begins: what the provider served and what the log says until now is of others."""
        await self.provider.ask("forget")
        self.events()
        self.bystander.tell()

    async def rest(self) -> Seen:
        """Let the bystander's streams end; what became of them."""
        seen = msgspec.json.decode(await self.bystander.ask(), type=Seen)
        await self.bystander.said()  # "ready"
        return seen

    def events(self) -> list[dict[str, Any]]:
        """The lines of the daemon's log since the last call."""
        if self.log is None:
            return []
        data = self.log.read_bytes()
        new, self.read_to = data[self.read_to :], len(data)
        return [json.loads(line) for line in new.splitlines()]


def more_than(before: Held, now: Held) -> list[str]:
    """What a daemon has kept, each in a phrase; memory is another matter, as the allocator has a will of its own."""
    found = [
        f"{getattr(now, name)} {name}, {getattr(before, name)} before"
        for name in ("descriptors", "tasks", "rings")
        if getattr(now, name) > getattr(before, name)
    ]
    if now.threads > MAX_THREADS:
        found.append(f"{now.threads} threads")
    if now.named - before.named:
        found.append(f"in shared memory: {', '.join(sorted(now.named - before.named))}")
    return found


@asynccontextmanager
async def daemon(path: Path, url: str, keys: Path, stderr: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A `rxlapce serve` that listens, killed at the end."""
    config = path.with_suffix(".yaml")
    config.write_text(BARE)
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "rxlapce", "serve", "--path", str(path), "--base-url", f"{url}/v1",
        "--key-file", str(keys), "--config", str(config), "--log-format", "json", "--ready-fd", str(write),
        pass_fds=(write,), stderr=stderr, start_new_session=True,
    )  # fmt: skip
    os.close(write)
    try:
        async with asyncio.timeout(START_S):
            if not await asyncio.to_thread(os.read, read, 16):
                raise EOFError(f"the daemon ended with {await process.wait()} before it listened")
        yield process
    finally:
        os.close(read)
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()


@asynccontextmanager
async def beside(provider: Child, url: str, folder: Path, name: str, stderr: int | None = None) -> AsyncGenerator[Rig]:
    """A daemon of that name with a bystander. Its log goes to a file, or to `stderr`."""
    keys, path = folder / "keys", folder / f"{name}.sock"
    if not keys.exists():
        keys.touch(mode=0o600)
        keys.write_text(f"bystander {os.urandom(32).hex()}\n")
    async with AsyncExitStack() as stack:
        log = None
        if stderr is None:
            log = path.with_suffix(".log")
            stderr = stack.enter_context(log.open("ab")).fileno()
        process = await stack.enter_async_context(daemon(path, url, keys, stderr))
        observer = await stack.enter_async_context(await connect(path, transport="socket", client="observer"))
        bystander = await stack.enter_async_context(child("benchmarks.faults.bystander", str(path), str(keys)))
        await bystander.said()
        yield Rig(folder, path, keys, provider, url, process, observer, bystander, log)


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    """A provider, a daemon and a bystander in that folder, which must be this user's alone."""
    async with child("benchmarks.faults.provider") as provider:
        url = await provider.said()
        async with beside(provider, url, folder, "daemon") as made:
            yield made
