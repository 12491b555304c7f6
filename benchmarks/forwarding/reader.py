"""Who reads what is forwarded, in a process of its own, and only empties: by the ring or the socket.

`python -m benchmarks.forwarding.reader FD MEMORY_FD CAPACITY AWAKE`: FD is the wake-up socket of a ring, or, with a
CAPACITY of 0, the socket that frames come on. AWAKE 1: it looks again and again and never sleeps, so that the sender
never wakes it; 0: it sleeps whenever nothing is left. Ends when the sender's end of FD closes.
"""

import mmap
import socket
import sys
from typing import Final

from rxlapce.transports.ring import DATA_OFFSET, RingReader

_ROOM: Final = 1 << 20


def read_ring(wake: socket.socket, memory: int, capacity: int, *, awake: bool) -> None:
    """Empty the ring until the sender closes it."""
    with mmap.mmap(memory, DATA_OFFSET + capacity) as mapped:
        ring = RingReader(memoryview(mapped))
        try:
            print("ready", flush=True)
            while True:
                while ring.read(_ROOM):
                    pass
                if ring.writer_closed and not ring.available():
                    return
                if not awake:
                    ring.sleep(True)
                    if not ring.available() and not ring.writer_closed and not wake.recv(4096):
                        return
                    ring.sleep(False)
        finally:
            ring.release()


def read_socket(sock: socket.socket, *, awake: bool) -> None:
    """Empty the socket until the sender closes it."""
    print("ready", flush=True)
    sock.setblocking(not awake)
    while True:
        try:
            if not sock.recv(_ROOM):
                return
        except BlockingIOError:
            pass


def main(fd: int, memory: int, capacity: int, *, awake: bool) -> None:
    """Read."""
    with socket.socket(fileno=fd) as sock:
        sock.setblocking(True)
        if capacity:
            read_ring(sock, memory, capacity, awake=awake)
        else:
            read_socket(sock, awake=awake)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), awake=sys.argv[4] == "1")
