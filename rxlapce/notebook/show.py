"""`show`: a stream as a live marble diagram."""

from typing import Any

from reactivex import Observable

from rxlapce.flow import Exchange
from rxlapce.notebook import cells
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.trace import MAX_MARKS, Trace
from rxlapce.notebook.view import View


def show(
    observable: Observable[Any],
    *,
    title: str = "",
    lane: str = "stream",
    exchange: Exchange | None = None,
    max_marks: int = MAX_MARKS,
) -> View:
    """Subscribe to `observable` now, and draw what it emits.

    Returns at once: the stream runs on the notebook's loop. With `exchange`, the diagram shows when its gate is closed.
    The newest `max_marks` items are kept one by one; of older ones it is kept how many there were, and when. Running
    the cell again disposes of the stream. Raises RuntimeError where no event loop runs.
    """
    trace = Trace(title, max_marks=max_marks)
    probes = TraceProbes(trace)
    source = probes.lane(lane)(observable)
    if exchange is not None:
        probes.gate(exchange.flow)
    return run(source, trace, probes)


def run(source: Observable[Any], trace: Trace, probes: TraceProbes) -> View:
    """Subscribe to `source`, whose probes are `probes`, and draw it in the cell that runs."""
    view = View(source, trace, probes)
    cells.close_when_run_again(view)
    view.display()
    return view
