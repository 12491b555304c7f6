"""What a hostile client does by its socket. Each returns how often it ended how."""

import socket
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.faults.raw import PATIENCE_S, RawClient, Refused, frame_of
from rxlapce.codec.frame import HEADER_BYTES
from rxlapce.messages import Chat, Handshake, Heartbeat, TransportName
from rxlapce.requests import ChatRequest, Message
from rxlapce.transports.key_file import SigningKey

_WAYS: Final[tuple[TransportName, ...]] = ("socket", "shm")
#: What comes behind a frame with a flipped length: enough for the frames that it makes of a short one.
_BEHIND: Final = bytes(4096)
#: How long a client waits before it takes the daemon to be waiting as well.
_WAITS_S: Final = 0.3
#: A frame of nearly the largest size, of which the last part never comes.
_LARGE_BYTES: Final = 9 << 20


def torn(path: Path, key: SigningKey | None) -> Counter[str]:
    """Parts of frames, then the end: in the handshake and after it, unsigned and signed."""
    ends: Counter[str] = Counter()
    hello = frame_of(Handshake(client="raw"), 0)
    for end in (1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, len(hello) - 1):
        with RawClient(path) as client:
            client.sock.sendall(hello[:end])
            client.sock.shutdown(socket.SHUT_WR)
            ends[f"handshake: {client.last_word()}"] += 1
    for signs in (None, key):
        for transport in _WAYS:
            whole = len(frame_of(Heartbeat(echo=True), 1)) + (32 if signs else 0)
            for end in (1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, whole - 1):
                with RawClient(path).greet(transport, signs) as client:
                    client.sock.sendall(client.said(Heartbeat(echo=True), 1)[:end])
                    client.sock.shutdown(socket.SHUT_WR)
                    ends[f"request: {client.last_word()}"] += 1
    return ends


def torn_and_slow(path: Path, pause_s: float) -> Counter[str]:
    """Half a frame, a pause, the rest: it must be answered. And large ones whose rest never comes."""
    ends: Counter[str] = Counter()
    half = len(frame_of(Heartbeat(echo=True), 1)) // 2
    with RawClient(path).greet() as client:
        data = client.said(Heartbeat(echo=True), 1)
        client.sock.sendall(data[:half])
        holders = [RawClient(path).greet() for _ in range(4)]
        request = ChatRequest(model="local/torn", messages=(Message(role="user", content="x" * _LARGE_BYTES),))
        for holder in holders:
            holder.sock.sendall(frame_of(Chat(request=request), 1)[:-1000])
        time.sleep(pause_s)
        client.sock.sendall(data[half:])
        answer = client.receive()
        ends["answered" if answer == (1, Heartbeat()) else f"answered by {answer!r}"] += 1
        for holder in holders:
            holder.close()
            ends["9 MiB without their end"] += 1
    return ends


def flipped(path: Path, key: SigningKey | None, bits: Iterable[int]) -> Counter[str]:
    """One wrong bit a connection, in a frame that is right but for it: by which error the daemon closed."""
    ends: Counter[str] = Counter()
    for bit in bits:
        with RawClient(path).greet("socket", key) as client:
            data = bytearray(client.said(Heartbeat(echo=True), 1))
            data[bit // 8] ^= 1 << bit % 8
            with suppress(ConnectionError):  # it was quicker, and its word is there all the same
                client.sock.sendall(bytes(data) + _BEHIND)
            client.sock.settimeout(_WAITS_S)
            try:
                answer = client.receive()
            except TimeoutError:  # it waits for the rest of a longer frame
                client.sock.shutdown(socket.SHUT_WR)
                client.sock.settimeout(PATIENCE_S)
                answer = client.receive()
            word = "no word" if answer is None else getattr(answer[1], "error", "TAKEN")
            if answer is not None:
                client.last_word()
            ends[word] += 1
    return ends


def flippable_bits(key: SigningKey | None) -> int:
    """How many bits `flipped` can flip."""
    return 8 * (len(frame_of(Heartbeat(echo=True), 1)) + (32 if key else 0))


def churn(path: Path, connections: int) -> Counter[str]:
    """Open and drop so many: before, inside and after the handshake, with and without a ring and a request."""
    ends: Counter[str] = Counter()
    hello = frame_of(Handshake(client="raw"), 0)
    asked = Chat(request=ChatRequest(model="local/churn:fault=hang", messages=(Message(role="user", content="?"),)))
    for number in range(connections):
        kind = ("before", "inside", "after", "after, with a ring", "in a request")[number % 5]
        try:
            with RawClient(path) as client:
                if kind == "inside":
                    client.sock.sendall(hello[: number % len(hello) or 1])
                elif kind != "before":
                    client.greet("shm" if "ring" in kind else "socket")
                if kind == "in a request":
                    client.send(asked, 1)
            ends[kind] += 1
        except Refused:
            ends["refused"] += 1
        except OSError as error:
            ends[type(error).__name__] += 1
    return ends


def never_ending(path: Path, connections: int, drip_s: float = 0.2) -> dict[str, float]:
    """Handshakes that never end: some say nothing, some a byte now and then. How they ended, and after how long.

    `refused` at once and `closed` by the daemon, with the time of the first and the last in seconds; `hanging` after
    `PATIENCE_S`.
    """
    hello = frame_of(Handshake(client="raw"), 0)
    began_s = time.monotonic()
    clients = [RawClient(path) for _ in range(connections)]
    ends: dict[int, float] = {}
    refused: set[int] = set()
    said = 0
    while len(ends) < connections and time.monotonic() < began_s + PATIENCE_S:
        for number, client in enumerate(clients):
            if number in ends:
                continue
            client.sock.setblocking(False)
            try:
                with suppress(BrokenPipeError):  # refused: its last word is there to be read
                    if number % 2:
                        client.sock.sendall(hello[said : said + 1])
                data = client.sock.recv(4096)
            except BlockingIOError:
                continue
            except ConnectionError:
                data = b""
            if b"HandshakeRefused" in data:
                refused.add(number)
            ends[number] = time.monotonic() - began_s
        said = min(said + 1, len(hello) - 2)
        time.sleep(drip_s)
    for client in clients:
        client.close()
    closed = [at_s for number, at_s in ends.items() if number not in refused]
    return {
        "refused": len(refused),
        "closed": len(closed),
        "hanging": connections - len(ends),
        "first_closed_s": min(closed, default=0.0),
        "last_closed_s": max(closed, default=0.0),
    }
