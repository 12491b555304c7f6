"""Many clients, each in a process of its own: forked, so that a hundred of them start at once and share their code."""

import os
import select
import struct
import sys
import traceback
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from benchmarks.cpu import cpu_seconds
from benchmarks.echo.client import connect, round_trips

#: CPU seconds, count; then the nanoseconds of each round trip.
_HEAD: Final = struct.Struct("<dQ")
_READY: Final = b"r"


@dataclass(frozen=True, slots=True)
class Client:
    """A forked process: what it says, and what it is told by."""

    pid: int
    says: int
    hears: int


@dataclass(frozen=True, slots=True)
class Trips:
    """What all clients measured."""

    taken_ns: Sequence[int]
    """Sorted."""
    cpu_s: float


class Crowd:
    """`count` clients that are connected and wait for `run`. Use as a context manager, in a process without threads."""

    def __init__(self, path: Path, count: int, depth: int) -> None:
        self._clients: list[Client] = []
        try:
            for _ in range(count):
                # One after the other: a daemon shakes hands with a bounded number at once.
                client = self._fork(lambda says, hears: _live(path, depth, says, hears))
                self._clients.append(client)
                _expect_ready(client)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def run(self, until_s: float) -> Trips:
        """Let all go until `until_s` of the monotonic clock; what they measured."""
        for client in self._clients:
            os.write(client.hears, struct.pack("<d", until_s))
        received = {client.says: bytearray() for client in self._clients}
        waiting = select.poll()
        for descriptor in received:
            waiting.register(descriptor, select.POLLIN)
        left = len(received)
        while left:
            for descriptor, _ in waiting.poll():
                piece = os.read(descriptor, 1 << 20)
                received[descriptor] += piece
                if not piece:
                    waiting.unregister(descriptor)
                    left -= 1
        taken: array[int] = array("Q")
        cpu_s = 0.0
        for data in received.values():
            used_s, count = _HEAD.unpack_from(data)
            if len(data) != _HEAD.size + count * taken.itemsize:
                raise RuntimeError("a client failed")
            cpu_s += used_s
            taken.frombytes(data[_HEAD.size :])
        return Trips(sorted(taken), cpu_s)

    def close(self) -> None:
        """End and reap all."""
        for client in self._clients:
            os.close(client.hears)
            os.close(client.says)
        for client in self._clients:
            os.waitpid(client.pid, 0)
        self._clients.clear()

    def _fork(self, live: Callable[[int, int], None]) -> Client:
        says, child_says = os.pipe()
        child_hears, hears = os.pipe()
        pid = os.fork()
        if pid:
            os.close(child_says)
            os.close(child_hears)
            return Client(pid, says, hears)
        code = 1
        try:
            for other in self._clients:  # a pipe ends when its last holder does
                os.close(other.hears)
                os.close(other.says)
            os.close(says)
            os.close(hears)
            live(child_says, child_hears)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of a child may run on in the parent's code
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
        raise AssertionError("never here")


def _expect_ready(client: Client) -> None:
    if os.read(client.says, 1) != _READY:
        raise RuntimeError("a client could not connect")


def _live(path: Path, depth: int, says: int, hears: int) -> None:
    with connect(path) as sock:
        os.write(says, _READY)
        told = os.read(hears, 8)
        if not told:
            return
        before_s = cpu_seconds()
        taken = round_trips(sock, depth, struct.unpack("<d", told)[0])
        with os.fdopen(says, "wb") as out:
            out.write(_HEAD.pack(cpu_seconds() - before_s, len(taken)))
            out.write(taken)
        os.read(hears, 1)  # stay connected until all are done
