"""The daemon: listens on a Unix socket, shakes hands, keeps sessions, stops in order."""

import asyncio
import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import rxlapce
from rxlapce.codec.frame import Flag, encode_frame
from rxlapce.daemon.acceptor import Acceptor
from rxlapce.daemon.bounds import DAEMON_LIMITS, Held, Limits
from rxlapce.daemon.handlers import Handler, Handlers, StreamingHandler
from rxlapce.daemon.reload import Loaded
from rxlapce.daemon.session import Session
from rxlapce.daemon.status import StatusReporter
from rxlapce.daemon.users import Users
from rxlapce.errors import ConnectionLost, ProtocolError
from rxlapce.flow import Tasks
from rxlapce.messages import NUMBERS, ProtocolFailure, ProviderCommand, Status, encode
from rxlapce.operators.stages import StageGauges
from rxlapce.telemetry.logs import Logger, logger
from rxlapce.telemetry.words import breach
from rxlapce.transports.handshake import DRAIN, Accepted, Signing, accept_handshake
from rxlapce.transports.listening import Listener, is_at, listen, remove_socket
from rxlapce.transports.shm import ShmSender, shm_unavailable
from rxlapce.transports.unix import attach

#: How long a stop waits for handshakes that are under way.
GREETING_S: Final = 1.0
#: How long a stop still reads from clients that it has told of it: what they had sent by then is refused, not dropped.
CROSSING_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """How the daemon listens and what it lets clients keep.

    `ring_bytes` is the shared ring of each connection that asks for one; `drain_s` is how long an orderly stop waits
    for running streams before it ends them; `handshake_s` how long a client may take to introduce itself, and
    `max_handshakes` how many may be about it at once. `limits` are those of one client, `daemon_limits` those of all.
    """

    path: Path
    ring_bytes: int = 1 << 20
    max_connections: int = 256
    max_handshakes: int = 64
    handshake_s: float = 5.0
    drain_s: float = 5.0
    limits: Limits = field(default_factory=Limits)
    daemon_limits: Limits = DAEMON_LIMITS
    signing: Signing = field(default_factory=Signing)
    log_content: bool = False


class Daemon:
    """A listening daemon between `start` and `stop`; all of it runs on the loop that starts it.

    Register handlers before `start`. `stop` refuses new requests, lets the running ones finish within `drain_s`, gives
    the rest a terminal error frame, flushes, says goodbye and removes the socket.
    """

    def __init__(self, settings: DaemonSettings, *, log: Logger | None = None) -> None:
        self.settings = settings
        self.handlers = Handlers()
        self.tasks = Tasks()
        self.stages = StageGauges()
        self.users = Users()
        self.config: Callable[[], Loaded | None] = lambda: None
        """The state of the configuration's file, if there is one, for reports."""
        self.log = log or logger()
        self.log_content = settings.log_content
        """Whether prompts and answers are told in the log, at level debug."""
        self.draining = False
        self.refused: Counter[str] = Counter()
        """What was turned away, by the name of the limit."""
        self.held = Held(settings.daemon_limits)
        self.sent_bytes: Counter[str] = Counter()
        """Bytes of frames written to clients that are gone, by their transport."""
        self.sessions: set[Session] = set()
        self.status = StatusReporter(self)
        self.handlers.questions[Status] = self.status.answer
        self._listener: Listener | None = None
        self._acceptor: Acceptor | None = None
        self._drained_by_s = 0.0
        """When a drain is to end, by the loop's clock."""
        self._handshakes = Tasks()
        self._greeting: set[socket.socket] = set()
        self._numbers = 0
        self._idle = asyncio.Event()

    def register_handler(self, command: type[ProviderCommand], handler: Handler) -> None:
        """See `Handlers.register_handler`."""
        self.handlers.register_handler(command, handler)

    def register_streaming_handler(self, command: type[ProviderCommand], handler: StreamingHandler) -> None:
        """See `Handlers.register_streaming_handler`."""
        self.handlers.register_streaming_handler(command, handler)

    @property
    def requests(self) -> int:
        """Requests under way in all sessions."""
        return sum(session.requests for session in self.sessions)

    @property
    def max_connections(self) -> int:
        """How many clients may be connected."""
        return self.settings.max_connections

    @property
    def max_requests(self) -> int:
        """How many requests a client may have under way."""
        return self.settings.daemon_limits.max_requests

    async def start(self, listener: Listener | None = None) -> None:
        """Listen, at the settings' path or with a `listener` that has been made for it, which is the daemon's then.

        Raises `DaemonAlreadyRunning`, `ConfigError` (the path or its folder will not do).
        """
        self._listener = listener or listen(self.settings.path)
        self._acceptor = Acceptor(self._listener, self._take, self.log)
        self._acceptor.start()
        self.log.info("daemon_listening", path=str(self.settings.path), version=rxlapce.__version__)

    def _take(self, sock: socket.socket) -> None:
        """Turn a new connection away, or begin its handshake."""
        limits = self.settings
        if len(self.sessions) + len(self._greeting) >= limits.max_connections:
            why = f"{limits.max_connections} connections are open, as many as this daemon takes"
            self._turn_away(sock, "max_connections", why)
        elif len(self._greeting) >= limits.max_handshakes:
            why = f"{limits.max_handshakes} connections are about their handshake, as many as may be: try again"
            self._turn_away(sock, "max_handshakes", why)
        else:
            self._greeting.add(sock)
            task = self._handshakes.spawn(self._welcome(sock), name="handshake")
            # In a callback, since a task that is cancelled before its first step runs nothing else.
            task.add_done_callback(partial(self._greeted, sock))

    def _greeted(self, sock: socket.socket, _: object) -> None:
        """Close a socket that no session has taken over."""
        if sock in self._greeting:
            self._greeting.discard(sock)
            sock.close()

    def _turn_away(self, sock: socket.socket, limit: str, why: str) -> None:
        self.refused[limit] += 1
        self.log.warning("connection_refused", reason=limit)
        failure = encode(ProtocolFailure(error="HandshakeRefused", message=why))
        with contextlib.suppress(OSError):  # it is gone already
            sock.send(encode_frame(NUMBERS[ProtocolFailure], int(Flag.RESPONSE), 0, failure))
        sock.close()

    async def _welcome(self, sock: socket.socket) -> None:
        """Shake hands and start a session; after a failure `_greeted` closes the socket, and nothing is left."""
        accepted: Accepted | None = None
        try:
            accepted = await accept_handshake(
                sock,
                make_shm=None if shm_unavailable() else self._make_shm,
                server=f"rxlapce/{rxlapce.__version__}",
                max_streams=self.settings.limits.max_requests,
                allowed_uid=os.getuid(),
                timeout_s=self.settings.handshake_s,
                features=(DRAIN,),
                signing=self.settings.signing,
            )
            await self._begin(sock, accepted)
        except (ProtocolError, ConnectionLost, OSError) as error:
            self.log.warning("handshake_failed", **breach(error, content=self.log_content))
        finally:
            if sock in self._greeting and accepted is not None and accepted.shm is not None:
                accepted.shm.close()

    def _make_shm(self) -> ShmSender:
        return ShmSender(self.settings.ring_bytes)

    async def _begin(self, sock: socket.socket, accepted: Accepted) -> None:
        self._numbers += 1
        session = Session(self._numbers, self, accepted, self.settings.limits)
        connection = await attach(
            sock,
            session.on_frames,
            session.on_lost,
            known=NUMBERS.values(),
            leftover=accepted.leftover,
            signed=accepted.signed,
        )
        self._greeting.discard(sock)
        self.sessions.add(session)
        session.start(connection)
        if self.draining:
            session.tell_draining(self._drain_left_s())

    def session_ended(self, session: Session) -> None:
        """Forget a session that released everything."""
        self.sessions.discard(session)
        self.sent_bytes[session.transport] += session.sent_bytes
        self.request_ended()

    def request_began(self) -> None:
        """A request was admitted that a provider will answer."""
        self.status.request_began()

    def request_ended(self) -> None:
        """Wake a stop that waits for the last request."""
        if self.requests == 0:
            self._idle.set()

    async def stop(self, drain_s: float | None = None) -> None:
        """Stop in order, within `drain_s` (default: the setting's) and some 2 seconds for handshakes and last frames.

        The path is left first, so that a next daemon can have it. Who has connected by then is let in and told that
        this one drains; where a service manager keeps the socket, who waits in its backlog waits for the next daemon.
        """
        wait_s = self.settings.drain_s if drain_s is None else drain_s
        self._drained_by_s = asyncio.get_running_loop().time() + wait_s
        was_draining, self.draining = self.draining, True
        self.leave()
        if not was_draining:
            for session in tuple(self.sessions):
                session.tell_draining(wait_s)
        if wait_s > 0:
            if any(DRAIN in session.features for session in self.sessions):
                await asyncio.sleep(min(wait_s, CROSSING_S))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._greeted_all(), min(wait_s, GREETING_S))
        await self._handshakes.aclose()  # or a session could begin when all the others have been closed
        left_s = self._drain_left_s()
        if self.requests and left_s > 0:
            self.log.info("draining", requests=self.requests, drain_s=wait_s)
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), left_s)
        for session in tuple(self.sessions):
            await session.end_requests("the daemon is stopping")
            session.goodbye("shutdown")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(session.drain() for session in tuple(self.sessions))), 1.0)
        for session in tuple(self.sessions):
            session.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed_all(), 1.0)
        await self.tasks.aclose()
        self.status.close()
        self.log.info("daemon_stopped")

    def leave(self) -> None:
        """Give the path back, accept who has connected by then, and listen no more. Idempotent."""
        if self._listener is None or self._acceptor is None:
            return
        self._acceptor.stop()
        if self._listener.path_id is not None:
            if not is_at(self.settings.path, self._listener):
                self.log.info("path_taken_over", path=str(self.settings.path))
            remove_socket(self.settings.path, self._listener)
            self._acceptor.sweep()
            self._acceptor.stop()
        self._listener.close()
        self._listener = self._acceptor = None

    def _drain_left_s(self) -> float:
        return max(0.0, self._drained_by_s - asyncio.get_running_loop().time())

    async def _greeted_all(self) -> None:
        while len(self._handshakes):
            await self._handshakes.settled()

    async def _closed_all(self) -> None:
        while len(self.tasks):
            await self.tasks.settled()
