"""A picture of runs that is drawn anew while they run, and stays when they have ended."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from reactivex import Observable

from rxlapce.notebook import cells
from rxlapce.notebook.marks import State
from rxlapce.notebook.played import Still, trace_of
from rxlapce.notebook.probes import Observed
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.view import View

#: How often it is drawn while something runs, in seconds, at most; a picture that takes long to draw is drawn less.
DRAWN_EVERY_S: Final = 0.25
_SHARE: Final = 10

#: What is looked at already, or is subscribed to.
Running = View | Still | Observable[Any] | Observed
#: What a figure is of; a text is the path of a recording, too.
Source = Running | Trace | str | Path


class Figure:
    """One picture of one or more runs: `await` it, `cancel` it, or let its cell run again.

    `html` draws it as it is. Those of `views` that it has started end with it.
    """

    def __init__(self, views: Sequence[View | Still], html: Callable[[], str], words: Callable[[], str]) -> None:
        self.views = tuple(views)
        self._html = html
        self._words = words
        self._outputs: list[cells.Output] = []
        self._shown_in: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started: list[View | Still] = []

    def started(self, views: Sequence[View | Still]) -> None:
        """Let these end when the figure does."""
        self._started += views

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return all(view.trace.is_over for view in self.views)

    def cancel(self) -> None:
        """Dispose of what it has started; without effect on what has ended."""
        for view in self._started:
            view.cancel()
        self._draw()

    def close(self) -> None:
        """Cancel, and draw no more."""
        self.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def display(self) -> None:
        """Show it in the output of the cell that runs, and draw it anew while something runs."""
        if cells.shell() is None:
            return
        self._shown_in = cells.run_number()
        self._outputs.append(cells.Output(self._repr_mimebundle_()))
        self._later(DRAWN_EVERY_S)

    def __await__(self) -> Generator[Any, None, "Figure"]:
        return self._ended().__await__()

    def _ipython_display_(self) -> None:
        if self._shown_in is None or self._shown_in != cells.run_number():
            self.display()

    def html(self) -> str:
        """The picture as it is now: HTML that needs nothing else."""
        return self._html()

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> cells.Bundle:
        del include, exclude
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return self._words()

    async def _ended(self) -> "Figure":
        try:
            for view in self.views:
                await view
        except BaseException:
            self.cancel()
            raise
        self._draw()
        return self

    def _later(self, delay_s: float) -> None:
        if self._timer is None and not self.is_over:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        started = perf_counter()
        self._draw()
        self._later(max(DRAWN_EVERY_S, _SHARE * (perf_counter() - started)))

    def _draw(self) -> None:
        bundle = self._repr_mimebundle_() if self._outputs else {}
        for output in self._outputs:
            output.update(bundle)


def looked_at(source: Source, title: str) -> Running:
    """`source`, with what needs not run (a trace, the path of a recording) as what it was; nothing begins.

    Raises `TypeError` for what cannot be looked at, `ValueError` for a trace that has no lane, and what `trace_of` does
    for a recording.
    """
    if isinstance(source, str | Path):
        return Still(trace_of(Path(source), title))
    if isinstance(source, Trace):
        if not source.lanes:
            raise ValueError("expected a trace with a lane: nothing has been looked at in this one")
        return Still(source)
    # Types are not checked in a notebook, where what is no stream would become a picture of an AttributeError.
    if not isinstance(source, View | Still | Observable | Observed):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected a view, a trace, a stream or the path of a recording, not {type(source).__name__}")
    return source


def viewed(source: Source, title: str) -> View | Still:
    """What `source` is seen by: itself, if it is looked at already, else a view that begins now and is not shown.

    Raises what `looked_at` does.
    """
    found = looked_at(source, title)
    if isinstance(found, View | Still):
        return found
    trace = Trace(title)
    probes = TraceProbes(trace)
    stream = found.observed(probes) if isinstance(found, Observed) else probes.lane("stream")(found)
    return View(stream, trace, probes)


def state_words(state: State, seconds: str) -> str:
    """How a run stands: "completed after 1.2 s"."""
    return {State.WAITING: "nothing has come yet", State.RUNNING: f"running, {seconds} so far"}.get(
        state, f"{state.value} after {seconds}"
    )
