"""One stream through `show` in a real JupyterLab, and what it costs both ends."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.figures import percentile
from rxlapce.testing.browser import Browser
from rxlapce.testing.jupyter import JupyterLab, LabPage

WATCH: Final = Path(__file__).with_name("watch.js")
CLICK_EVERY_S: Final = 0.1
KIB: Final = 1024

#: What the kernel runs: a stream that waits for the page, and then emits in turns what reads of a provider would hold.
SOURCE: Final = """
import asyncio, gc, json, time
from pathlib import Path
from reactivex import create
from reactivex.disposable import Disposable
from rxlapce.notebook import show
from rxlapce.tokens import Text

loop, go = asyncio.get_running_loop(), asyncio.Event()
COUNT, READ, PAUSE_S = {count}, {read}, {pause_s}

async def emit(observer):
    await go.wait()
    began = loop.time()
    for first in range(0, COUNT, READ):
        for number in range(first, min(COUNT, first + READ)):
            observer.on_next(Text(f" word{{number % 1000}}"))
        await asyncio.sleep(max(0.0, began + PAUSE_S * (first // READ + 1) - loop.time()))
    observer.on_completed()

def subscribe(observer, scheduler=None):
    task = loop.create_task(emit(observer))
    return Disposable(task.cancel)

def memory():
    gc.collect()
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    kib = {{name.rstrip(":"): int(value) for name, value, *_ in lines}}
    return {{"rss": kib["Rss"], "private": kib["Private_Clean"] + kib["Private_Dirty"]}}
"""
SHOW: Final = "view = show(create(subscribe), title='{count:,} tokens', lane='tokens')"
BEFORE: Final = "before = memory()"
GO: Final = """
cpu, began = time.process_time(), time.perf_counter()
go.set()
trace = await view
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
"""
AFTER: Final = """
print(json.dumps({"seconds": seconds, "cpu_s": cpu, "before": before, "after": memory(),
    "passed": trace.next_seq, "kept": len(trace.kept), "sent": view._pump.sent if view._pump else 0}))
"""


class Load(msgspec.Struct, frozen=True):
    """How many tokens, and how many a second; 0 is as fast as they go."""

    name: str
    tokens: int
    rate: int = 0


class Memory(msgspec.Struct, frozen=True):
    """Of a process, in KiB: all that is resident, and what of it is its own alone."""

    rss: int
    private: int


class Kernel(msgspec.Struct, frozen=True):
    """What the kernel says."""

    seconds: float
    cpu_s: float
    before: Memory
    after: Memory
    passed: int
    kept: int
    sent: int


class Watched(msgspec.Struct, frozen=True):
    """What the page has noted: times of its clock and durations, in milliseconds."""

    deltas: list[float]
    drawings: list[float]
    drawing_ms: list[float]
    frame_ms: list[float]
    task_ms: list[float]
    click_ms: list[float]
    done_ms: float


class Result(msgspec.Struct, frozen=True):
    """One load's figures; of the browser's memory before and after, in KiB."""

    load: Load
    kernel: Kernel
    page: Watched
    heap_kib: tuple[int, int]
    renderer_kib: tuple[int, int]
    shown: int
    """Marks that have passed, as the page says in the end."""


def most_a_second(times_ms: Sequence[float]) -> int:
    """How many fell into the fullest second."""
    most, first = 0, 0
    for last, time in enumerate(times_ms):
        while time - times_ms[first] >= 1000:
            first += 1
        most = max(most, last - first + 1)
    return most


def mean_a_second(times_ms: Sequence[float]) -> float:
    """How many a second between the first and the last."""
    return (len(times_ms) - 1) / (times_ms[-1] - times_ms[0]) * 1000 if len(times_ms) > 1 else float(len(times_ms))


def spread_ms(values: Sequence[float]) -> tuple[float, float]:
    """The median and the most."""
    ordered = sorted(round(value * 1000) for value in values)
    return percentile(ordered, 50) / 1000, max(values, default=0.0)


async def run(lab: JupyterLab, browser: Browser, load: Load) -> Result:
    """Show `load` in a notebook of its own."""
    read = 64 if load.rate == 0 else max(1, load.rate // 100)
    pause_s = 0.0 if load.rate == 0 else read / load.rate
    source = SOURCE.format(count=load.tokens, read=read, pause_s=pause_s)
    cells = [source, SHOW.format(count=load.tokens), BEFORE, GO, AFTER]
    async with lab.opened(browser, cells, name=load.name.replace(" ", "-")) as page:
        await page.run(0)
        await page.run(1)
        await page.page.wait_for_selector(".rxm[data-told]")
        await page.run(2)
        heap, renderer = await heap_kib(page), await renderer_kib(browser)
        await page.page.evaluate(WATCH.read_text())
        await page.start(3)
        await click_until_done(page)
        await page.run(4)
        kernel = msgspec.json.decode((await page.output(4)).strip(), type=Kernel)
        watched = msgspec.convert(await page.page.evaluate("window.watch"), Watched)
        shown = await page.page.evaluate("document.querySelector('.rxm').diagram.store.rows[0].marks")
        return Result(
            load=load,
            kernel=kernel,
            page=watched,
            heap_kib=(heap, await heap_kib(page)),
            renderer_kib=(renderer, await renderer_kib(browser)),
            shown=shown,
        )


async def click_until_done(page: LabPage) -> None:
    """Click where it changes nothing, ten times a second, until the end of the stream is drawn."""
    box = await page.page.locator(".rxm-title").bounding_box()
    if box is None:
        raise RuntimeError("the diagram is not in sight")
    done = asyncio.create_task(page.page.wait_for_function("window.watch.done_ms !== null", timeout=300_000))
    while not done.done():
        await page.page.mouse.click(box["x"] + 5, box["y"] + 5)
        await asyncio.wait([done], timeout=CLICK_EVERY_S)
    await done


async def heap_kib(page: LabPage) -> int:
    """Of the page's objects, after what nobody needs has been collected."""
    session = await page.page.context.new_cdp_session(page.page)
    await session.send("HeapProfiler.collectGarbage")
    used: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return int(used["usedSize"]) // KIB


async def renderer_kib(browser: Browser) -> int:
    """What is resident of the process that draws the page: of all such the largest, as others are spare."""
    session = await browser.new_browser_cdp_session()
    said: dict[str, Any] = await session.send("SystemInfo.getProcessInfo")
    await session.detach()
    pids = [process["id"] for process in said["processInfo"] if process["type"] == "renderer"]
    return max(map(resident_kib, pids))


def resident_kib(pid: int) -> int:
    """Of a process, from the kernel's own books."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def as_json(results: Sequence[Result]) -> str:
    """All figures, without the single times."""
    return json.dumps([figures(result) for result in results], indent=1)


def figures(result: Result) -> dict[str, Any]:
    """What the table says of one load, by name."""
    page, kernel = result.page, result.kernel
    drawing, frame, click = spread_ms(page.drawing_ms), spread_ms(page.frame_ms), spread_ms(page.click_ms)
    return {
        "load": result.load.name,
        "tokens": kernel.passed,
        "shown": result.shown,
        "kept": kernel.kept,
        "seconds": round(kernel.seconds, 2),
        "tokens_per_s": round(kernel.passed / kernel.seconds),
        "kernel_cpu_us_per_token": round(kernel.cpu_s / kernel.passed * 1e6, 1),
        "kernel_rss_kib": [kernel.before.rss, kernel.after.rss],
        "kernel_private_kib": [kernel.before.private, kernel.after.private],
        "js_heap_kib": list(result.heap_kib),
        "renderer_rss_kib": list(result.renderer_kib),
        "deltas_per_s": [round(mean_a_second(page.deltas), 1), most_a_second(page.deltas)],
        "drawings_per_s": [round(mean_a_second(page.drawings), 1), most_a_second(page.drawings)],
        "drawing_ms": [round(value, 2) for value in drawing],
        "frame_ms": [round(value, 1) for value in frame],
        "long_tasks": len(page.task_ms),
        "longest_task_ms": round(max(page.task_ms, default=0.0), 1),
        "clicks": len(page.click_ms),
        "click_ms": [round(value, 1) for value in click],
    }
