"""A value that must never be seen, and the text that is cleaned of it."""

import json
from collections.abc import Iterable
from typing import Final

MASK: Final = "[redacted]"
#: Shorter values would blank ordinary words out of every message; no provider issues keys this short.
MIN_SCRUB_CHARS: Final = 6


class Secret:
    """A key or token whose text leaves only by `reveal()`.

    `str`, `repr`, `format`, pickling and JSON encoders get a mask or an error, so that a key which strays into a
    log line, a traceback with locals or a crash dump stays unread. Compare and hash by value.
    """

    __slots__ = ("_forms", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._forms: tuple[str, ...] | None = None

    def reveal(self) -> str:
        """The value itself: call it only where the value goes on the wire."""
        return self._value

    def forms(self) -> tuple[str, ...]:
        """The value as it is, and as a JSON string may escape it (RFC 8259 section 7); for `scrub` and its like.

        None of a value under `MIN_SCRUB_CHARS` characters.
        """
        if self._forms is None:
            plain, ascii_only = (json.dumps(self._value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
            escaped = (plain, ascii_only, plain.replace("/", "\\/"), ascii_only.replace("/", "\\/"))
            is_long = len(self._value) >= MIN_SCRUB_CHARS
            self._forms = tuple(dict.fromkeys((self._value, *escaped))) if is_long else ()
        return self._forms

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: pass its reference instead")


def scrub(text: str, secrets: Iterable[Secret]) -> str:
    """Return `text` with every one of a secret's `forms` masked, also one that the end of `text` cuts off.

    Providers echo keys in their error bodies ("Incorrect API key provided: sk-..."), so whatever they say goes
    through here before it is kept. Errors keep a bounded part of it, so that the bound may stand inside a key. Values,
    and parts of them, under `MIN_SCRUB_CHARS` characters are left alone.
    """
    # The longest first: a value that begins as another does would be left with its own rest.
    values = sorted((form for secret in secrets for form in secret.forms()), key=len, reverse=True)
    for value in values:
        text = text.replace(value, MASK)
    cut = _cut_off(text, values)
    return text[:-cut] + MASK if cut else text


def _cut_off(text: str, values: Iterable[str]) -> int:
    """How many characters at the end of `text` are the beginning of one of `values`; 0 for fewer than the minimum."""
    for value in values:
        if value[:MIN_SCRUB_CHARS] not in text:
            continue
        for length in range(min(len(value) - 1, len(text)), MIN_SCRUB_CHARS - 1, -1):
            if text.endswith(value[:length]):
                return length
    return 0
