"""The vectors that every receiver takes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vectors_messages import FULL, LEAN, NONCE, TOKENS, done, flags_of, frame, lean_frame, text
from vectors_payloads import SOUND
from vectors_wire import (
    PRIORITY,
    RESPONSE,
    STREAM_PART,
    Key,
    Sent,
    derive,
    frame_bytes,
    joined,
    signed_batch,
    signed_batches,
)

from rxlapce import messages as m
from rxlapce import requests as r
from rxlapce import tokens as t

MAX_BATCH_BYTES: Final = 65_536
#: Messages of lower numbers are about the connection: their id is 0.
REQUESTS_FROM: Final = 0x20
SECRET: Final = bytes(range(0x40, 0x60))
DAEMON_NONCE: Final = NONCE[::-1]
HANDSHAKE: Final = m.encode(
    m.Handshake(client="vectors", transport="shm", features=("sign",), nonce=NONCE.hex(), key="laptop")
)
PRK, (CLIENT, DAEMON, RING) = derive(SECRET, NONCE, DAEMON_NONCE, HANDSHAKE)


@dataclass(frozen=True, slots=True)
class Vector:
    """Bytes, and the frames that they are; `key` where they are signed."""

    name: str
    data: bytes
    frames: tuple[Sent, ...]
    key: Key | None = None

    def told(self) -> list[dict[str, Any]]:
        """What the receiver reads."""
        return [
            {"type": one.type, "flags": one.flags, "id": one.id, "payload": json.loads(one.payload)}
            for one in self.frames
        ]


def name_of(message: type[m.WireMessage]) -> str:
    """A message's name among files: that of its class."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", message.__name__).lower()


def receivers(message: type[m.WireMessage]) -> tuple[str, ...]:
    """Who reads it."""
    to = m.TYPES[m.NUMBERS[message]][1]
    return ("daemon", "client") if to == "both" else (to,)


def raw(kind: type[m.WireMessage], payload: str | bytes) -> Sent:
    """A frame of that type with a payload as it is written there."""
    number = m.NUMBERS[kind]
    flags = flags_of(next(one for one in LEAN if type(one) is kind))
    return Sent(
        number, flags, 0 if number < REQUESTS_FROM else 7, payload.encode() if isinstance(payload, str) else payload
    )


def plain(name: str, *frames: Sent) -> Vector:
    """Frames without signatures."""
    return Vector(name, joined(frames), frames)


def valid() -> Iterator[Vector]:
    """All of them."""
    yield from each_type()
    yield from odd_frames()
    yield from payloads()
    yield from streams()
    yield from sessions()
    yield from signed()


def each_type() -> Iterator[Vector]:
    """One frame of each type, with every member and with those that it must have."""
    for messages, how, make in ((FULL, "full", frame), (LEAN, "lean", lean_frame)):
        for message in messages:
            kind = type(message)
            request_id = 0 if m.NUMBERS[kind] < REQUESTS_FROM else 7
            for to in receivers(kind):
                yield plain(f"to-{to}-{name_of(kind)}-{how}", make(message, request_id))
    chunks = [frame(m.StreamChunk(seq, token), 7) for seq, token in enumerate(TOKENS)]
    yield plain("to-client-stream-chunk-full", *chunks, done(7, len(chunks)))


def odd_frames() -> Iterator[Vector]:
    """Headers at their edges."""
    for at, request_id in enumerate((1, 2**31, 2**32, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1)):
        yield plain(f"to-daemon-id-{at}", frame(m.Cancel(), request_id))
        yield plain(f"to-client-id-{at}", text(request_id, 0, "a"), done(request_id, 1))
    for flags in (0, PRIORITY, RESPONSE | PRIORITY | STREAM_PART, 0x3C):
        yield plain(f"to-client-flags-{flags:02x}", frame(m.Disconnect(reason="flags"), 0, flags))
        yield plain(f"to-daemon-flags-{flags:02x}", frame(m.Heartbeat(echo=True), 3, flags))
    yield plain("to-client-nothing")
    yield plain("to-daemon-nothing")
    yield plain("to-client-large", text(9, 0, "abcdefghij" * 7_000), done(9, 1))
    question = r.ChatRequest(model="simulator/sim", messages=(r.Message(role="user", content="klmno" * 14_000),))
    yield plain("to-daemon-large", frame(m.ChatStream(request=question), 9))


def payloads() -> Iterator[Vector]:
    """JSON that says the same in unusual ways."""
    for what, kind, payload in SOUND:
        for to in receivers(kind):
            yield plain(f"to-{to}-payload-{what}", raw(kind, payload))


_SEAMED: Final[tuple[t.StreamToken, ...]] = (
    t.Text("It"),
    t.ToolCall(0, "c", "f", "{}"),
    t.Text(" is"),
    t.Seam(1, "rewind: b/m answers"),
    t.Text(" so."),
)


def streams() -> Iterator[Vector]:
    """Streams by themselves and between others."""
    yield plain("to-client-stream-empty", done(1, 0))
    yield plain("to-client-stream-refused", lean_frame(m.StreamError(0, _refusal("admit")), 1))
    yield plain("to-client-stream-broken-off", text(1, 0, "It is"), frame(m.StreamError(1, _refusal("flow")), 1))
    yield plain("to-client-id-used-again", text(1, 0, "a"), done(1, 1), text(1, 0, "b"), done(1, 1))
    said = "".join(chr(0x61 + at % 26) for at in range(100))
    seamed = [frame(m.StreamChunk(seq, one), 2) for seq, one in enumerate(_SEAMED)]
    yield plain("to-client-stream-with-seam", *seamed, done(2, len(seamed)))
    long: list[Sent] = []
    ids = (3, 2**64 - 1, 5)
    for seq, letter in enumerate(said):
        long += [text(request_id, seq, letter * (1 + seq % 7)) for request_id in ids]
    yield plain("to-client-stream-long", *long, *(done(request_id, len(said)) for request_id in reversed(ids)))


def _refusal(phase: str) -> m.ErrorBody:
    return m.ErrorBody("overloaded", "same", phase, "no more now")


def _asked(request_id: int, credit: int | None = None) -> Sent:
    question = r.ChatRequest(model="simulator/sim", messages=(r.Message(role="user", content="Hi"),))
    return frame(m.ChatStream(request=question, credit=credit), request_id)


def to_daemon() -> tuple[Sent, ...]:
    """What a client says in a whole session, without its handshake."""
    question = r.ChatRequest(model="simulator/sim", messages=(r.Message(role="user", content="Hi"),))
    completion = r.CompletionRequest(model="simulator/sim", prompt="def")
    return (
        frame(m.Status(), 1),
        frame(m.Models(), 2),
        _asked(3, credit=2),
        frame(m.Chat(request=question), 4),
        frame(m.Credit(frames=2), 3),
        frame(m.Complete(request=completion), 5),
        frame(m.CompleteStream(request=completion), 6),
        frame(m.Cancel(), 6),
        frame(m.Heartbeat(echo=True), 7),
        frame(m.Disconnect(reason="client closes")),
    )


def to_client() -> tuple[Sent, ...]:
    """What the daemon answers to that, without its acknowledgement."""
    cancelled = m.ErrorBody("cancelled", "never", "flow", "cancelled by the client", delivered_chars=3)
    return (
        lean_frame(LEAN[7], 1),
        text(3, 0, "Hel"),
        frame(m.ModelList(models=(m.ModelEntry(name="simulator/sim", provider="simulator"),)), 2),
        text(3, 1, "lo"),
        frame(m.ChatResponse(text="Hello.", finish=t.FinishKind.STOP), 4),
        text(6, 0, " f("),
        text(3, 2, "."),
        frame(m.StreamError(1, cancelled), 6),
        done(3, 3),
        frame(m.CompleteResponse(text=" f()", finish=t.FinishKind.STOP), 5),
        frame(m.Heartbeat(), 7),
        frame(m.Draining(within_s=5.0)),
        frame(m.Disconnect(reason="shutdown")),
    )


def sessions() -> Iterator[Vector]:
    """Whole sessions, from the handshake to the goodbye."""
    hello = frame(m.Handshake(client="vectors", features=("drain",)))
    ack = frame(m.HandshakeAck(server="rxlapce/1.2.3", max_streams=256, features=("drain",)))
    yield plain("to-daemon-session", hello, *to_daemon())
    yield plain("to-client-session", ack, *to_client())
    refusal = m.ProtocolFailure(error="HandshakeRefused", message="no common version")
    yield plain("to-client-session-refused", frame(refusal))


def sealed(name: str, key: Key, *batches: tuple[Sent, ...]) -> Vector:
    """Batches of one way, with what a receiver reads of them."""
    read = [one for batch in batches for one in (*batch[:-1], batch[-1].signed())]
    return Vector(name, signed_batches(batches, key), tuple(read), key)


def filled(frame_size: int) -> Sent:
    """A chunk whose frame has so many bytes."""
    empty = len(frame_bytes(text(1, 0, "")))
    return text(1, 0, "a" * (frame_size - empty))


def signed() -> Iterator[Vector]:
    """Signed ways, each from its first trailer."""
    ack = m.HandshakeAck(
        server="rxlapce/1.2.3",
        transport="shm",
        features=("sign",),
        ring=m.RingGrant(capacity=1 << 20),
        max_streams=256,
        nonce=DAEMON_NONCE.hex(),
    )
    said = to_client()
    ring = tuple(one for one in said if one.type in (0x312, 0x313, 0x314))
    rest = tuple(one for one in said if one not in ring)
    yield sealed("to-client-signed-single", DAEMON, (frame(ack),))
    yield sealed("to-client-signed-singles", DAEMON, (frame(ack),), *((one,) for one in rest))
    yield sealed("to-client-signed-session", DAEMON, (frame(ack),), rest[:1], rest[1:4], rest[4:])
    yield sealed("to-client-signed-ring", RING, ring[:2], ring[2:3], ring[3:])
    asked = to_daemon()
    yield sealed("to-daemon-signed-single", CLIENT, asked[:1])
    yield sealed("to-daemon-signed-session", CLIENT, asked[:1], asked[1:4], asked[4:9], asked[9:])
    last = text(1, 1, "b")
    yield sealed("to-client-signed-large", RING, (filled(70_000),), (text(1, 1, "b"), done(1, 2)))
    yield sealed("to-client-signed-batch-at-the-bound", RING, (filled(MAX_BATCH_BYTES - 1), last), (done(1, 2),))


def first_batches() -> list[bytes]:
    """Three batches of the client's way, for what is wrong with them."""
    asked = to_daemon()
    return [signed_batch(asked[at : at + 2], CLIENT, at // 2) for at in (0, 2, 4)]
