"""An editor's UI for tests of the bridge: it keeps what it is told, and waits for what is to come."""

import asyncio

from rxlapce.bridge.messages import (
    ConnectionState,
    ConnectionStatus,
    InboundMessage,
    InvalidMessage,
    ProviderFailure,
    ProviderStreamChunk,
)
from rxlapce.tokens import StreamToken


class Ui:
    """Give it to a `Bridge` as `on_message`."""

    def __init__(self) -> None:
        self.messages: list[InboundMessage] = []
        self._chunks: dict[int, list[ProviderStreamChunk]] = {}
        self._ends: dict[int, list[InboundMessage]] = {}
        self._news = asyncio.Event()

    def __call__(self, message: InboundMessage) -> None:
        """Take a message."""
        self.messages.append(message)
        if isinstance(message, ProviderStreamChunk):
            self._chunks.setdefault(message.id, []).append(message)
        elif not isinstance(message, ConnectionStatus | InvalidMessage):
            self._ends.setdefault(message.id, []).append(message)
        self._news.set()

    @property
    def states(self) -> list[ConnectionState]:
        """Every state that was told, in order."""
        return [one.state for one in self.messages if isinstance(one, ConnectionStatus)]

    @property
    def status(self) -> ConnectionStatus:
        """The last that was told of the connection."""
        return [one for one in self.messages if isinstance(one, ConnectionStatus)][-1]

    async def until(self, state: ConnectionState, times: int = 1) -> ConnectionStatus:
        """Wait until `state` has been told so often, and is the last that was told."""
        while self.states.count(state) < times or self.states[-1] is not state:
            await self._wait()
        return self.status

    async def chunks(self, request_id: int, count: int) -> list[StreamToken]:
        """Wait for so many tokens of a stream. Raises EOFError if it ends before."""
        while len(found := self._chunks.get(request_id, [])) < count:
            if self.ends(request_id):
                raise EOFError(f"{self.ends(request_id)[0]} after {len(found)} tokens of {count}")
            await self._wait()
        return self.tokens(request_id)

    async def end(self, request_id: int) -> InboundMessage:
        """Wait for the last message of a request."""
        while not self.ends(request_id):
            await self._wait()
        return self.ends(request_id)[0]

    async def failure(self, request_id: int) -> ProviderFailure:
        """The same of one that fails."""
        last = await self.end(request_id)
        if not isinstance(last, ProviderFailure):
            raise TypeError(f"request {request_id} ended in {last!r}")
        return last

    async def invalid(self) -> InvalidMessage:
        """Wait for the first complaint about what this side said."""
        while not (found := [one for one in self.messages if isinstance(one, InvalidMessage)]):
            await self._wait()
        return found[0]

    def tokens(self, request_id: int) -> list[StreamToken]:
        """The tokens of a stream so far; their numbers have no gap."""
        chunks = self._chunks.get(request_id, [])
        if [one.seq for one in chunks] != list(range(len(chunks))):
            raise ValueError(f"a gap: {[one.seq for one in chunks]}")
        return [one.token for one in chunks]

    def ends(self, request_id: int) -> list[InboundMessage]:
        """All last messages of a request: there must be one at most."""
        return self._ends.get(request_id, [])

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()
