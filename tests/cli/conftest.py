"""What the tests of the commands share: commands in this process and in others, and a daemon to ask."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rxlapce.cli.main import main
from rxlapce.providers import SPECS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which no provider is configured, whoever runs the tests, and no setting of a terminal holds."""
    names = [name for spec in SPECS.values() for name in (spec.key_env, spec.base_url_env, *spec.extra_env)]
    own = [name for name in os.environ if name.startswith("RXLAPCE_") and name != "RXLAPCE_STREAMS"]
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    for name in (*names, *own, "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Children that can be interrupted: a shell starts its background jobs, and so their children, without SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A fresh folder with a short path, as a socket's path has room for 107 bytes, and pytest's own are longer."""
    made = Path(tempfile.mkdtemp(prefix="rx"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `rxlapce` with arguments in this process, with `stdin` piped in."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        said = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="module")
def simulated() -> Iterator[Path]:
    """The socket's path of a running `rxlapce serve --simulator`."""
    made = Path(tempfile.mkdtemp(prefix="rx"))
    path = made / "d.sock"
    ready_read, ready_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "rxlapce", "serve", "--simulator", "--path", str(path), "--drain", "0",
         "--log-level", "warning", "--ready-fd", str(ready_write)],
        pass_fds=(ready_write,), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(ready_write)
    try:
        assert os.read(ready_read, 16) == b"ready\n"
        yield path
    finally:
        os.close(ready_read)
        process.terminate()
        assert process.wait(10) == 0
        shutil.rmtree(made)
