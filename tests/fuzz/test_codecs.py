"""Whatever bytes come, each codec gives the same events and the same error for every cut, at any bound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.eventstream import EventStreamDecoder
from rxlapce.codec.frame import encode_frame
from rxlapce.testing.corpus import CODECS
from rxlapce.testing.decoding import run_codec_all_cuts
from rxlapce.testing.frames import message
from rxlapce.testing.thoroughness import examples

BOM = b"\xef\xbb\xbf"
FRAMES = ((1, 2), (2, 0), (2, 49), (3, 1))  # the codecs know types 1 and 2, and one of them takes 48 bytes
#: Pieces of which each framing's grammar is made.
PIECES: dict[str, list[bytes]] = {
    "sse": [b"\n", b"\r", b"\r\n", b"data: x", b"data", b"event: e", b"id: 1", b"id:\0", b"retry: 9", b":c", b"\xff"],
    "google-sse": [b"\n", b"\r", b"\r\n", b"data: {}", b"data: 1", b"data", b"{", b"[", b"}", b":c", BOM],
    "json-array": [b"[", b"]", b"{", b"}", b",", b'"', b"\\", b'\\"', b"1", b"null", b" ", BOM, b'"a":'],
    "ndjson": [b"\n", b"\r\n", b"\r", b"{}", b" ", BOM, b"\xff", b"1"],
    "eventstream": [message(b"", b""), message(b"\x01a\x00", b"xy"), message(b"\x01a\x09", b""), b"\0\0\0\x10", b"\0"],
    "frame": [*(encode_frame(number, 0, 7, b"x" * size) for number, size in FRAMES), b"CPAL\x01", b"\0"],
}


def bodies(name: str) -> st.SearchStrategy[bytes]:
    pieces: st.SearchStrategy[bytes] = st.sampled_from(PIECES[name]) | st.binary(max_size=3)
    return st.lists(pieces, max_size=24).map(b"".join)


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=examples(80), deadline=None)
@given(data=st.data())
def test_any_bytes_give_the_same_for_every_cut(name: str, data: st.DataObject) -> None:
    body = data.draw(bodies(name))
    for make in CODECS[name]:
        run_codec_all_cuts(make, body)


HEADER_TYPES = st.integers(0, 11).map(lambda kind: bytes([kind]))
NAMES = st.sampled_from([b"\x01a", b"\x00", b"\x02\xff\xfe", b"\x0b:event-type"])
HEADERS = st.lists(st.tuples(NAMES, HEADER_TYPES, st.binary(max_size=18)).map(b"".join), max_size=3).map(b"".join)


@settings(max_examples=examples(100), deadline=None)
@given(messages=st.lists(st.builds(message, HEADERS | st.binary(max_size=30), st.binary(max_size=30)), max_size=4))
def test_any_headers_behind_right_checksums_are_read_or_refused(messages: list[bytes]) -> None:
    run_codec_all_cuts(EventStreamDecoder, b"".join(messages))
