"""Views in a real kernel, whose page is a client that speaks its messages."""

import importlib
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from rxlapce.notebook.messages import MARKS_PER_DELTA, UPDATES_PER_S

# What Jupyter says is JSON, and its clients are not typed: `Any` in this file is theirs.

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

WIDGET = "application/vnd.jupyter.widget-view+json"
TICKS = """
import asyncio
import reactivex as rx
from reactivex import operators as ops
from rxlapce.notebook import inspect, show
disposed = []
ticks = rx.interval(0.005).pipe(ops.finally_action(lambda: disposed.append(1)))
"""
LEFT = """
import comm, gc
from rxlapce.notebook import View
loop = asyncio.get_running_loop()
gc.collect()
print(len(comm.get_comm_manager().comms), len(asyncio.all_tasks()), len(disposed),
      sum(isinstance(one, View) for one in gc.get_objects()))
"""


def untyped(module: str) -> Any:
    """A package of the group `notebook`: types are checked where it is not installed, too."""
    return importlib.import_module(module)


class Kernel:
    """A kernel, and what it says: `run` executes a cell and gathers that until the cell is done."""

    def __init__(self) -> None:
        self.manager: Any
        self.client: Any
        self.manager, self.client = untyped("jupyter_client.manager").start_new_kernel(kernel_name="python3")
        self.heard: list[Any] = []

    def run(self, code: str, *, cell_id: str | None = None) -> list[Any]:
        request = self.start(code, cell_id=cell_id)
        reply = self.client.get_shell_msg(timeout=20)
        while reply["parent_header"].get("msg_id") != request:
            reply = self.client.get_shell_msg(timeout=20)
        return self.until(lambda said: is_idle(said, request))

    def start(self, code: str, *, cell_id: str | None = None) -> str:
        content: dict[str, Any] = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
        }
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        self.client.shell_channel.send(message)
        request: str = message["header"]["msg_id"]
        return request

    def until(self, reached: Callable[[Any], bool]) -> list[Any]:
        heard: list[Any] = []
        while not heard or not reached(heard[-1]):
            heard.append(self.client.get_iopub_msg(timeout=20))
            self.heard.append(heard[-1])
        return heard

    def tell(self, comm_id: str, message: dict[str, Any]) -> None:
        """As the page of the widget."""
        data = {"method": "custom", "content": message}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def is_idle(said: Any, request: str) -> bool:
    idle = said["msg_type"] == "status" and said["content"]["execution_state"] == "idle"
    return bool(idle and said["parent_header"].get("msg_id") == request)


def printed(heard: list[Any]) -> str:
    return "".join(said["content"]["text"] for said in heard if said["msg_type"] == "stream")


def bundles(heard: list[Any], kind: str = "display_data") -> list[Any]:
    return [said["content"]["data"] for said in heard if said["msg_type"] == kind]


def widget_of(heard: list[Any]) -> str:
    [found] = [data[WIDGET]["model_id"] for data in bundles(heard) if WIDGET in data]
    comm_id: str = found
    return comm_id


def told(heard: list[Any], comm_id: str) -> list[Any]:
    """What the page was told."""
    comms = [said["content"] for said in heard if said["msg_type"] == "comm_msg"]
    return [one["data"]["content"] for one in comms if one["comm_id"] == comm_id and one["data"]["method"] == "custom"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    lacking = [name for name in ("anywidget", "ipykernel", "jupyter_client", "nbclient") if find_spec(name) is None]
    if lacking:
        reason = f"not installed: {', '.join(lacking)} (the test group `notebook`)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared: Kernel) -> Kernel:
    shared.run(TICKS)
    return shared


def test_a_cell_that_awaits_its_stream_shows_the_static_form_at_the_end(kernel: Kernel) -> None:
    heard = kernel.run("view = show(ticks.pipe(ops.take(20)), title='some ticks')\nprint((await view).state)")
    assert printed(heard) == "completed\n"
    widget, still = bundles(heard)
    assert WIDGET in widget
    assert "text/html" not in widget
    assert "nothing has come yet" in still["text/plain"]
    [final] = bundles(heard, "update_display_data")
    assert "<svg" in final["text/html"]
    assert "completed after" in final["text/plain"]


def test_the_last_line_of_a_cell_does_not_show_it_twice_and_another_cell_shows_it_again(kernel: Kernel) -> None:
    assert len(bundles(kernel.run("view = show(ticks.pipe(ops.take(2)))\nview"))) == 2
    again = kernel.run("view")
    assert len(bundles(again)) == 2
    assert bundles(again, "execute_result") == []
    [still] = bundles(kernel.run("view.close()\nview"))
    assert WIDGET not in still


@pytest.mark.parametrize("cell_id", ["a-cell", None])
def test_a_cell_that_runs_again_disposes_of_what_it_had_started(kernel: Kernel, cell_id: str | None) -> None:
    code = f"view = show(ticks)  # {cell_id}"
    first = kernel.run(code, cell_id=cell_id)
    second = kernel.run(code, cell_id=cell_id)
    assert widget_of(first) in [said["content"]["comm_id"] for said in second if said["msg_type"] == "comm_close"]
    [final] = bundles(second, "update_display_data")
    assert "cancelled" in final["text/plain"]
    assert printed(kernel.run("print(disposed)")) == "[1]\n"
    kernel.run("view.close()")


def test_a_hundred_runs_leave_nothing_behind(kernel: Kernel) -> None:
    before = [int(number) for number in printed(kernel.run(LEFT)).split()]
    for _ in range(100):
        kernel.run("v = show(ticks)", cell_id="again")
    kernel.run("v.close()\ndel v", cell_id="again")
    after = [int(number) for number in printed(kernel.run(LEFT)).split()]
    assert after == [before[0], before[1], before[2] + 100, before[3]]
    # A timer that was left would come back: what is cancelled goes when its time has come.
    timers = "print(sum('Pump' in repr(one) for one in getattr(loop, '_scheduled', []) if not one.cancelled()))"
    assert printed(kernel.run(timers)) == "0\n"


def test_the_page_asks_is_told_and_cancels(kernel: Kernel) -> None:
    heard = kernel.run("view = show(ticks, lane='ticks')")
    page = widget_of(heard)
    kernel.tell(page, {"type": "ready"})
    heard = kernel.until(lambda _: len(told(kernel.heard, page)) > 5)
    messages = told(kernel.heard, page)
    assert [message["type"] for message in messages[:3]] == ["snapshot", "delta", "delta"]
    assert messages[0]["lanes"] == [{"id": 0, "name": "ticks", "shape": "any"}]
    kernel.tell(page, {"type": "ask_detail", "seq": 0})
    kernel.until(lambda _: told(kernel.heard, page)[-1]["type"] == "detail")
    kernel.tell(page, {"type": "nonsense"})
    kernel.tell(page, {"type": "cancel"})
    kernel.until(lambda _: told(kernel.heard, page)[-1].get("state") == "cancelled")
    assert printed(kernel.run("print(disposed, view.trace.state)")) == "[1] cancelled\n"


def test_what_a_subshell_hears_comes_on_the_loop(kernel: Kernel) -> None:
    kernel.run("view = show(ticks)")
    code = """
import threading
ends = []
view.trace.on_change = None
view._probes.trace.finish = lambda *args, finish=view.trace.finish: (ends.append(threading.get_ident()), finish(*args))
other = threading.Thread(target=lambda: view._page._heard(None, {"type": "cancel"}, []))
other.start()
other.join()
await view
print(view.trace.state, ends == [threading.get_ident()])
"""
    assert printed(kernel.run(code)) == "cancelled True\n"


def test_an_interrupt_of_a_cell_that_awaits_cancels_the_stream(kernel: Kernel) -> None:
    request = kernel.start("view = show(ticks)\nawait view")
    kernel.until(lambda said: said["msg_type"] == "display_data" and WIDGET not in said["content"]["data"])
    kernel.manager.interrupt_kernel()
    heard = kernel.until(lambda said: is_idle(said, request))
    assert [said["content"]["ename"] for said in heard if said["msg_type"] == "error"] == ["CancelledError"]
    assert printed(kernel.run("print(disposed, view.trace.state)")) == "[1] cancelled\n"


def test_a_page_that_cannot_speak_while_a_cell_awaits_is_shown_what_there_is(kernel: Kernel) -> None:
    heard = kernel.run("view = show(ticks.pipe(ops.take(100)))\nawait view\nNone")
    page = widget_of(heard)
    assert {message["type"] for message in told(heard, page)} == {"snapshot"}


FLOOD = """
import resource
from reactivex.subject import Subject
from rxlapce.tokens import Text
source, go = Subject(), asyncio.Event()

async def flood():
    await go.wait()
    for read in range(2_000):
        for token in range(50):
            source.on_next(Text(f"word {read}.{token} "))
        await asyncio.sleep(0.001)
    source.on_completed()

flooding = asyncio.ensure_future(flood())
view = show(source, title="flood")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""


def test_a_hundred_thousand_tokens_take_few_messages_and_little_memory(kernel: Kernel) -> None:
    heard = kernel.run(FLOOD)
    page = widget_of(heard)
    kernel.tell(page, {"type": "ready"})
    kernel.until(lambda _: bool(told(kernel.heard, page)))
    kernel.heard.clear()
    began = time.perf_counter()
    kernel.start("go.set()")
    kernel.until(lambda _: any(one.get("state") == "completed" for one in told(kernel.heard, page)))
    took_s = time.perf_counter() - began
    heard = kernel.run(
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(view.items), view.trace.next_seq)"
    )
    grown_kib, kept, passed = (int(number) for number in printed(heard).split())
    messages = told(kernel.heard, page)
    deltas = [message for message in messages if message["type"] == "delta"]
    assert passed == 100_000
    assert kept == 20_000
    assert len(messages) <= took_s * UPDATES_PER_S + 2
    assert max(len(delta["marks"]["seq"]) for delta in deltas) <= MARKS_PER_DELTA
    assert max(len(delta["bins"]) for delta in deltas) <= 600
    assert grown_kib < 64 * 1024
    print(f"{len(messages)} messages in {took_s:.2f} s, {grown_kib / 1024:.1f} MiB more")


def test_a_notebook_that_is_executed_and_saved_has_the_pictures(shared: Kernel) -> None:
    new = untyped("nbformat").v4
    codes = [
        TICKS,
        "view = show(ticks.pipe(ops.take(9)), title='early')",
        "await view\nNone",
        "trace = await inspect(rx.of(1), ops.map(str))",
    ]
    notebook = new.new_notebook(cells=[new.new_code_cell(code) for code in codes])
    client = untyped("nbclient").NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute()
    pictures = [
        [output["data"]["text/html"] for output in cell["outputs"] if "text/html" in output.get("data", {})]
        for cell in notebook["cells"]
    ]
    assert [len(found) for found in pictures] == [0, 1, 0, 1]
    assert all("<svg" in found[0] for found in pictures if found)
    assert "completed after" in pictures[1][0]
    assert "2 marks in 2 lanes" in pictures[3][0]
