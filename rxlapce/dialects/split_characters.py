r"""Characters that a gateway cut in two: half of a surrogate pair in one delta, the other half in the next.

Servers whose strings are UTF-16 (JavaScript's) and who slice text by its length say `"Hm \ud83e"`, then `"\udd14 so"`.
Each is JSON (RFC 8259 section 8.2), but no text that UTF-8 can hold, so that a decoder refuses it.
"""

import re
from typing import Final

import msgspec

from rxlapce.codec.event import Event

_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
#: All escapes, so that none is looked for in the middle of another; those of two whole halves first.
_ESCAPES: Final = re.compile(
    rf'{_HIGH}{_LOW}|(?P<end>{_HIGH})(?=")|(?P<start>(?<="){_LOW})|(?P<lost>{_HIGH}|{_LOW})|\\.',
)
_REPLACEMENT: Final = r"\ufffd"


class SplitCharacters:
    """Joins the halves of one stream. Memory: one half.

    Only for events that could not be decoded, so that the others pay nothing for it. The stream is taken for one text:
    of choices that interleave, two that are cut at the same time would get each other's halves.
    """

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def mend(self, event: Event) -> Event | None:
        """The event without half characters; None if it had none.

        A first half at the end of a string is held for the start of a string in a later event; it is dropped if none
        comes. Any other half becomes U+FFFD.
        """
        mended = False

        def whole(escape: re.Match[str]) -> str:
            nonlocal mended
            kind, text = escape.lastgroup, escape.group()
            if kind is None:
                return text
            mended = True
            if kind == "end":
                self._high = text
                return ""
            if kind == "start" and self._high:
                text, self._high = self._high + text, ""
                return text
            return _REPLACEMENT

        data = _ESCAPES.sub(whole, event.data)
        return msgspec.structs.replace(event, data=data) if mended else None
