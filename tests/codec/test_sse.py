"""The SSE codec against the standard: recorded cases, an independent reading, its own line reader, every cut."""

import base64
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.sse import MAX_EVENT_BYTES, SSEDecoder
from rxlapce.errors import EventTooLarge
from rxlapce.testing.thoroughness import examples

STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or Path(__file__).parents[2].parent / "shared" / "streams")
needs_streams = pytest.mark.skipif(not STREAMS.is_dir(), reason="no recorded streams: set RXLAPCE_STREAMS")

#: events, last event id, retry, comments
Outcome = tuple[list[Event], str, int | None, int]


def read(pieces: Iterable[bytes], decoder: SSEDecoder | None = None) -> Outcome:
    decoder = decoder or SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    return events, decoder.last_event_id, decoder.retry_ms, decoder.comments


def reference(data: bytes) -> Outcome:
    """The standard's text, word by word, over the whole body at once: nothing in common with the codec."""
    text = data.decode("utf-8-sig", errors="replace")
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    events: list[Event] = []
    data_buffer, type_buffer, id_buffer, last_id = "", "", "", ""
    retry: int | None = None
    comments = 0
    for line in lines:
        if line == "":
            last_id = id_buffer
            if data_buffer != "":
                events.append(Event(data_buffer[:-1], type_buffer or "message", last_id))
            data_buffer, type_buffer = "", ""
            continue
        if line.startswith(":"):
            comments += 1
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            type_buffer = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return events, last_id, retry, comments


class LinesOnly(SSEDecoder):
    """The exact line reader alone."""

    def feed(self, data: bytes) -> list[Event]:
        out: list[Event] = []
        if self._start is not None:
            data = self._finish_event(data, out)
        self._read_lines(data, out)
        return out


class Counting(SSEDecoder):
    """Counts the bytes that the line reader is given."""

    lines_were_given = 0

    def _read_lines(self, data: bytes, out: list[Event]) -> None:
        self.lines_were_given += len(data)
        super()._read_lines(data, out)


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(points), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def one_by_one(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


# -- recorded cases -------------------------------------------------------------------------------------------------


def conformance_cases() -> list[Any]:
    path = STREAMS / "sse_conformance.json"
    if not path.is_file():
        return []
    return [pytest.param(case, id=case["name"]) for case in json.loads(path.read_text())]


CASES = conformance_cases()


def expected(case: dict[str, Any]) -> tuple[list[Event], str, int | None]:
    events = [Event(e["data"], e["event"], e["id"]) for e in case["expected_events"]]
    return events, case["expected_last_event_id"], case["expected_retry"]


def cuts_of(data: bytes) -> Iterable[int]:
    """Every cut; of the two long cases, which repeat themselves, all near the ends and each 23rd between."""
    size = len(data)
    if size <= 5000:
        return range(size + 1)
    return [*range(500), *range(500, size - 500, 23), *range(size - 500, size + 1)]


@pytest.mark.parametrize("case", CASES)
def test_case_reads_the_same_at_every_cut(case: dict[str, Any]) -> None:
    data, want = base64.b64decode(case["input_base64"]), expected(case)
    assert reference(data)[:3] == want, "the reference reading is wrong"
    assert read([data])[:3] == want
    assert read([data], LinesOnly())[:3] == want
    assert read(one_by_one(data))[:3] == want
    for at in cuts_of(data):
        assert read((data[:at], data[at:]))[:3] == want, f"cut at {at}"
    chance = random.Random(case["name"])  # noqa: S311 - a seed, not a secret
    for _ in range(200):
        points = [chance.randint(0, len(data)) for _ in range(2)]
        assert read(cut(data, points))[:3] == want, f"cut at {points}"


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", [case for case in CASES if case.id in ("long-line", "thousand-data-lines")])
def test_long_case_reads_the_same_at_every_cut(case: dict[str, Any]) -> None:
    data, want = base64.b64decode(case["input_base64"]), expected(case)
    for at in range(len(data) + 1):
        assert read((data[:at], data[at:]))[:3] == want, f"cut at {at}"


@needs_streams
def test_all_conformance_cases_are_there_and_all_but_two_are_cut_everywhere() -> None:
    inputs = [base64.b64decode(case.values[0]["input_base64"]) for case in CASES]
    everywhere = [data for data in inputs if len(list(cuts_of(data))) == len(data) + 1]
    assert (len(inputs), len(everywhere)) == (46, 44)
    assert sum(len(list(cuts_of(data))) for data in inputs) > 5_000


def recordings() -> list[Path]:
    return sorted(STREAMS.glob("*/*.sse"))


@needs_streams
def test_recorded_streams_read_as_the_reference_reads_them() -> None:
    chance = random.Random(7)  # noqa: S311 - a seed, not a secret
    count = 0
    for path in recordings():
        data = path.read_bytes()
        want = reference(data)
        count += len(want[0])
        points = [chance.randint(0, len(data)) for _ in range(20)]
        for pieces in ([data], cut(data, range(0, len(data), 4096)), cut(data, points)):
            assert read(pieces) == want, path.name
    assert count > 1000


@needs_streams
def test_recorded_streams_of_the_simple_shapes_are_not_read_by_lines() -> None:
    for name in (
        "openai/chat-length-gpt-4o.sse",  # data, LF
        "anthropic/messages-emoji-claude-sonnet-4-6.sse",  # event and data, LF
        "gemini/sse-reasoning-gemini-2-5-flash.sse",  # data, CRLF
    ):
        decoder = Counting()
        assert decoder.feed((STREAMS / name).read_bytes())
        assert decoder.lines_were_given == 0, name


# -- against the reference, over made-up bytes ----------------------------------------------------------------------

PARTS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b":", b" ", b"\0", b"\t", b"\x0b", b"\x0c", b"x", b"7", b"{}"),
    *(b"data", b"data:", b"data: ", b"data: x\n\n", b"data: y\r\n\r\n", b"data:z\n\n", b"data: \n\n"),
    *(b"event", b"event: ", b"event: e\ndata: x\n\n", b"event: e\r\ndata: x\r\n\r\n", b"event: \ndata: \n\n"),
    *(b"id", b"id: 1\n", b"id:\xc3\xa9\n", b"id: \0\n", b"retry: 10\n", b"retry:", b": c\n", b"DATA: x\n"),
    *("é\u2028\u0085🥌".encode(), b"\xef\xbb\xbf", b"\xef\xbb", b"\xf0\x9f", b"\xa5\x8c", b"\xc0\xaf", b"\xed\xa0\x80"),
]
#: Mostly whole simple events, so that the quick reader goes far before something else comes.
SIMPLE = [b"data: x\n\n", "data: é🥌\n\n".encode(), b"data: \xff\n\n", b"event: e\ndata: x\n\n", b"data: x\r\n\r\n"]

bodies = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=40).map(b"".join),
    st.lists(st.sampled_from(SIMPLE * 4 + PARTS), max_size=30).map(b"".join),
    st.tuples(st.sampled_from(SIMPLE), st.integers(1, 20), st.sampled_from(PARTS)).map(lambda t: t[0] * t[1] + t[2]),
    st.binary(max_size=60),
)


@st.composite
def cut_bodies(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    data = draw(bodies)
    return data, cut(data, draw(st.lists(st.integers(0, len(data)), max_size=8)))


@settings(max_examples=examples(200), deadline=None)
@given(cut_bodies())
def test_quick_reader_line_reader_and_reference_agree(body: tuple[bytes, list[bytes]]) -> None:
    data, pieces = body
    want = reference(data)
    assert read(pieces) == want
    assert read([data]) == want
    assert read(pieces, LinesOnly()) == want
    assert read(one_by_one(data)) == want


def until_error(pieces: Iterable[bytes], max_event_bytes: int) -> tuple[list[Event], bool, int]:
    decoder = SSEDecoder(max_event_bytes)
    events: list[Event] = []
    for piece in pieces:
        events += decoder.feed(piece)
        if decoder.error is not None:
            break
    return events, decoder.error is not None, decoder.comments


@settings(max_examples=examples(200), deadline=None)
@given(cut_bodies(), st.integers(1, 24))
def test_bound_is_met_at_the_same_event_however_the_bytes_are_cut(body: tuple[bytes, list[bytes]], bound: int) -> None:
    data, pieces = body
    want = until_error([data], bound)
    assert until_error(pieces, bound) == want
    assert until_error(one_by_one(data), bound) == want
    decoder = LinesOnly(bound)
    assert (decoder.feed(data), decoder.error is not None, decoder.comments) == want


@pytest.mark.parametrize(
    "odd",
    [
        *(b"data: x\ry\n\n", b"data: x\r\n\n", b"data: x\n\r\n", b"data: x\ny\n\n", b"data: x\ndata: y\n\n"),
        *(b"data: x\ry\r\n\r\n", b"data: x\ny\r\n\r\n", b"data: x\r\n\n\r\n\r\n", b"data:x\n\n", b": c\n\n"),
        *(
            b"event: \ndata: x\n\n",
            b"event: e\n\n",
            b"event: e\ndata:x\n\n",
            b"event: e\rdata: x\n\n",
            b"event: e\n: c\ndata: x\n\n",
        ),
        *(
            b"event: e\nid: 1\n\n",
            b"event: e\r\ndata: x\n\r\n\r\n",
            b"data: x\n\n\n",
            b"data: x\n\nevent: e\ndata: y\n\n",
        ),
    ],
)
@pytest.mark.parametrize("simple", [b"data: s\n\n", b"data: s\r\n\r\n", b"event: t\ndata: s\n\n"])
def test_one_odd_event_among_simple_ones_is_read_by_the_standard(odd: bytes, simple: bytes) -> None:
    for data in (odd, simple * 3 + odd, odd + simple * 3, simple * 3 + odd + simple * 3):
        assert read([b": at a boundary\n\n" + data]) == reference(b": at a boundary\n\n" + data)
        assert read([b"\n", data]) == reference(b"\n" + data)
        assert read([b"\n", data[:9], data[9:]]) == reference(b"\n" + data)


# -- what a reader of the code would ask ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "counts"),
    [
        ([b"data: a\n", b"\n"], [0, 1]),
        ([b"data: a\r\r"], [1]),
        ([b"data: a\r", b"\r"], [0, 1]),
        ([b"data: a\r\n\r", b"\ndata: b\n\n"], [1, 1]),
        ([b"data: a\r\n\r", b"data: b\n\n"], [1, 1]),
        ([b"data: a\n\r", b"\n"], [1, 0]),
        ([b"\xef", b"\xbb", b"\xbf", b"data: a\n\n"], [0, 0, 0, 1]),
        ([b"", b"data: a\n\n", b"", b"data: b\n\n"], [0, 1, 0, 1]),
    ],
)
def test_event_comes_with_the_byte_that_completes_it(pieces: list[bytes], counts: list[int]) -> None:
    decoder = SSEDecoder()
    assert [len(decoder.feed(piece)) for piece in pieces] == counts


def test_simple_events_are_read_in_bulk_after_an_event_that_was_cut() -> None:
    decoder = Counting()
    events = [*decoder.feed(b"data: 1\n\ndata: "), *decoder.feed(b"2\n\n" + b"data: 3\n\n" * 100)]
    assert [event.data for event in events] == ["1", "2", *["3"] * 100]
    assert decoder.lines_were_given == len(b"data: 2\n\n")


def test_last_event_id_goes_on_to_simple_events() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"id: 7\n\n") == []
    assert decoder.feed(b"data: a\n\ndata: b\n\n") == [Event("a", id="7"), Event("b", id="7")]
    assert decoder.feed(b"data: c\n\n") == [Event("c", id="7")]
    assert decoder.feed(b"event: e\ndata: d\n\n") == [Event("d", "e", "7")]
    assert decoder.feed(b"id\n\ndata: e\n\n") == [Event("e")]


def test_unfinished_event_is_dropped_with_its_id() -> None:
    assert read([b"data: a\n\nid: 9\ndata: b\n"]) == ([Event("a")], "", None, 0)


def test_retry_past_what_int_takes_is_kept_within_bounds() -> None:
    assert read([b"retry: " + b"9" * 5000 + b"\n"])[2] == 10**18
    assert read([b"retry: " + b"0" * 5000 + b"8\n"])[2] == 8


@pytest.mark.parametrize("name", [b"data", b"event: e\ndata", b"id: 3\ndata"])
def test_event_of_exactly_the_bound_passes_and_one_byte_more_does_not(name: bytes) -> None:
    bound = 60
    head = name + b": "
    room = bound - len(head.replace(b"\n", b""))
    for pieces in ([head + b"x" * room + b"\n\n"], list(one_by_one(head + b"x" * room + b"\n\n"))):
        assert len(read(pieces, SSEDecoder(bound))[0]) == 1
    decoder = SSEDecoder(bound)
    assert decoder.feed(head + b"x" * (room + 1) + b"\n\n") == []
    assert isinstance(decoder.error, EventTooLarge)


def test_events_before_one_that_is_too_large_are_given_and_the_error_is_known_at_once() -> None:
    decoder = SSEDecoder(20)
    events = decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"c" * 30)
    assert [event.data for event in events] == ["a", "b"]
    assert "max_event_bytes = 20: 36 bytes" in str(decoder.error)
    for _ in range(2):
        with pytest.raises(EventTooLarge, match="36 bytes"):
            decoder.feed(b"\n\ndata: d\n\n")
        with pytest.raises(EventTooLarge, match="36 bytes"):
            decoder.close()


@pytest.mark.parametrize(
    "endless", [b"data: x\n", b"data\n", b"event: e\n", b"id: 4\n", b"nothing\n", b"x", b": x", b"data: x\r"]
)
def test_what_never_ends_is_refused_after_the_bound(endless: bytes) -> None:
    decoder = SSEDecoder(1000)
    fed = 0
    while decoder.error is None and fed < 10_000:
        assert decoder.feed(endless) == []
        fed += len(endless)
    assert decoder.error is not None
    assert fed <= 1000 * 5 / 4 + len(endless)  # line ends are not counted


def test_comments_are_counted_and_do_not_fill_an_event() -> None:
    decoder = SSEDecoder(20)
    decoder.feed(b"data: a\n" + b": keep-alive\n" * 50)
    assert decoder.feed(b"\n") == [Event("a")]
    assert decoder.comments == 50


def test_whole_comment_past_the_bound_is_refused_and_not_counted() -> None:
    decoder = SSEDecoder(20)
    assert decoder.feed(b"data: a\n\n: " + b"c" * 19 + b"\n") == [Event("a")]
    assert str(decoder.error).startswith("a comment of the event stream is larger than max_event_bytes = 20: 21 bytes")
    assert decoder.comments == 0


def test_bound_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_event_bytes must be at least 1, not 0"):
        SSEDecoder(0)
    assert SSEDecoder().max_event_bytes == MAX_EVENT_BYTES == 10 * 1024 * 1024


# -- work -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_each_byte_is_given_to_the_line_reader_once(size: int) -> None:
    data = b"data: " + b"y" * 50_000 + b"\n\n" + b": c\n" * 100 + b"data: z\n" * 1000 + b"\n"
    decoder = Counting()
    events, *_ = read(cut(data, range(size, len(data), size)), decoder)
    assert len(events) == 2
    assert decoder.lines_were_given <= len(data)


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.heavy
@pytest.mark.parametrize("line", [b"data: ", b": "])
def test_time_is_linear_in_a_line_that_comes_byte_by_byte(line: bytes) -> None:
    def reading(size: int) -> Callable[[], object]:
        return lambda: read(one_by_one(line + b"y" * size + b"\n\n"))

    assert seconds(reading(80_000)) < 12 * seconds(reading(20_000))  # linear: 4, quadratic: 16 and more
