"""All keys, in one place: the help screen is made of this table, and so is the one in docs/chat.md."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

#: (where, ((key, what it does), ...)).
KEYS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "While writing",
        (
            ("Enter", "send the question"),
            ("Alt-Enter, Ctrl-J", "begin a new line"),
            ("Up, Down", "go through what was asked"),
            ("PgUp, PgDn", "scroll the conversation"),
            ("Tab", "go to the conversation, to read and copy"),
        ),
    ),
    (
        "While reading",
        (
            ("c", "copy the code block in sight; again: the one before it"),
            ("y", "copy the last answer, as Markdown"),
            ("t", "show or fold the last thoughts"),
            ("r", "ask again what was not answered whole, as Ctrl-R"),
            ("e", "show earlier turns of a long conversation"),
            ("i, Tab", "go back to writing"),
        ),
    ),
    (
        "Everywhere",
        (
            ("Esc", "cancel the answer under way; what came of it stays"),
            ("Ctrl-O", "choose the model"),
            ("Ctrl-N", "begin a new conversation"),
            ("Ctrl-L", "open, continue or delete an earlier conversation"),
            ("Ctrl-R", "connect again; if connected, ask again"),
            ("F1", "this help; ? while reading"),
            ("Ctrl-C", "copy the text that the mouse has marked; quit if there is none"),
            ("Ctrl-Q", "quit"),
        ),
    ),
)


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
