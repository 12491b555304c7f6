"""A client that does nothing but send heartbeats and wait for them to come back, by plain blocking calls."""

import os
import socket
import time
from array import array
from pathlib import Path
from typing import Final

from rxlapce.codec.frame import Flag, FrameDecoder, encode_frame
from rxlapce.messages import NUMBERS, Handshake, HandshakeAck, Heartbeat, encode

_BEAT: Final = NUMBERS[Heartbeat]
_ROOM: Final = 64 * 1024
_TIMEOUT_S: Final = 30.0
_REQUEST_ID: Final = 7


def connect(path: Path) -> socket.socket:
    """A blocking socket after the handshake."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(_TIMEOUT_S)
    sock.connect(os.fspath(path))
    handshake = encode(Handshake(client="benchmark", transport="socket"))
    sock.sendall(encode_frame(NUMBERS[Handshake], int(Flag.REQUEST), 0, handshake))
    decoder = FrameDecoder()
    while not (frames := decoder.feed(sock.recv(_ROOM))):
        pass
    if frames[0].number != NUMBERS[HandshakeAck]:
        raise RuntimeError(f"refused: {frames[0].payload!r}")
    # Not by Python's own timeout, which would poll before each call.
    sock.setblocking(True)
    return sock


def round_trips(sock: socket.socket, depth: int, until_s: float) -> "array[int]":
    """Nanoseconds of each trip until `until_s` of the monotonic clock; `depth` heartbeats go at once, and come back.

    Raises `RuntimeError` unless what comes back is as many answers, and nothing else.
    """
    ping = encode_frame(_BEAT, int(Flag.REQUEST), _REQUEST_ID, encode(Heartbeat(echo=True))) * depth
    pong = encode_frame(_BEAT, int(Flag.RESPONSE), _REQUEST_ID, encode(Heartbeat())) * depth
    taken: array[int] = array("Q")
    size, send, receive, clock = len(pong), sock.send, sock.recv, time.monotonic_ns
    began = clock()
    end_ns = int(until_s * 1e9)
    while began < end_ns:
        send(ping)
        answer = receive(_ROOM)
        while len(answer) < size:
            more = receive(_ROOM)
            if not more:
                raise RuntimeError("the daemon closed the connection")
            answer += more
        now = clock()
        if answer != pong:
            raise RuntimeError(f"expected {pong!r}, got {answer!r}")
        taken.append(now - began)
        began = now
    return taken
