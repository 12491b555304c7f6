"""Which of many lines fit what somebody types: words first, then letters in their order."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def rank(query: str, text: str) -> int | None:
    """How well `text` fits, 0 the best; None if it does not. Case does not matter; O(query x text).

    Each word of the query is looked for on its own. Best where a name begins with it (`/` and `-` begin one too), then
    anywhere, then as letters in their order with others between.
    """
    text = text.lower()
    worst = 0
    for word in query.lower().split():
        at = text.find(word)
        if at < 0:
            if not _in_order(word, text):
                return None
            worst = max(worst, 2)
        elif at > 0 and text[at - 1].isalnum() and f"/{word}" not in text and f"-{word}" not in text:
            worst = max(worst, 1)
    return worst


def fitting(query: str, items: Iterable[tuple[str, T]]) -> list[T]:
    """The items whose text fits, those that fit best first, else in their order."""
    ranked = [(fits, item) for text, item in items if (fits := rank(query, text)) is not None]
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _in_order(letters: str, text: str) -> bool:
    rest = iter(text)
    return all(letter in rest for letter in letters)
