"""Turns for the APIs of old, which take a text and nothing else."""

from rxlapce.dialects.refusals import cannot
from rxlapce.dialects.turns import check_turns, kind_of
from rxlapce.requests import Message


def plain_text(message: Message, who: str) -> str:
    """The text of a turn that is nothing but that. Raises `cannot` for any other piece."""
    check_turns((message,))
    for part in message.pieces():
        if part.text is None:
            what = kind_of(part).replace("_", " ")
            how = "leave it out" if what in ("image", "tool call") else "send Message.plain()"
            raise cannot(f"{who} takes plain text, and a {message.role} turn holds {what}: {how}")
    return message.text
