"""Makes `demo.svg`: runs `rxlapce demo` in a pseudo-terminal and draws what it leaves on the screen.

    python docs/images/record.py

The frames of the growing answer are drawn over one another, so the last screen is what stands before the first of them
and what comes after the last.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 100, 60
FIRST_FRAME = "\x1b[?25l"
LAST_FRAME = "\x1b[?25h"
ERASURES = re.compile(r"^(?:\r|\x1b\[1A|\x1b\[2K)+")
#: Pictures on a page may not load fonts from elsewhere, and this one need not.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def run(*command: str) -> str:
    """What `command` writes to a terminal of `COLUMNS` by `ROWS`."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        colours = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        os.execvpe(command[0], command, environment | colours)  # noqa: S606 - our own command
    written = bytearray()
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: the terminal's other side is closed
            break
        if not data:
            break
        written += data
    _, status = os.waitpid(process, 0)
    if status:
        sys.exit(written.decode() + f"\n{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return written.decode()


def last_screen(written: str) -> str:
    """What stands on the screen at the end."""
    before, _, frames = written.partition(FIRST_FRAME)
    after = frames.rpartition(LAST_FRAME)[2]
    return (before + ERASURES.sub("", after)).replace("\r\n", "\n")


def main() -> None:
    """Run, draw, write the picture beside this file."""
    screen = last_screen(run(sys.executable, "-m", "rxlapce", "demo"))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(f"$ make demo\n{screen.rstrip()}"))
    svg = FONTS.sub("", console.export_svg(title="rxlapce"))
    Path(__file__).with_name("demo.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
