"""A connection to the daemon that comes back by itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rxlapce.bridge.arrivals import watching
from rxlapce.bridge.autostart import start_daemon
from rxlapce.bridge.client import Client
from rxlapce.bridge.connecting import greet
from rxlapce.bridge.messages import ConnectionState, ConnectionStatus
from rxlapce.bridge.states import Event, after
from rxlapce.errors import ConfigError, DaemonNotRunning, ProtocolError, RxlapceError
from rxlapce.flow import Tasks
from rxlapce.messages import TransportName
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.unix import connect as connect_socket

#: A daemon that listens accepts at once; one whose queue is full is asked again later. The loop stands still meanwhile.
ACCEPT_S: Final = 0.02
#: Seconds between attempts after news: a socket appears a little before anybody listens at it. The last one repeats, as
#: a net under the watching.
AFTER_NEWS_S: Final = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 2.0)
#: The same in the state `error`, where an attempt is told.
AFTER_ERROR_S: Final = 30.0
#: Of a daemon that breaks off connections shorter than this again and again.
SHORT_S: Final = 1.0
#: The seconds before the next one, by how many were short in a row; the last one repeats.
AFTER_SHORT_S: Final = (0.0, 0.0, 0.0, 0.1, 0.3, 1.0, 2.0)
ADVICE: Final = "mend what the reason says, then reconnect; `rxlapce doctor` looks for what is wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which connection; see `connecting.connect`. `autostart`: a daemon is started when somebody asks and none runs."""

    path: Path
    transport: TransportName = "shm"
    client: str = "rxlapce.bridge"
    timeout_s: float = 5.0
    key: SigningKey | None = None
    autostart: bool = False


class KeptConnection:
    """Connects, and connects anew whenever a daemon is there; `client` is the connection for new requests.

    After a loss it tries at once, since a service manager may listen in the daemon's place, then when the path changes
    (`arrivals`), and every two seconds as a net. `on_status` hears each change of the state once, `on_settled` that an
    attempt is over or a connection is gone. A connection whose daemon is draining is kept aside until its last request
    has ended (`ended` must be called for each), and another one is sought.
    """

    def __init__(
        self, wanted: Wanted, on_status: Callable[[ConnectionStatus], None], on_settled: Callable[[], None]
    ) -> None:
        self.state = ConnectionState.DISCONNECTED
        self.reason: str | None = None
        self._wanted = wanted
        self._on_status = on_status
        self._on_settled = on_settled
        self._client: Client | None = None
        self._retiring: set[Client] = set()
        self._tasks = Tasks()
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._pause: asyncio.TimerHandle | None = None
        """Sets `_over` a while after a connection that was short."""
        self._may_start = wanted.autostart
        self._short = 0
        """How many connections in a row were short."""

    @property
    def client(self) -> Client | None:
        """The connection for a new request; None while there is none."""
        client = self._client
        return client if client is not None and client.lost is None and not client.draining else None

    def start(self) -> None:
        """Begin to connect."""
        self._become(ConnectionStatus(state=ConnectionState.CONNECTING))
        self._tasks.spawn(self._run(), name="bridge connection")

    def ask(self) -> None:
        """Try now; where that is wanted, start a daemon if there is none. Without effect while connected."""
        if self.state in (ConnectionState.DISCONNECTED, ConnectionState.ERROR):
            self._may_start = self._wanted.autostart
            self._apply(Event.TRY)
            self._news.set()
            self._over.set()

    def ended(self, client: Client) -> None:
        """A request on `client` has ended."""
        if client in self._retiring and not client.open_requests:
            self._retiring.discard(client)
            self._tasks.spawn(client.aclose(), name="close drained connection")

    async def aclose(self) -> None:
        """Close all connections and stop. Requests under way end in `ConnectionLost`."""
        await self._tasks.aclose()
        for client in (*self._retiring, *([self._client] if self._client is not None else [])):
            client.on_draining = client.on_closed = None
            await client.aclose()
        self._retiring.clear()
        self._client = None
        if self.state is not ConnectionState.DISCONNECTED:
            self._apply(Event.LOST if self.state is ConnectionState.CONNECTED else Event.ABSENT, "closed by this side")

    # -- connecting -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            with watching(self._wanted.path, self._news):
                delays = iter(AFTER_NEWS_S)
                while not await self._attempt():
                    delay = AFTER_ERROR_S if self.state is ConnectionState.ERROR else next(delays, AFTER_NEWS_S[-1])
                    if await self._news_within(delay):
                        delays = iter(AFTER_NEWS_S)
            await self._over.wait()

    async def _news_within(self, delay_s: float) -> bool:
        try:
            async with asyncio.timeout(delay_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def _attempt(self) -> bool:
        """Connect once; False, and the state says why, where that did not succeed."""
        wanted = self._wanted
        may_start, self._may_start = self._may_start, False
        try:
            try:
                sock = connect_socket(wanted.path, ACCEPT_S)
            except DaemonNotRunning:
                if not may_start:
                    raise
                self._apply(Event.TRY)
                await start_daemon(wanted.path)
                sock = connect_socket(wanted.path, ACCEPT_S)
            self._apply(Event.TRY)
            client = await greet(
                sock, transport=wanted.transport, client=wanted.client, timeout_s=wanted.timeout_s, key=wanted.key
            )
        except (ConfigError, ProtocolError) as error:
            self._apply(Event.REFUSED, str(error), ADVICE)
        except (RxlapceError, OSError) as error:
            self._apply(Event.ABSENT, str(error))
        else:
            self._use(client)
            return True
        return False

    def _use(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._client = client
        self._over.clear()
        if self._pause is not None:  # who asked did not wait for its end: it would count as this connection's
            self._pause.cancel()

        def lost(reason: str, delay_s: float = 0.0) -> None:
            if self._client is client:
                self._client = None
                self._apply(Event.LOST, reason)
                self._pause = loop.call_later(delay_s, self._over.set)

        def on_draining(within_s: float) -> None:
            self._retiring.add(client)
            lost(f"the daemon is stopping: what runs may finish within {within_s:g} s")
            self.ended(client)

        def on_closed() -> None:
            self._retiring.discard(client)
            self._short = self._short + 1 if loop.time() - began < SHORT_S else 0
            lost(str(client.lost), AFTER_SHORT_S[min(self._short, len(AFTER_SHORT_S) - 1)])

        client.on_draining, client.on_closed = on_draining, on_closed
        status = ConnectionStatus(
            state=after(self.state, Event.UP), server=client.ack.server, transport=client.transport
        )
        self._become(status)
        self._on_settled()
        if client.lost is not None:
            on_closed()

    def _apply(self, event: Event, reason: str | None = None, advice: str | None = None) -> None:
        state = after(self.state, event)
        if state is not self.state or (state is ConnectionState.ERROR and reason != self.reason):
            self._become(ConnectionStatus(state=state, reason=reason, advice=advice))
        elif reason is not None:
            self.reason = reason
        if event is not Event.TRY:
            self._on_settled()

    def _become(self, status: ConnectionStatus) -> None:
        self.state, self.reason = status.state, status.reason
        self._on_status(status)
