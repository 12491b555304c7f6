"""The tables of chat.md: keys, advice, and what is kept."""

from collections.abc import Callable, Mapping

from tables_markdown import table

from rxlapce.chat import history, link
from rxlapce.chat.advice import ADVICE
from rxlapce.chat.keys import KEYS


def keys() -> str:
    """All keys, by where they work."""
    rows = [(place, f"`{key}`", what) for place, pairs in KEYS for key, what in pairs]
    return table(("where", "key", ""), [(place if n == 0 or rows[n - 1][0] != place else "", *rest)
                                        for n, (place, *rest) in enumerate(rows)])  # fmt: skip


def errors() -> str:
    """The kinds of errors, and what to do."""
    return table(("kind", "what to do"), [(f"`{kind}`", text) for kind, text in ADVICE.items()])


def limits() -> str:
    """What is bounded."""
    rows = [
        ("conversations that are kept", f"{history.MAX_CHATS}", "the oldest are deleted when a new one begins"),
        ("bytes of all of them", f"{history.MAX_BYTES:,}", "as above"),
        ("bytes of one that are read", f"{history.MAX_READ_BYTES:,}", "its end is shown"),
        ("chunks that come while the screen is busy", f"{link.WINDOW}", "the daemon waits, and so does the provider"),
    ]
    return table(("what", "limit", "past it"), rows)


TABLES: Mapping[str, Callable[[], str]] = {"chat-keys": keys, "chat-errors": errors, "chat-limits": limits}
