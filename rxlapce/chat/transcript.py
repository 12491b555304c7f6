"""The turns of a conversation, one under another; follows its end until one scrolls away from it."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.widgets.markdown import MarkdownFence

from rxlapce.chat.answer_view import AnswerView, Copied
from rxlapce.chat.conversation import Kept
from rxlapce.chat.safe import harmless
from rxlapce.chat.turns import Shown

#: Turns of an opened conversation that are drawn at once; earlier ones are asked for by key.
DRAWN_TURNS = 20


class Transcript(VerticalScroll, can_focus=True):
    """Drawn: at most `DRAWN_TURNS` turns of what was kept, and those of this session."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_code", "Copy code"),
        Binding("y", "copy_answer", "Copy answer"),
        Binding("r", "app.again", "Ask again", show=False),
        Binding("t", "thoughts", "Thoughts"),
        Binding("e", "earlier", "Earlier turns", show=False),
        Binding("i", "app.write", "Write"),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self._hidden: list[Kept] = []
        self._copied: MarkdownFence | None = None

    @property
    def last(self) -> AnswerView | None:
        """The view of the last turn."""
        views = self.query_children(AnswerView)
        return views.last() if views else None

    async def show(self, turns: list[Kept], welcome: str) -> None:
        """Show a conversation from its end; of an empty one the welcome."""
        await self.remove_children()
        self._hidden = turns[:-DRAWN_TURNS]
        if not turns:
            await self.mount(Static(welcome, id="welcome"))
            return
        if self._hidden:
            await self.mount(Static(Content(self._folded()), id="earlier"))
        await self.mount_all([_view(kept) for kept in turns[-DRAWN_TURNS:]])
        self.anchor()

    def begin(self, question: str, model: str) -> AnswerView:
        """Add a turn that is under way, and go to it; its view is mounted by and by."""
        self.query_children("#welcome").remove()
        view = AnswerView(question, model, Shown())
        self.mount(view)
        self.anchor()
        return view

    async def action_earlier(self) -> None:
        """Draw the turns before the first one that is drawn."""
        if self._hidden:
            more, self._hidden = self._hidden[-DRAWN_TURNS:], self._hidden[:-DRAWN_TURNS]
            line = self.query_one("#earlier", Static)
            await self.mount_all([_view(kept) for kept in more], after=line)
            line.update(Content(self._folded()))
            line.display = bool(self._hidden)

    def action_thoughts(self) -> None:
        """Fold or unfold the thoughts of the last answer that has any."""
        for view in reversed(list(self.query_children(AnswerView))):
            if view.shown.reasoning:
                view.toggle_thoughts()
                return

    def action_copy_code(self) -> None:
        """Copy a code block; each press the one before."""
        found = self.next_code()
        if found is None:
            self.notify("There is no code block to copy.")
            return
        number, many, block = found
        lines = block.code.count("\n") + 1
        what = f"code block {number} of {many} ({block.lexer or 'text'}, {lines} line{'' if lines == 1 else 's'})"
        self.post_message(Copied(block.code, what))

    def action_copy_answer(self) -> None:
        """Copy the last answer as it was said."""
        last = self.last
        if last is None or not last.shown.text:
            self.notify("There is no answer to copy.")
            return
        text = harmless(last.shown.text)
        self.post_message(Copied(text, f"the answer ({len(text):,} characters)"))

    def next_code(self) -> tuple[int, int, MarkdownFence] | None:
        """The code block to copy: its number, how many there are, and the block, which is brought into sight.

        The last one that is on the screen; at each further call the one before it, from the first back to the last.
        """
        blocks = list(self.query(MarkdownFence))
        if not blocks:
            return None
        if self._copied in blocks:
            self._copied.remove_class("copied")
            at = (blocks.index(self._copied) - 1) % len(blocks)
        else:
            seen = [number for number, block in enumerate(blocks) if self.region.overlaps(block.region)]
            at = seen[-1] if seen else len(blocks) - 1
        self._copied = blocks[at]
        self._copied.add_class("copied")
        self.scroll_to_widget(self._copied, animate=False)
        return at + 1, len(blocks), self._copied

    def _folded(self) -> str:
        return f"… {len(self._hidden)} earlier turns (e shows more)"


def _view(kept: Kept) -> AnswerView:
    return AnswerView(kept.question, kept.model, kept.shown)
