"""Signals: the first SIGTERM or SIGINT asks for an orderly stop, the second does not wait; others end nothing."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial


class StopRequest:
    """Becomes set at the first signal, and `urgent` at the second."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.urgent = asyncio.Event()

    def ask(self) -> None:
        """Count one signal."""
        (self.urgent if self.requested.is_set() else self.requested).set()


@contextmanager
def stop_on_signals(
    on_hangup: Callable[[], None], on_handover: Callable[[Callable[[], None]], None]
) -> Generator[StopRequest]:
    """Inside, SIGTERM and SIGINT go to the `StopRequest`, SIGHUP to `on_hangup`; afterwards they do what they did.

    SIGUSR2 goes to `on_handover`, with what asks for a stop.
    """
    loop = asyncio.get_running_loop()
    request = StopRequest()
    caught = {signal.SIGTERM: request.ask, signal.SIGINT: request.ask, signal.SIGHUP: on_hangup}
    caught[signal.SIGUSR2] = partial(on_handover, request.ask)
    for number, handle in caught.items():
        loop.add_signal_handler(number, handle)
    try:
        yield request
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
