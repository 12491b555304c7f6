"""The vectors that a receiver refuses, each with the error that it must find."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from vectors_messages import LEAN, NONCE, done, frame, text
from vectors_payloads import REFUSED
from vectors_valid import (
    CLIENT,
    DAEMON,
    DAEMON_NONCE,
    MAX_BATCH_BYTES,
    RING,
    SECRET,
    filled,
    first_batches,
    raw,
    receivers,
    to_daemon,
)
from vectors_wire import HEADER_BYTES, Key, Sent, derive, frame_bytes, header, signed_batch, trailer

from rxlapce import messages as m

MAX_PAYLOAD_BYTES: Final = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes and the error that they are; where they are signed, the key, and how many frames are proved before it."""

    name: str
    data: bytes
    error: str
    frames: int = 0
    key: Key | None = None


GOODBYE: Final = frame(m.Disconnect(reason="bye"))
PING: Final = frame(m.Heartbeat(echo=True), 5)
#: A sound frame for each receiver.
SOUND: Final = {"client": GOODBYE, "daemon": PING}


def invalid() -> Iterator[Refused]:
    """All of them."""
    yield from headers()
    yield from checksums()
    yield from ends()
    yield from types()
    yield from payloads()
    yield from sequences()
    yield from signatures()
    yield from signed_frames()
    yield from handshakes()


def flipped(data: bytes, at: int, bits: int = 1) -> bytes:
    """The bytes with some bits of one changed."""
    changed = bytearray(data)
    changed[at] ^= bits
    return bytes(changed)


def headers() -> Iterator[Refused]:
    """Headers that are none, each found without the payload; the first that is wrong counts."""
    for to, sound in SOUND.items():
        good = frame_bytes(sound)
        yield Refused(f"to-{to}-magic-first-byte", b"\x00", "BadMagic")
        yield Refused(f"to-{to}-magic-last-byte", flipped(good, 3)[:4], "BadMagic")
        yield Refused(f"to-{to}-magic-big-endian", good[3::-1] + good[4:], "BadMagic")
        yield Refused(f"to-{to}-magic-of-second-frame", good + b"CPA\x00", "BadMagic")
        yield Refused(f"to-{to}-http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "BadMagic")
        for version in (0, 2, 255):
            yield Refused(f"to-{to}-version-{version}", header(sound, version=version)[:5], "BadVersion")
        for flag in (0x01, 0x02, 0x40, 0x80):
            refused = replace(sound, flags=sound.flags | flag)
            yield Refused(f"to-{to}-flags-{flag:02x}", header(refused), "BadFlags")
            yield Refused(f"to-{to}-flags-{flag:02x}-whole", good + frame_bytes(refused), "BadFlags")
        for length in (MAX_PAYLOAD_BYTES + 1, 2**32 - 1):
            yield Refused(f"to-{to}-length-{length}", header(sound, length=length), "FrameTooLarge")
        worst = Sent(0xFFFF, 0xFF, 0, b"")
        yield Refused(f"to-{to}-order-magic", header(worst, magic=0, version=9, length=2**31), "BadMagic")
        yield Refused(f"to-{to}-order-version", header(worst, version=9, length=2**31), "BadVersion")
        yield Refused(f"to-{to}-order-flags", header(worst, length=2**31), "BadFlags")
        yield Refused(f"to-{to}-order-type", header(replace(worst, flags=0), length=2**31), "BadMessageType")
        yield Refused(f"to-{to}-order-length", header(sound, length=2**31, checksum=0), "FrameTooLarge")


def checksums() -> Iterator[Refused]:
    """One bit wrong in each field that no other check sees, and a payload that is not looked into."""
    for to, sound in SOUND.items():
        good = frame_bytes(sound)
        for what, at in (
            ("id-first", 12),
            ("id-last", 19),
            ("checksum", 20),
            ("payload-first", 24),
            ("payload-last", -1),
        ):
            yield Refused(f"to-{to}-checksum-{what}-byte", flipped(good, at), "BadChecksum")
        yield Refused(f"to-{to}-checksum-flags", flipped(good, 5, 0x08), "BadChecksum")
        shorter = header(sound, length=len(sound.payload) - 1, checksum=int.from_bytes(good[20:24], "little"))
        yield Refused(f"to-{to}-checksum-length", shorter + sound.payload, "BadChecksum")
        yield Refused(f"to-{to}-checksum-of-second-frame", good + flipped(good, -1), "BadChecksum")
        garbage = replace(sound, payload=b"{")
        yield Refused(f"to-{to}-checksum-before-payload", flipped(frame_bytes(garbage), 20), "BadChecksum")


def ends() -> Iterator[Refused]:
    """Bytes that end inside a frame."""
    for to, sound in SOUND.items():
        good = frame_bytes(sound)
        for what, size in (("magic", 2), ("header", 12), ("checksum", 23), ("payload-none", 24), ("payload", -1)):
            yield Refused(f"to-{to}-ends-in-{what}", good[:size], "TruncatedFrame")
        yield Refused(f"to-{to}-ends-in-second-frame", good + good[:-3], "TruncatedFrame")


def types() -> Iterator[Refused]:
    """Types that are not in the table, or that go the other way."""
    for to in SOUND:
        for number in (0, 1, 0x14, 0x316, 0xFFFF):
            yield Refused(f"to-{to}-type-{number:04x}", header(Sent(number, 0, 1, b"{}")), "BadMessageType")
    for message in LEAN:
        number = m.NUMBERS[type(message)]
        to = m.TYPES[number][1]
        other = {"daemon": "client", "client": "daemon"}.get(to)
        if other is not None:
            yield Refused(f"to-{other}-type-{number:04x}", frame_bytes(frame(message, 1)), "BadMessageType")


def payloads() -> Iterator[Refused]:
    """Sound frames whose payload is not what their type says."""
    for what, kind, payload in REFUSED:
        for to in receivers(kind):
            yield Refused(f"to-{to}-payload-{what}", frame_bytes(raw(kind, payload)), "BadPayload")


def sequences() -> Iterator[Refused]:
    """Streams whose frames are not in order."""
    broken = m.StreamError(2, m.ErrorBody("truncated", "same", "flow", "broken off"))
    told: tuple[tuple[str, tuple[Sent, ...]], ...] = (
        ("from-one", (text(1, 1, "a"),)),
        ("gap", (text(1, 0, "a"), text(1, 2, "c"))),
        ("double", (text(1, 0, "a"), text(1, 0, "a"))),
        ("back", (text(1, 0, "a"), text(1, 1, "b"), text(1, 0, "a"))),
        ("gap-before-done", (text(1, 0, "a"), done(1, 2))),
        ("double-in-done", (text(1, 0, "a"), done(1, 0))),
        ("gap-before-error", (text(1, 0, "a"), frame(broken, 1))),
        ("gap-between-streams", (text(1, 0, "a"), text(2, 0, "b"), text(2, 1, "c"), text(1, 2, "d"))),
        ("goes-on-behind-the-end", (text(1, 0, "a"), done(1, 1), text(1, 2, "b"))),
    )
    for what, frames in told:
        data = b"".join(map(frame_bytes, frames))
        yield Refused(f"to-client-sequence-{what}", data, "SequenceGap")


def signatures() -> Iterator[Refused]:
    """Batches that their trailer does not prove."""
    first, second, third = first_batches()
    size = len(first) - 32
    other = derive(SECRET[::-1], NONCE, DAEMON_NONCE, b"{}")[1][0]
    frames = to_daemon()[:2]
    told: tuple[tuple[str, bytes, int], ...] = (
        ("trailer-first-byte", flipped(first, size), 0),
        ("trailer-last-byte", flipped(first, -1), 0),
        ("trailer-of-zeros", first[:size] + bytes(32), 0),
        ("second-trailer", first + flipped(second, -1), 2),
        ("changed-payload", signed_batch(_changed(frames), CLIENT, 0)[:size] + first[size:], 0),
        ("changed-id", signed_batch(_renumbered(frames), CLIENT, 0)[:size] + first[size:], 0),
        ("frame-left-out", first[len(frame_bytes(frames[0])) :], 0),
        ("frames-swapped", signed_batch(frames[::-1], CLIENT, 0)[:size] + first[size:], 0),
        ("batch-again", first + first, 2),
        ("batch-left-out", first + third, 2),
        ("batches-swapped", second + first, 0),
        ("batches-swapped-later", first + third + second, 2),
        ("counter-from-1", signed_batch(frames, CLIENT, 1), 0),
        ("counter-big-endian", first + _big_endian(to_daemon()[2:4]), 2),
        ("other-secret", signed_batch(frames, other, 0), 0),
        ("key-of-the-other-way", signed_batch(frames, DAEMON, 0), 0),
        ("trailer-without-counter", _without_counter(frames), 0),
        ("trailer-of-the-last-frame-alone", _last_alone(frames), 0),
    )
    for what, data, taken in told:
        yield Refused(f"to-daemon-signature-{what}", data, "BadSignature", taken, CLIENT)
    said = [(text(1, 0, "a"), text(1, 1, "b")), (text(1, 2, "c"), done(1, 3))]
    batches = [signed_batch(batch, RING, at) for at, batch in enumerate(said)]
    yield Refused("to-client-signature-batch-again", batches[0] * 2, "BadSignature", 2, RING)
    yield Refused("to-client-signature-last-byte", batches[0] + flipped(batches[1], -1), "BadSignature", 2, RING)
    by_socket = signed_batch(said[0], DAEMON, 0)
    yield Refused("to-client-signature-of-the-socket-in-the-ring", by_socket, "BadSignature", 0, RING)


def _changed(frames: tuple[Sent, ...]) -> tuple[Sent, ...]:
    return (replace(frames[0], payload=frames[0].payload.replace(b"status", b"STATUS")), *frames[1:])


def _renumbered(frames: tuple[Sent, ...]) -> tuple[Sent, ...]:
    return (replace(frames[0], id=frames[0].id + 1), *frames[1:])


def _big_endian(frames: tuple[Sent, ...]) -> bytes:
    swapped = int.from_bytes((1).to_bytes(8, "big"), "little")
    return signed_batch(frames, CLIENT, swapped)


def _without_counter(frames: tuple[Sent, ...]) -> bytes:
    batch = signed_batch(frames, CLIENT, 0)[:-32]
    return batch + hmac.new(CLIENT.key, batch, hashlib.sha256).digest()


def _last_alone(frames: tuple[Sent, ...]) -> bytes:
    batch = signed_batch(frames, CLIENT, 0)[:-32]
    return batch + trailer(CLIENT, 0, frame_bytes(frames[-1].signed()))


def signed_frames() -> Iterator[Refused]:
    """What is wrong with frames on a signed way; nothing of a batch without its trailer is taken."""
    one, two = (text(1, 0, "a"),), text(1, 1, "b")
    good = signed_batch(one, RING, 0)
    loose = frame_bytes(two)
    told: tuple[tuple[str, bytes, str, int], ...] = (
        ("ends-before-trailer", good[:-32], "TruncatedFrame", 0),
        ("ends-in-trailer", good[:-1], "TruncatedFrame", 0),
        ("ends-in-unsigned-batch", good + loose, "TruncatedFrame", 1),
        ("ends-in-header", good + loose[:9], "TruncatedFrame", 1),
        ("never-signed", frame_bytes(filled(MAX_BATCH_BYTES)), "BadSignature", 0),
        ("never-signed-in-two", frame_bytes(filled(MAX_BATCH_BYTES - 1)) + loose, "BadSignature", 0),
        ("magic-in-batch", good + loose + b"X", "BadMagic", 1),
        ("flags-in-batch", good + loose + header(replace(two, flags=0x21)), "BadFlags", 1),
        ("type-in-batch", good + loose + header(replace(two, type=0xFFFF)), "BadMessageType", 1),
        ("checksum-in-batch", good + flipped(loose, HEADER_BYTES), "BadChecksum", 1),
        ("checksum-before-signature", flipped(good, HEADER_BYTES), "BadChecksum", 0),
        ("too-large-in-batch", good + header(two, length=2**31), "FrameTooLarge", 1),
    )
    for what, data, error, taken in told:
        yield Refused(f"to-client-signed-{what}", data, error, taken, RING)
    yield Refused("to-client-signed-without-agreement", good, "BadFlags")
    yield Refused("to-daemon-signed-without-agreement", first_batches()[0], "BadFlags")


def handshakes() -> Iterator[Refused]:
    """First frames that end a handshake. The client's own was `valid/to-daemon-handshake-lean`."""
    refusal = m.ProtocolFailure(error="HandshakeRefused", message="no common version")
    told: tuple[tuple[str, Sent], ...] = (
        ("to-daemon-handshake-is-a-ping", PING),
        ("to-daemon-handshake-version-2", frame(m.Handshake(versions=(2,)))),
        ("to-daemon-handshake-no-version", frame(m.Handshake(versions=()))),
        ("to-daemon-handshake-unknown-key", _signing(NONCE.hex(), "nobody")),
        ("to-daemon-handshake-no-key", _signing(NONCE.hex(), None)),
        ("to-daemon-handshake-no-nonce", _signing(None, "laptop")),
        ("to-daemon-handshake-short-nonce", _signing(NONCE.hex()[:-2], "laptop")),
        ("to-daemon-handshake-nonce-no-digits", _signing("x" * 64, "laptop")),
        ("to-client-handshake-refused", frame(refusal)),
        ("to-client-handshake-is-a-goodbye", GOODBYE),
        ("to-client-handshake-version-2", frame(m.HandshakeAck(version=2))),
        ("to-client-handshake-ring-not-asked-for", _granting(m.RingGrant(capacity=4096))),
        ("to-client-handshake-shm-not-asked-for", _granting(None)),
    )
    for name, first in told:
        yield Refused(name, frame_bytes(first), "HandshakeRefused")


def _signing(nonce: str | None, key: str | None) -> Sent:
    return frame(m.Handshake(features=("sign",), nonce=nonce, key=key))


def _granting(ring: m.RingGrant | None) -> Sent:
    return frame(m.HandshakeAck(transport="shm", ring=ring, max_streams=1))
