"""Work that may hang (a disk, a command, a keyring) on a thread of its own: nobody waits who does not want to."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def off_loop(work: Callable[[], T], name: str) -> T:
    """What `work` gives, done on another thread, which is called `name`. Raises what it raises.

    A daemon thread, and not one of the loop's executor: what hangs holds up neither the end of the loop, which
    waits for its executor, nor whoever else needs that, nor the end of the process. Cancelled, it lets the work go on.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            tell = partial(_give, done, work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            tell = partial(_fail, done, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def _give(done: asyncio.Future[T], found: T) -> None:
    if not done.done():
        done.set_result(found)


def _fail(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
