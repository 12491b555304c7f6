"""The UI's requests while they are under way: each ends in exactly one last message."""

from collections.abc import Callable
from typing import Final

from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxlapce.bridge.client import Client
from rxlapce.bridge.delivered import Delivered
from rxlapce.bridge.messages import (
    InboundMessage,
    ListModels,
    ModelsListed,
    Ping,
    Pong,
    ProviderChat,
    ProviderChatResponse,
    ProviderChatStream,
    ProviderComplete,
    ProviderCompleteResponse,
    ProviderCompleteStream,
    ProviderFailure,
    ProviderStreamChunk,
    ProviderStreamDone,
    Status,
    StatusTold,
)
from rxlapce.bridge.stream import Incoming, StreamCommand
from rxlapce.errors import ConnectionLost, ErrorKind, Phase, ProtocolError, ProviderError, Retry, RxlapceError
from rxlapce.flow import FlowControl, Receiver, Tasks
from rxlapce.messages import ChatStream, CompleteStream, ErrorBody
from rxlapce.tokens import Finish, StreamToken

StreamAsked = ProviderChatStream | ProviderCompleteStream
UnaryAsked = ProviderChat | ProviderComplete | ListModels | Status | Ping
Asked = StreamAsked | UnaryAsked

CANCELLED: Final = "cancelled by the UI"


def failure(request_id: int, error: ProviderError) -> ProviderFailure:
    """The last message of a request that failed."""
    return ProviderFailure(id=request_id, error=ErrorBody(**error.to_dict()))


def told(error: Exception, *, began: bool) -> ProviderError:
    """What the UI hears of an error. `began`: something of the answer had come, so the error is that it broke off."""
    if isinstance(error, ProviderError):
        return error
    phase = Phase.FLOW if began else Phase.HEADERS
    if isinstance(error, ConnectionLost):
        if began:
            return ProviderError(ErrorKind.TRUNCATED, f"the answer broke off: {error}", phase=phase)
        return ProviderError(ErrorKind.NETWORK, f"no answer: {error}", phase=phase)
    if isinstance(error, ProtocolError):
        message = f"the connection to the daemon cannot be trusted any more: {error}"
        return ProviderError(ErrorKind.PROTOCOL, message, retry=Retry.SAME, phase=phase)
    return ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} in the bridge: {error}", phase=phase)


def unsendable(error: Exception) -> ProviderError:
    """For a request that no frame can hold."""
    return ProviderError(ErrorKind.BAD_REQUEST, f"the request cannot be sent: {error}", phase=Phase.ADMIT)


class Running:
    """A request under way on `client`. `emit` gets its messages; `on_end` is called once, after the last of them."""

    def __init__(
        self,
        asked: Asked,
        client: Client,
        emit: Callable[[InboundMessage], None],
        on_end: Callable[["Running"], None],
    ) -> None:
        self.id = asked.id
        self.client = client
        self._emit = emit
        self._on_end = on_end
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it has had its last message."""
        return self._ended

    def cancel(self, why: str = CANCELLED) -> None:
        """End it now, at the daemon too."""
        self._stop()
        self._fail(ProviderError(ErrorKind.CANCELLED, why))

    def _stop(self) -> None:
        raise NotImplementedError

    def _fail(self, error: ProviderError) -> None:
        self._finish(failure(self.id, error))

    def _finish(self, last: InboundMessage) -> None:
        if not self._ended:
            self._ended = True
            self._emit(last)
            self._on_end(self)


class RunningStream(Running):
    """A stream: at most `window` chunks are on their way while `flow` is closed, and the daemon waits after them."""

    def __init__(
        self,
        asked: StreamAsked,
        client: Client,
        emit: Callable[[InboundMessage], None],
        on_end: Callable[[Running], None],
        *,
        flow: FlowControl,
        window: int,
    ) -> None:
        super().__init__(asked, client, emit, on_end)
        self._flow = flow
        self._half = max(1, window // 2)
        self._untold = 0
        self._seq = 0
        self._delivered = Delivered()
        self._wire_id: int | None = None
        self._listening: DisposableBase = Disposable()
        command: StreamCommand = (
            ChatStream(request=asked.request, credit=window)
            if isinstance(asked, ProviderChatStream)
            else CompleteStream(request=asked.request, credit=window)
        )
        try:
            self._wire_id = client.open(command, Incoming(Receiver(self._on_next, self._on_error, self._on_completed)))
        except (RxlapceError, ValueError, TypeError) as error:
            self._fail(unsendable(error))
            return
        self._listening = flow.on_change(self._grant)

    def _on_next(self, token: StreamToken) -> None:
        if type(token) is Finish:
            self._finish(ProviderStreamDone(id=self.id, seq=self._seq, finish=token))
            return
        self._delivered.add(token)
        self._emit(ProviderStreamChunk(id=self.id, seq=self._seq, token=token))
        self._seq += 1
        self._untold += 1
        if self._untold >= self._half:
            self._grant()

    def _grant(self) -> None:
        if self._untold >= self._half and self._flow.is_open and self._wire_id is not None:
            self.client.grant(self._wire_id, self._untold)
            self._untold = 0

    def _on_error(self, error: Exception) -> None:
        self._fail(told(error, began=self._seq > 0))

    def _on_completed(self) -> None:
        """The `Finish` before it has said so."""

    def _stop(self) -> None:
        if self._wire_id is not None:
            self.client.cancel(self._wire_id)

    def _fail(self, error: ProviderError) -> None:
        if error.delivered_chars is None:
            error.delivered_chars = self._delivered.chars
        super()._fail(error)

    def _finish(self, last: InboundMessage) -> None:
        self._listening.dispose()
        super()._finish(last)


class RunningUnary(Running):
    """A question with one answer, in a task of its own."""

    def __init__(
        self,
        asked: UnaryAsked,
        client: Client,
        emit: Callable[[InboundMessage], None],
        on_end: Callable[[Running], None],
        *,
        tasks: Tasks,
    ) -> None:
        super().__init__(asked, client, emit, on_end)
        self._task = tasks.spawn(self._ask(asked), name=f"ui request {asked.id}")

    async def _ask(self, asked: UnaryAsked) -> None:
        try:
            answer = await _answer(self.client, asked)
        except RxlapceError as error:
            self._fail(told(error, began=False))
        except (ValueError, TypeError) as error:
            self._fail(unsendable(error))
        else:
            self._finish(answer)

    def _stop(self) -> None:
        self._task.cancel()


async def _answer(client: Client, asked: UnaryAsked) -> InboundMessage:
    match asked:
        case ProviderChat():
            return ProviderChatResponse(id=asked.id, response=await client.chat(asked.request))
        case ProviderComplete():
            return ProviderCompleteResponse(id=asked.id, response=await client.complete(asked.request))
        case ListModels():
            found = await client.models(*(asked.providers or ()))
            return ModelsListed(id=asked.id, models=found.models, unlisted=found.unlisted)
        case Status():
            return StatusTold(id=asked.id, report=await client.status())
        case Ping():
            await client.ping()
            return Pong(id=asked.id)
