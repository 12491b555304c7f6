"""A real Prometheus for a test: a process of its own that scrapes what it is told to, often, and answers queries."""

import asyncio
import math
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

#: Why a test is skipped that needs the programs.
NO_PROMETHEUS = "prometheus or promtool is not on the PATH"
START_S = 20.0


def has_prometheus() -> bool:
    """Whether the programs are there."""
    return all(map(shutil.which, ("prometheus", "promtool")))


def promtool(*arguments: str, folder: Path | None = None, given: str | None = None) -> tuple[int, str]:
    """Run promtool in `folder` with `given` on its standard input; returns its exit code, and what it said."""
    done = subprocess.run(  # noqa: S603 - the program found, and arguments of ours
        [_program("promtool"), *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(NO_PROMETHEUS)
    return found


@dataclass(slots=True)
class PrometheusServer:
    """A Prometheus that answers at `base_url`."""

    base_url: str
    session: aiohttp.ClientSession

    async def query(self, expr: str) -> list[float]:
        """The values that an expression has now, of all its series. Raises `ValueError` for one that is none."""
        answer = await self.get("query", query=expr)
        found: Sequence[dict[str, Any]] = answer["result"]
        return [float(series["value"][1]) for series in found]

    async def has_data(self, expr: str) -> bool:
        """Whether an expression has a value now that is a number."""
        return any(math.isfinite(value) for value in await self.query(expr))

    async def get(self, what: str, **parameters: str) -> Any:
        """What its API answers. Raises `ValueError` if that is an error."""
        async with self.session.get(f"{self.base_url}/api/v1/{what}", params=parameters) as response:
            answer = await response.json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters}: {answer['error']}")
        return answer["data"]


@asynccontextmanager
async def prometheus_server(config: str, *rules: Path) -> AsyncGenerator[PrometheusServer]:
    """A Prometheus with that configuration, and copies of the rules beside it, without anything from before."""
    with tempfile.TemporaryDirectory(prefix="rx") as folder:
        _write(Path(folder), config, rules)
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            _program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
            start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                server = PrometheusServer(f"http://127.0.0.1:{port}", session)
                await _ready(server, process)
                yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _write(folder: Path, config: str, rules: Sequence[Path]) -> None:
    (folder / "prometheus.yml").write_text(config)
    for file in rules:
        shutil.copy(file, folder)


def free_port() -> int:
    """One that nobody has just now: for who does not tell which one it was given for port 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def _ready(server: PrometheusServer, process: asyncio.subprocess.Process) -> None:
    ended = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    async with server.session.get(f"{server.base_url}/-/ready") as response:
                        if response.ok:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.wait([ended], timeout=0.05)
                if ended.done():
                    raise RuntimeError(f"prometheus ended at once with {ended.result()}")
    finally:
        ended.cancel()
