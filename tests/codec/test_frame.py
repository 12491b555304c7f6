"""The frame codec: golden bytes, every named error at every cut, round trips, linear time."""

import struct
import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.frame import (
    HEADER_BYTES,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    VERSION,
    Flag,
    Frame,
    FrameDecoder,
    FrameStamp,
    append_frame,
    encode_frame,
)
from rxlapce.errors import (
    BadChecksum,
    BadFlags,
    BadMagic,
    BadMessageType,
    BadVersion,
    FrameError,
    FrameTooLarge,
    TruncatedFrame,
)
from rxlapce.testing.thoroughness import examples

KNOWN = (0x0005, 0x0312)
REQUEST, PART = int(Flag.REQUEST), int(Flag.RESPONSE | Flag.STREAM_PART)
HEARTBEAT = Frame(0x0005, REQUEST, 0, b'{"type":"heartbeat"}')
CHUNK = Frame(0x0312, PART, 2**64 - 1, b'{"type":"stream_chunk","seq":0}')
EMPTY = Frame(0x0312, 0, 7, b"")


def crc(data: bytes) -> int:
    """CRC-32 of IEEE 802.3, bit by bit, as the standard writes it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def raw(
    frame: Frame,
    *,
    magic: bytes = b"\x43\x50\x41\x4c",
    version: int = 1,
    length: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """A frame built from the table of the protocol, with anything in it that is asked for."""
    size = len(frame.payload) if length is None else length
    head = magic + struct.pack("<BBHIQ", version, frame.flags, frame.number, size, frame.request_id)
    if checksum is None:
        checksum = crc(head + bytes(4) + frame.payload)
    return head + struct.pack("<I", checksum) + frame.payload


def encoded(*frames: Frame) -> bytes:
    return b"".join(encode_frame(f.number, f.flags, f.request_id, f.payload) for f in frames)


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(points), len(data)])]


def read(pieces: Iterable[bytes], decoder: FrameDecoder) -> tuple[list[Frame], type[FrameError] | None]:
    """The frames, and the kind of error that came after them, at the end of the bytes at the latest."""
    frames: list[Frame] = []
    for piece in pieces:
        frames += decoder.feed(piece)
        if decoder.error is not None:
            return frames, type(decoder.error)
    try:
        decoder.close()
    except FrameError as error:
        return frames, type(error)
    return frames, None


# -- the table ------------------------------------------------------------------------------------------------------


def test_frame_has_the_bytes_of_the_protocol() -> None:
    assert encode_frame(0x0005, 0x10, 0x0102030405060708, b"{}").hex(" ") == (
        "43 50 41 4c 01 10 05 00 02 00 00 00 08 07 06 05 04 03 02 01 "
        + struct.pack(
            "<I",
            crc(bytes.fromhex("4350414c 01 10 0500 02000000 0807060504030201 00000000") + b"{}"),
        ).hex(" ")
        + " 7b 7d"
    )
    assert (MAGIC, VERSION, HEADER_BYTES) == (0x4C415043, 1, 24)
    assert MAX_PAYLOAD_BYTES == 10 * 1024 * 1024


def test_check_value_of_the_checksum_is_the_published_one() -> None:
    assert crc(b"123456789") == 0xCBF43926


@pytest.mark.parametrize("frame", [HEARTBEAT, CHUNK, EMPTY])
def test_encoder_and_table_agree(frame: Frame) -> None:
    assert encoded(frame) == raw(frame)


def test_append_leaves_what_is_there() -> None:
    out = bytearray(b"before")
    append_frame(out, 0x0005, REQUEST, 0, HEARTBEAT.payload)
    append_frame(out, 0x0312, 0, 7, b"")
    assert out == b"before" + raw(HEARTBEAT) + raw(EMPTY)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_is_read_and_not_kept(wrap: Callable[[bytes], bytes | bytearray | memoryview]) -> None:
    decoder = FrameDecoder()
    data = raw(HEARTBEAT)
    assert decoder.feed(wrap(data[:30])) == []
    buffer = bytearray(data[30:] + raw(CHUNK))
    frames = decoder.feed(buffer)
    buffer.clear()  # would raise if it were still exported
    assert frames == [HEARTBEAT, CHUNK]
    assert all(type(frame.payload) is bytes for frame in frames)


@pytest.mark.parametrize(
    ("number", "flags", "request_id", "payload", "message"),
    [
        (0x10000, 0, 0, b"", "not 0x0, 0x10000 and 0x0"),
        (-1, 0, 0, b"", "a type of 16"),
        (5, 0, 2**64, b"", "a request id of 64"),
        (5, 0, -1, b"", "a request id of 64"),
        (5, 0x100, 0, b"", "flags of 8 bits"),
        (5, int(Flag.ZSTD), 0, b"", "does not speak <Flag.ZSTD: 1>"),
        (5, int(Flag.ENCRYPTED), 0, b"", "does not speak <Flag.ENCRYPTED: 2>"),
        (5, int(Flag.SIGNED), 0, b"", "does not speak <Flag.SIGNED: 64>"),
        (5, 0x80, 0, b"", "does not speak <Flag: 128>"),
        (5, -1, 0, b"", "does not speak"),
        (5, 0, 0, bytes(MAX_PAYLOAD_BYTES + 1), "at most 10,485,760 bytes, not 10,485,761"),
    ],
)
def test_what_no_frame_can_hold_is_not_sent(
    number: int, flags: int, request_id: int, payload: bytes, message: str
) -> None:
    out = bytearray(b"before")
    with pytest.raises(ValueError, match=message):
        append_frame(out, number, flags, request_id, payload)
    assert out == b"before"


# -- every cut ------------------------------------------------------------------------------------------------------

Case = tuple[list[Frame], type[FrameError] | None]

FLAGGED = [Frame(0x0312, int(flag), 1, b"x") for flag in (Flag.ZSTD, Flag.ENCRYPTED, Flag.SIGNED)]
GOOD: dict[str, tuple[bytes, list[Frame]]] = {
    "nothing": (b"", []),
    "one": (raw(HEARTBEAT), [HEARTBEAT]),
    "no payload": (raw(EMPTY), [EMPTY]),
    "many at once": (raw(EMPTY) * 3 + raw(HEARTBEAT) + raw(CHUNK), [EMPTY, EMPTY, EMPTY, HEARTBEAT, CHUNK]),
    "every flag that is spoken": (raw(Frame(5, 0x3C, 1, b"x")), [Frame(5, 0x3C, 1, b"x")]),
    "a payload that looks like a frame": (
        raw(Frame(5, 0, 1, raw(HEARTBEAT))) + raw(CHUNK),
        [Frame(5, 0, 1, raw(HEARTBEAT)), CHUNK],
    ),
    "the largest payload allowed": (raw(Frame(5, 0, 1, bytes(64))), [Frame(5, 0, 1, bytes(64))]),
}
BAD: dict[str, tuple[bytes, type[FrameError], int]] = {
    # the bytes, the error, and how many of the bytes tell it
    "magic, first byte": (raw(HEARTBEAT, magic=b"XPAL"), BadMagic, 1),
    "magic, last byte": (raw(HEARTBEAT, magic=b"CPAX"), BadMagic, 4),
    "magic in the other order": (raw(HEARTBEAT, magic=b"LAPC"), BadMagic, 1),
    "version 0": (raw(HEARTBEAT, version=0), BadVersion, 5),
    "version 2": (raw(HEARTBEAT, version=2), BadVersion, 5),
    "zstd": (raw(FLAGGED[0]), BadFlags, 24),
    "encrypted": (raw(FLAGGED[1]), BadFlags, 24),
    "signed": (raw(FLAGGED[2]), BadFlags, 24),
    "a flag without a name": (raw(Frame(5, 0x80, 1, b"x")), BadFlags, 24),
    "unknown type": (raw(Frame(0x0999, 0, 1, b"x")), BadMessageType, 24),
    "one byte too large": (raw(Frame(5, 0, 1, bytes(65))), FrameTooLarge, 24),
    "length of all ones": (raw(EMPTY, length=2**32 - 1), FrameTooLarge, 24),
    "checksum": (raw(HEARTBEAT, checksum=0), BadChecksum, 44),
    "checksum without payload": (raw(EMPTY, checksum=1), BadChecksum, 24),
    "payload changed": (raw(HEARTBEAT)[:-1] + b"]", BadChecksum, 44),
    "request id changed": (raw(HEARTBEAT)[:12] + b"\x01" + raw(HEARTBEAT)[13:], BadChecksum, 44),
}


def decoder() -> FrameDecoder:
    return FrameDecoder(KNOWN, max_payload_bytes=64)


@pytest.mark.parametrize("name", GOOD)
def test_good_frames_are_read_at_every_cut(name: str) -> None:
    data, frames = GOOD[name]
    assert read([data], decoder()) == (frames, None)
    assert read(cut(data, range(1, len(data))), decoder()) == (frames, None)
    for at in range(len(data) + 1):
        assert read(cut(data, [at]), decoder()) == (frames, None), f"cut at {at}"


@pytest.mark.parametrize("name", BAD)
def test_bad_frame_is_named_at_every_cut_after_the_frames_before_it(name: str) -> None:
    bad, error, _ = BAD[name]
    data = raw(HEARTBEAT) + raw(CHUNK) + bad + raw(CHUNK)
    want: Case = ([HEARTBEAT, CHUNK], error)
    assert read([data], decoder()) == want
    assert read(cut(data, range(1, len(data))), decoder()) == want
    for at in range(len(data) + 1):
        assert read(cut(data, [at]), decoder()) == want, f"cut at {at}"


@pytest.mark.parametrize("name", BAD)
def test_bad_frame_is_told_by_the_first_byte_that_can_tell(name: str) -> None:
    bad, error, tells = BAD[name]
    for pieces in ([bad[:tells]], cut(bad[:tells], range(1, tells))):
        one = decoder()
        for piece in pieces:
            assert one.error is None
            assert one.feed(piece) == []
        assert type(one.error) is error
    one = decoder()
    one.feed(bad[: tells - 1])
    assert one.error is None


@pytest.mark.parametrize("name", BAD)
def test_decoder_that_failed_refuses_more(name: str) -> None:
    bad, error, _ = BAD[name]
    one = decoder()
    assert one.feed(raw(CHUNK) + bad) == [CHUNK]
    with pytest.raises(error):
        one.feed(raw(HEARTBEAT))
    with pytest.raises(error):
        one.feed(b"")
    with pytest.raises(error):
        one.close()


def test_every_proper_part_of_a_frame_is_truncated() -> None:
    data = raw(CHUNK)
    for at in range(1, len(data)):
        assert read([raw(HEARTBEAT) + data[:at]], decoder()) == ([HEARTBEAT], TruncatedFrame), at
    one = decoder()
    one.feed(data[:30])
    with pytest.raises(TruncatedFrame, match="30 of 55"):
        one.close()
    with pytest.raises(TruncatedFrame):
        one.feed(data[30:])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n", "a frame starts with 43 50 41 4c, not 47 45 54 20"),
        (raw(EMPTY, version=9), "version 9; this side speaks 1"),
        (raw(FLAGGED[2]), "flags 0x40 of request 1: this version does not speak <Flag.SIGNED: 64>"),
        (raw(Frame(0x999, 0, 1, b"")), "type 0x0999 of request 1; known here: 0x0005, 0x0312"),
        (raw(EMPTY, length=65), r"65 bytes \(type 0x0312, request 7\); the bound is 64"),
        (raw(EMPTY, checksum=1), r"of 24 bytes that says 0x00000001 \(type 0x0312, request 7\)"),
    ],
)
def test_error_says_what_came_and_what_was_expected(data: bytes, message: str) -> None:
    one = decoder()
    one.feed(data)
    with pytest.raises(FrameError, match=message):
        one.close()


def test_without_a_table_any_type_is_read() -> None:
    frame = Frame(0xFFFF, 0, 1, b"x")
    assert read([raw(frame)], FrameDecoder()) == ([frame], None)
    assert read([raw(frame)], FrameDecoder(())) == ([], BadMessageType)


@pytest.mark.parametrize("bound", [-1, MAX_PAYLOAD_BYTES + 1])
def test_bound_of_the_payload_is_within_the_protocol(bound: int) -> None:
    with pytest.raises(ValueError, match="max_payload_bytes must be from 0 to 10485760"):
        FrameDecoder(max_payload_bytes=bound)


def test_largest_payload_of_the_protocol_makes_the_round_trip() -> None:
    frame = Frame(5, 0, 1, bytes(MAX_PAYLOAD_BYTES))
    data = encoded(frame, HEARTBEAT)
    assert read(cut(data, range(65536, len(data), 65536)), FrameDecoder()) == ([frame, HEARTBEAT], None)


# -- made-up frames -------------------------------------------------------------------------------------------------

frames_made_up = st.lists(
    st.builds(
        Frame,
        number=st.integers(0, 2**16 - 1),
        flags=st.integers(0, 15).map(lambda bits: bits << 2),
        request_id=st.integers(0, 2**64 - 1),
        payload=st.binary(max_size=60),
    ),
    max_size=8,
)


@settings(max_examples=examples(200), deadline=None)
@given(frames_made_up, st.data())
def test_frames_make_the_round_trip_at_any_cuts(frames: list[Frame], data: st.DataObject) -> None:
    wire = encoded(*frames)
    assert wire == b"".join(raw(frame) for frame in frames)
    points = data.draw(st.lists(st.integers(0, len(wire)), max_size=10))
    assert read(cut(wire, points), FrameDecoder()) == (frames, None)


@settings(max_examples=examples(200), deadline=None)
@given(frames_made_up.filter(bool), st.data())
def test_one_changed_byte_never_passes(frames: list[Frame], data: st.DataObject) -> None:
    wire = bytearray(encoded(*frames))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    got, error = read([bytes(wire)], FrameDecoder())
    assert error is not None
    assert got == frames[: len(got)]


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=80), st.data())
def test_any_bytes_give_the_same_result_at_any_cuts(noise: bytes, data: st.DataObject) -> None:
    wire = raw(EMPTY) + data.draw(st.sampled_from([b"", b"CPAL", b"CPAL\x01", b"CPAL\x01\0\x05\0"])) + noise
    points = data.draw(st.lists(st.integers(0, len(wire)), max_size=10))
    assert read(cut(wire, points), decoder()) == read([wire], decoder())


# -- work -----------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.heavy
def test_time_is_linear_in_a_frame_that_comes_byte_by_byte() -> None:
    def reading(size: int) -> Callable[[], object]:
        pieces = cut(encoded(Frame(5, 0, 1, bytes(size))), range(1, size))
        return lambda: read(pieces, FrameDecoder())

    assert seconds(reading(120_000)) < 12 * seconds(reading(30_000))  # linear: 4, quadratic: 16 and more


def test_time_is_linear_in_the_frames_of_one_feed() -> None:
    def reading(count: int) -> Callable[[], object]:
        data = encoded(HEARTBEAT) * count
        return lambda: read([data], FrameDecoder())

    assert seconds(reading(16_000)) < 12 * seconds(reading(4000))


@given(
    st.lists(st.binary(max_size=300), max_size=20),
    st.integers(0, 0xFFFF),
    st.sampled_from([0, 0x04, 0x24, 0x3C]),
    st.integers(0, 2**64 - 1),
)
def test_a_stamp_puts_the_same_frames_as_append_frame(
    payloads: list[bytes], number: int, flags: int, request_id: int
) -> None:
    stamp, stamped, appended = FrameStamp(number, flags, request_id), bytearray(), bytearray()
    for payload in payloads:
        stamp.append(stamped, payload)
        append_frame(appended, number, flags, request_id, payload)
    assert stamped == appended


def test_a_stamp_keeps_a_bounded_number_of_lengths_and_stays_right() -> None:
    stamp, out = FrameStamp(1, 0, 2), bytearray()
    for size in (*range(2 * FrameStamp.MAX_KEPT), *range(5)):
        stamp.append(out, bytes(size))
    assert len(stamp) <= FrameStamp.MAX_KEPT
    decoder = FrameDecoder()
    assert [len(frame.payload) for frame in decoder.feed(out)] == [*range(2 * FrameStamp.MAX_KEPT), *range(5)]


def test_a_stamp_refuses_what_no_frame_can_hold_and_puts_nothing() -> None:
    out = bytearray()
    for stamp in (FrameStamp(1 << 16, 0, 1), FrameStamp(1, 0x40, 1), FrameStamp(1, 0, 1 << 64)):
        with pytest.raises(ValueError, match=r"flags|speak"):
            stamp.append(out, b"x")
    assert not out
