"""The text of an answer as Markdown, which grows without laying out again what is above."""

from typing import Final

from textual.containers import Vertical
from textual.widgets import Markdown

from rxlapce.chat.plain import Plain
from rxlapce.chat.segments import PART_CHARS, cut_of, fence_end, open_fence, parts_of

#: A text that found no place to be cut is looked at again when so many more characters have come.
LOOK_AGAIN_CHARS: Final = 500
#: What comes of a part beyond so many characters is plain text until the part ends: a screen lays out a block of
#: Markdown whole, and 2,000 lines of code made the loop late by a second at each drawing. So it is late once, when they
#: are whole.
LONG_CHARS: Final = 3 * PART_CHARS


class AnswerText(Vertical):
    """`show` takes the whole text so far, one call at a time; only what is new is drawn, in the last part."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._part = ""
        """The last part."""
        self._drawn = 0
        """So many characters of it are Markdown; the others are `_rest`."""
        self._look_at = PART_CHARS
        self._fence = ""
        """What ends the code that `_rest` belongs to."""
        self._markdown: Markdown | None = None
        self._rest: Plain | None = None

    async def show(self, text: str, *, whole: bool) -> None:
        """Draw the text; one that does not begin with the one before, after a seam, anew. `whole`: it is all."""
        if text != self._text:
            before, self._text = self._text, text
            if before and text.startswith(before):
                await self._grow(text[len(before) :])
            else:
                await self._draw_anew(text)
        if whole:
            await self._draw_markdown(len(self._part))

    async def _draw_anew(self, text: str) -> None:
        await self.remove_children()
        self._markdown = self._rest = None
        self._part, self._drawn, self._fence = "", 0, ""
        for part in parts_of(text) if text else ():
            await self._begin(part)

    async def _begin(self, part: str) -> None:
        self._part, self._drawn, self._look_at = part, len(part), PART_CHARS
        self._markdown = Markdown(open_links=False)
        await self.mount(self._markdown)
        await self._markdown.append(part)  # begun with the part, Textual would later go on from its last line alone

    async def _grow(self, new: str) -> None:
        before, self._part = len(self._part), self._part + new
        cut = self._cut(before)
        if cut > self._drawn:
            following = self._part[cut:]
            await self._draw_markdown(cut)
            await self._begin(following)
        elif len(self._part) <= LONG_CHARS:
            await self._draw_markdown(len(self._part))
        else:
            await self._draw_plain()

    def _cut(self, before: int) -> int:
        """Where the part, which has grown from `before` characters, can be cut; 0 where that is not known."""
        ends = self._part[max(0, before - len(self._fence) - 2) :]  # what ends it may come in two
        if self._fence:
            return fence_end(self._part) if f"\n{self._fence}" in ends else 0
        if len(self._part) < self._look_at and (self._rest is None or "\n\n" not in ends):
            return 0
        self._look_at = len(self._part) + LOOK_AGAIN_CHARS
        return cut_of(self._part)

    async def _draw_markdown(self, upto: int) -> None:
        """Draw the part as Markdown so far; what was plain of it goes."""
        new, self._drawn = self._part[self._drawn : upto], upto
        rest, self._rest, self._fence = self._rest, None, ""
        with self.app.batch_update():  # pyright: ignore[reportUnknownMemberType] # Textual's App is generic
            if new and self._markdown is not None:
                await self._markdown.append(new)
            if rest is not None:
                await rest.remove()

    async def _draw_plain(self) -> None:
        if self._rest is None:
            line = self._part.find("\n", self._drawn) + 1
            await self._draw_markdown(max(line, self._drawn))
            self._fence = open_fence(self._part)
            self._rest = Plain(classes="code" if self._fence else None)
            await self.mount(self._rest)
        await self._rest.show(self._part[self._drawn :])
