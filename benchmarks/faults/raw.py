"""A client that says what no honest one says: a blocking socket, frames made by hand, the ring's memory laid bare."""

import array
import mmap
import os
import socket
import sys
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rxlapce.codec.frame import HEADER_BYTES, Flag, Frame, FrameDecoder, encode_frame
from rxlapce.codec.signing import NONCE_BYTES, TRAILER_BYTES, SignedFrameDecoder, Signer, derive_keys, signed_frame
from rxlapce.errors import FrameError
from rxlapce.messages import (
    NUMBERS,
    Handshake,
    HandshakeAck,
    ProtocolFailure,
    TransportName,
    WireMessage,
    decode,
    encode,
)
from rxlapce.transports.handshake import SIGN
from rxlapce.transports.intake import Decoder
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.ring import DATA_OFFSET

PATIENCE_S: Final = 30.0
_READ_BYTES: Final = 65_536


class Refused(Exception):
    """The daemon has refused the handshake, and says why."""


class RawClient:
    """A connection that has said nothing yet; `greet` shakes hands. Every wait is at most `PATIENCE_S` long.

    Raises `OSError` where there is no daemon, or it hangs up.
    """

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.memory: mmap.mmap | None = None
        self.wake: socket.socket | None = None
        self._decoder: Decoder = FrameDecoder()
        self._frames: deque[Frame] = deque()
        self._signer: Signer | None = None
        try:
            self.sock.connect(os.fspath(path))  # waits where the daemon has many to accept; with a timeout it fails
            self.sock.settimeout(PATIENCE_S)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, without a word."""
        self.sock.close()
        if self.wake is not None:
            self.wake.close()
        if self.memory is not None:
            self.memory.close()

    def greet(self, transport: TransportName = "socket", key: SigningKey | None = None) -> Self:
        """Shake hands. Raises `Refused`."""
        nonce = os.urandom(NONCE_BYTES)
        hello = Handshake(client="raw", transport=transport)
        if key is not None:
            hello = Handshake(client="raw", transport=transport, features=(SIGN,), nonce=nonce.hex(), key=key.name)
        self.sock.sendall(frame_of(hello, 0))
        data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC)
        length = int.from_bytes(data[8:12], "little")
        while len(data) < HEADER_BYTES + length + (TRAILER_BYTES if key else 0) and data[6:8] == b"\x11\x00":
            data += self.sock.recv(_READ_BYTES)
        if not data:
            raise Refused("closed without a word")
        answer = decode(
            int.from_bytes(data[6:8], "little"), data[HEADER_BYTES : HEADER_BYTES + length], receiver="client"
        )
        if isinstance(answer, ProtocolFailure):
            raise Refused(answer.message)
        if not isinstance(answer, HandshakeAck):
            raise TypeError(f"a handshake was answered by {answer!r}")
        if key is not None:
            keys = derive_keys(key.secret, nonce, bytes.fromhex(answer.nonce or ""), encode(hello))
            self._signer, self._decoder = Signer(keys.client), SignedFrameDecoder(keys.daemon)
            self._decoder.feed(data)  # the acknowledgement is the first of its frames
        if answer.ring is not None:
            fds = array.array("i")
            for _, _, content in ancillary:
                fds.frombytes(content)
            self.memory = mmap.mmap(fds[0], DATA_OFFSET + answer.ring.capacity)
            os.close(fds[0])
            self.wake = socket.socket(fileno=fds[1])
        return self

    def said(self, message: WireMessage, request_id: int) -> bytes:
        """The bytes of a message, as this connection signs them."""
        data = frame_of(message, request_id)
        return data if self._signer is None else signed_frame(data, self._signer)

    def send(self, message: WireMessage, request_id: int) -> None:
        """Send a message as an honest client would."""
        self.sock.sendall(self.said(message, request_id))

    def receive(self) -> tuple[int, WireMessage] | None:
        """The next message with its request id; None at the end. Raises `FrameError`, `TimeoutError`."""
        while not self._frames:
            try:
                data = self.sock.recv(_READ_BYTES)
            except ConnectionError:  # the daemon has closed with bytes of ours unread
                return None
            if not data:
                return None
            self._frames.extend(self._decoder.feed(data))
        frame = self._frames.popleft()
        return frame.request_id, decode(frame.number, frame.payload, receiver="client")

    def last_word(self) -> str:
        """Wait for the end; the name of the error that the daemon closed with, or `no word`."""
        name = "no word"
        try:
            while (got := self.receive()) is not None:
                if isinstance(got[1], ProtocolFailure):
                    name = got[1].error
        except (TimeoutError, FrameError) as error:
            return f"left hanging ({type(error).__name__})"
        return name

    def put(self, at: int, value: int) -> None:
        """Write a number into the ring's memory, as an enemy would."""
        assert self.memory is not None
        self.memory[at : at + 8] = value.to_bytes(8, sys.byteorder)

    def look(self, at: int) -> int:
        """Read a number of the ring's memory."""
        assert self.memory is not None
        return int.from_bytes(self.memory[at : at + 8], sys.byteorder)


def frame_of(message: WireMessage, request_id: int) -> bytes:
    """The bytes of one message of a client's, unsigned."""
    return encode_frame(NUMBERS[type(message)], int(Flag.REQUEST), request_id, encode(message))
