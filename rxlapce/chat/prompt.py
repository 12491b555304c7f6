"""Where one writes: several lines, Enter sends, and Up brings back what was asked."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

PLACEHOLDER = "Enter sends, Ctrl-J or Alt-Enter begins a line"


class Prompt(TextArea):
    """A text area that grows with its text, to a third of the screen.

    No key of it has priority: those go before letters that were typed earlier and are still on their way.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", key_display="Enter"),
        Binding("ctrl+j,alt+enter,shift+enter", "newline", "New line", show=False),
        Binding("up", "older", "Earlier question", show=False),
        Binding("down", "younger", "Later question", show=False),
    ]

    class Sent(Message):
        """Somebody wants this to be asked; "" for Enter on nothing."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(
            soft_wrap=True, show_line_numbers=False, compact=True, highlight_cursor_line=False, placeholder=PLACEHOLDER
        )
        self._asked: list[str] = []
        self._at = 0
        self._draft = ""

    def remember(self, questions: list[str]) -> None:
        """What Up goes through, the oldest first."""
        self._asked = list(dict.fromkeys(reversed(questions)))[::-1]
        self._at = len(self._asked)

    def take_out(self, question: str) -> None:
        """Take out what is asked now; what was typed after Enter stays."""
        written = self.text.lstrip()
        if written.startswith(question):
            self.text = written[len(question) :].lstrip()
            self.move_cursor(self.document.end)

    async def _on_key(self, event: Key) -> None:
        """Enter sends; a text area would begin a line."""
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.action_send()
        else:
            await super()._on_key(event)

    def action_send(self) -> None:
        """Hand the text on; who asks it takes it out."""
        self.post_message(self.Sent(self.text.strip()))

    def action_newline(self) -> None:
        """A new line where the cursor is."""
        self.insert("\n")

    def action_older(self) -> None:
        """Up: the question before; inside a text of several lines the line above."""
        if self.cursor_at_first_line and self._at > 0:
            self._go(self._at - 1)
        else:
            self.action_cursor_up()

    def action_younger(self) -> None:
        """Down: the question after, at last what was being written."""
        if self.cursor_at_last_line and self._at < len(self._asked):
            self._go(self._at + 1)
        else:
            self.action_cursor_down()

    def _go(self, at: int) -> None:
        if self._at == len(self._asked):
            self._draft = self.text
        self._at = at
        self.text = self._asked[at] if at < len(self._asked) else self._draft
        self.move_cursor(self.document.end)
