"""The first two frames of a connection.

    client                                   daemon
      | -- Handshake(versions, transport) --> |   uid checked before a byte is read
      | <-- HandshakeAck(version, ring) ----- |   with the ring's two descriptors, if there is one
      | <-- ProtocolFailure(error) ---------- |   instead, and then both sides raise HandshakeRefused

Where both know a secret and the client asks for `sign`, the acknowledgement is the first signed frame, and from then
on both sides sign all that they send (`codec.signing`).

Every wait has the caller's deadline. The socket stays the caller's: nothing here closes it. Received descriptors are
closed on every way out but success.
"""

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from rxlapce.codec.frame import Flag, Frame, encode_frame
from rxlapce.codec.signing import (
    NONCE_BYTES,
    SessionKeys,
    SignedFrameDecoder,
    Signer,
    derive_keys,
    signed_frame,
)
from rxlapce.errors import BadMessageType, BadPayload, ConnectionLost, FrameError, HandshakeRefused, ProtocolError
from rxlapce.messages import (
    NUMBERS,
    PROTOCOL_VERSION,
    Handshake,
    HandshakeAck,
    ProtocolFailure,
    RingGrant,
    WireMessage,
    decode,
    encode,
)
from rxlapce.transports.first_frame import Received, close_all, receive_frame, send_frame
from rxlapce.transports.intake import Decoder
from rxlapce.transports.key_file import SigningKey
from rxlapce.transports.shm import Descriptors, ShmSender, shm_unavailable
from rxlapce.transports.unix import SignedWays, peer_uid

#: A handshake is a few hundred bytes.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
SIGN: Final = "sign"
DRAIN: Final = "drain"
_RING_FDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Whose signatures a daemon takes: `keys` by name. With `required` it serves nobody else."""

    keys: Mapping[str, SigningKey] = field(default_factory=dict[str, SigningKey])
    required: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the daemon knows after a handshake. `shm` is None where stream frames travel on the socket.

    `features` were granted. `user` is who it serves: the name of the key that signs, else the peer's uid. On a signed
    connection the first signed frame of the client proves that it knows the key; nothing is done for it before.
    """

    handshake: Handshake
    shm: ShmSender | None
    leftover: bytes
    uid: int
    features: tuple[str, ...] = ()
    user: str = ""
    signed: SignedWays | None = None
    ring_signer: Signer | None = None


@dataclass(frozen=True, slots=True)
class Agreed:
    """What the client knows after a handshake. `fds` is empty, or memory and wake-up socket: the caller's to close.

    `signed` and `ring_decoder` are for the rest of a connection that is signed.
    """

    ack: HandshakeAck
    fds: tuple[int, ...]
    leftover: bytes
    signed: SignedWays | None = None
    ring_decoder: Decoder | None = None


# -- the daemon's side ----------------------------------------------------------------------------------------------


async def accept_handshake(
    sock: socket.socket,
    *,
    make_shm: Callable[[], ShmSender] | None,
    server: str,
    max_streams: int,
    allowed_uid: int,
    timeout_s: float,
    features: tuple[str, ...] = (),
    signing: Signing | None = None,
) -> Accepted:
    """Answer a client's handshake on a non-blocking socket; `timeout_s` bounds each of its two frames.

    `features` are granted to a client that asks for them, and `sign` to one that names a key of `signing`.

    Shared memory is granted if the client asks for it and `make_shm` (None: switched off) can make it; if it raises
    OSError, the answer says why and names the socket. The caller owns `shm` from then on and must `start` it.

    Raises `HandshakeRefused`, `FrameError` or `BadPayload` after telling the peer in a `ProtocolFailure`, and
    `ConnectionLost`.
    """
    try:
        uid = _check_peer(sock, allowed_uid)
        received = await receive_frame(sock, max_payload_bytes=MAX_HANDSHAKE_BYTES, timeout_s=timeout_s)
        handshake = _read_handshake(received.frame)
        version = _choose_version(handshake)
        nonce = os.urandom(NONCE_BYTES)
        keys = _session_keys(handshake, received.frame.payload, nonce, signing or Signing())
    except ProtocolError as error:
        with suppress(ConnectionLost):
            failure = ProtocolFailure(error=type(error).__name__, message=str(error))
            await send_frame(sock, _frame(failure, Flag.RESPONSE), timeout_s=timeout_s)
        raise
    shm, reason = _make_shm(handshake, make_shm)
    granted = tuple(one for one in (*features, *((SIGN,) if keys else ())) if one in handshake.features)
    ack = HandshakeAck(
        version=version,
        server=server,
        transport="socket" if shm is None else "shm",
        ring=None if shm is None else RingGrant(capacity=shm.capacity),
        features=granted,
        max_streams=max_streams,
        reason=reason,
        nonce=None if keys is None else nonce.hex(),
    )
    data = _frame(ack, Flag.RESPONSE)
    signed: SignedWays | None = None
    if keys is not None:
        signed = SignedWays(Signer(keys.daemon), SignedFrameDecoder(keys.client, NUMBERS.values()))
        data = signed_frame(data, signed.signer)
    try:
        await send_frame(sock, data, () if shm is None else shm.fds, timeout_s=timeout_s)
    except BaseException:
        if shm is not None:
            shm.close()
        raise
    if shm is not None:
        shm.release_passed()
    return Accepted(
        handshake,
        shm,
        received.leftover,
        uid,
        features=granted,
        user=f"uid {uid}" if keys is None else str(handshake.key),
        signed=signed,
        ring_signer=None if keys is None else Signer(keys.ring),
    )


def _check_peer(sock: socket.socket, allowed_uid: int) -> int:
    uid = peer_uid(sock)
    if uid is None or uid != allowed_uid:
        who = "a user the system does not tell" if uid is None else f"user {uid}"
        raise HandshakeRefused(f"this daemon serves user {allowed_uid} only, and you are {who}")
    return uid


def _session_keys(handshake: Handshake, payload: bytes, nonce: bytes, signing: Signing) -> SessionKeys | None:
    """The keys of a connection that is to be signed; None for one that is not."""
    if SIGN not in handshake.features or not signing.keys:
        if signing.required:
            raise HandshakeRefused("this daemon serves signed connections only: ask for the feature 'sign', with a key")
        return None
    theirs = _read_nonce(handshake.nonce, "the client")
    key = signing.keys.get(handshake.key or "")
    if key is None:
        raise HandshakeRefused(f"this daemon has no key of the name {handshake.key!r}")
    return derive_keys(key.secret, theirs, nonce, payload)


def _read_nonce(digits: str | None, who: str) -> bytes:
    try:
        nonce = bytes.fromhex(digits or "")
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_BYTES or digits is None or len(digits) != 2 * NONCE_BYTES:
        raise HandshakeRefused(f"{who} signs with a nonce of {2 * NONCE_BYTES} hexadecimal digits, and sent none")
    return nonce


def _read_handshake(frame: Frame) -> Handshake:
    try:
        message = decode(frame.number, frame.payload, receiver="daemon")
    except BadMessageType as error:
        raise HandshakeRefused(f"the first frame must be a handshake: {error}") from None
    if not isinstance(message, Handshake):
        raise HandshakeRefused(f"the first frame must be a handshake, not type {frame.number:#06x}")
    return message


def _choose_version(handshake: Handshake) -> int:
    if PROTOCOL_VERSION not in handshake.versions:
        offered = ", ".join(map(str, handshake.versions)) or "none"
        raise HandshakeRefused(f"no common version: the client offers {offered}, the daemon speaks {PROTOCOL_VERSION}")
    return PROTOCOL_VERSION


def _make_shm(handshake: Handshake, make_shm: Callable[[], ShmSender] | None) -> tuple[ShmSender | None, str | None]:
    """The ring that was asked for, or why there is none; neither where none was asked for."""
    if handshake.transport != "shm":
        return None, None
    reason = shm_unavailable()
    if reason is not None:
        return None, reason
    if make_shm is None:
        return None, "shared memory is switched off"
    try:
        return make_shm(), None
    except OSError as error:
        return None, f"shared memory could not be made: {error.strerror or error}"


# -- the client's side ----------------------------------------------------------------------------------------------


async def client_handshake(
    sock: socket.socket, handshake: Handshake, timeout_s: float, key: SigningKey | None = None
) -> Agreed:
    """Shake hands with the daemon on a non-blocking socket; `timeout_s` bounds each of the two frames.

    With `key` the connection is signed, or refused: a daemon that does not sign is not gone on with.

    Raises `HandshakeRefused` with the daemon's reason, or if its answer is not one to this handshake; `FrameError`,
    `ConnectionLost`.
    """
    if key is not None:
        nonce = os.urandom(NONCE_BYTES)
        handshake = replace(handshake, features=(*handshake.features, SIGN), nonce=nonce.hex(), key=key.name)
    # A daemon that refuses may do so without reading: its reason is then in the socket, though sending fails.
    broken: ConnectionLost | None = None
    try:
        await send_frame(sock, _frame(handshake, Flag.REQUEST), timeout_s=timeout_s)
    except ConnectionLost as error:
        broken = error
    try:
        received = await receive_frame(
            sock, max_payload_bytes=MAX_HANDSHAKE_BYTES, timeout_s=timeout_s, max_fds=_RING_FDS, signed=key is not None
        )
    except (ConnectionLost, FrameError):
        if broken is not None:
            raise broken from None
        raise
    try:
        ack = _read_ack(received, handshake)
        signing = None if key is None else _prove_daemon(received, ack, key, handshake)
    except BaseException:
        close_all(received.fds)
        raise
    fds = received.fds
    if ack.transport == "socket":
        close_all(fds)
        fds = ()
    if signing is None:
        return Agreed(ack, fds, received.leftover)
    return Agreed(ack, fds, received.leftover, *signing)


def _prove_daemon(
    received: Received, ack: HandshakeAck, key: SigningKey, handshake: Handshake
) -> tuple[SignedWays, Decoder]:
    """How the connection goes on, socket and ring, once the acknowledgement proves that the daemon knows the secret."""
    if SIGN not in ack.features:
        raise HandshakeRefused("the daemon does not sign, and this client is to talk to one that does")
    nonce = _read_nonce(handshake.nonce, "the client")
    keys = derive_keys(key.secret, nonce, _read_nonce(ack.nonce, "the daemon"), encode(handshake))
    decoder = SignedFrameDecoder(keys.daemon, NUMBERS.values())
    if not decoder.feed(received.raw + received.trailer):
        raise HandshakeRefused(f"the daemon's signature is wrong: it has another secret of the name {key.name!r}")
    return SignedWays(Signer(keys.client), decoder), SignedFrameDecoder(keys.ring, NUMBERS.values())


def _read_ack(received: Received, handshake: Handshake) -> HandshakeAck:
    frame = received.frame
    try:
        message = decode(frame.number, frame.payload, receiver="client")
    except (BadMessageType, BadPayload) as error:
        raise HandshakeRefused(f"the daemon's answer is no acknowledgement: {error}") from None
    if isinstance(message, ProtocolFailure):
        raise HandshakeRefused(f"the daemon refused: {message.message}")
    if not isinstance(message, HandshakeAck):
        raise HandshakeRefused(f"the daemon's answer is no acknowledgement, but of type {frame.number:#06x}")
    if message.version not in handshake.versions:
        raise HandshakeRefused(f"the daemon chose version {message.version}, which was not offered")
    if message.transport == "shm" and len(received.fds) != _RING_FDS:
        raise HandshakeRefused(f"the daemon grants a ring with {len(received.fds)} descriptors instead of {_RING_FDS}")
    if message.transport == "shm" and (handshake.transport != "shm" or message.ring is None):
        raise HandshakeRefused("the daemon grants a ring that was not asked for, or without its size")
    return message


def ring_fds(agreed: Agreed) -> Descriptors:
    """The two descriptors of a granted ring. Raises ValueError where there is none."""
    memory, wake = agreed.fds
    return memory, wake


def _frame(message: WireMessage, flags: Flag) -> bytes:
    return encode_frame(NUMBERS[type(message)], int(flags), 0, encode(message))
