"""The live form: a widget of anywidget's, which is loaded when the first one is made.

ipywidgets and traitlets are not typed: their objects are `Any` here.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident
from typing import Any, Final

import msgspec

from rxlapce.notebook import cells, palette
from rxlapce.notebook.messages import FromPage, ToPage

VIEW_MIME: Final = "application/vnd.jupyter.widget-view+json"
STATIC: Final = Path(__file__).parent / "static"
#: Of what is around the lanes, and of one lane, in CSS pixels.
_FRAME_PX: Final = 110
_LANE_PX: Final = 44

_log = logging.getLogger(__name__)


class Page:
    """The page's end of one diagram: a widget, whose comm is open until `close`.

    What the page says comes on the loop's thread, also when a subshell of the kernel has heard it on another.
    """

    def __init__(self, title: str, lanes: int, hear: Callable[[FromPage], object]) -> None:
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._home = get_ident()
        self._widget = _widget_class()(
            palette=palette.as_json(), title=title, height=_FRAME_PX + _LANE_PX * max(1, lanes)
        )
        self._widget.on_msg(self._heard)

    @property
    def bundle(self) -> cells.Bundle:
        """The widget as an output of a cell."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        return {VIEW_MIME: view, "text/plain": "a marble diagram, live"}

    def send(self, message: ToPage) -> None:
        """Tell the page something; without effect after `close`."""
        self._widget.send(msgspec.to_builtins(message))

    def close(self) -> None:
        """Close the comms: the page draws no more, and the kernel forgets the widget."""
        self._widget.on_msg(self._heard, remove=True)
        layout = self._widget.layout  # a widget of its own, with a comm of its own: ipywidgets leaves it open
        self._widget.close()
        layout.close()

    def _heard(self, widget: Any, content: Any, buffers: Any) -> None:
        del widget, buffers
        try:
            message = msgspec.convert(content, FromPage)
        except msgspec.ValidationError as error:
            _log.warning("a page said what nobody understands: %s", error)
            return
        if get_ident() == self._home:
            self._hear(message)
        else:
            self._loop.call_soon_threadsafe(self._hear, message)


def can_be_live() -> bool:
    """Whether a page can be there: in a kernel, with anywidget installed."""
    return cells.shell() is not None and find_spec("anywidget") is not None


@cache
def _widget_class() -> type[Any]:
    """The widget's class; made here, as its base is to be imported by nobody who needs none."""
    import anywidget
    import traitlets

    class Marbles(anywidget.AnyWidget):
        """A marble diagram. All that changes comes by messages."""

        _esm = STATIC / "marbles.js"
        _css = STATIC / "marbles.css"
        palette = traitlets.Dict().tag(sync=True)
        title = traitlets.Unicode().tag(sync=True)
        height = traitlets.Int().tag(sync=True)

    return Marbles
