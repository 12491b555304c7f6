"""Work on a thread of its own: its result, its error, and nobody who waits against their will."""

import asyncio
import threading

import pytest

from rxlapce.off_loop import off_loop


async def test_what_is_done_elsewhere_comes_back() -> None:
    here = threading.current_thread()
    there = await off_loop(threading.current_thread, "elsewhere")
    assert there is not here
    assert (there.name, there.daemon) == ("elsewhere", True)


@pytest.mark.parametrize("error", [OSError("no room"), SystemExit(3)])
async def test_what_is_raised_elsewhere_is_raised_here(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await off_loop(fail, "elsewhere")
    assert caught.value is error


async def test_who_is_cancelled_waits_no_longer_and_the_work_goes_on() -> None:
    may_end, ended, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()
    began = asyncio.Event()

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        may_end.wait(10)
        loop.call_soon_threadsafe(ended.set)

    waiting = asyncio.ensure_future(off_loop(work, "elsewhere"))
    async with asyncio.timeout(5):
        await began.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not ended.is_set()
        may_end.set()
        await ended.wait()


def test_the_end_of_the_loop_does_not_wait_and_what_comes_after_it_is_nobody_s() -> None:
    may_end, threads = threading.Event(), list[threading.Thread]()

    def work() -> None:
        threads.append(threading.current_thread())
        may_end.wait(10)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(off_loop(work, "elsewhere"), 0.01)

    asyncio.run(main())
    may_end.set()  # its result finds the loop closed; an error of the thread would fail the test
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
