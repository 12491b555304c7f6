"""Processes of a benchmark's own: started, talked to by lines, ended with their block."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator


@contextlib.contextmanager
def child(*arguments: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """A Python child with pipes, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    """The child's next line."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended early")
    return line


def tell(process: subprocess.Popen[str]) -> None:
    """Give the child a line: go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
