"""The text of an answer as Markdown, which grows without laying out again what is above."""

from typing import Final

from textual.containers import Vertical
from textual.widgets import Markdown

from rxlapce.chat.segments import PART_CHARS, cut_of, parts_of

#: A text that found no place to be cut is looked at again when so many more characters have come.
LOOK_AGAIN_CHARS: Final = 500


class AnswerText(Vertical):
    """`show` takes the whole text so far, one call at a time; only what is new is drawn, in the last part."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._part = ""
        """What the last part has."""
        self._look_at = PART_CHARS
        self._markdown: Markdown | None = None

    async def show(self, text: str) -> None:
        """Draw the text. One that does not begin with the one before, after a seam, is drawn anew."""
        if text == self._text:
            return
        before, self._text = self._text, text
        if not before or not text.startswith(before):
            await self._draw_anew(text)
            return
        new = text[len(before) :]
        grown = self._part + new
        if len(grown) >= self._look_at:
            cut = cut_of(grown)
            if cut > len(self._part):
                await self._append(grown[len(self._part) : cut])
                await self._begin(grown[cut:])
                return
            self._look_at = len(grown) + LOOK_AGAIN_CHARS
        await self._append(new)

    async def _draw_anew(self, text: str) -> None:
        await self.remove_children()
        self._markdown = None
        for part in parts_of(text) if text else ():
            await self._begin(part)

    async def _begin(self, part: str) -> None:
        self._part, self._look_at = part, PART_CHARS
        self._markdown = Markdown(part, open_links=False)
        await self.mount(self._markdown)

    async def _append(self, new: str) -> None:
        self._part += new
        if self._markdown is not None and new:
            await self._markdown.append(new)
