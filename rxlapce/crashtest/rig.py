"""What one case runs on: two simulated providers, a daemon with all of its routing, a client behind shared memory."""

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from rxlapce.bridge import Client
from rxlapce.bridge import connect as connect_client
from rxlapce.crashtest.setup import Setup
from rxlapce.crashtest.verdict import Expected, Reading
from rxlapce.daemon.handlers import ProviderRoutes
from rxlapce.daemon.server import Daemon, DaemonSettings
from rxlapce.errors import Phase
from rxlapce.flow import Receiver, connect
from rxlapce.operators.concurrency import Slots
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.operators.limiter import RateLimiter
from rxlapce.providers.http import HttpClient
from rxlapce.requests import ChatRequest, Message, Tool
from rxlapce.routing.alias import Alias
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import Quota, RoutingSettings
from rxlapce.simulator import Options, Outcome, Served, Simulator, parse
from rxlapce.simulator.asked import Asked, OfferedTool, Spoken, Voice
from rxlapce.simulator.steady import give
from rxlapce.simulator.tokenizer import seeded
from rxlapce.telemetry.hooks import Settled
from rxlapce.telemetry.logs import logger

SEED: Final = 1
PROMPT: Final = "What is backpressure?"
TOOL: Final = Tool(
    name="measure",
    description="Measures the pressure in a pipe.",
    parameters={"type": "object", "properties": {"pipe": {"type": "string"}}, "required": ["pipe"]},
)
#: Both simulators say the same, so that one can go on where the other broke off.
BEHAVIOUR: Final = Options(steady=1, tokens=60)
#: How long the last traces of a request may take to go away.
TO_SETTLE_S: Final = 2.0


class Role(StrEnum):
    """Who was asked: the first model, or anybody else."""

    PRIMARY = "primary"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The primary is down for `down_s` seconds from the start on: its port closed, or every request refused by 503.

    Meanwhile, and until it is back, `requests` or more are asked, one every `every_s` seconds, though none later than
    `back_within_s` after it is up again.
    """

    closed: bool = True
    down_s: float = 60.0
    every_s: float = 4.0
    requests: int = 20
    back_within_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the providers behave (`simulator.options`), and which settings the case brings with it.

    What is None or False stays as it is configured. `prefill`, whether the fallback is taken for a model that goes on
    with an answer's beginning, is for the built-in providers alone. `tools`: one is offered.
    """

    primary: str = ""
    fallback: str = ""
    after: AfterCommit | None = None
    on_content_filter: bool = False
    prefill: bool | None = None
    user: Quota | None = None
    unwatched: bool = False
    outage: Outage | None = None
    tools: bool = False


class Rig:
    """All of it, for one case; an async context manager, after which nothing is left. Runs on the loop that enters it.

    `readings` are what the client got, in the order in which they ended. `complaints` are what a play has found wrong
    besides.
    """

    def __init__(self, setup: Setup, conditions: Conditions, *, within_s: float) -> None:
        self.setup = setup
        self.conditions = conditions
        self.within_s = within_s
        self.readings: list[Reading] = []
        self.complaints: list[str] = []
        self.settled: list[Settled] = []
        self.asked = 0
        self.started_s = 0.0
        self.back_at_s: float | None = None
        """When the outage ended, on the monotonic clock."""
        self.fallback = Simulator(seed=SEED, defaults=self._options(conditions.fallback))
        self._reserved: socket.socket | None = None
        self._pings = 0
        self._all_settled = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.fallback)
            await self._enter_primary(stack)
            http = await stack.enter_async_context(HttpClient())
            self.manager = self._manager(http)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rxlapce-"))
            path = Path(folder) / "d.sock"
            # Not what it warns of: cases break connections, and a table is being drawn.
            self.daemon = Daemon(DaemonSettings(path=path), log=logger(level="error"))
            ProviderRoutes(self.manager).register(self.daemon.handlers)
            await self.daemon.start()
            stack.push_async_callback(self.daemon.stop, drain_s=0)
            await stack.enter_async_context(self.manager)
            self.client: Client = await stack.enter_async_context(await connect_client(path, client="crashtest"))
            self._stack = stack.pop_all()
        self.started_s = time.monotonic()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    # -- what is built ------------------------------------------------------------------------------------------------

    def _options(self, text: str) -> Options:
        return parse(text, BEHAVIOUR)

    async def _enter_primary(self, stack: contextlib.AsyncExitStack) -> None:
        first, others = self._options(self.conditions.primary), self._options(self.conditions.fallback)
        outage = self.conditions.outage
        port = 0
        if outage is not None and outage.closed:
            # Bound and not listening: whoever connects is refused, and nobody else gets the port.
            self._reserved = stack.enter_context(socket.socket())
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", 0))
            port = self._reserved.getsockname()[1]
        self.primary = Simulator(
            seed=SEED, port=port, by_model=lambda model: first if self._is_primary(model) else others
        )
        stack.push_async_callback(self.primary.stop)
        if self._reserved is None:
            await self.primary.start()
        if outage is not None and not outage.closed:
            self.primary.outage = 503
        self._primary_url = f"http://127.0.0.1:{port}" if self._reserved is not None else self.primary.base_url

    async def restore(self) -> None:
        """End the outage."""
        if self._reserved is not None:
            self._reserved.close()
            await self.primary.start()
        self.primary.outage = None
        self.back_at_s = time.monotonic()

    def _manager(self, http: HttpClient) -> ProviderManager:
        setup = self.setup
        router = Router(
            setup.providers(self._primary_url, self.fallback.base_url),
            aliases=[*map(self._alias, setup.config.aliases)],
        )
        return ProviderManager(http, router, self._settings(), on_settled=self._on_settled)

    def _policy(self, policy: FallbackPolicy) -> FallbackPolicy:
        after = self.conditions.after or self.setup.after
        policy = policy if after is None else replace(policy, after_commit=after)
        return replace(policy, on_content_filter=True) if self.conditions.on_content_filter else policy

    def _alias(self, alias: Alias) -> Alias:
        first, *others = alias.targets
        if self.conditions.prefill is not None and not self.setup.own:
            others = [replace(target, prefill=self.conditions.prefill) for target in others]
        policy = None if alias.fallback is None else self._policy(alias.fallback)
        return replace(alias, targets=(first, *others), fallback=policy)

    def _settings(self) -> RoutingSettings:
        settings = replace(self.setup.config.settings, fallback=self._policy(self.setup.config.settings.fallback))
        if self.conditions.user is not None:
            settings = replace(settings, admission=replace(settings.admission, user=self.conditions.user, wait_s=0.0))
        if self.conditions.unwatched:
            settings = replace(settings, health=replace(settings.health, enabled=False))
        return settings

    # -- asking -------------------------------------------------------------------------------------------------------

    async def ask(self, model: str | None = None, *, leave_after: int | None = None) -> Reading:
        """One request and all that comes of it, within `within_s`; the reader leaves after `leave_after` tokens."""
        reading, done = Reading(), asyncio.Event()

        def on_token() -> None:
            if leave_after is not None and len(reading.tokens) == leave_after:
                reading.cancelled = True
                done.set()

        reading.on_end, reading.on_token = done.set, on_token
        self.asked += 1
        self._all_settled.clear()
        request = ChatRequest(
            model=model or self.setup.model,
            messages=(Message(role="user", content=PROMPT),),
            tools=(TOOL,) if self.conditions.tools else (),
        )
        started_s = time.monotonic()
        receiver = Receiver(reading.on_next, reading.on_error, reading.on_completed)
        subscription = connect(self.client.chat_stream(request), receiver, None)
        try:
            async with asyncio.timeout(self.within_s):
                await done.wait()
        except TimeoutError:
            reading.hung = True
        finally:
            reading.took_s = time.monotonic() - started_s
            subscription.dispose()
        self.readings.append(reading)
        return reading

    def expected(self) -> Expected:
        """The answer that a provider gives who behaves."""
        tools = (OfferedTool(name=TOOL.name, schema=TOOL.parameters),) if self.conditions.tools else ()
        turns = (Spoken(Voice.USER, PROMPT),)
        asked = Asked(model="", options="", prompt=PROMPT, heard=PROMPT, tools=tools, turns=turns)
        (reply,) = give(asked, self._options(self.conditions.primary), seeded(SEED), seed=SEED).replies
        calls = tuple((call.name, call.arguments) for call in reply.calls)
        return Expected(text="".join(reply.text_pieces()), calls=calls)

    # -- what happened ------------------------------------------------------------------------------------------------

    def _is_primary(self, model: str | None) -> bool:
        return model in (None, self.setup.primary.model)  # None: it was refused unread

    def served(self, role: Role) -> list[Served]:
        """The requests that came to the first model, or to anybody else, as their servers saw them."""
        at_first = self.primary.served
        if role is Role.PRIMARY:
            return [served for served in at_first if self._is_primary(served.model)]
        return [*(served for served in at_first if not self._is_primary(served.model)), *self.fallback.served]

    def attempt_times(self, role: Role) -> list[float]:
        """The seconds from the start to each attempt: the requests that came, and connections that were refused."""
        times = [served.request.at_s for served in self.served(role)]
        if role is Role.PRIMARY and self._reserved is not None:
            times += (
                attempt.started_s
                for settled in self.settled
                for attempt in settled.attempts
                if attempt.provider == self.setup.primary.provider.name and attempt.phase is Phase.CONNECT
            )
        return sorted(round(max(at_s - self.started_s, 0.0), 3) for at_s in times)

    def completed_at_primary(self) -> list[float]:
        """When those of its requests came that it answered, on the monotonic clock."""
        served = self.served(Role.PRIMARY)
        return [one.request.at_s for one in served if one.outcome is Outcome.COMPLETED]

    def _on_settled(self, settled: Settled) -> None:
        self.settled.append(settled)
        if len(self.settled) == self.asked:
            self._all_settled.set()

    async def disconnected(self) -> bool:
        """Whether a provider saw that its reader left, within `TO_SETTLE_S`."""
        seen = [asyncio.ensure_future(_until(server, _lost_its_reader)) for server in (self.primary, self.fallback)]
        try:
            for one in asyncio.as_completed(seen):
                if await one:
                    return True
            return False
        finally:
            for one in seen:
                one.cancel()

    async def leftovers(self) -> list[str]:
        """What is still held when all requests have ended; each with its number."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_settled.wait(), TO_SETTLE_S)
        for server in (self.primary, self.fallback):
            await _until(server, _is_quiet)
        if not self.client.closed.is_set():
            self._pings += 1
            await asyncio.wait_for(self.client.ping(), TO_SETTLE_S)
        return [f"{number} {name}" for name, number in self._held() if number]

    def _held(self) -> Iterable[tuple[str, int]]:
        traffic = self.manager.traffic
        yield "requests never settled", self.asked - len(self.settled)
        yield "requests under way in the daemon", self.daemon.requests
        yield "requests under way in the client", self.client.open_requests
        yield "requests under way at models", traffic.all_running
        yield "attempts under way", sum(totals.running for totals in traffic.totals.collect().values())
        yield "breakers' tickets", sum(breaker.gauges.active for _, breaker in traffic.breakers)
        gates: list[Slots | RateLimiter] = [*traffic.slots.values(), *traffic.limiters.values()]
        yield "places in gates", sum(gate.gauges.active + gate.gauges.waiting for gate in gates)
        yield "streams open at providers", self.primary.open_streams + self.fallback.open_streams

    def stray_frames(self) -> int:
        """Frames that belong to no token and no end of a stream; 0 where a reader left, who still gets some."""
        if any(reading.cancelled or reading.hung for reading in self.readings):
            return 0
        if self.client.ring is not None:
            self.client.ring.drain()
        ends = sum(len(reading.ends) for reading in self.readings)
        return self.client.frames - self.client.chunks - ends - self._pings


def _lost_its_reader(server: Simulator) -> bool:
    return Outcome.CLIENT_GONE in server.outcomes


def _is_quiet(server: Simulator) -> bool:
    return not server.open_streams


async def _until(server: Simulator, holds: Callable[[Simulator], bool]) -> bool:
    """Whether it holds of the server within `TO_SETTLE_S`."""
    with contextlib.suppress(TimeoutError):
        await server.wait_until(lambda: holds(server), timeout_s=TO_SETTLE_S)
    return holds(server)
