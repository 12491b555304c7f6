"""All keys, in one place: the help screen is made of this table, and so is the one in docs/chat.md."""

from typing import Final

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
            ("Esc", "cancel the answer under way; what came of it stays; without one, as Tab"),
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
