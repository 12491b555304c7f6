"""The panel's side of the bridge: what is sent, and what comes, as plain calls. Knows no screen."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from rxlapce.bridge import Bridge
from rxlapce.bridge.messages import (
    Cancel,
    ConnectionState,
    ConnectionStatus,
    InboundMessage,
    ListModels,
    ModelsListed,
    ProviderChatStream,
    ProviderFailure,
    ProviderStreamChunk,
    ProviderStreamDone,
    Reconnect,
)
from rxlapce.flow import FlowControl
from rxlapce.messages import ErrorBody, ModelEntry, TransportName, Unlisted
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken

#: Chunks of an answer that may come while the screen is busy; after them the daemon waits, and so does the provider.
WINDOW: Final = 256
#: Starts a daemon whose only provider is a simulator; it ends with the context. Yields the socket's path.
StartSimulator = Callable[[], AbstractAsyncContextManager[Path]]


class Listener(Protocol):
    """Who hears what comes; called on the loop, between two turns of it."""

    def on_status(self, status: ConnectionStatus) -> None:
        """The connection has changed."""
        ...

    def on_models(self, models: tuple[ModelEntry, ...], unlisted: tuple[Unlisted, ...]) -> None:
        """The models there are, and the providers that could not be asked."""
        ...

    def on_no_models(self, error: ErrorBody) -> None:
        """The question for models has failed."""
        ...

    def on_token(self, token: StreamToken) -> None:
        """The next token of the answer under way; `Finish` is its last."""
        ...

    def on_failure(self, error: ErrorBody) -> None:
        """The answer under way has ended in an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which daemon to talk to, and how."""

    path: Path | None = None
    transport: TransportName = "shm"
    autostart: bool = True


class Link:
    """One bridge at a time, and at most one answer and one list of models under way.

    `flow` is closed while the screen has not drawn what came: no more than `WINDOW` chunks come then, and that reaches
    the provider's own connection; other clients' streams do not notice.
    """

    def __init__(self, listener: Listener, where: Where) -> None:
        self.flow = FlowControl()
        self.simulated = False
        """Whether the daemon is one of the panel's own with nothing but a simulator."""
        self._listener = listener
        self._where = where
        self._ids = itertools.count(1)
        self._asked: int | None = None
        self._models: int | None = None
        self._bridge: Bridge | None = None
        self._own = contextlib.AsyncExitStack()

    @property
    def state(self) -> ConnectionState:
        """How the bridge stands to the daemon."""
        return ConnectionState.CONNECTING if self._bridge is None else self._bridge.state

    def start(self) -> None:
        """Begin to connect; a daemon is started where none runs, if that is wanted."""
        self._use(self._where.path, autostart=self._where.autostart)

    async def simulate(self, start: StartSimulator) -> None:
        """Talk to a simulator's daemon from now on, which ends with this link. Raises `ConfigError`."""
        path = await self._own.enter_async_context(start())
        await self._leave()
        self.simulated = True
        self._use(path, autostart=False)

    def ask(self, request: ChatRequest) -> None:
        """Send a request; its tokens come to the listener, then its end."""
        self._asked = next(self._ids)
        self._send(ProviderChatStream(id=self._asked, request=request))

    def cancel(self) -> None:
        """End the answer under way; the listener hears an error of kind `cancelled`."""
        if self._asked is not None:
            self._send(Cancel(id=self._asked))

    def ask_models(self) -> None:
        """Ask which models there are, unless that has been asked and not answered; without effect before `start`."""
        if self._models is None and self._bridge is not None:
            self._models = next(self._ids)
            self._send(ListModels(id=self._models))

    def reconnect(self) -> None:
        """Try to connect now."""
        self._send(Reconnect())

    async def aclose(self) -> None:
        """Cancel what is under way, and leave."""
        await self._leave()
        await self._own.aclose()

    # -- the bridge -----------------------------------------------------------------------------------------------

    def _use(self, path: Path | None, *, autostart: bool) -> None:
        self._bridge = Bridge(
            path,
            on_message=self._on_message,
            transport=self._where.transport,
            client="rxlapce chat",
            autostart=autostart,
            window=WINDOW,
            flow=self.flow,
        )
        self._bridge.start()

    async def _leave(self) -> None:
        if self._bridge is not None:
            bridge, self._bridge = self._bridge, None
            await bridge.aclose()

    def _send(self, message: ProviderChatStream | Cancel | ListModels | Reconnect) -> None:
        if self._bridge is not None:
            self._bridge.send(message)

    def _on_message(self, message: InboundMessage) -> None:
        match message:
            case ConnectionStatus():
                self._listener.on_status(message)
            case ProviderStreamChunk(id=asked) if asked == self._asked:
                self._listener.on_token(message.token)
            case ProviderStreamDone(id=asked) if asked == self._asked:
                self._asked = None
                self._listener.on_token(message.finish)
            case ModelsListed(id=asked) if asked == self._models:
                self._models = None
                self._listener.on_models(message.models, message.unlisted)
            case ProviderFailure(id=asked) if asked == self._asked:
                self._asked = None
                self._listener.on_failure(message.error)
            case ProviderFailure(id=asked) if asked == self._models:
                self._models = None
                self._listener.on_no_models(message.error)
            case _:
                pass


async def closed(link: Link, *, within_s: float = 2.0) -> None:
    """Close the link; who does not let go within `within_s` seconds is left behind."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await link.aclose()
