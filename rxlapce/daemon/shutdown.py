"""Signals: the first SIGTERM or SIGINT asks for an orderly stop, the second does not wait."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager


class StopRequest:
    """Becomes set at the first signal, and `urgent` at the second."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.urgent = asyncio.Event()

    def ask(self) -> None:
        """Count one signal."""
        (self.urgent if self.requested.is_set() else self.requested).set()


@contextmanager
def stop_on_signals() -> Generator[StopRequest]:
    """Inside, SIGTERM and SIGINT go to the `StopRequest`; afterwards they do what they did."""
    loop = asyncio.get_running_loop()
    request = StopRequest()
    caught = (signal.SIGTERM, signal.SIGINT)
    for number in caught:
        loop.add_signal_handler(number, request.ask)
    try:
        yield request
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
