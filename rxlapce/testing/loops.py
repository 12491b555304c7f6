"""The event loops that tests run on: the daemon's own, and by `RXLAPCE_TEST_LOOPS` the one of asyncio, or both."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

import pytest
import uvloop

VARIABLE: Final = "RXLAPCE_TEST_LOOPS"
_ALL: Final[Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def loops_of(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops for a test: those that its marker names, else what the variable says: uvloop, asyncio, or both."""
    marker = item.get_closest_marker("asyncio")
    said = os.environ.get(VARIABLE, "uvloop")
    if said == "both" or (marker is not None and "loop_factories" in marker.kwargs):
        return _ALL
    return {said: _ALL[said]}
