"""Google's event streams: what the standard drops at the end of a body is told, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.google_sse import GoogleSSEDecoder
from rxlapce.codec.sse import SSEDecoder
from rxlapce.errors import EventTooLarge

ERROR = b'{\n  "error": {\n    "code": 499,\n\n    "details": [{"a": 1}]\n  }\n}\n'
ERROR_EVENT = Event(ERROR.decode().strip(), "error")
A, B = Event('{"a":1}'), Event('{"b":2}')

TABLE: dict[str, tuple[bytes, list[Event]]] = {
    "nothing": (b"", []),
    "whole events": (b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n', [A, B]),
    "a last event without its blank line": (b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n', [A, B]),
    "a last event without its line end": (b'data: {"a":1}\n\ndata: {"b":2}', [A, B]),
    "an only event without its line end": (b'data: {"a":1}', [A]),
    "a last event of two lines": (b'data: {"b"\ndata: :2}', [Event('{"b"\n:2}')]),
    "a last event that is cut": (b'data: {"a":1}\n\ndata: {"b":', [A]),
    "a last event of lone CR": (b'data: {"a":1}\r\rdata: {"b":2}\r', [A, B]),
    "a last event with a name and an id": (b'id: 7\nevent: e\ndata: {"b":2}', [Event('{"b":2}', "e", "7")]),
    "a comment at the end": (b'data: {"a":1}\n\n: bye\n', [A]),
    "bare JSON after events": (b'data: {"a":1}\r\n\r\n' + ERROR, [A, ERROR_EVENT]),
    "bare JSON with CRLF after an event without its blank line": (
        b'data: {"a":1}\r\n{"b":2}\r\n',
        [Event('{"b":2}', "error")],
    ),
    "bare JSON alone": (ERROR, [ERROR_EVENT]),
    "a bare array": (b'\n[{"error": {}}]', [Event('[{"error": {}}]', "error")]),
    "events after bare JSON": (b'{"b":2}\n\ndata: {"a":1}\n\n', [Event('{"b":2}\n\ndata: {"a":1}', "error")]),
    "brackets inside of lines": (b'data: {"a":1}\n\ndata: [{"x": [{}]}]\n\n', [A, Event('[{"x": [{}]}]')]),
    "invalid UTF-8 in bare JSON": (b'{"\xff"}', [Event('{"\ufffd"}', "error")]),
}


def read(body: bytes, size: int) -> list[Event]:
    decoder, events = GoogleSSEDecoder(), list[Event]()
    for start in range(0, len(body), size):
        events += decoder.feed(body[start : start + size])
    return events + decoder.close()


@pytest.mark.parametrize("name", TABLE)
def test_bodies_end_as_they_should_for_every_size_of_the_pieces(name: str) -> None:
    body, events = TABLE[name]
    for size in range(1, len(body) + 2):
        assert read(body, size) == events


@given(
    body=st.lists(st.sampled_from([b"data: 1", b"event: x", b": c", b"x", b"\n", b"\r", b"\r\n", b"\n\n"])).map(
        b"".join
    ),
    size=st.integers(1, 9),
)
def test_without_bare_json_the_events_are_those_of_the_standard_and_one_more_at_most(body: bytes, size: int) -> None:
    decoder = SSEDecoder()
    standard = decoder.feed(body) + decoder.close()
    events = read(body, size)
    assert events[: len(standard)] == standard
    assert len(events) - len(standard) in (0, 1)
    assert events == read(body, len(body) + 1)


@pytest.mark.parametrize("body", [b"data: " + b"x" * 40, b"{" + b"x" * 40, b"\n[" + b"x" * 40])
def test_an_event_or_bare_json_past_the_bound_sets_the_error(body: bytes) -> None:
    decoder = GoogleSSEDecoder(max_event_bytes=20)
    assert decoder.feed(b"data: 1\n\n") == [Event("1")]
    assert decoder.feed(body) == []
    assert isinstance(decoder.error, EventTooLarge)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"")
    with pytest.raises(EventTooLarge):
        decoder.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_comments_past_the_bound_do_not_hide_the_last_event(size: int) -> None:
    body = b": keep alive\n" * 8 + b"data: 1"
    decoder, events = GoogleSSEDecoder(max_event_bytes=20), list[Event]()
    for start in range(0, len(body), size):
        events += decoder.feed(body[start : start + size])
    assert events + decoder.close() == [Event("1")]


def test_a_bound_under_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_event_bytes"):
        GoogleSSEDecoder(0)
