"""The sliding window of `redact`, without streams: text goes in by pieces, and comes out as soon as it is decided."""

from collections.abc import Callable
from enum import Enum
from typing import Final

from rxlapce.operators.redact_patterns import Matcher

#: The longest candidate whose end is waited for, in characters: the memory bound of a window.
MAX_CANDIDATE_CHARS: Final = 64 * 1024

#: Up to this length a candidate is looked at again with every piece; a longer one when it has grown by an eighth.
EVERY_PIECE_CHARS: Final = 4096


class Fate(Enum):
    """What becomes of some characters. `MASK`: the replacement stands in their place; `DROP`: it already does."""

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


Decided = tuple[Fate, str]


class CandidateTooLong(Exception):
    """Text that may be one match went on past `MAX_CANDIDATE_CHARS`, with neither an end nor a contradiction."""


class Window:
    """The patterns' view of one text that arrives in pieces.

    `feed` and `close` together return all characters of the text, once, in order, each with its fate; for every way of
    cutting the text the masked ones are the matches in the whole text. Held back is the text from the first place where
    a match may begin that what follows could complete or lengthen; nothing if there is no such place. A candidate that
    grows past `max_match_chars` is masked as far as it goes, then and there; what follows waits until the candidate has
    ended, and comes out only if it belongs to no match. So a match of any length leaks nothing, and a candidate that
    turns out to be none has lost what was masked.

    `found` is called with the pattern's name for each match. Memory: twice `max_match_chars` of context for lookbehinds
    and `MAX_CANDIDATE_CHARS`. Raises `TimeoutError` when one search takes longer than `timeout_s`, `CandidateTooLong`.
    """

    __slots__ = ("_found", "_gone", "_matcher", "_max_match_chars", "_pos", "_scan_at", "_text", "_timeout_s")

    def __init__(self, matcher: Matcher, max_match_chars: int, timeout_s: float, found: Callable[[str], None]) -> None:
        self._matcher = matcher
        self._max_match_chars = max_match_chars
        self._timeout_s = timeout_s
        self._found = found
        self._text = ""
        self._pos = 0
        """The first character that is not decided; those before it are context."""
        self._gone = 0
        """The first character that has not left; beyond `_pos` when a candidate outgrew its bound."""
        self._scan_at = 0
        """Nothing is looked at before the text has this length: for a long candidate the cost would be quadratic."""

    @property
    def held_chars(self) -> int:
        """How many characters have not come out yet."""
        return len(self._text) - self._gone

    def feed(self, piece: str) -> list[Decided]:
        """What `piece` decides."""
        text = self._text = self._text + piece
        if len(text) < self._scan_at:
            return []
        probe = self._matcher.undecided.search(text, self._pos, partial=True, timeout=self._timeout_s)
        out: list[Decided] = []
        self._decide(len(text) if probe is None else probe.start(), out)
        self._bound(out)
        self._forget()
        return out

    def close(self) -> list[Decided]:
        """What the end of the text decides: everything. The window is as new then."""
        out: list[Decided] = []
        self._decide(len(self._text) + 1, out)
        self._text = ""
        self._pos = self._gone = self._scan_at = 0
        return out

    def _decide(self, undecided: int, out: list[Decided]) -> None:
        """Let go what stands before `undecided`; a match that begins before it is whole."""
        text, matcher = self._text, self._matcher
        pos = self._pos
        while True:
            match = matcher.complete.search(text, pos, timeout=self._timeout_s)
            while match is not None and match.start() == match.end() < len(text):
                match = matcher.complete.search(text, match.end() + 1, timeout=self._timeout_s)  # nothing is no secret
            if match is None or match.start() >= min(undecided, len(text)):
                break
            self._emit(pos, match.start(), Fate.KEEP, out)
            self._emit(match.start(), match.end(), Fate.MASK, out)
            self._found(matcher.names[match.lastgroup or ""])
            pos = match.end()
            if undecided < pos <= len(text):
                # The place lay inside the match, where nothing can begin any more.
                probe = matcher.undecided.search(text, pos, partial=True, timeout=self._timeout_s)
                undecided = len(text) if probe is None else probe.start()
        end = min(undecided, len(text))
        self._emit(pos, end, Fate.KEEP, out)
        self._pos = max(pos, end)

    def _emit(self, start: int, end: int, fate: Fate, out: list[Decided]) -> None:
        """Give the characters their fate, but those that have left already."""
        if end <= self._gone:
            return
        if start < self._gone:
            start, fate = self._gone, Fate.DROP if fate is Fate.MASK else fate
        if start < end:
            out.append((fate, self._text[start:end]))
            self._gone = end

    def _bound(self, out: list[Decided]) -> None:
        """Mask a candidate that has outgrown its bound; fail at the memory's."""
        size = len(self._text)
        candidate = size - self._pos
        step = candidate // 8 if candidate > EVERY_PIECE_CHARS else 0
        self._scan_at = min(size + step, self._pos + MAX_CANDIDATE_CHARS + 1)
        if candidate <= self._max_match_chars:
            return
        if candidate > MAX_CANDIDATE_CHARS:
            raise CandidateTooLong(f"text that may be one match went on for more than {MAX_CANDIDATE_CHARS} characters")
        if self._gone == self._pos:
            self._emit(self._pos, size, Fate.MASK, out)

    def _forget(self) -> None:
        """Drop context that no lookbehind needs, in steps, so that it is not copied for every piece."""
        spare = self._pos - self._max_match_chars
        if spare > self._max_match_chars:
            self._text = self._text[spare:]
            self._pos -= spare
            self._gone -= spare
            self._scan_at = max(0, self._scan_at - spare)
