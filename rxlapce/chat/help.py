"""The help screen: all keys."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from rxlapce.chat.keys import KEYS


class Help(ModalScreen[None]):
    """The keys; any of Esc, F1, Enter, q leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,enter,q,question_mark", "dismiss", "Back", priority=True)
    ]

    def compose(self) -> ComposeResult:
        """One block for each place."""
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc goes back"
            for place, keys in KEYS:
                yield Static(Content.styled(place, "bold $text-accent"))
                lines = [Content.styled(f"  {key:<18} ", "bold") + Content(what) for key, what in keys]
                yield Static(Content("\n").join(lines))
            yield Static("The mouse: dragging marks text, a click unfolds thoughts, and on a link copies it.")
