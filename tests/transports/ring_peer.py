"""The other process of the tests of shared memory: `ring_peer.py SOCKET_FD read | hang | write`."""

import asyncio
import json
import os
import signal
import socket
import sys

from rxlapce.codec.frame import Frame
from rxlapce.messages import Handshake
from rxlapce.transports.handshake import accept_handshake, client_handshake, ring_fds
from rxlapce.transports.shm import ShmReceiver, ShmSender
from rxlapce.transports.unix import attach
from rxlapce.transports.writer import FrameWriter


def payload(number: int) -> bytes:
    return b"%d" % number * (number % 40)


async def read(sock: socket.socket) -> None:
    """Read until the end, check each frame, and print what was seen."""
    agreed = await client_handshake(sock, Handshake(transport="shm"), 10)
    assert agreed.ack.ring is not None
    done = asyncio.Event()
    seen = wrong = 0
    errors: list[str] = []

    def on_frames(frames: list[Frame]) -> None:
        nonlocal seen, wrong
        for frame in frames:
            wrong += frame.request_id != seen or frame.payload != payload(seen)
            seen += 1

    def on_corrupt(error: Exception) -> None:
        errors.append(repr(error))
        done.set()

    receiver = ShmReceiver(ring_fds(agreed), agreed.ack.ring.capacity, on_frames, on_corrupt, on_end=done.set)
    receiver.start()
    await done.wait()
    print(json.dumps({"seen": seen, "wrong": wrong, "errors": errors}))
    receiver.close()


async def hang(sock: socket.socket) -> None:
    """Agree on a ring, map it, and never read it."""
    agreed = await client_handshake(sock, Handshake(transport="shm"), 10)
    assert agreed.ack.ring is not None
    _receiver = ShmReceiver(ring_fds(agreed), agreed.ack.ring.capacity, lambda frames: None, lambda error: None)
    print("ready", flush=True)
    signal.pause()


async def write(sock: socket.socket) -> None:
    """Grant a ring and write into it as fast as the reader allows, until killed."""
    accepted = await accept_handshake(
        sock, make_shm=ShmSender, server="peer", max_streams=1, allowed_uid=os.geteuid(), timeout_s=10
    )
    assert accepted.shm is not None
    connection = await attach(sock, lambda frames: None, lambda error: None)
    accepted.shm.start(lambda error: None)
    writer = FrameWriter(accepted.shm.lane)
    number = 0
    while not connection.lost:
        if not writer.flow.is_open:
            print("full", flush=True)
            await writer.flow.wait_open()
        writer.send(0x312, 0x24, number, payload(number))
        number += 1


async def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(False)
    match sys.argv[2]:
        case "read":
            await read(sock)
        case "hang":
            await hang(sock)
        case _:
            await write(sock)


if __name__ == "__main__":
    asyncio.run(main())
