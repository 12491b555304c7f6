"""One stream under way, and what is seen of it: live while it runs, and as a picture that stays."""

import asyncio
from collections.abc import Generator
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from reactivex import Observable
from reactivex.disposable import SerialDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.notebook import cells
from rxlapce.notebook.frames import frame_of
from rxlapce.notebook.marks import Outcome
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.pump import Pump
from rxlapce.notebook.svg import svg_of
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.widget import Page, can_be_live
from rxlapce.notebook.words import words_of
from rxlapce.tokens import Text

if TYPE_CHECKING:
    from pandas import DataFrame

#: One form is in sight. While the live one is drawn, the static one beside it, in the next output, is hidden. In a
#: notebook that was saved, where nothing will ever be drawn, it is the other way round: JupyterLab says there that it
#: is loading a widget.
_STYLE: Final = (
    "<style>.jp-OutputArea:has(.rxm[data-told]) .rxlapce-static,"
    ".jp-OutputArea-child:has(+ .jp-OutputArea-child .rxlapce-static):not(:has(.rxm[data-told]))"
    "{display:none}</style>"
)


class View:
    """A stream that runs, and its trace.

    Made on a running event loop, it subscribes at once, with the loop's scheduler. It ends with the stream, by `cancel`
    (the page's button too), or when the cell that made it runs again. Until that the page can ask about what is kept.
    The stream's error is shown, and raised by `result` only.

        view = show(stream)         # runs, while other cells do
        await view                  # or: until it has ended; interrupting the cell cancels the stream
    """

    def __init__(self, source: Observable[Any], trace: Trace, probes: TraceProbes) -> None:
        self.trace = trace
        self.error: Exception | None = None
        """What the stream failed with."""
        self._probes = probes
        self._loop = asyncio.get_running_loop()
        self._home = get_ident()
        self._over = asyncio.Event()
        self._outputs: list[cells.Output] = []
        self._shown_in: int | None = None
        self._closed = False
        self._page: Page | None = None
        self._pump: Pump | None = None
        self._subscription = SerialDisposable()
        self._subscribing = True
        self._ending: tuple[Outcome, Exception | None] | None = None
        self._start(source)

    @property
    def items(self) -> list[Any]:
        """What passed the last lane, as far as it is kept."""
        return self.trace.items()

    @property
    def text(self) -> str:
        """The visible answer: the `Text` of the last lane, as far as it is kept."""
        return "".join(item.text for item in self.items if isinstance(item, Text))

    def cancel(self) -> None:
        """Dispose of the stream; without effect after its end."""
        self._end(Outcome.CANCELLED)

    def close(self) -> None:
        """Cancel, and let go of the page for good: from here on there is the static form only."""
        self.cancel()
        self._closed = True
        if self._pump is not None:
            self._pump.close()
        if self._page is not None:
            self._page.close()
        self._page = self._pump = None

    def __await__(self) -> Generator[Any, None, Trace]:
        return self._ended().__await__()

    async def result(self) -> list[Any]:
        """Wait for the end, and return `items`: also of a stream that was cancelled. Raises what it failed with."""
        await self
        if self.error is not None:
            raise self.error
        return self.items

    def now(self) -> float:
        """The trace's clock, in seconds: it goes on after the end."""
        return self._probes.now()

    def svg(self) -> str:
        """The diagram as it is now: one SVG document that needs nothing else."""
        return svg_of(self.trace, self._probes.now())

    def frame(self) -> "DataFrame":
        """The kept marks of all lanes as a table of pandas': see `frames.frame_of`."""
        return frame_of(self.trace)

    def display(self) -> None:
        """Show it in the output of the cell that runs: live if it can be, and the static form when the stream ends."""
        if cells.shell() is None:
            return
        self._shown_in = cells.run_number()
        page = self._live()
        if page is not None:
            cells.Output(page.bundle)
        self._outputs.append(cells.Output(self._still()))

    def _ipython_display_(self) -> None:
        # `show` has displayed it: the same cell's last line does not display it again.
        if self._shown_in is None or self._shown_in != cells.run_number():
            self.display()

    def _repr_html_(self) -> str:
        return f'{_STYLE}<div class="rxlapce-static">{self.svg()}</div>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> cells.Bundle:
        del include, exclude
        page = self._live()
        return {**(page.bundle if page is not None else {}), **self._still()}

    def __repr__(self) -> str:
        return words_of(self.trace, self._probes.now())

    def _still(self) -> cells.Bundle:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _live(self) -> Page | None:
        if self._page is None and not self._closed and can_be_live():
            self._page = page = Page(self.trace.title, len(self.trace.lanes), lambda message: pump.hear(message))
            pump = Pump(self.trace, page.send, now=self._probes.now, timers=self._loop, cancel=self.cancel)
            self._pump = pump
        return self._page

    def _start(self, source: Observable[Any]) -> None:
        try:
            self._subscription.disposable = source.subscribe(
                on_error=lambda error: self._end(Outcome.FAILED, error),
                on_completed=lambda: self._end(Outcome.COMPLETED),
                scheduler=AsyncIOScheduler(self._loop),
            )
        except BaseException:  # the cell was interrupted while the stream emitted within `subscribe`
            self._ending = (Outcome.CANCELLED, None)
            raise
        finally:
            self._subscribing = False
            if self._ending is not None:
                self._end(*self._ending)

    def _end(self, outcome: Outcome, error: Exception | None = None) -> None:
        if get_ident() != self._home:
            self._loop.call_soon_threadsafe(self._end, outcome, error)
            return
        if self._subscribing:
            self._ending = (outcome, error)  # the lanes further up end when `subscribe` has returned
            return
        if self._over.is_set():
            return
        self._over.set()
        self.error = error
        self._subscription.dispose()
        self._probes.close()
        self.trace.finish(self._probes.now(), outcome, error)
        for output in self._outputs:
            output.update(self._still())

    async def _ended(self) -> Trace:
        if self._pump is not None:
            self._pump.call_out()
        try:
            await self._over.wait()
        except BaseException:  # cancelled: by an interrupt of the cell, or by who waits for it no longer
            self.cancel()
            raise
        return self.trace
