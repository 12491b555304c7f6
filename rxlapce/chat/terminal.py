"""What the terminal is: dark or light, and how many colours it has; and what was typed before anybody asked."""

import os
import re
import select
import sys
import termios
import time
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

LIGHT_THEME: Final = "rxlapce-light"
#: OSC 11 asks for the background's colour; DA1, which every terminal answers, tells that no more will come.
_ASK: Final = b"\x1b]11;?\x1b\\\x1b[c"
_COLOUR: Final = re.compile(r"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")
_DONE: Final = re.compile(r"\x1b\[\?[0-9;]*c")
#: The two answers, whole or as far as they came.
_ANSWERS: Final = re.compile(r"\x1b\]11;[^\x07\x1b]*(?:\x07|\x1b\\|\x1b?$)|\x1b\[\?[0-9;]*(?:c|$)")
#: A terminal at the end of a slow line. Who does not answer at all is not waited for longer, and an answer that comes
#: after that would look like keys.
WAIT_S: Final = 1.0
#: The rest of a character whose first byte has come.
REST_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What the terminal said of its background, and what somebody typed before the panel was there to read it."""

    dark: bool | None = None
    typed: str = ""


def theme(environ: Mapping[str, str], dark: bool | None) -> str:
    """The theme for such a terminal: its own sixteen colours where it has no more, or does not tell its background."""
    rich = environ.get("COLORTERM", "") in ("truecolor", "24bit") or "256" in environ.get("TERM", "")
    if dark is None or not rich:
        return "ansi-light" if dark is False else "ansi-dark"
    return "textual-dark" if dark else LIGHT_THEME


@contextmanager
def taken_over(environ: Mapping[str, str]) -> Generator[Found]:
    """The terminal for who reads each key; as it was before, at the end.

    What is typed is neither shown by the terminal nor turned into lines from here on: who takes it over later, as
    Textual does, reads all of it.
    """
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield Found(dark=_by_number(environ))
        return
    try:
        found = _asked(descriptor, before)
        yield Found(dark=_by_number(environ) if found.dark is None else found.dark, typed=found.typed)
    finally:
        with suppress(termios.error):  # it may be gone
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _by_number(environ: Mapping[str, str]) -> bool | None:
    _, _, background = environ.get("COLORFGBG", "").rpartition(";")  # rxvt, Konsole: the number of a colour
    return background not in ("7", "15") if background.isdigit() else None


def dark_colour(answer: str) -> bool | None:
    """Whether the colour of an answer to OSC 11 is dark; None if there is none in it."""
    found = _COLOUR.search(answer)
    if found is None:
        return None
    red, green, blue = (int(part, 16) / float(16 ** len(part) - 1) for part in found.groups())
    return bool(0.299 * red + 0.587 * green + 0.114 * blue < 0.5)


def typed_in(said: str) -> str:
    """What the keys were, of all that the terminal said when it was asked."""
    return _ANSWERS.sub("", said)


def _asked(descriptor: int, before: list[Any]) -> Found:
    """The terminal's own word, and the keys before and beside it."""
    decoder = getincrementaldecoder("utf-8")("replace")
    typed = said = ""
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, _by_keys(before))
        while _readable(descriptor, 0):  # typed while lines were read: their end was Enter
            typed += _read(descriptor, decoder).replace("\n", "\r")
        os.write(sys.stdout.fileno(), _ASK)
        until = time.monotonic() + WAIT_S
        while not _DONE.search(said) and (left := until - time.monotonic()) > 0:
            if _readable(descriptor, left):
                said += _read(descriptor, decoder)
        while decoder.getstate()[0] and _readable(descriptor, REST_S):  # who reads on knows no half characters
            said += decoder.decode(os.read(descriptor, 1))
    except (OSError, termios.error):
        return Found(typed=typed + typed_in(said))
    return Found(dark=dark_colour(said), typed=typed + typed_in(said))


def _by_keys(mode: list[Any]) -> list[Any]:
    """The mode in which each key is read at once, as it is: neither shown, nor a signal, nor the end of a line."""
    iflag, oflag, cflag, lflag, *speeds, characters = mode
    iflag &= ~(termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.IGNCR)
    lflag &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, *speeds, characters]


def _readable(descriptor: int, within_s: float) -> bool:
    return bool(select.select([descriptor], [], [], within_s)[0])


def _read(descriptor: int, decoder: IncrementalDecoder) -> str:
    data = os.read(descriptor, 4096)
    if not data:
        raise OSError("the terminal is gone")
    return decoder.decode(data)
