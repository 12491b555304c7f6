"""Work on a disk that may hang: on a thread of its own, so that nobody waits for it who does not want to."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


async def off_loop(work: Callable[[], None]) -> None:
    """Return when `work` has been done on another thread. Raises what it raises.

    A daemon thread, and not one of the loop's executor: a disk that hangs holds up neither the end of the loop, which
    waits for its executor, nor whoever else needs that, nor the end of the process. Cancelled, it lets the work go on.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def run() -> None:
        failure: BaseException | None = None
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, failure)

    threading.Thread(target=run, name="copy to disk", daemon=True).start()
    await done
