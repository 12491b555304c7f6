"""`rxlapce chat` in a terminal of its own: keys go in as bytes, what is drawn comes out as bytes."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ESC, CTRL_C, CTRL_N, CTRL_Q, ENTER = b"\x1b", b"\x03", b"\x0e", b"\x11", b"\r"
#: (switched on, switched off): the alternate screen, the cursor, mouse reports, bracketed paste.
MODES = [
    (b"\x1b[?1049h", b"\x1b[?1049l"),
    (b"\x1b[?25l", b"\x1b[?25h"),
    (b"\x1b[?1000h", b"\x1b[?1000l"),
    (b"\x1b[?2004h", b"\x1b[?2004l"),
]


class Terminal:
    """A terminal with `rxlapce chat` in it; `drawn` is all that it was sent."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.folder = folder
        self.drawn = b""
        keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
        for name in ("home", "run", "tmp"):
            (folder / name).mkdir(mode=0o700)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "rxlapce", "chat", *arguments],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            env=keep | {"HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder / "run"), "TERM": "xterm-256color",
                        "TMPDIR": str(folder / "tmp")},
        )  # fmt: skip

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def until(self, text: str, *, after: int = 0) -> int:
        """Read until `text` has been drawn after the first `after` bytes; how many bytes there are then."""
        until = time.monotonic() + 15
        while text.encode() not in self.drawn[after:]:
            left = until - time.monotonic()
            if left < 0 or self.process.poll() is not None or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"{text!r} was not drawn; the end of what was: {self.drawn[-1500:]!r}")
            self.drawn += os.read(self.master, 65536)
        return len(self.drawn)

    def type_until_drawn(self, letter: str) -> None:
        """Press a key again and again, until it is seen."""
        until = time.monotonic() + 10
        while letter.encode() not in self.drawn:
            assert time.monotonic() < until, "no key is read any more"
            self.type(letter.encode())
            while select.select([self.master], [], [], 0.1)[0]:
                self.drawn += os.read(self.master, 65536)

    def ended(self) -> int:
        """The exit code, when it has ended and all that it drew was read."""
        until = time.monotonic() + 15
        while self.process.poll() is None or select.select([self.master], [], [], 0)[0]:
            assert time.monotonic() < until, "it does not end"
            if select.select([self.master], [], [], 0.05)[0]:
                self.drawn += os.read(self.master, 65536)
        return self.process.wait()

    def is_restored(self) -> bool:
        """Whether the terminal is as it was found."""
        modes = all(self.drawn.rfind(off) > self.drawn.rfind(on) >= 0 for on, off in MODES)
        return modes and termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        """End what is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.vanish()

    def vanish(self) -> None:
        """Close it, with all that looks on."""
        for end in (self.master, self.slave):
            with suppress(OSError):
                os.close(end)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    running: list[Terminal] = []
    yield running
    for terminal in running:
        terminal.close()
    assert list((tmp_path / "tmp").iterdir()) == []  # the simulator's daemon and its folder went with the panel


def test_ask_cancel_and_quit_leave_the_terminal_as_it_was(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=30,tokens=4000")
    terminals.append(terminal)
    terminal.until("connected")
    terminal.type(b"hello there" + ENTER)
    at = terminal.until("tokens/s")
    terminal.type(ESC)
    terminal.until("cancelled", after=at)
    terminal.type(CTRL_Q)
    assert (terminal.ended(), terminal.is_restored()) == (0, True)
    (kept,) = (tmp_path / "home/.local/state/rxlapce/chats").iterdir()
    assert b'"standing":"cancelled"' in kept.read_bytes()


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM"])
def test_quitting_in_the_middle_of_an_answer_cancels_it(tmp_path: Path, terminals: list[Terminal], how: str) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=30,tokens=4000")
    terminals.append(terminal)
    terminal.until("connected")
    terminal.type(b"hello there" + ENTER)
    terminal.until("tokens/s")
    if how == "ctrl-c":
        terminal.type(CTRL_C)
    else:
        terminal.process.send_signal(signal.SIGTERM)
    assert (terminal.ended(), terminal.is_restored()) == (0, True)
    (kept,) = (tmp_path / "home/.local/state/rxlapce/chats").iterdir()
    assert b'"standing":"cancelled"' in kept.read_bytes()


def test_what_is_typed_before_the_panel_is_there_is_asked(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=0,tokens=5")
    terminals.append(terminal)
    terminal.type("hällo, ".encode())
    terminal.until("\x1b[c")  # it asks what the terminal is, and is answered between two keys
    terminal.type(b"wha\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?62ct is ")
    terminal.until("\x1b[?1049h")  # Textual reads from here on
    terminal.type(b"this?" + ENTER)
    terminal.until("tokens/s")
    terminal.type(CTRL_Q)
    assert (terminal.ended(), terminal.is_restored()) == (0, True)
    (kept,) = (tmp_path / "home/.local/state/rxlapce/chats").iterdir()
    assert '"question":"hällo, what is this?"'.encode() in kept.read_bytes()


def test_bytes_that_are_no_text_end_nothing(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=0,tokens=5")
    terminals.append(terminal)
    terminal.until("connected")
    terminal.type(b"caf\xe9 ")  # as a terminal of another encoding says it
    terminal.type_until_drawn("§")  # what is read in one piece with them is lost too
    terminal.type(b"hello there" + ENTER)
    terminal.until("tokens/s")
    terminal.type(CTRL_Q)
    assert (terminal.ended(), terminal.is_restored()) == (0, True)
    assert b"Traceback" not in terminal.drawn


def test_without_any_key_the_first_start_leads_to_a_simulator(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--no-history")
    terminals.append(terminal)
    terminal.until("No provider is configured yet")
    terminal.type(ENTER)
    terminal.until("no real model")
    terminal.until("connected")
    terminal.type(b"hello there" + ENTER)
    terminal.until("tokens/s")
    terminal.type(CTRL_Q)
    assert (terminal.ended(), terminal.is_restored()) == (0, True)
    assert not (tmp_path / "home/.local/state/rxlapce/chats").exists()
    assert b"Traceback" not in terminal.drawn


def test_a_paste_of_many_lines_is_one_question(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=0,tokens=5")
    terminals.append(terminal)
    terminal.until("connected")
    terminal.type(b"\x1b[200~first line\rsecond line\r\x1b[201~" + ENTER)
    at = terminal.until("out")
    terminal.type(CTRL_N)
    terminal.until("Ask a model something", after=at)
    terminal.type(CTRL_Q)
    assert terminal.ended() == 0
    (kept,) = (tmp_path / "home/.local/state/rxlapce/chats").iterdir()
    assert b'"question":"first line\\nsecond line"' in kept.read_bytes()


def test_a_terminal_that_is_closed_takes_the_panel_along(tmp_path: Path, terminals: list[Terminal]) -> None:
    terminal = Terminal(tmp_path, "--simulator", "-m", "simulator/sim:tps=200,tokens=4000")
    terminals.append(terminal)
    terminal.until("connected")
    terminal.type(b"hello there" + ENTER)
    terminal.until("tokens/s")
    terminal.vanish()
    for number in (signal.SIGCONT, signal.SIGHUP):  # what the system sends to what a terminal is gone from
        terminal.process.send_signal(number)
    assert terminal.process.wait(15) in (0, 120)  # 120: Python could not say its last words to standard output
