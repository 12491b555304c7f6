"""One client: its frames in, its requests running, its frames out."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.codec.frame import Flag, Frame
from rxlapce.daemon.bounds import Held, Limits, RequestBounds
from rxlapce.daemon.handlers import Handlers
from rxlapce.daemon.request_log import RequestLog
from rxlapce.daemon.sink import FAILED, StreamSink, error_frame
from rxlapce.daemon.turns import Turns
from rxlapce.daemon.unary import UnaryRequests, cancelled
from rxlapce.errors import (
    BadPayload,
    ErrorKind,
    Phase,
    ProtocolError,
    ProviderError,
    RxlapceError,
    TruncatedFrame,
)
from rxlapce.flow import Exchange, Tasks
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    Chat,
    ChatStream,
    Complete,
    CompleteStream,
    Credit,
    Disconnect,
    Draining,
    Heartbeat,
    Models,
    ProtocolFailure,
    Status,
    TransportName,
    WireMessage,
    decode,
    encode,
)
from rxlapce.operators.stages import StageGauges
from rxlapce.routing.way import outlet_of
from rxlapce.status import ClientStatus
from rxlapce.telemetry.logs import Logger
from rxlapce.telemetry.words import breach
from rxlapce.transports.handshake import DRAIN, Accepted
from rxlapce.transports.signed_writer import SignedFrameWriter
from rxlapce.transports.unix import SocketConnection
from rxlapce.transports.writer import FrameWriter

RESPONSE = int(Flag.RESPONSE)
#: Of what a client calls itself: it is in each of its lines in the log.
MAX_CLIENT_CHARS: Final = 128
_BEAT: Final = NUMBERS[Heartbeat]
_BEAT_BACK: Final = encode(Heartbeat())
_STREAMS: Final = frozenset(NUMBERS[command] for command in (ChatStream, CompleteStream))
_REQUESTS: Final = _STREAMS | {NUMBERS[command] for command in (Chat, Complete, Status, Models)}


class SessionOwner(Protocol):
    """What a session needs of its daemon."""

    handlers: Handlers
    tasks: Tasks
    stages: StageGauges
    log: Logger
    draining: bool
    refused: Counter[str]
    held: Held
    log_content: bool

    def request_began(self) -> None:
        """A request of some session was admitted that a provider will answer."""
        ...

    def session_ended(self, session: "Session") -> None:
        """The session is over; all of it is released."""
        ...

    def request_ended(self) -> None:
        """A request of some session has its terminal frame."""
        ...


class Session:
    """A connected client after the handshake.

    Requests come on the socket; stream frames leave by the ring if there is one, else by the socket, unary responses
    and control frames always by the socket. When the socket ends, everything of the client's is released: requests are
    cancelled without a frame, descriptors closed. A request whose payload is not one is refused by itself; any other
    breach of the protocol ends the connection, with a last frame that names it.
    """

    def __init__(self, number: int, owner: SessionOwner, accepted: Accepted, limits: Limits) -> None:
        self.number = number
        self.owner = owner
        self.client = accepted.handshake.client[:MAX_CLIENT_CHARS]
        self.user = accepted.user
        self.features = accepted.features
        self.shm = accepted.shm
        self._ring_signer = accepted.ring_signer
        self._bounds = RequestBounds(limits, owner.held, owner.refused)
        self.streams: dict[int, StreamSink] = {}
        self._told: dict[int, RequestLog] = {}
        """Of each stream under way, its lines in the log."""
        self.log = owner.log.bind(session=number, client=self.client, user=self.user)
        self.unary = UnaryRequests(owner, self.log, self._reply)
        self._scheduler = AsyncIOScheduler(asyncio.get_running_loop())
        self._began_s = time.monotonic()
        self._connection: SocketConnection | None = None
        self._stream_writer: FrameWriter | None = None
        self._turns = Turns(self._on_frame)
        self._closed = False

    @property
    def transport(self) -> TransportName:
        """By which way this client's stream frames go."""
        return "shm" if self.shm is not None else "socket"

    @property
    def requests(self) -> int:
        """Requests under way."""
        return len(self.streams) + len(self.unary)

    @property
    def for_providers(self) -> int:
        """Requests under way that are no questions to the daemon itself."""
        return self.requests - self.unary.questions

    @property
    def sent_bytes(self) -> int:
        """Bytes of frames that have been handed to the client's ways."""
        writers = {self._stream_writer, None if self._connection is None else self._connection.writer}
        return sum(writer.bytes_handed for writer in writers if writer is not None)

    def status(self) -> ClientStatus:
        """How the client is, for a report."""
        connection, stream_writer = self._connection, self._stream_writer
        unread = connection.unread_bytes if connection is not None else 0
        if self.shm is not None and stream_writer is not None:
            unread += stream_writer.pending_bytes
        return ClientStatus(
            number=self.number,
            client=self.client,
            user=self.user,
            transport=self.transport,
            signed="sign" in self.features,
            requests=self.for_providers,
            age_s=round(time.monotonic() - self._began_s, 3),
            unread_bytes=unread,
            ring_bytes=self.shm.in_ring_bytes if self.shm is not None else 0,
        )

    def start(self, connection: SocketConnection) -> None:
        """Take over the connection; frames may come from now on."""
        self._connection = connection
        if self.shm is not None:
            lane, signer = self.shm.lane, self._ring_signer
            self._stream_writer = (
                FrameWriter(lane, on_overflow=self.on_lost)
                if signer is None
                else SignedFrameWriter(lane, signer, on_overflow=self.on_lost)
            )
            self.shm.start(self.on_lost)
        else:
            self._stream_writer = connection.writer
        self._stream_writer.flow.on_change(self._on_writer_flow)
        self.log.info("client_connected", transport=self.transport)
        self._turns.start(connection)

    # -- frames in --------------------------------------------------------------------------------------------------

    def on_frames(self, frames: Sequence[Frame]) -> None:
        """Take what one read of the socket brought; what comes before `start` waits for it."""
        if not self._closed:
            self._turns.take(frames)

    def _on_frame(self, frame: Frame) -> None:
        try:
            message = decode(frame.number, frame.payload, receiver="daemon")
            self._on_message(frame.request_id, message, len(frame.payload))
        except BadPayload as error:
            if frame.number not in _REQUESTS or self._is_in_use(frame.request_id):
                self.fail(error)
            else:  # the connection is sound, and so are its other requests
                refusal = ProviderError(ErrorKind.BAD_REQUEST, str(error), phase=Phase.ADMIT)
                self._refuse(frame.request_id, refusal, streaming=frame.number in _STREAMS)
        except ProtocolError as error:
            self.fail(error)

    def _on_message(self, request_id: int, message: WireMessage, size: int) -> None:
        # What comes most often goes first: to be no message of a class costs 0.3 us, as all have an ABC among their
        # bases.
        match message:
            case Credit():
                stream = self.streams.get(request_id)
                if stream is not None:  # credit for a stream that has just ended crosses its terminal frame
                    stream.add_credit(message.frames)
            case Heartbeat():
                if message.echo and self._connection is not None:
                    self._connection.writer.send(_BEAT, RESPONSE, request_id, _BEAT_BACK)
            case ChatStream() | CompleteStream():
                if self._admit(request_id, size, streaming=True):
                    self._start_stream(request_id, message, message.credit)
            case Chat() | Complete():
                if self._admit(request_id, size, streaming=False):
                    self.owner.request_began()
                    self.unary.start(request_id, message, self._exchange(request_id, message.request.model))
            case Status() | Models():
                if self._admit(request_id, size, streaming=False, while_draining=isinstance(message, Status)):
                    self.unary.start(request_id, message, self._exchange(request_id, ""))
            case Cancel():
                self._cancel(request_id)
            case Disconnect():
                self.close()
            case _:
                raise ProtocolError(f"a {type(message).__name__} is not expected after the handshake")

    def _admit(self, request_id: int, size: int, *, streaming: bool, while_draining: bool = False) -> bool:
        """Whether a new request of `size` bytes may run; a refusal has been answered."""
        if self._is_in_use(request_id):
            raise ProtocolError(f"request id {request_id} is in use")
        if self.owner.draining and not while_draining:
            refusal = ProviderError(ErrorKind.OVERLOADED, "the daemon is stopping", phase=Phase.ADMIT)
        else:
            taken = self._bounds.take(request_id, size)
            if taken is None:
                return True
            refusal = taken
        self._refuse(request_id, refusal, streaming=streaming)
        return False

    def _is_in_use(self, request_id: int) -> bool:
        return request_id in self.streams or request_id in self.unary

    def _refuse(self, request_id: int, error: ProviderError, *, streaming: bool) -> None:
        """Answer by the way that the request's answer would have come."""
        if streaming:
            self._require_stream_writer().send(FAILED, RESPONSE, request_id, error_frame(error, 0))
        elif self._connection is not None:
            self._connection.writer.send(FAILED, RESPONSE, request_id, error_frame(error, 0))

    def _start_stream(self, request_id: int, command: ChatStream | CompleteStream, credit: int | None) -> None:
        self.owner.request_began()
        writer = self._require_stream_writer()
        exchange = self._exchange(request_id, command.request.model)
        sink = StreamSink(request_id, writer, exchange, credit, self._stream_ended, self.owner.stages)
        self.streams[request_id] = sink
        told = RequestLog(self.log, exchange, streaming=True, content=self.owner.log_content)
        told.asked(command.request)
        self._told[request_id] = told
        if not writer.flow.is_open:
            sink.demand.close(self)
        try:
            source = self.owner.handlers.streaming[type(command)](command, exchange)
            sink.start(told.heard(source), self._scheduler, outlet_of(source))
        except Exception as error:  # a handler's bug must end its own stream, and no other
            self.log.error("handler_failed", request_id=exchange.request_id, exc_info=error)
            sink.cancel(ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} in the handler: {error}"))

    def _exchange(self, request_id: int, model: str) -> Exchange:
        return Exchange(
            request_id=f"{self.number}.{request_id}",
            user=self.user,
            client=self.client,
            model=model,
            transport=self.transport,
        )

    def _reply(self, number: int, request_id: int, payload: bytes) -> bool:
        """Send the one frame that answers a unary request; False if the client is gone."""
        self._bounds.give(request_id)
        if self._closed or self._connection is None:
            return False
        self._connection.writer.send(number, RESPONSE, request_id, payload)
        return True

    def _cancel(self, request_id: int) -> None:
        stream = self.streams.get(request_id)
        if stream is not None:
            stream.cancel(cancelled("cancelled by the client"))
        else:  # if there is none of that id, it has just ended; its terminal frame is on the way
            self.unary.cancel(request_id, "cancelled by the client")

    # -- frames out -------------------------------------------------------------------------------------------------

    def _require_stream_writer(self) -> FrameWriter:
        if self._stream_writer is None:
            raise RuntimeError("the session has not started")
        return self._stream_writer

    def _send(self, message: WireMessage, request_id: int = 0) -> None:
        if self._connection is not None:
            self._connection.writer.send(NUMBERS[type(message)], RESPONSE, request_id, encode(message))

    def _on_writer_flow(self) -> None:
        """The way out is full, or has room again: tell every stream, beginning with the one that waited longest."""
        writer = self._require_stream_writer()
        if not writer.flow.is_open:
            for stream in tuple(self.streams.values()):
                stream.demand.close(self)
            return
        for request_id, stream in tuple(self.streams.items()):
            if not writer.flow.is_open:
                return
            stream.demand.open(self)
            if request_id in self.streams:  # served: it goes to the end of the line
                self.streams[request_id] = self.streams.pop(request_id)

    def _stream_ended(self, stream: StreamSink, outcome: str) -> None:
        self.streams.pop(stream.request_id, None)
        self._bounds.give(stream.request_id)
        self._told.pop(stream.request_id).ended(outcome, frames=stream.seq + 1)
        self.owner.request_ended()

    # -- the end ----------------------------------------------------------------------------------------------------

    def fail(self, error: RxlapceError) -> None:
        """The peer broke the protocol: say how, then close. Without effect once the session is over."""
        if self._closed:
            return
        self._send(ProtocolFailure(error=type(error).__name__, message=str(error)))
        self.log.warning("protocol_error", **breach(error, content=self.owner.log_content))
        self.close()

    async def end_requests(self, reason: str) -> None:
        """Give every request under way its terminal frame, and return when they are handed to the writers."""
        for stream in tuple(self.streams.values()):
            stream.cancel(cancelled(reason))
        await self.unary.end_all(reason)

    def close(self) -> None:
        """Flush what waits for the client, then close; requests under way are dropped. Idempotent."""
        if self._release() and self._connection is not None:
            self.owner.tasks.spawn(self._connection.close(), name=f"close session {self.number}")

    async def drain(self) -> None:
        """Return when all frames have been handed to the client's ways, or the client is gone."""
        if self._stream_writer is not None:
            await self._stream_writer.drained()
        if self._connection is not None:
            await self._connection.writer.drained()

    def tell_draining(self, within_s: float) -> None:
        """Tell a client that asked for it that no request may begin, and those under way have `within_s` seconds."""
        if DRAIN in self.features:
            self._send(Draining(within_s=round(within_s, 3)))

    def goodbye(self, reason: str) -> None:
        """Tell the client that the daemon closes the connection, and why."""
        self._send(Disconnect(reason=reason))

    def on_lost(self, error: Exception | None) -> None:
        """The peer is gone, orderly (None) or not, or what it sends cannot be read: release everything. Idempotent."""
        if isinstance(error, ProtocolError) and not isinstance(error, TruncatedFrame):
            self._turns.at_last(partial(self.fail, error))
        elif self._release() and self._connection is not None:
            # Not flushed: a peer that has closed one half, or stands still, would keep its descriptor for ever.
            self._connection.abort()

    def _release(self) -> bool:
        """Drop the requests and the ring; False if that was done before."""
        if self._closed:
            return False
        self._closed = True
        self._turns.drop()
        dropped = self.requests
        for stream in tuple(self.streams.values()):
            stream.drop()
            self._told.pop(stream.request_id).ended("client_gone", frames=stream.seq)
        self.streams.clear()
        self.unary.drop()
        self._bounds.give_all()
        if self.shm is not None:
            if self._stream_writer is not None:
                self._stream_writer.close()
            self.shm.close()
        self.log.info("client_gone", dropped_requests=dropped)
        self.owner.session_ended(self)
        return True
