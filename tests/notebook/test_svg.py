import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.notebook.axis import amount, duration, ticks
from rxlapce.notebook.marks import Outcome
from rxlapce.notebook.palette import tints
from rxlapce.notebook.svg import svg_of
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.words import words_of
from rxlapce.tokens import Finish, FinishKind, Text

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def titles(svg: str) -> Iterator[str]:
    return (element.text or "" for element in parsed(svg).iter(f"{SVG}title"))


def made(lanes: int = 1, title: str = "") -> Trace:
    trace = Trace(title)
    for number in range(lanes):
        trace.lane(f"lane {number}")
        trace.begin(number, 0.0)
    return trace


def test_a_short_stream_is_drawn_mark_by_mark() -> None:
    trace = made(title="greeting")
    for number, word in enumerate(["Hello", " world", "!"]):
        trace.mark(0, 0.2 + number * 0.2, Text(word))
    trace.mark(0, 0.8, Finish(FinishKind.STOP))
    trace.end(0, 0.81, Outcome.COMPLETED)
    trace.finish(0.82, Outcome.COMPLETED)
    svg = svg_of(trace, 9.0)
    assert {"greeting", "lane 0", "Hello", " world", "!", "stop", "0.4 s", "text", "finish", "4 · 12 chars"} <= set(
        texts(svg)
    )
    assert "completed after 810 ms: 4 marks" in texts(svg)
    assert "text 0 at 200 ms, 5 characters\nHello" in titles(svg)
    assert "completed at 810 ms" in titles(svg)


@pytest.mark.parametrize("lanes", [1, 3, 12])
def test_a_long_stream_has_a_bounded_picture(lanes: int) -> None:
    trace = Trace(max_marks=1_500)
    for number in range(lanes):
        trace.lane(f"lane {number}")
        trace.begin(number, 0.0)
    for number in range(3_000):
        trace.mark(number % lanes, number * 0.01 + (number // 200) * 2.0, "x" * 30)
    svg = svg_of(trace, 100.0)
    assert len(list(parsed(svg).iter())) < 2_000
    assert len(svg) < 200_000


def test_a_bar_tells_how_many_and_the_finish_stands_out_of_it() -> None:
    trace = made()
    for _ in range(50):
        trace.mark(0, 1.0, Text("a"))
    trace.mark(0, 1.0, Finish(FinishKind.STOP))
    found = list(titles(svg_of(trace, 2.0)))
    assert any(re.fullmatch(r".*: 50 text, 1 finish", words) for words in found)
    assert any(words.startswith("finish 50 at 1 s") for words in found)


def test_a_stall_a_closed_gate_and_a_failure_are_told_with_their_length() -> None:
    trace = made()
    for number in range(5):
        trace.mark(0, number * 0.1, number)
    trace.pause(2.4)
    trace.resume(4.0)
    error = ValueError("no <more> & \x1b[0m")
    trace.end(0, 4.5, Outcome.FAILED, error)
    trace.finish(4.5, Outcome.FAILED, error)
    svg = svg_of(trace, 4.5)
    assert {"stall, 2 s", "gate closed, 1.6 s"} <= set(titles(svg))
    assert {"2 s", "1.6 s", "stall", "gate closed"} <= set(texts(svg))
    assert "ValueError: no <more> & \\x1b[0m" in texts(svg)


def test_the_colours_are_those_of_the_palette_for_both_themes_and_nothing_else() -> None:
    svg = svg_of(made(), 1.0)
    known = {colour for tint in tints().values() for colour in tint}
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) == known
    assert "@media (prefers-color-scheme:dark)" in svg
    assert '[data-jp-theme-light="false"] .rxlapce-marbles' in svg


def test_nothing_is_loaded_from_anywhere() -> None:
    svg = svg_of(made(title="https://example.org"), 1.0)
    assert re.findall(r"(?:href|src|url\()", svg) == []


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_text_makes_a_document(title: str, lane: str, item: str) -> None:
    trace = Trace(title)
    trace.lane(lane)
    trace.begin(0, 0.0)
    trace.mark(0, 0.0, item)
    trace.finish(1.0, Outcome.FAILED, ValueError(item))
    assert parsed(svg_of(trace, 1.0)).tag == f"{SVG}svg"
    assert "\x1b" not in words_of(trace, 1.0)


def test_a_stream_of_no_length_can_be_drawn() -> None:
    trace = made()
    trace.mark(0, 0.0, 1)
    trace.finish(0.0, Outcome.COMPLETED)
    assert "completed after 1 µs: 1 mark" in texts(svg_of(trace, 0.0))
    assert "nothing has come yet, 0 µs so far: 0 marks" in texts(svg_of(made(), 0.0))
    assert parsed(svg_of(Trace(), 0.0)) is not None


def test_the_words_draw_lanes_with_their_marks_stalls_and_ends() -> None:
    trace = made(2, "w")
    for number in range(5):
        trace.mark(0, number * 0.01, b"x")
    trace.mark(1, 0.0, 1)
    trace.mark(0, 4.0, b"x")
    trace.end(0, 6.4, Outcome.COMPLETED)
    trace.end(1, 6.4, Outcome.FAILED, ValueError("y"))
    trace.finish(6.4, Outcome.FAILED, ValueError("y"))
    assert words_of(trace, 6.4).splitlines() == [
        "w: failed after 6.4 s: 7 marks in 2 lanes, 1 in the last",
        "lane 0  5=======================================o=======================|",
        "lane 1  o---------------------------------------------------------------X",
        "error: ValueError: y",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 µs"),
        (0.00085, "850 µs"),
        (0.01234, "12.3 ms"),
        (0.99951, "1 s"),
        (4.05, "4.05 s"),
        (60, "1 min 0 s"),
        (125.4, "2 min 5 s"),
        (3_780, "1 h 3 min"),
        (86_400, "24 h 0 min"),
    ],
)
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_sizes_in_words() -> None:
    assert [amount(size) for size in (0, 999, 4_120, 999_600, 12_000_000)] == [
        "0 B",
        "999 B",
        "4.12 kB",
        "1 MB",
        "12 MB",
    ]


@given(st.floats(1e-6, 1e7), st.integers(2, 20))
def test_ticks_are_few_ascending_and_within(until: float, most: int) -> None:
    found = ticks(until, most)
    assert 1 <= len(found) <= most
    assert [tick.t for tick in found] == sorted({tick.t for tick in found})
    assert found[0].t == 0
    assert found[-1].t <= until * 1.0001
    assert len({tick.words for tick in found}) == len(found)
