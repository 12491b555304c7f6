"""The codec of JSON lines, at every cut; its bound."""

import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.ndjson import MAX_LINE_BYTES, NDJSONDecoder
from rxlapce.errors import EventTooLarge
from rxlapce.testing.thoroughness import examples


def read(pieces: Iterable[bytes], max_line_bytes: int = MAX_LINE_BYTES) -> list[str]:
    decoder = NDJSONDecoder(max_line_bytes)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [event.data for event in events + decoder.close()]


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", []),
        (b"\n\r\n \t\n", []),
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r\n\r\n\n{"b":2}\r\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r', ['{"a":1}']),
        (b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf2', ['{"a":1}', "\ufeff2"]),
        (b"\n\xef\xbb\xbf1", ["\ufeff1"]),
        ('"日本\u2028🎉\x0b"\n'.encode(), ['"日本\u2028🎉\x0b"']),
        (b'"\xff"\n"\xe6\x97"\n', ['"\ufffd"', '"\ufffd"']),
        (b"a\rb\n", ["a\rb"]),
    ],
)  # fmt: skip
def test_lines_read_the_same_at_every_cut(data: bytes, want: list[str]) -> None:
    assert read([data]) == want
    assert read(one_by_one(data)) == want
    for at in range(len(data) + 1):
        assert read((data[:at], data[at:])) == want, f"cut at {at}"


def test_line_comes_with_the_read_that_has_its_end() -> None:
    decoder = NDJSONDecoder()
    assert decoder.feed(b'{"a"') == []
    assert decoder.feed(b":1}") == []
    assert decoder.feed(b'\n{"b":2}\n3') == [Event('{"a":1}'), Event('{"b":2}')]
    assert decoder.close() == [Event("3")]
    assert decoder.close() == []


@settings(max_examples=examples(200), deadline=None)
@given(data=st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"\xc3", b"\xbc"]), max_size=30).map(b"".join))
def test_any_bytes_read_as_their_lines(data: bytes) -> None:
    want = [line for line in data.split(b"\n") if line.strip(b" \r")]
    assert read(one_by_one(data)) == [line.removesuffix(b"\r").decode("utf-8", "replace") for line in want]


def test_line_at_the_bound_is_read_and_one_past_it_is_not() -> None:
    assert read([b"12345678\n12345678"], 8) == ["12345678"] * 2
    for pieces in ([b"1\n123456789\n2\n"], list(one_by_one(b"1\n123456789"))):
        decoder, events = NDJSONDecoder(8), list[Event]()
        for piece in pieces:
            events += decoder.feed(piece)
        assert events == [Event("1")]
        assert isinstance(decoder.error, EventTooLarge)
        assert str(decoder.error) == "a line is larger than max_line_bytes = 8: 9 bytes of it have come"
        with pytest.raises(EventTooLarge):
            decoder.feed(b"\n")
        with pytest.raises(EventTooLarge):
            decoder.close()


def test_bound_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_line_bytes must be at least 1, not 0"):
        NDJSONDecoder(0)


def test_time_is_linear_in_a_line_that_comes_byte_by_byte() -> None:
    def seconds(size: int) -> float:
        data, best = b"y" * size, float("inf")
        for _ in range(3):
            start = time.perf_counter()
            read(one_by_one(data))
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(80_000) < 12 * seconds(20_000)  # linear: 4, quadratic: 16 and more
