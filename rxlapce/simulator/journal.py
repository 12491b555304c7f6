"""What a simulator has seen and done, so that a test can look and wait instead of sleeping."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from rxlapce.simulator.options import Options
from rxlapce.simulator.reply import Reply


class Outcome(StrEnum):
    """How a request ended, as the simulator sees it."""

    COMPLETED = "completed"
    REFUSED = "refused"  # an HTTP error
    CUT = "cut"  # closed or reset by a fault
    CLIENT_GONE = "client_gone"
    STOPPED = "stopped"  # the simulator was stopped first


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came. Header names are lower-case; `at_s` is on the monotonic clock.

    `path` is decoded; `target` is path and query as they stood in the request line, which is what signatures cover.
    """

    method: str
    path: str
    target: str = ""
    headers: Mapping[str, str]
    body: bytes
    at_s: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        """The decoded body. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(self.body)


@dataclass(slots=True, kw_only=True, eq=False)
class Served:
    """One request's progress; all fields are live until `outcome` is set.

    `tokens` and `bytes` count what was handed to the network. `paused_by_client` is True while a write waits because
    the client does not read. `replies` is what was composed, one for each choice, before any dialect said it.
    `continued`: it is the rest of an answer that the conversation had the beginning of. `model` is the plain name that
    was asked for and `options` how it behaves; None if it was refused unread. When it came is `request.at_s`.
    """

    request: Received
    status: int | None = None
    streaming: bool = False
    tokens: int = 0
    bytes: int = 0
    paused_by_client: bool = False
    outcome: Outcome | None = None
    ended_at_s: float | None = None
    replies: tuple[Reply, ...] = ()
    continued: bool = False
    model: str | None = None
    options: Options | None = None


class Journal:
    """The last `keep` requests, and the sums over all of them. Belongs to one event loop."""

    def __init__(self, keep: int) -> None:
        self.requests: deque[Received] = deque(maxlen=keep)
        self.served: deque[Served] = deque(maxlen=keep)
        self.open_streams = 0
        self.bytes_sent = 0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._check_due = False

    def received(self, request: Received) -> Served:
        """A request came."""
        served = Served(request=request)
        self.requests.append(request)
        self.served.append(served)
        self.changed()
        return served

    def stream_opened(self, served: Served) -> None:
        """Its headers have gone out, and events follow."""
        served.streaming = True
        self.open_streams += 1
        self.changed()

    def writing(self, served: Served, size_bytes: int, tokens: int) -> None:
        """So much is being handed to the network; until `wrote` the client is holding it up."""
        served.tokens += tokens
        served.bytes += size_bytes
        self.bytes_sent += size_bytes
        served.paused_by_client = True
        self.changed()

    def wrote(self, served: Served) -> None:
        """The network took it."""
        served.paused_by_client = False
        self.changed()

    def ended(self, served: Served, outcome: Outcome) -> None:
        """It is over."""
        served.outcome = outcome
        served.paused_by_client = False
        served.ended_at_s = time.monotonic()
        self.open_streams -= served.streaming
        self.changed()

    # -- waiting ----------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Look at the waiters once this turn of the loop is over: a write that did not block is no pause."""
        if self._waiters and not self._check_due:
            self._check_due = True
            asyncio.get_running_loop().call_soon(self._check)

    def _check(self) -> None:
        self._check_due = False
        for predicate, future in self._waiters:
            if future.done():
                continue
            try:
                if predicate():
                    future.set_result(None)
            except Exception as error:  # noqa: BLE001 - it belongs to the one who waits
                future.set_exception(error)

    async def wait_until(self, predicate: Callable[[], bool], timeout_s: float) -> None:
        """Return once `predicate()` is true; it is asked after every change. Raises TimeoutError."""
        if predicate():
            return
        waiter = (predicate, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter[1]
        finally:
            self._waiters.remove(waiter)
