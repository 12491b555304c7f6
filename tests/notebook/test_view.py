"""Views where no notebook is: any event loop will do, and the static form is all there is."""

import asyncio
import subprocess
import sys

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.subject import Subject

from rxlapce.flow import Exchange
from rxlapce.notebook import View, inspect, show
from rxlapce.notebook.inspect import name_of
from rxlapce.notebook.marks import Outcome, SpanKind, State
from rxlapce.notebook.probes import Probes
from rxlapce.operators.coalesce import coalesce_text
from rxlapce.operators.decode import sse_decode
from rxlapce.tokens import Finish, FinishKind, Text


async def test_a_stream_runs_at_once_and_is_waited_for() -> None:
    source: Subject[int] = Subject()
    view = show(source, title="numbers")
    source.on_next(1)
    assert view.trace.state is State.RUNNING
    asyncio.get_running_loop().call_soon(source.on_completed)
    trace = await view
    assert trace is view.trace
    assert trace.state is State.COMPLETED
    assert await view.result() == [1]


async def test_a_stream_that_ends_while_it_is_subscribed_to_ends_all_its_lanes() -> None:
    view = inspect(reactivex.of(*range(10)), ops.take(2))
    trace = await view
    assert [lane.name for lane in trace.lanes] == ["source", "take"]
    assert [(end.lane, end.outcome) for end in trace.ends] == [(1, Outcome.COMPLETED), (0, Outcome.CANCELLED)]
    assert view.items == [0, 1]


async def test_a_failure_is_shown_and_raised_by_result_only() -> None:
    view = show(reactivex.throw(ValueError("broken")))
    trace = await view
    assert (trace.state, trace.error) == (State.FAILED, "ValueError: broken")
    assert "broken" in view.svg()
    with pytest.raises(ValueError, match="broken"):
        await view.result()


async def test_cancel_disposes_of_the_stream_once() -> None:
    source: Subject[int] = Subject()
    view = show(source)
    source.on_next(1)
    view.cancel()
    view.cancel()
    view.close()
    assert source.observers == []
    assert await view.result() == [1]
    assert view.trace.state is State.CANCELLED


async def test_who_stops_waiting_cancels_the_stream() -> None:
    source: Subject[int] = Subject()
    view = show(source)

    async def wait() -> None:
        await view

    waiting = asyncio.ensure_future(wait())
    asyncio.get_running_loop().call_soon(waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert source.observers == []
    assert view.trace.state is State.CANCELLED


async def test_an_interrupt_while_it_is_subscribed_to_is_raised() -> None:
    def interrupt(*_: object) -> reactivex.abc.DisposableBase:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show(reactivex.create(interrupt))


async def test_the_text_of_an_answer_is_joined() -> None:
    view = show(reactivex.of(Text("Hel"), Text("lo"), Finish(FinishKind.STOP)))
    await view
    assert view.text == "Hello"


async def test_the_gate_of_an_exchange_is_shown_until_the_end() -> None:
    exchange = Exchange()
    source: Subject[int] = Subject()
    view = show(source, exchange=exchange)
    exchange.flow.close("reader")
    source.on_completed()
    exchange.flow.open("reader")
    [span] = (await view).spans(9.0)
    assert span.kind is SpanKind.PAUSED
    assert span.t1 is not None


async def test_what_can_be_looked_into_shows_its_own_lanes() -> None:
    class Pipeline:
        def observed(self, probes: Probes) -> reactivex.Observable[str]:
            numbers = probes.lane("numbers", "events")(reactivex.of(1, 2))
            return probes.lane("words", "tokens")(numbers.pipe(ops.map(str)))

    trace = await inspect(Pipeline(), ("loud", ops.map(str.upper)))
    assert [(lane.name, lane.shape) for lane in trace.lanes] == [
        ("numbers", "events"),
        ("words", "tokens"),
        ("loud", "any"),
    ]
    assert [mark.cause for mark in trace.kept] == [None, 0, 1, None, 3, 4]


async def test_what_it_shows_is_a_picture_and_words() -> None:
    view = show(reactivex.of(1, 2), title="two")
    await view
    bundle = view._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage] - IPython calls it
    assert set(bundle) == {"text/html", "text/plain"}
    assert "<svg" in bundle["text/html"]
    assert bundle["text/plain"].startswith("two: completed after ")


def test_without_a_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        show(reactivex.of(1))


def thrice(source: reactivex.Observable[int]) -> reactivex.Observable[int]:
    return source


def test_operators_are_named_for_who_made_them() -> None:
    class Twice:
        def __call__(self, source: reactivex.Observable[int]) -> reactivex.Observable[int]:
            return source

    assert name_of(ops.map(str)) == "map"
    assert name_of(ops.buffer_with_count(2)) == "buffer_with_count"
    assert name_of(coalesce_text()) == "coalesce_text"
    assert name_of(sse_decode()) == "decode"
    assert name_of(reactivex.compose(ops.map(str))) == "compose"
    assert name_of(Twice()) == "Twice"
    assert name_of(thrice) == "thrice"


@pytest.mark.heavy
def test_importing_it_loads_no_jupyter() -> None:
    loaded = (
        "import sys, rxlapce.notebook; print([n for n in ('IPython', 'ipywidgets', 'anywidget') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_view_is_of_the_package() -> None:
    assert View.__module__ == "rxlapce.notebook.view"
