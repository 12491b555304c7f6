"""What the tables of the documents are written with."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from enum import StrEnum


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(headings), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(thing: object) -> str:
    """The docstring on one line, in the words of JSON."""
    return re.sub(r"\bNone\b", "null", " ".join((thing.__doc__ or "").split()))


def paragraph(text: str) -> str:
    """The text in lines of at most 118 columns."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def words(kind: type[StrEnum], meanings: Mapping[StrEnum, str]) -> str:
    """The words of an enum; each must have a meaning here."""
    return table(("word", "meaning"), ((f"`{word}`", meanings[word]) for word in kind))
