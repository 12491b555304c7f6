"""A question and its answer on the screen; an answer under way is brought up to date by `sync`."""

from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import MountError
from textual.widgets import Collapsible, Markdown, Static

from rxlapce.answer import WholeCall
from rxlapce.chat.advice import advice
from rxlapce.chat.answer_text import AnswerText
from rxlapce.chat.figures import figures, short, thought
from rxlapce.chat.plain import Line
from rxlapce.chat.safe import harmless, one_line
from rxlapce.chat.turns import Shown, Standing
from rxlapce.messages import ErrorBody

#: From here on an HTTP status says that something is wrong.
FAILING: Final = 400


class Copied(Message):
    """Somebody wants `text` in the clipboard; `what` says what it is."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what


class CallCard(Vertical):
    """A tool call: its name, and its arguments as they arrive; pretty once they are whole."""

    def __init__(self, call: WholeCall) -> None:
        super().__init__()
        self._call = call
        self._arguments = Line()

    def compose(self) -> ComposeResult:
        """The arguments, under the name in the border."""
        yield self._arguments

    def on_mount(self) -> None:
        """Show what there is."""
        self.show(self._call)

    def show(self, call: WholeCall) -> None:
        """The call as it is now."""
        self._call = call
        self.border_title = Content(f"tool {harmless(call.name or '?')}")
        self._arguments.show(pretty(call.arguments) or "…")


class AnswerView(Vertical):
    """One turn. `sync` may be called as often as one likes, one call at a time: it draws only what is new."""

    def __init__(self, question: str, model: str, shown: Shown) -> None:
        super().__init__()
        self.question = question
        self._model = model
        self._shown = shown
        self._thoughts = Line(classes="thoughts")
        self._folded = Collapsible(self._thoughts, title=thought(shown))
        self._text = AnswerText()
        self._cards: list[CallCard] = []
        self._calls = Vertical(classes="calls")
        self._seams = Line(classes="seams")
        self._error = Line(classes="error")
        self._figures = Line(classes="figures", fixed=True)

    @property
    def shown(self) -> Shown:
        """What is on the screen."""
        return self._shown

    def compose(self) -> ComposeResult:
        """The question, then what there may be of an answer, in the order in which it is read."""
        yield Static(Content(harmless(self.question)), classes="question")
        yield self._folded
        yield self._text
        yield self._calls
        yield self._seams
        yield self._error
        yield self._figures

    async def on_mount(self) -> None:
        """Show what there is."""
        await self.sync(self._shown)

    def on_collapsible_expanded(self, event: Collapsible.Expanded) -> None:
        """Thoughts are drawn only while one can see them."""
        event.stop()
        self._show_thoughts(self._shown)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """A link is told and copied, not opened: its words may say another place than it goes to."""
        event.stop()
        self.post_message(Copied(event.href, f"the link: {one_line(event.href, 200)}"))

    def toggle_thoughts(self) -> None:
        """Fold the thoughts, or unfold them."""
        self._folded.collapsed = not self._folded.collapsed

    async def sync(self, shown: Shown) -> None:
        """Show the answer as it is now; nothing any more once it is taken off the screen, or the panel quits."""
        try:
            await self._sync(shown)
        except MountError:  # the one or the other happened while it was drawn
            if self.is_attached:
                raise

    async def _sync(self, shown: Shown) -> None:
        self._shown = shown
        self._show_thoughts(shown)
        self._text.display = bool(shown.text)
        await self._text.show(harmless(shown.text), whole=shown.ended)
        await self._show_calls(shown)
        self._seams.show("\n".join(f"↻ {seam}" for seam in shown.seams))
        self._error.show(told(shown.error) if shown.error and shown.standing is Standing.FAILED else "")
        self._figures.show(f"{short(self._model)} · {figures(shown)}".rstrip(" ·"))

    def _show_thoughts(self, shown: Shown) -> None:
        self._folded.display = bool(shown.reasoning)
        self._folded.title = thought(shown)
        if not self._folded.collapsed:
            self._thoughts.show(shown.reasoning)

    async def _show_calls(self, shown: Shown) -> None:
        self._calls.display = bool(shown.calls)
        while len(self._cards) > len(shown.calls):
            await self._cards.pop().remove()
        for card, call in zip(self._cards, shown.calls, strict=False):
            card.show(call)
        for call in shown.calls[len(self._cards) :]:
            self._cards.append(CallCard(call))
            await self._calls.mount(self._cards[-1])


def told(error: ErrorBody) -> str:
    """What went wrong, who says so, and what to do."""
    who = f"{error.provider}: " if error.provider else ""
    status = f" (HTTP {error.status})" if error.status and error.status >= FAILING else ""
    return f"✗ {error.kind.replace('_', ' ')}{status}: {who}{error.message}\n{advice(error)}"


def pretty(arguments: str) -> str:
    """Whole JSON indented, anything else as it is."""
    try:
        return msgspec.json.format(msgspec.json.encode(msgspec.json.decode(arguments)), indent=2).decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
