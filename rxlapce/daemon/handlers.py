"""What the daemon does on each command: a table of handlers, and the ones for providers."""

from collections.abc import Awaitable, Callable

from reactivex import Observable

from rxlapce.answer import Answer
from rxlapce.daemon.load import Load, ManagerLoad, NoLoad
from rxlapce.daemon.model_list import ModelLists
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.messages import (
    AnsweredCall,
    Chat,
    ChatResponse,
    ChatStream,
    Complete,
    CompleteResponse,
    CompleteStream,
    ModelList,
    Models,
    ProviderCommand,
    Question,
    QuestionAnswer,
)
from rxlapce.routing.manager import ProviderManager
from rxlapce.tokens import FinishKind, StreamToken

UnaryResponse = ChatResponse | CompleteResponse

#: Answers a command in one piece. Cancelled when the client cancels or goes. Raises `ProviderError`.
Handler = Callable[[ProviderCommand, Exchange], Awaitable[UnaryResponse]]
#: Answers a command with a cold Observable; it must ask `exchange.flow` before it makes more.
StreamingHandler = Callable[[ProviderCommand, Exchange], Observable[StreamToken]]

#: Answers a question to the daemon itself. Cancelled as a `Handler` is. Raises `ProviderError`.
QuestionHandler = Callable[[Question], Awaitable[QuestionAnswer]]


async def no_models(_: Question) -> ModelList:
    """What a daemon without providers answers."""
    return ModelList()


class Handlers:
    """Commands and who serves them; each command has one handler, of either sort.

    Each question has one too, and a report its `load`: those of a daemon without providers, until others are set in
    their place.
    """

    def __init__(self) -> None:
        self.unary: dict[type[ProviderCommand], Handler] = {}
        self.streaming: dict[type[ProviderCommand], StreamingHandler] = {}
        self.questions: dict[type[Question], QuestionHandler] = {Models: no_models}
        self.load: Load = NoLoad()

    def register_handler(self, command: type[ProviderCommand], handler: Handler) -> None:
        """Serve `command` with one response. Raises `ValueError` if it is served already."""
        self._must_be_free(command)
        self.unary[command] = handler

    def register_streaming_handler(self, command: type[ProviderCommand], handler: StreamingHandler) -> None:
        """Serve `command` with a stream of tokens. Raises `ValueError` if it is served already."""
        self._must_be_free(command)
        self.streaming[command] = handler

    def _must_be_free(self, command: type[ProviderCommand]) -> None:
        if command in self.unary or command in self.streaming:
            raise ValueError(f"{command.__name__} has a handler already")


class ProviderRoutes:
    """The handlers of complete, chat, complete_stream, chat_stream and models over one `ProviderManager`."""

    __slots__ = ("_handlers", "manager")

    def __init__(self, manager: ProviderManager) -> None:
        self.manager = manager
        self._handlers: Handlers | None = None

    def register(self, handlers: Handlers) -> None:
        """Put all five into `handlers`, and what a report tells of the manager."""
        handlers.register_handler(Chat, self.unary)
        handlers.register_handler(Complete, self.unary)
        handlers.register_streaming_handler(ChatStream, self.stream)
        handlers.register_streaming_handler(CompleteStream, self.stream)
        self._handlers = handlers
        self.swap(self.manager)

    def swap(self, manager: ProviderManager) -> None:
        """Let `manager` answer what is asked from now on; what is under way goes on as it began."""
        self.manager = manager
        if self._handlers is not None:
            self._handlers.questions[Models] = ModelLists(manager).answer
            self._handlers.load = ManagerLoad(manager)

    async def unary(self, command: ProviderCommand, exchange: Exchange) -> UnaryResponse:
        """The whole answer to `chat` or `complete`."""
        if isinstance(command, Complete):
            return _complete_response(await self.manager.complete(command.request, exchange))
        if isinstance(command, Chat):
            return _chat_response(await self.manager.chat(command.request, exchange))
        raise TypeError(f"{type(command).__name__} is a streaming command")

    def stream(self, command: ProviderCommand, exchange: Exchange) -> Observable[StreamToken]:
        """The stream of `chat_stream` or `complete_stream`."""
        if isinstance(command, CompleteStream):
            return self.manager.complete_stream(command.request, exchange)
        if isinstance(command, ChatStream):
            return self.manager.chat_stream(command.request, exchange)
        raise TypeError(f"{type(command).__name__} is not a streaming command")


def _finish_of(answer: Answer) -> FinishKind:
    finish = answer.choices[0].finish_kind
    if finish is None:
        raise ProviderError(ErrorKind.TRUNCATED, "the answer has no end")
    return finish


def _chat_response(answer: Answer) -> ChatResponse:
    choice = answer.choices[0]
    return ChatResponse(
        text=choice.text,
        finish=_finish_of(answer),
        finish_raw=choice.finish_raw,
        reasoning=choice.reasoning,
        refusal=choice.refusal,
        tool_calls=tuple(
            AnsweredCall(id=call.id, name=call.name, arguments=call.arguments) for call in choice.tool_calls
        ),
        model=answer.model,
        usage=answer.usage,
        turn=answer.turn,
    )


def _complete_response(answer: Answer) -> CompleteResponse:
    choice = answer.choices[0]
    return CompleteResponse(
        text=choice.text,
        finish=_finish_of(answer),
        finish_raw=choice.finish_raw,
        model=answer.model,
        usage=answer.usage,
    )
