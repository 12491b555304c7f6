"""A stream as the editor sees it: an Observable, and an async iterator, of tokens."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable

from rxlapce.flow import Receiver, Stage
from rxlapce.messages import ChatStream, CompleteStream
from rxlapce.tokens import StreamToken

StreamCommand = ChatStream | CompleteStream


class Link(Protocol):
    """What a stream needs of its connection."""

    def open(self, command: StreamCommand, incoming: "Incoming") -> int:
        """Send the command; from now on its frames go to `incoming`. Returns the request id."""
        ...

    def grant(self, request_id: int, frames: int) -> None:
        """Let the daemon send `frames` more of the stream."""
        ...

    def cancel(self, request_id: int) -> None:
        """Tell the daemon to end the stream, and forget it."""
        ...


class Incoming:
    """One running stream: who takes its tokens, and which frame comes next."""

    __slots__ = ("expected_seq", "receiver")

    def __init__(self, receiver: Receiver[StreamToken]) -> None:
        self.receiver = receiver
        self.expected_seq = 0


class TokenStream(Stage[StreamToken]):
    """An answer as a cold Observable: each subscription sends the request anew, disposing cancels it at the daemon.

        --text--text--text--usage--finish-|

    Ends in `Finish` and completion, or on_error with a `ProviderError` (the daemon's word) or `ConnectionLost` (the
    daemon is gone). `async for token in stream` does the same and raises the error; leaving the loop cancels:
    at once with `contextlib.aclosing(aiter(stream))`, else when the event loop collects the iterator.

    At most `window` frames are on their way or waiting to be iterated at any time: a slow reader of this stream stops
    its provider, and no other stream of the connection.
    """

    def __init__(self, link: Link, command: Callable[[int], StreamCommand], window: int) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        super().__init__(self._subscribe_pushed)
        self._link = link
        self._command = command
        self._window = window

    def _subscribe_pushed(self, receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        """Each token counts as taken when the subscriber's on_next returns."""
        request_id: int | None = None
        untold = 0
        half = max(1, self._window // 2)

        def on_next(token: StreamToken) -> None:
            nonlocal untold
            receiver.on_next(token)
            untold += 1
            if untold >= half and request_id is not None:
                self._link.grant(request_id, untold)
                untold = 0

        def stop() -> None:
            if request_id is not None:
                self._link.cancel(request_id)

        incoming = Incoming(Receiver(on_next, receiver.on_error, receiver.on_completed))
        request_id = self._link.open(self._command(self._window), incoming)
        return Disposable(stop)

    # Its `aclose` is what `aclosing` needs.
    def __aiter__(self) -> AsyncGenerator[StreamToken, None]:  # noqa: PYI058
        return self._iterate()

    async def _iterate(self) -> AsyncGenerator[StreamToken, None]:
        """Each token counts as taken when the loop asks for the next one."""
        loop = asyncio.get_running_loop()
        items: deque[StreamToken] = deque()
        end: list[Exception | None] = []
        waiter: asyncio.Future[None] | None = None

        def wake() -> None:
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

        def on_next(token: StreamToken) -> None:
            items.append(token)
            wake()

        def on_end(error: Exception | None = None) -> None:
            end.append(error)
            wake()

        half = max(1, self._window // 2)
        untold = 0
        request_id = self._link.open(self._command(self._window), Incoming(Receiver(on_next, on_end, on_end)))
        try:
            while True:
                while items:
                    yield items.popleft()
                    untold += 1
                    if untold >= half and not end:
                        self._link.grant(request_id, untold)
                        untold = 0
                if end:
                    if end[0] is not None:
                        raise end[0]
                    return
                waiter = loop.create_future()
                await waiter
        finally:
            self._link.cancel(request_id)
