"""What the terminal is: dark or light, and how many colours it has."""

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Mapping
from typing import Final

LIGHT_THEME: Final = "rxlapce-light"
#: OSC 11 asks for the background's colour; DA1, which every terminal answers, tells that no more will come.
_ASK: Final = b"\x1b]11;?\x1b\\\x1b[c"
_COLOUR: Final = re.compile(rb"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")
_DONE: Final = re.compile(rb"\x1b\[\?[0-9;]*c")
#: A terminal at the end of a slow line; who does not answer at all is not waited for longer.
WAIT_S: Final = 0.3


def theme(environ: Mapping[str, str], dark: bool | None) -> str:
    """The theme for such a terminal: its own sixteen colours where it has no more, or does not tell its background."""
    rich = environ.get("COLORTERM", "") in ("truecolor", "24bit") or "256" in environ.get("TERM", "")
    if dark is None or not rich:
        return "ansi-light" if dark is False else "ansi-dark"
    return "textual-dark" if dark else LIGHT_THEME


def is_dark(environ: Mapping[str, str]) -> bool | None:
    """Whether the terminal's background is dark; None if it does not say. Reads and writes the terminal."""
    answer = _asked()
    if answer is not None:
        return answer
    _, _, background = environ.get("COLORFGBG", "").rpartition(";")  # rxvt, Konsole: the number of a colour
    return background not in ("7", "15") if background.isdigit() else None


def dark_colour(answer: bytes) -> bool | None:
    """Whether the colour of an answer to OSC 11 is dark; None if there is none in it."""
    found = _COLOUR.search(answer)
    if found is None:
        return None
    red, green, blue = (int(part, 16) / float(16 ** len(part) - 1) for part in found.groups())
    return bool(0.299 * red + 0.587 * green + 0.114 * blue < 0.5)


def _asked() -> bool | None:
    """The terminal's own word; what somebody types meanwhile is lost."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return None
    answer = b""
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        os.write(sys.stdout.fileno(), _ASK)
        until = time.monotonic() + WAIT_S
        while not _DONE.search(answer) and (left := until - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left)[0]:
                answer += os.read(descriptor, 256)
    except OSError:
        return None
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
    return dark_colour(answer)
