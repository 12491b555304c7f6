"""Running a command's coroutine: on uvloop where it is installed; and a garbage collector that keeps out of its way."""

import asyncio
import gc
import importlib.util
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
#: New objects before the youngest are looked at, and how often before the older ones are (CPython: 700, 10, 10).
_COLLECT_AFTER: Final = (5_000, 10, 20)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end. Ctrl-C cancels it, lets it clean up, and is raised as KeyboardInterrupt."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.run(main)
    import uvloop  # 20 ms that commands without a loop do not pay

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def ease_collector() -> None:
    """Let the garbage collector look seldom, and never at what has been made so far: for a process that is set up.

    A stream that is opened makes some 500 objects, and every full collection stops all that are running: with the
    defaults six of them for 1,000 streams, 0.4 s the longest and 1.6 s in all; so none (2026-11-23, two busy virtual
    CPUs). What streams leave behind in cycles waits a little longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
