"""The connection of an editor to the daemon."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rxlapce.bridge.failures import provider_error, report, tell_error
from rxlapce.bridge.stream import Incoming, StreamCommand, TokenStream
from rxlapce.codec.frame import Flag, Frame
from rxlapce.errors import (
    ConnectionLost,
    ProtocolError,
    RxlapceError,
    SequenceGap,
    TruncatedFrame,
)
from rxlapce.messages import (
    NUMBERS,
    Cancel,
    Chat,
    ChatResponse,
    ChatStream,
    Complete,
    CompleteResponse,
    CompleteStream,
    Credit,
    Disconnect,
    Draining,
    HandshakeAck,
    Heartbeat,
    ModelList,
    Models,
    ProtocolFailure,
    Question,
    Status,
    StreamChunk,
    StreamDone,
    StreamError,
    TransportName,
    WireMessage,
    decode,
    encode,
)
from rxlapce.requests import ChatRequest, CompletionRequest
from rxlapce.status import StatusReport
from rxlapce.tokens import Finish
from rxlapce.transports.handshake import Agreed, ring_fds
from rxlapce.transports.shm import ShmReceiver
from rxlapce.transports.unix import SocketConnection

REQUEST = int(Flag.REQUEST)
#: Frames of one stream that may be under way to a reader that has not taken them.
DEFAULT_WINDOW = 1024
_CLOSED_HERE = "the connection was closed by this side"


class Client:
    """An editor's connection: many requests at once, on one loop. Use as an async context manager, or `aclose` it.

    When the daemon goes away, every request under way ends in `ConnectionLost` within a loop turn of the socket's end,
    after the tokens that had arrived. A daemon that stops in order says so before (`draining`, `on_draining`): requests
    under way may finish, new ones are refused there, and a client that has more to ask connects anew.
    """

    def __init__(self, agreed: Agreed, linger_s: float = 0.0) -> None:
        self.ack: HandshakeAck = agreed.ack
        self.frames = 0
        self.chunks = 0
        self.sequence_gaps = 0
        self.closed = asyncio.Event()
        self.draining = False
        """Whether the daemon has said that it takes no new requests here."""
        self.on_draining: Callable[[float], None] | None = None
        """Called when `draining` becomes true, with the seconds that requests under way may still take."""
        self.on_closed: Callable[[], None] | None = None
        """Called when the connection is over and every request has been told; `lost` says why."""
        self._next_id = 1
        self._streams: dict[int, Incoming] = {}
        self._unary: dict[int, asyncio.Future[WireMessage]] = {}
        self._connection: SocketConnection | None = None
        self._early: list[Frame] = []
        self._lost: RxlapceError | None = None
        self._goodbye = ""
        self._leaving = False
        self._ring: ShmReceiver | None = None
        if agreed.ack.ring is not None:
            self._ring = ShmReceiver(
                ring_fds(agreed),
                agreed.ack.ring.capacity,
                self.on_frames,
                self.on_ring_corrupt,
                known=NUMBERS.values(),
                decoder=agreed.ring_decoder,
                linger_s=linger_s,
            )

    @property
    def transport(self) -> TransportName:
        """By which way stream frames come."""
        return self.ack.transport

    @property
    def reason(self) -> str | None:
        """Why `transport` is not the one that was asked for."""
        return self.ack.reason

    @property
    def ring(self) -> ShmReceiver | None:
        """The shared ring's reading side, for its counters; None on a socket."""
        return self._ring

    @property
    def lost(self) -> RxlapceError | None:
        """Why nothing more can be asked here; None while it can."""
        return self._lost

    @property
    def open_requests(self) -> int:
        """Requests without a terminal frame yet."""
        return len(self._streams) + len(self._unary)

    def start(self, connection: SocketConnection) -> None:
        """Take over the connection; frames may come from now on."""
        self._connection = connection
        if self._ring is not None:
            self._ring.start()
        early, self._early = self._early, []
        self.on_frames(early)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Say goodbye and close; requests under way end in `ConnectionLost`. Idempotent."""
        connection = self._connection
        if connection is not None and self._lost is None:
            self._leaving = True
            self._send(Disconnect(reason="client closes"), 0)
            await connection.close()
        self._end(ConnectionLost(_CLOSED_HERE))

    # -- requests ---------------------------------------------------------------------------------------------------

    def chat_stream(self, request: ChatRequest, *, window: int = DEFAULT_WINDOW) -> TokenStream:
        """The answer to `request` as an Observable and async iterator; nothing is sent before it is subscribed."""
        return TokenStream(self, lambda credit: ChatStream(request=request, credit=credit), window)

    def complete_stream(self, request: CompletionRequest, *, window: int = DEFAULT_WINDOW) -> TokenStream:
        """The completion of `request` as an Observable and async iterator."""
        return TokenStream(self, lambda credit: CompleteStream(request=request, credit=credit), window)

    async def chat(self, request: ChatRequest) -> ChatResponse:
        """The answer in one piece; cancelling the wait cancels it. Raises `ProviderError`, `ConnectionLost`."""
        response = await self._ask(Chat(request=request))
        if not isinstance(response, ChatResponse):
            raise self._unexpected(response)
        return response

    async def complete(self, request: CompletionRequest) -> CompleteResponse:
        """The completion in one piece. Raises as `chat` does."""
        response = await self._ask(Complete(request=request))
        if not isinstance(response, CompleteResponse):
            raise self._unexpected(response)
        return response

    async def status(self) -> StatusReport:
        """How the daemon is. Raises as `chat` does."""
        response = await self._ask(Status())
        if not isinstance(response, StatusReport):
            raise self._unexpected(response)
        return response

    async def models(self, *providers: str) -> ModelList:
        """The daemon's aliases, and the models of `providers` (none named: of all). Raises as `chat` does."""
        response = await self._ask(Models(providers=providers or None))
        if not isinstance(response, ModelList):
            raise self._unexpected(response)
        return response

    async def ping(self) -> None:
        """Return when the daemon has answered a heartbeat. Raises `ConnectionLost`."""
        await self._ask(Heartbeat(echo=True))

    async def _ask(self, command: Chat | Complete | Question | Heartbeat) -> WireMessage:
        request_id = self._new_id()
        waiter: asyncio.Future[WireMessage] = asyncio.get_running_loop().create_future()
        self._unary[request_id] = waiter
        try:
            self._send(command, request_id)
            return await waiter
        except asyncio.CancelledError:
            if self._lost is None:
                self._send(Cancel(), request_id)
            raise
        finally:
            self._unary.pop(request_id, None)

    def open(self, command: StreamCommand, incoming: Incoming) -> int:
        """See `stream.Link`. A connection that is gone is the stream's `on_error`, a loop turn later."""
        request_id = self._new_id()
        if self._lost is not None:
            asyncio.get_running_loop().call_soon(incoming.receiver.on_error, self._lost)
            return request_id
        self._send(command, request_id)  # raises for what no frame can hold: then there is no stream
        self._streams[request_id] = incoming
        if self._ring is not None:
            self._ring.watch(lambda: bool(self._streams))
        return request_id

    def grant(self, request_id: int, frames: int) -> None:
        """See `stream.Link`."""
        if request_id in self._streams:
            self._send(Credit(frames=frames), request_id)

    def cancel(self, request_id: int) -> None:
        """See `stream.Link`. Without effect on a stream that has ended."""
        if self._streams.pop(request_id, None) is not None and self._lost is None:
            self._send(Cancel(), request_id)

    def _new_id(self) -> int:
        request_id = self._next_id
        self._next_id += 1
        return request_id

    def _send(self, message: WireMessage, request_id: int) -> None:
        if self._lost is not None:
            raise self._lost
        if self._connection is None:
            raise RuntimeError("the client has not started")
        self._connection.writer.send(NUMBERS[type(message)], REQUEST, request_id, encode(message))

    # -- frames in --------------------------------------------------------------------------------------------------

    def on_frames(self, frames: Sequence[Frame]) -> None:
        """Take frames, from the ring or the socket."""
        if self._connection is None:
            self._early.extend(frames)
            return
        for frame in frames:
            try:
                self._on_message(frame.request_id, decode(frame.number, frame.payload, receiver="client"))
            except ProtocolError as error:
                self._break(error)
                return

    def _on_message(self, request_id: int, message: WireMessage) -> None:
        self.frames += 1
        match message:
            case StreamChunk():
                incoming = self._in_sequence(request_id, message.seq)
                if incoming is not None:
                    self.chunks += 1
                    try:
                        incoming.receiver.on_next(message.token)
                    except Exception as error:  # noqa: BLE001 - a subscriber's bug ends its own stream, and no other
                        self.cancel(request_id)
                        report(error, request_id)
            case StreamDone():
                self._finish(request_id, message.seq, message.finish)
            case StreamError():
                self._fail(request_id, message)
            case Heartbeat(echo=True):
                self._send(Heartbeat(), request_id)
            case ChatResponse() | CompleteResponse() | StatusReport() | ModelList() | Heartbeat():
                waiter = self._unary.pop(request_id, None)
                if waiter is not None and not waiter.done():
                    waiter.set_result(message)
            case Disconnect():
                self._goodbye = message.reason
            case Draining():
                self._on_draining(message.within_s)
            case ProtocolFailure():
                raise ProtocolError(f"the daemon says that this side broke the protocol: {message.message}")
            case _:
                raise ProtocolError(f"a {type(message).__name__} is not expected after the handshake")

    def _on_draining(self, within_s: float) -> None:
        if self.draining:
            return
        self.draining = True
        if self.on_draining is not None:
            try:
                self.on_draining(within_s)
            except Exception as error:  # noqa: BLE001 - as above: the connection serves others too
                report(error, 0)

    def _in_sequence(self, request_id: int, seq: int) -> Incoming | None:
        """The stream of a frame; None for one that was cancelled here, whose last frames are still coming."""
        incoming = self._streams.get(request_id)
        if incoming is None:
            return None
        if seq != incoming.expected_seq:
            self.sequence_gaps += 1
            raise SequenceGap(f"stream {request_id}: expected frame {incoming.expected_seq}, got {seq}")
        incoming.expected_seq += 1
        return incoming

    def _finish(self, request_id: int, seq: int, finish: Finish) -> None:
        incoming = self._in_sequence(request_id, seq)
        if incoming is not None:
            del self._streams[request_id]
            try:
                incoming.receiver.on_next(finish)
                incoming.receiver.on_completed()
            except Exception as error:  # noqa: BLE001 - as above
                report(error, request_id)

    def _fail(self, request_id: int, message: StreamError) -> None:
        error = provider_error(message.error)
        waiter = self._unary.pop(request_id, None)
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(error)
            return
        incoming = self._in_sequence(request_id, message.seq)
        if incoming is not None:
            del self._streams[request_id]
            tell_error(incoming, error, request_id)

    def _unexpected(self, response: WireMessage) -> ProtocolError:
        error = ProtocolError(f"a {type(response).__name__} does not answer this request")
        self._break(error)
        return error

    # -- the end ----------------------------------------------------------------------------------------------------

    def on_ring_corrupt(self, error: Exception) -> None:
        """The ring cannot be trusted any more, or what it carries is no frame."""
        self._break(error if isinstance(error, RxlapceError) else ProtocolError(str(error)))

    def on_socket_lost(self, error: Exception | None) -> None:
        """The daemon is gone, or says what is no frame: what it had put into the ring is read first."""
        if self._ring is not None and self._lost is None and self._connection is not None:
            self._ring.drain()
        why = f": it said {self._goodbye!r}" if self._goodbye else ""
        if isinstance(error, ProtocolError) and not isinstance(error, TruncatedFrame):
            self._break(error)  # the socket is still open, and the daemon would go on writing
        elif self._leaving:
            self._end(ConnectionLost(_CLOSED_HERE))
        else:  # also inside a frame: that is how it looks when the daemon is killed while it writes
            self._end(ConnectionLost(f"the daemon closed the connection{why}"))

    def _break(self, error: RxlapceError) -> None:
        if self._connection is not None:
            self._connection.abort()
        self._end(error)

    def _end(self, error: RxlapceError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        if self._ring is not None:
            self._ring.close()
        streams, self._streams = self._streams, {}
        for request_id, incoming in streams.items():
            tell_error(incoming, error, request_id)
        for waiter in self._unary.values():
            if not waiter.done():
                waiter.set_exception(error)
        self.closed.set()
        if self.on_closed is not None:
            self.on_closed()
