"""What a model, a provider or a file says, made harmless for a terminal."""

import re
from typing import Final

#: C0 without tab and line feed, DEL, C1: with these a text moves the cursor, sets the clipboard, renames the window.
_CONTROLS: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
#: Embeddings, overrides and isolates (UAX #9): with these code reads otherwise than it runs (CVE-2021-42574). Letters
#: that run from right to left need none of them.
_BIDI: Final = "\u202a-\u202e\u2066-\u2069"
#: Line ends that a terminal does not know, and a line-wise parser does.
_ENDS: Final = "\u2028\u2029"
_HARMFUL: Final = re.compile(f"[{_CONTROLS}{_BIDI}{_ENDS}]")
#: What UTF-8 cannot hold: writing it to the terminal would raise.
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def harmless(text: str) -> str:
    """`text` without control characters but tab and line feed, without bidirectional controls and lone surrogates.

    Character by character, so that what is harmless of a longer text begins with what is harmless of its beginning,
    however an escape sequence is cut between two tokens.
    """
    if text.isascii() and text.isprintable():
        return text
    return _SURROGATES.sub("\ufffd", _HARMFUL.sub("", text))


def one_line(text: str, chars: int) -> str:
    """The beginning of `text` on one line of at most `chars` characters, cut with an ellipsis."""
    line = " ".join(harmless(text[: chars * 4]).split())
    return line if len(line) <= chars else f"{line[: chars - 1]}…"
