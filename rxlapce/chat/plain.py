"""Text as it is: no markup is read out of what somebody said."""

from typing import Final

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from rxlapce.chat.safe import harmless

#: Of a text that grows, the most that is laid out again, twice this if it has no line ends.
PIECE_CHARS: Final = 1000


class Line(Static):
    """A text, made harmless. With `fixed` its height never changes."""

    def __init__(self, *, classes: str | None = None, fixed: bool = False) -> None:
        super().__init__(classes=classes)
        self._fixed = fixed
        self._text: str | None = None

    def show(self, text: str) -> None:
        """The text; nothing of an empty one. What is there already costs nothing."""
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self.update(Content(harmless(text)), layout=not self._fixed)


class Plain(Vertical):
    """A long text that grows: it stands in pieces, and only the last one is laid out anew."""

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._text = ""
        self._from = 0
        """Where the last piece begins."""
        self._last: Line | None = None

    async def show(self, text: str) -> None:
        """The whole text so far, one call at a time; one that does not begin with the one before is drawn anew."""
        if text == self._text:
            return
        if not text.startswith(self._text):
            await self.remove_children()
            self._from, self._last = 0, None
        self._text = text
        while end := piece_end(text, self._from):
            await self._show_last(text[self._from : end].removesuffix("\n"))
            self._from, self._last = end, None
        await self._show_last(text[self._from :])

    async def _show_last(self, text: str) -> None:
        if self._last is None:
            self._last = Line()
            await self.mount(self._last)
        self._last.show(text)


def piece_end(text: str, begin: int) -> int:
    """Where the piece that begins there ends: after a line, else a word; 0 while it may grow."""
    enough, most = begin + PIECE_CHARS, begin + 2 * PIECE_CHARS
    if len(text) <= enough:
        return 0
    line = text.find("\n", enough, most)
    if line >= 0:
        return line + 1
    return (text.rfind(" ", begin, most) + 1 or most) if len(text) > most else 0
