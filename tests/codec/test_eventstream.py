"""The event stream codec against the recorded cases and botocore, at every cut; and against hostile bytes."""

import base64
import json
import os
import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.eventstream import (
    MAX_HEADERS_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PAYLOAD_BYTES,
    MIN_MESSAGE_BYTES,
    EventStreamDecoder,
    HeaderType,
    HeaderValue,
    Message,
    as_event,
)
from rxlapce.errors import BadEventStream, CodecError, EventStreamFault, EventTooLarge
from rxlapce.testing.thoroughness import examples

STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or Path(__file__).parents[2].parent / "shared" / "streams")
needs_streams = pytest.mark.skipif(not STREAMS.is_dir(), reason="no recorded streams: set RXLAPCE_STREAMS")

#: messages, the fault if there was one, bytes at the end that make no message
Outcome = tuple[list[Message], str | None, int]


def read(pieces: Iterable[bytes], decoder: EventStreamDecoder | None = None) -> Outcome:
    decoder = decoder or EventStreamDecoder()
    messages: list[Message] = []
    for piece in pieces:
        messages += decoder.feed(piece)
        if decoder.error is not None:
            error = decoder.error
            return messages, error.fault if isinstance(error, BadEventStream) else type(error).__name__, 0
    assert decoder.close() == []
    return messages, None, decoder.incomplete_tail_bytes


def string(value: str) -> bytes:
    return b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()


def header(name: str, value: bytes) -> bytes:
    return bytes([len(name.encode())]) + name.encode() + value


def message(headers: bytes, payload: bytes = b"") -> bytes:
    """The wire form, made with nothing of the codec's."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    return [data[a:b] for a, b in pairwise([0, *sorted(points), len(data)])]


EVENT = message(header(":event-type", string("chunk")) + header(":message-type", string("event")), b'{"a":1}')


# -- recorded cases ---------------------------------------------------------------------------------------------------


def conformance_cases() -> list[Any]:
    path = STREAMS / "eventstream_conformance.json"
    if not path.is_file():
        return []
    return [pytest.param(case, id=case["name"]) for case in json.loads(path.read_text())]


CASES = conformance_cases()


def as_recorded(value: bool | int | bytes | str | UUID) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, UUID) else value


def typed_headers(said: Message) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": header.type.value, "value": as_recorded(header.value)}
        for name, header in said.headers.items()
    ]


def cuts_of(data: bytes) -> Iterable[int]:
    """Every cut; of the one long case all near the ends and each 97th between."""
    size = len(data)
    if size <= 5000:
        return range(size + 1)
    return [*range(300), *range(300, size - 300, 97), *range(size - 300, size + 1)]


@pytest.mark.parametrize("case", CASES)
def test_case_reads_the_same_at_every_cut(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["input_base64"])
    got, fault, tail = outcome = read([data])
    assert [
        {"headers": typed_headers(said), "payload_base64": base64.b64encode(said.payload).decode()} for said in got
    ] == case["expected_events"]
    assert fault == (case["expected_error"] and case["expected_error"]["kind"])
    assert tail == case["incomplete_tail_bytes"]
    assert read(one_by_one(data)) == outcome
    for at in cuts_of(data):
        assert read((data[:at], data[at:])) == outcome, f"cut at {at}"


@needs_streams
def test_all_conformance_cases_are_there() -> None:
    assert len(CASES) == 39
    assert sum(case.values[0]["expected_error"] is not None for case in CASES) == 16


@needs_streams
def test_recorded_bodies_are_read_to_their_last_byte() -> None:
    count = 0
    for path in sorted(STREAMS.glob("bedrock/*.eventstream")):
        data = path.read_bytes()
        messages, fault, tail = outcome = read([data])
        assert (fault, tail) == ("message-crc" if "corrupt-crc" in path.name else None, 0), path.name
        assert read(cut(data, range(7, len(data), 7))) == outcome, path.name
        count += len(messages)
    assert count > 1000


# -- against botocore -------------------------------------------------------------------------------------------------


def by_botocore(data: bytes) -> tuple[list[tuple[dict[str, Any], bytes]], bool]:
    """Its messages, and whether it then raised."""
    module = pytest.importorskip("botocore.eventstream", reason="botocore, the oracle, is not installed")
    buffer = module.EventStreamBuffer()
    buffer.add_data(data)
    out: list[tuple[dict[str, Any], bytes]] = []
    try:
        out.extend((event.headers, event.payload) for event in buffer)
    except Exception:  # noqa: BLE001 - of bad bytes it raises its own errors, but struct's and Python's as well
        return out, True
    return out, False


def plain(said: Message) -> tuple[dict[str, Any], bytes]:
    values = {name: header.value for name, header in said.headers.items()}
    return {name: value.bytes if isinstance(value, UUID) else value for name, value in values.items()}, said.payload


NAMES: st.SearchStrategy[str] = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)


def numbers(kind: int, code: str) -> st.SearchStrategy[bytes]:
    """Header values of a numeric wire type, whose form `struct` calls `code`."""
    half = 2 ** (8 * struct.calcsize(code) - 1)
    return st.integers(-half, half - 1).map(lambda number: bytes([kind]) + struct.pack(">" + code, number))


def binary(value: bytes) -> bytes:
    return b"\x06" + struct.pack(">H", len(value)) + value


VALUES: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from([b"\x00", b"\x01"]),
    numbers(2, "b"),
    numbers(3, "h"),
    numbers(4, "i"),
    numbers(5, "q"),
    numbers(8, "q"),
    st.binary(max_size=9).map(binary),
    st.text(st.characters(codec="utf-8"), max_size=9).map(string),
    st.binary(min_size=16, max_size=16).map(lambda value: b"\x09" + value),
)


def encode(parts: tuple[dict[str, bytes], bytes]) -> bytes:
    headers, payload = parts
    return message(b"".join(header(name, value) for name, value in headers.items()), payload)


MESSAGES: st.SearchStrategy[bytes] = st.builds(
    encode, st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=20))
)
BODIES: st.SearchStrategy[bytes] = st.lists(MESSAGES, max_size=4).map(b"".join)


@settings(max_examples=examples(80), deadline=None)
@given(body=BODIES, tail=st.binary(max_size=11), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_messages_read_as_botocore_reads_them(body: bytes, tail: bytes, cuts: list[int]) -> None:
    data = body + tail
    messages, fault, rest = read(cut(data, [min(at, len(data)) for at in cuts]))
    assert (fault, rest) == (None, len(tail))
    assert ([plain(said) for said in messages], False) == by_botocore(data)


# -- hostile bytes ----------------------------------------------------------------------------------------------------


@settings(max_examples=examples(150), deadline=None)
@given(
    data=st.binary(max_size=60) | BODIES,
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3),
    cuts=st.lists(st.integers(0, 400), max_size=4),
)
def test_any_bytes_give_messages_or_a_named_error_the_same_at_any_cut(
    data: bytes, flips: list[tuple[int, int]], cuts: list[int]
) -> None:
    changed = bytearray(data)
    for at, mask in flips:
        if at < len(changed):
            changed[at] ^= mask
    whole = read([bytes(changed)])
    assert read(cut(bytes(changed), [min(at, len(changed)) for at in cuts])) == whole
    if whole[1] is None:
        assert whole[2] < len(changed) or not whole[0]


@settings(max_examples=examples(150), deadline=None)
@given(block=st.binary(max_size=40))
def test_headers_with_a_right_checksum_are_read_or_refused_by_name(block: bytes) -> None:
    _, fault, _ = read([message(block)])
    assert fault in (None, EventStreamFault.HEADER, EventStreamFault.DUPLICATE_HEADER)


def fault_of(data: bytes, decoder: EventStreamDecoder | None = None) -> CodecError:
    decoder = decoder or EventStreamDecoder()
    assert decoder.feed(data) == []
    assert decoder.error is not None
    return decoder.error


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\x05name", "goes on past the end"),  # no type
        (b"\x01a\x0a", "type 10"),
        (b"\x01a\x04\x00\x00\x00", "goes on past the end"),
        (b"\x01a\x07\x00\x05abcd", "goes on past the end"),
        (b"\x01a\x09" + b"u" * 15, "goes on past the end"),
        (b"\x01\xff\x00", "not UTF-8"),
        (b"\x01a\x07\x00\x01\xff", "not UTF-8"),
    ],
)
def test_broken_header_is_refused(block: bytes, words: str) -> None:
    error = fault_of(message(block))
    assert isinstance(error, BadEventStream)
    assert error.fault is EventStreamFault.HEADER
    assert words in str(error)


def test_bad_prelude_is_refused_with_its_twelfth_byte() -> None:
    data = struct.pack(">III", 1_000_000, 0, 0)
    decoder = EventStreamDecoder()
    assert decoder.feed(data[:11]) == []
    assert decoder.error is None
    assert decoder.feed(data[11:]) == []
    assert isinstance(decoder.error, BadEventStream)
    assert decoder.error.fault is EventStreamFault.PRELUDE_CRC


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


def headers_past_the_end() -> bytes:
    """A message of 20 bytes, 5 of which are headers; both checksums are right."""
    body = prelude(20, 5) + b"abcd"
    return body + struct.pack(">I", crc32(body))


def test_lengths_past_the_formats_bounds_are_refused_before_any_byte_of_the_message() -> None:
    over = fault_of(prelude(2**31, MAX_HEADERS_BYTES + 1))
    assert isinstance(over, BadEventStream)
    assert over.fault is EventStreamFault.HEADERS_LENGTH
    inside = fault_of(headers_past_the_end())
    assert isinstance(inside, BadEventStream)
    assert inside.fault is EventStreamFault.HEADERS_LENGTH
    assert isinstance(fault_of(prelude(MAX_PAYLOAD_BYTES + 17, 0)), EventTooLarge)
    decoder = EventStreamDecoder()
    assert decoder.feed(prelude(MAX_MESSAGE_BYTES, MAX_HEADERS_BYTES)) == []
    assert decoder.error is None


def test_message_past_the_callers_bound_is_refused_and_one_at_it_is_not() -> None:
    decoder = EventStreamDecoder(len(EVENT))
    assert len(decoder.feed(EVENT)) == 1
    error = fault_of(message(b"", b"x" * (len(EVENT) - 15)), decoder)
    assert isinstance(error, EventTooLarge)
    assert f"at most {len(EVENT)}" in str(error)


def test_bound_must_hold_an_empty_message() -> None:
    with pytest.raises(ValueError, match="max_message_bytes must be at least 16, not 15"):
        EventStreamDecoder(15)
    assert len(EventStreamDecoder(MIN_MESSAGE_BYTES).feed(message(b""))) == 1


def test_messages_before_an_error_are_given_and_what_follows_raises_it() -> None:
    decoder = EventStreamDecoder()
    corrupt = EVENT[:-1] + bytes([EVENT[-1] ^ 1])
    assert len(decoder.feed(EVENT * 2 + corrupt + EVENT)) == 2
    with pytest.raises(BadEventStream, match="the checksum of a message"):
        decoder.feed(EVENT)
    with pytest.raises(BadEventStream, match="the checksum of a message"):
        decoder.close()


# -- as events --------------------------------------------------------------------------------------------------------


def event_of(headers: dict[str, str], payload: bytes = b"") -> Event:
    (said,) = EventStreamDecoder().feed(
        message(b"".join(header(name, string(value)) for name, value in headers.items()), payload)
    )
    return as_event(said)


def test_event_is_named_by_its_type_and_carries_the_payloads_text() -> None:
    headers = {":message-type": "event", ":event-type": "messageStop", ":content-type": "application/json"}
    assert event_of(headers, '{"t":"é"}'.encode()) == Event('{"t":"é"}', "messageStop")


def test_exception_and_error_are_named_as_what_they_are() -> None:
    exception = {":message-type": "exception", ":exception-type": "throttlingException"}
    assert event_of(exception, b'{"message":"slow"}') == Event('{"message":"slow"}', "exception/throttlingException")
    error = {":message-type": "error", ":error-code": "Internal", ":error-message": 'a "b"'}
    assert event_of(error, b"ignored") == Event('{"message":"a \\"b\\""}', "error/Internal")
    assert event_of({":message-type": "error"}) == Event('{"message":""}', "error/unknown")
    assert event_of({":message-type": "exception"}, b"x") == Event("x", "exception/unknown")


def test_message_that_does_not_say_what_it_is_is_an_event() -> None:
    assert event_of({}, b"\xff") == Event("\ufffd", "message")
    assert event_of({":event-type": "chunk"}, b"{}") == Event("{}", "chunk")
    numbered = Message({":event-type": HeaderValue(HeaderType.INTEGER, 7)}, b"{}")
    assert as_event(numbered) == Event("{}", "message")


# -- work -------------------------------------------------------------------------------------------------------------


def test_large_message_that_comes_byte_by_byte_is_copied_a_few_times_only() -> None:
    data = message(b"", b"x" * 200_000)
    decoder = EventStreamDecoder()
    held = [decoder.feed(piece) for piece in one_by_one(data[:-1])]
    assert not any(held)
    ((last,),) = [decoder.feed(data[-1:])]
    assert len(last.payload) == 200_000
