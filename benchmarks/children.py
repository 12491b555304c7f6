"""Processes of a benchmark's own: started, talked to by lines, ended with their block."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path


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


@contextlib.contextmanager
def serve(path: Path, *options: str) -> Generator[int]:
    """A `rxlapce serve` that listens at `path`; its process id."""
    read, write = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rxlapce", "serve", "--path", str(path), *options),
            # Without a quota: the provider here takes whatever comes, and more than 60 requests a minute do.
            *("--rate-limit", "0", "--log-level", "error", "--ready-fd", str(write), "--drain", "0"),
        ],
        pass_fds=(write,),
    )
    os.close(write)
    try:
        if not os.read(read, 16):
            raise RuntimeError(f"the daemon ended with {process.wait()} before it listened")
        yield process.pid
    finally:
        os.close(read)
        process.terminate()
        process.wait()


def said(process: subprocess.Popen[str]) -> str:
    """The child's next line."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{process.args!r} ended early")
    return line


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    """Give the child a line: go on."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def allow_descriptors() -> None:
    """Let this process and its children open as many files as the system lets them; a stream is a socket."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
