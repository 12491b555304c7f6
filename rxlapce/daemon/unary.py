"""The requests of one client that are answered by one frame each: answers in one piece, and questions to the daemon."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from rxlapce.codec.frame import MAX_PAYLOAD_BYTES
from rxlapce.daemon.handlers import Handlers
from rxlapce.daemon.request_log import RequestLog
from rxlapce.daemon.sink import FAILED, error_frame
from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.flow import Exchange, Tasks
from rxlapce.happenings import Failed
from rxlapce.messages import NUMBERS, Chat, Complete, Models, Question, Status, encode
from rxlapce.telemetry.logs import Logger

UnaryCommand = Chat | Complete | Question

#: Sends the frame of a number, request id and payload; False if the client is gone.
Reply = Callable[[int, int, bytes], bool]


class UnaryOwner(Protocol):
    """What unary requests need of their daemon."""

    handlers: Handlers
    tasks: Tasks
    log_content: bool

    def request_ended(self) -> None:
        """A request of some session has its terminal frame."""
        ...


class UnaryRequests:
    """Those of a client that are under way, each with a task of its own that ends in exactly one frame.

    A question is not told in the log, where one that is asked each second would hide all else.
    """

    def __init__(self, owner: UnaryOwner, log: Logger, reply: Reply) -> None:
        self._owner = owner
        self._log = log
        self._reply = reply
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.questions = 0
        """How many of those under way are questions to the daemon itself."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._tasks

    def start(self, request_id: int, command: UnaryCommand, exchange: Exchange) -> None:
        """Answer `command`, in a task of the daemon's."""
        told: RequestLog | None = None
        if not isinstance(command, Status | Models):
            told = RequestLog(self._log, exchange, streaming=False, content=self._owner.log_content)
            told.asked(command.request)
        self.questions += told is None
        request = _Unary(request_id, exchange, told)
        task = self._owner.tasks.spawn(self._answer(request, command), name=f"request {exchange.request_id}")
        self._tasks[request_id] = task
        # A task that is cancelled before its first step runs nothing of its coroutine, but its callbacks.
        task.add_done_callback(partial(self._answered, request))

    def cancel(self, request_id: int, reason: str) -> None:
        """End the request in an error of kind `cancelled`; without effect if there is none of that id."""
        task = self._tasks.get(request_id)
        if task is not None:
            task.cancel(reason)

    async def end_all(self, reason: str) -> None:
        """Cancel all, and return when their frames are handed to the writer."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel(reason)
        await asyncio.gather(*tasks, return_exceptions=True)

    def drop(self) -> None:
        """Cancel all: the client is gone."""
        for task in tuple(self._tasks.values()):
            task.cancel()

    async def _answer(self, request: "_Unary", command: UnaryCommand) -> None:
        exchange, handlers = request.exchange, self._owner.handlers
        try:
            if isinstance(command, Status | Models):
                said = await handlers.questions[type(command)](command)
                request.number, request.payload = NUMBERS[type(said)], encode(said)
            else:
                response = await handlers.unary[type(command)](command, exchange)
                request.payload = encode(response)
                request.number, request.outcome = NUMBERS[type(response)], response.finish.value
                if request.told is not None:
                    request.told.answered(response.text)
        except ProviderError as error:
            request.fail(error)
        except Exception as error:  # noqa: BLE001 - a handler's bug must end its own request, and no other
            self._log.error("handler_failed", request_id=exchange.request_id, exc_info=error)
            request.fail(ProviderError(ErrorKind.INTERNAL, f"{type(error).__name__} in the handler: {error}"))
        size = len(request.payload)
        if size > MAX_PAYLOAD_BYTES:
            why = f"the answer has {size:,} bytes and a frame at most {MAX_PAYLOAD_BYTES:,}: ask for it as a stream"
            request.fail(ProviderError(ErrorKind.PROTOCOL, why, retry=Retry.NEVER))

    def _answered(self, request: "_Unary", task: asyncio.Task[None]) -> None:
        """Send what became of a request. A client that is gone gets nothing."""
        self._tasks.pop(request.request_id, None)
        try:
            task.result()
        except asyncio.CancelledError as cancel:
            request.fail(cancelled(str(cancel.args[0]) if cancel.args else "the request was cancelled"))
        has_it = self._reply(request.number, request.request_id, request.payload)
        if request.told is None:
            self.questions -= 1
        else:
            request.told.ended(request.outcome if has_it else "client_gone")
        self._owner.request_ended()


class _Unary:
    """A request for one piece, and the frame that answers it."""

    __slots__ = ("exchange", "number", "outcome", "payload", "request_id", "told")

    def __init__(self, request_id: int, exchange: Exchange, told: RequestLog | None) -> None:
        self.request_id = request_id
        self.exchange = exchange
        self.told = told
        self.number = FAILED
        self.payload = b""
        self.outcome = ""

    def fail(self, error: ProviderError) -> None:
        exchange = self.exchange
        exchange.tell(Failed(provider=exchange.provider, model=exchange.model, error=error))
        self.number, self.payload, self.outcome = FAILED, error_frame(error, 0), error.kind.value


def cancelled(message: str) -> ProviderError:
    """What a request ends in that is cancelled."""
    return ProviderError(ErrorKind.CANCELLED, message)
