"""Text cut into pieces the way a model's vocabulary cuts it, and the seed that all chance comes from.

A real vocabulary is not needed: what matters to a reader and to a decoder is that pieces are sub-words of one to eight
characters with their blank in front, that punctuation and line ends stand alone, and that the pieces join to the text.
"""

import hashlib
import random
import re
import string
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, count, islice
from typing import Final

# Letters, up to three digits, or punctuation, each with the blank before it; then line ends, then other blanks.
# What is left (emoji, symbols, scripts without blanks) goes one character at a time.
_PIECES: Final = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?[!-/:-@\[-`{-~]{1,3}|\n+| +(?=\S)|\s+|.", re.DOTALL)
_LONGEST_WORD: Final = 8
#: Where a long word is cut: before an ending, or after a beginning, that is a word piece of its own.
_ENDINGS: Final = ("pressure", "ation", "ments", "ment", "ness", "able", "ible", "ting", "ning", "ions", "ing", "ers")
_BEGINNINGS: Final = ("back", "inter", "over", "under", "stream", "trans", "con", "pro", "pre", "re", "un", "in")


def _cut_word(word: str) -> tuple[str, ...]:
    if len(word) <= _LONGEST_WORD or not word.strip().isascii():
        return (word,) if word.strip().isascii() else tuple(re.findall(r" ?.{1,2}", word, re.DOTALL))
    lower = word.strip().lower()
    blank = len(word) - len(lower)
    for beginning in _BEGINNINGS:
        if lower.startswith(beginning):
            cut = blank + len(beginning)
            return (word[:cut], *_cut_word(word[cut:]))
    for ending in _ENDINGS:
        if lower.endswith(ending):
            return (*_cut_word(word[: -len(ending)]), word[-len(ending) :])
    return (word[: blank + 5], *_cut_word(word[blank + 5 :]))


@lru_cache(maxsize=256)
def tokenize(text: str) -> tuple[str, ...]:
    """The pieces of `text`, which join to it exactly."""
    return _cut(text)


def _cut(text: str) -> tuple[str, ...]:
    return tuple(
        piece for match in _PIECES.findall(text) for piece in (_cut_word(match) if match[-1].isalpha() else (match,))
    )


def count_pieces(text: str) -> int:
    """About how many pieces `text` has (long words count once): cheap, and nothing is kept."""
    return sum(1 for _ in _PIECES.finditer(text))


def endless(text: str, more: Callable[[int], tuple[str, str]]) -> Iterator[str]:
    """The pieces of `text`, then of `more(2)`, `more(3)`, ... without end, made as they are taken.

    `more` gives a heading with its number in it, and a body of which there are few: only bodies are remembered.
    """
    chapters = (chain(_cut(heading), tokenize(body)) for heading, body in map(more, count(2)))
    return chain(tokenize(text), chain.from_iterable(chapters))


def exactly(pieces: Iterator[str], number: int) -> Iterator[str]:
    """The first `number` pieces."""
    return islice(pieces, number)


def after(pieces: Iterator[str], chars: int) -> Iterator[str]:
    """What is left of the pieces without their first `chars` characters; the cut may go through a piece."""
    return _after(pieces, chars) if chars else pieces


def _after(pieces: Iterator[str], chars: int) -> Iterator[str]:
    for piece in pieces:
        if chars < len(piece):
            yield piece[chars:]
            break
        chars -= len(piece)
    yield from pieces


def seeded(*parts: str | bytes | int) -> random.Random:
    """A source of chance that is the same for the same `parts`, on every machine and in every process."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return random.Random(digest.digest())  # noqa: S311 - the same bytes again are the point; nothing secret is made


_ALPHANUMERIC: Final = string.ascii_letters + string.digits
#: Without 0, O, I and l, as the vendors' ids have it.
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def alphanumeric(chance: random.Random, length: int) -> str:
    """`length` letters and digits."""
    return "".join(chance.choices(_ALPHANUMERIC, k=length))


def base58(chance: random.Random, length: int) -> str:
    """`length` characters that cannot be mistaken for one another."""
    return "".join(chance.choices(_BASE58, k=length))


def hexadecimal(chance: random.Random, length: int) -> str:
    """`length` lower-case hex digits."""
    return "".join(chance.choices("0123456789abcdef", k=length))
