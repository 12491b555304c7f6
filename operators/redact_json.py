"""Redaction inside the strings of a JSON text that arrives in pieces, so that it stays the JSON that it was."""

import json
import re
from collections import deque
from typing import Final

from rxlapce.operators.redact_window import Decided, Fate, Window

#: One character of a string's inside as it is written, its end, or text of which nothing is written otherwise.
_UNIT: Final = re.compile(
    r"""\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]|"|[^"\\]+"""
)
#: What may still become a unit: a backslash and what belongs to it, or the first half of a surrogate pair.
_OPEN: Final = re.compile(r"(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?")
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class JsonStrings:
    """One JSON text: `feed` and `close` give it back with the matches inside of its strings replaced.

    Each string, names too, is a text of its own for the patterns, seen with its escapes undone; a match never reaches
    over its end, and what is not matched comes out exactly as it was written. What is no string passes at once, and so
    does text that is no JSON. Memory: the window's, six times over when every character is written as an escape.
    """

    __slots__ = ("_inside", "_open", "_raw", "_replacement", "_window")

    def __init__(self, window: Window, replacement: str) -> None:
        self._window = window
        self._replacement = json.dumps(replacement)[1:-1]
        self._inside = False
        self._open = ""
        self._raw: deque[str] = deque()
        """How the characters were written that the window holds back."""

    def feed(self, piece: str) -> str:
        """What of the text is decided now."""
        text, self._open = self._open + piece, ""
        out: list[str] = []
        pos = 0
        while pos < len(text):
            quote = text.find('"', pos) if not self._inside else -1
            if self._inside:
                pos = self._string(text, pos, out)
                continue
            end = len(text) if quote < 0 else quote + 1
            out.append(text[pos:end])
            self._inside = quote >= 0
            pos = end
        return "".join(out)

    def close(self) -> str:
        """What is left when the text ends, wherever that is."""
        rest = self._written(self._window.close()) + self._open
        self._open, self._inside = "", False
        return rest

    def _string(self, text: str, pos: int, out: list[str]) -> int:
        """Take the inside of a string from `pos` on; return where it ends, or the length of `text`."""
        plain: list[str] = []
        while pos < len(text):
            unit = _UNIT.match(text, pos)
            if _open_at(text, pos):
                self._open, pos = text[pos:], len(text)
                break
            raw = unit.group() if unit is not None else text[pos]
            pos += len(raw)
            if raw == '"':
                self._inside = False
                break
            if raw[0] == "\\" and len(raw) > 1:  # one alone is of an escape that JSON does not have
                self._raw.append(raw)
                plain.append(_meaning(raw))
            else:
                self._raw.extend(raw)
                plain.append(raw)
        if plain:
            out.append(self._written(self._window.feed("".join(plain))))
        if not self._inside:
            out.append(self._written(self._window.close()) + '"')
        return pos

    def _written(self, decided: list[Decided]) -> str:
        """The characters with a fate, as they were written or as their replacement."""
        out: list[str] = []
        for fate, characters in decided:
            raw = [self._raw.popleft() for _ in characters]
            if fate is Fate.KEEP:
                out.extend(raw)
            elif fate is Fate.MASK:
                out.append(self._replacement)
        return "".join(out)


def _open_at(text: str, pos: int) -> bool:
    """Whether the rest of `text` is a unit that is not whole yet."""
    return text[pos] == "\\" and _OPEN.fullmatch(text, pos) is not None


def _meaning(raw: str) -> str:
    """The one character that an escape means."""
    if raw[1] != "u":
        return _ESCAPES.get(raw[1], raw[1])
    first = int(raw[2:6], 16)
    if len(raw) == 6:
        return chr(first)
    return chr(0x10000 + ((first - 0xD800) << 10) + (int(raw[8:12], 16) - 0xDC00))
