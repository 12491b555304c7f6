"""What timelines, comparisons and raw bytes show: by their own words, and by the elements of their pictures."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex.subject import Subject

from rxlapce.dialects import ChatCompletions, GenerateContent
from rxlapce.notebook import compare, raw, show, timeline
from rxlapce.notebook.compare import merged
from rxlapce.notebook.figure import Figure
from rxlapce.notebook.marks import Outcome, State
from rxlapce.notebook.plot import Scale, log_range, rate_ticks, thinned
from rxlapce.notebook.probes import Probes
from rxlapce.notebook.raw import READS, Raw, rows_of
from rxlapce.notebook.trace import Trace
from rxlapce.operators import json_array_decode, sse_decode, token_map
from rxlapce.tokens import Finish, StreamToken, Text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</code><script>alert(1)</script>\u202e"&'


def chunk(text: str) -> str:
    return f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}'


def body(texts: Iterable[str]) -> bytes:
    events = [*map(chunk, texts), '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', "[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events).encode()


class Looked:
    """Bytes that can be looked into."""

    def __init__(self, source: Observable[bytes], *, as_array: bool = False) -> None:
        self.source = source
        self.as_array = as_array

    def observed(self, probes: Probes) -> Observable[StreamToken]:
        return self.source.pipe(
            probes.lane("bytes", "bytes"),
            probes.lane("more bytes", "bytes"),
            json_array_decode() if self.as_array else sse_decode(),
            probes.lane("events", "events"),
            token_map(GenerateContent() if self.as_array else ChatCompletions()),
            probes.lane("tokens", "tokens"),
        )


class Page(HTMLParser):
    """The text and the tags of a page; those that are open at its end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "rect", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def classes(self, name: str) -> int:
        return sum(name in (attrs.get("class") or "").split() for _, attrs in self.tags)


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


async def ended(made: Figure) -> None:
    await made


# -- timeline ---------------------------------------------------------------------------------------------------------


async def test_a_timeline_is_of_a_view_or_of_what_it_subscribes_to() -> None:
    source = rx.of(Text("a"), Text("b"))
    view = show(source)
    await view
    assert timeline(view).timing.tokens == 2
    made = timeline(source, title="of its own")
    assert await made is made
    assert made.timing.tokens == 2
    assert "of its own" in texts(made.svg())
    assert repr(made).startswith("completed after")


async def test_what_a_timeline_started_ends_with_it_and_a_view_does_not() -> None:
    source: Subject[StreamToken] = Subject()
    view = show(source)
    timeline(view).close()
    assert not view.trace.is_over
    made = timeline(source)
    made.close()
    assert made.view.trace.state is State.CANCELLED
    view.close()
    assert not source.observers


async def test_who_waits_no_longer_for_a_timeline_cancels_what_it_started() -> None:
    made = timeline(Subject[StreamToken]())
    waiting = asyncio.ensure_future(ended(made))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert made.view.trace.state is State.CANCELLED


async def test_a_timeline_of_many_tokens_is_small_and_keeps_the_extremes() -> None:
    source: Subject[StreamToken] = Subject()
    view = show(source)
    trace = view.trace
    for place in range(20_000):
        trace.mark(0, place / 1000 + (5.0 if place >= 2_000 else 0.0) + 0.3 * (place // 100), Text("x"))
    view.cancel()
    made = timeline(view)
    assert len(made.timing.stalls) > 100
    svg = made.svg()
    drawn = list(ET.fromstring(svg).iter())  # noqa: S314 - our own
    assert len(drawn) < 2_000
    shaded = [element.text for element in drawn if (element.text or "").startswith("stall, ")]
    assert len(shaded) == 100
    assert "stall, 5.3 s" in shaded, "of many stalls the longest are shaded"
    dots = [float(element.attrib["cy"]) for element in drawn if element.tag == f"{SVG}circle"]
    assert min(dots) < sorted(dots)[1] - 20, "the one long wait stands above all others"
    assert "p90 1 ms" in texts(svg)


@pytest.mark.parametrize("title", ["", HOSTILE])
async def test_a_timeline_of_nothing_is_a_picture_all_the_same(title: str) -> None:
    made = timeline(rx.empty(), title=title)
    assert "<script" not in made.svg()
    assert "\u202e" not in made.svg()
    assert texts(made.svg())


async def test_tokens_of_one_read_do_not_stretch_the_scale_of_the_waits() -> None:
    def words(times: Iterable[float]) -> list[str]:
        return texts(timeline(ran(times)).svg())

    bursts = words(0.1 + 0.05 * (place // 2) for place in range(100))
    assert "≤ 1 ms" in bursts
    assert not {"1 µs", "10 µs", "100 µs"} & set(bursts)
    assert "≤ 1 ms" not in words(0.1 + 0.05 * place for place in range(100)), "none came at once"
    fast = words(0.1 + 0.00002 * place for place in range(100))
    assert "10 µs" in fast, "where all are quick, that is what there is to see"


# -- what there is already, and recordings ----------------------------------------------------------------------------


def recorded(path: Path, reads: Iterable[tuple[float, bytes]], end: str = "completed") -> Path:
    header = {"format": "rxlapce-recording", "version": 1, "provider": "openai", "api": "chat", "status": 200}
    lines: list[dict[str, object]] = [{**header, "content_type": "text/event-stream"}]
    last = 0.0
    for last, data in reads:
        lines.append({"t": last, "b64": base64.b64encode(data).decode()})
    lines.append({"t": last + 0.25, "end": end})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "ascii")
    return path


async def test_a_recording_is_drawn_at_once_with_the_times_that_it_had(tmp_path: Path) -> None:
    data = body(["He", "llo"])
    file = recorded(tmp_path / "a.rec", zip((0.5, 1.0, 3600.0), cut(data, 58, 117), strict=True))
    for made in (timeline(file), timeline(str(file))):
        timing = made.timing
        assert (timing.state, timing.times, timing.seconds) == (State.COMPLETED, (0.5, 1.0), 3600.25)
        assert "a.rec" in texts(made.svg())
        assert await made is made
    rows = raw(file)
    assert [read.mark.t for read in rows_of(rows.view.trace, (0, 1, 2))[0]] == [0.5, 1.0, 3600.0]
    both = compare([file, rx.of(Text("a"))])
    await both
    assert list(both.timings) == ["1: a.rec", "run 2"]
    assert both.timings["1: a.rec"].gaps == [0.5]


async def test_many_reads_of_one_moment_stay_at_it(tmp_path: Path) -> None:
    data = body(["x"] * 150)
    reads = [(0.5, data[place : place + 11]) for place in range(0, len(data), 11)]
    timing = timeline(recorded(tmp_path / "a.rec", reads)).timing
    assert timing.tokens == 150
    assert set(timing.times) == {0.5}


async def test_a_recording_of_a_failure_is_one_and_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    made = timeline(recorded(tmp_path / "a.rec", [(0.5, body(["He"])[:58])], "disposed"))
    assert made.timing.state is State.FAILED
    with pytest.raises(FileNotFoundError):
        timeline(tmp_path / "none.rec")
    (tmp_path / "none.rec").write_text("hello\n")
    with pytest.raises(ValueError, match=r"none\.rec|recording"):
        timeline(tmp_path / "none.rec")


async def test_a_trace_is_drawn_as_it_is() -> None:
    trace = ran([0.5, 1.0, 2.0])
    made = timeline(trace)
    assert (made.timing.first_s, made.timing.seconds) == (0.5, 2.0)
    assert await made is made
    running = Trace("goes on")
    running.lane("tokens", "tokens")
    running.mark(0, 0.75, Text("a"))
    assert timeline(running).timing.seconds == 0.75
    assert list(compare([trace, running]).timings) == ["1: a run", "2: goes on"]


async def test_what_cannot_be_looked_at_is_refused_before_anything_begins(tmp_path: Path) -> None:
    source: Subject[StreamToken] = Subject()
    nothing: Any = 5
    with pytest.raises(TypeError, match="not int"):
        timeline(nothing)
    with pytest.raises(TypeError, match="not int"):
        compare([source, nothing])
    with pytest.raises(FileNotFoundError):
        compare([source, tmp_path / "none.rec"])
    with pytest.raises(ValueError, match="a trace with a lane"):
        raw(Trace())
    assert not source.observers


def test_many_points_become_few_with_the_lowest_and_the_highest() -> None:
    points = [(float(place), float(place % 97)) for place in range(10_000)]
    points[5_000] = (5_000.0, -3.0)
    kept = thinned(points, 200)
    assert len(kept) <= 202
    assert kept == sorted(kept)
    assert min(value for _, value in kept) == -3.0
    assert max(value for _, value in kept) == 96.0
    assert thinned(points[:10], 200) == points[:10]


@pytest.mark.parametrize("values", [[], [0.0], [0.02], [1e-9, 50.0], [0.1, 1.0]])
def test_a_logarithmic_range_holds_its_values(values: list[float]) -> None:
    low, high = log_range(values)
    assert low < high
    assert all(low <= max(value, 1e-6) <= high * 1.001 for value in values)
    across = Scale(low, high, 0.0, 100.0, log=True)
    assert [across(low), across(high)] == pytest.approx([0.0, 100.0])


@pytest.mark.parametrize("high", [0.0, 0.004, 1.0, 9.9, 250.0, 1e6])
def test_rates_are_marked_at_three_round_numbers_at_most(high: float) -> None:
    ticks = rate_ticks(high)
    assert len(ticks) <= 3
    assert bool(ticks) is (high > 0)
    assert all(0 < tick <= high * 1.001 for tick in ticks)


# -- compare ----------------------------------------------------------------------------------------------------------


def ran(times: Iterable[float], outcome: Outcome = Outcome.COMPLETED, most: int = 20_000) -> Trace:
    trace = Trace("a run", max_marks=most)
    trace.lane("tokens", "tokens")
    trace.begin(0, 0.0)
    t = 0.0
    for t in times:
        trace.mark(0, t, Text("x"))
    error = RuntimeError("it broke") if outcome is Outcome.FAILED else None
    trace.end(0, t, outcome, error)
    trace.finish(t, outcome, error)
    return trace


def test_runs_are_laid_beside_each_other_with_all_that_they_had() -> None:
    traces = {"a": ran(place / 10 for place in range(1, 11)), "b": ran((place / 7 for place in range(1, 31)), most=10)}
    whole = merged("both", traces)
    assert [lane.name for lane in whole.lanes] == ["a", "b"]
    assert [mark.t for mark in whole.kept] == sorted(mark.t for mark in whole.kept)
    folded = sum(sum(one.counts.values()) for one in whole.bins())
    assert (len(whole.kept), folded) == (20, 20)
    assert [(end.lane, end.outcome) for end in whole.ends] == [(0, Outcome.COMPLETED), (1, Outcome.COMPLETED)]
    assert merged("", {"a": ran([0.1]), "b": ran([0.1], Outcome.FAILED)}).state is State.FAILED


async def test_a_comparison_runs_what_does_not_run_and_tells_all() -> None:
    done = show(rx.of(Text("a"), Text("b")))
    made = compare([done, rx.of(Text("c")), rx.throw(RuntimeError(HOSTILE))], labels=["done", "new", "broken"])
    await made
    assert {label: timing.tokens for label, timing in made.timings.items()} == {"done": 2, "new": 1, "broken": 0}
    page = Page(made.html())
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.classes("failed") == 1
    assert ".rxlapce-compare table{color:inherit" in made.html(), "black on black without a doctype"
    words = repr(made).splitlines()
    assert words[0].split()[:2] == ["first", "token"]
    assert [line.split()[0] for line in words[1:]] == ["done", "new", "broken"]


async def test_one_after_another_the_next_begins_when_the_last_has_ended() -> None:
    first: Subject[StreamToken] = Subject()
    begun: list[str] = []

    def begin(_: object) -> Observable[StreamToken]:
        begun.append("second")
        return rx.of(Text("b"))

    second = rx.defer(begin)
    made = compare([first, second], together=False)
    waiting = asyncio.ensure_future(ended(made))
    await asyncio.sleep(0)
    assert begun == []
    first.on_completed()
    await waiting
    assert begun == ["second"]
    assert made.is_over


async def test_a_comparison_that_is_left_begins_nothing_more() -> None:
    first: Subject[StreamToken] = Subject()
    made = compare([first, rx.throw(RuntimeError("never asked"))], together=False)
    made.close()
    assert made.is_over
    assert not first.observers
    assert list(made.timings) == ["run 1"]


@pytest.mark.parametrize(("count", "labels"), [(1, None), (0, None), (2, ["one"])])
async def test_a_comparison_takes_two_and_a_label_for_each(count: int, labels: list[str] | None) -> None:
    with pytest.raises(ValueError, match="two streams or more"):
        compare([rx.of(1)] * count, labels=labels)


# -- raw --------------------------------------------------------------------------------------------------------------


async def test_each_read_has_its_events_and_they_their_tokens_however_it_is_cut() -> None:
    data = body(["He", "llo", " you"])
    for size in (1, 7, 40, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        made = raw(Looked(rx.of(*pieces)))
        await made
        reads, late, lost = rows_of(made.view.trace, (0, 2, 3))
        assert (lost, late) == (0, [])
        assert b"".join(read.mark.item for read in reads) == data
        pairs = [pair for read in reads for pair in read.made]
        events = [pair.event.item.data for pair in pairs if pair.event is not None]
        assert events == [*map(chunk, ["He", "llo", " you"]), events[3], "[DONE]"]
        assert [token.item for pair in pairs for token in pair.tokens] == made.view.trace.items()
        page = Page(made.html())
        assert ("completes what an earlier read began" in page.text) is (size < len(data))
        assert page.classes("pair") == sum(len(read.made) for read in reads[:READS] + reads[READS:][-READS:])


def cut(data: bytes, *places: int) -> list[bytes]:
    return [data[start:end] for start, end in zip((0, *places), (*places, len(data)), strict=True)]


def joints(made: Raw) -> list[tuple[bool, bool]]:
    """Of each read: whether an event runs on into the next, and whether one came from before."""
    trace = made.view.trace
    lanes = [lane.id for lane in trace.lanes if lane.name in ("bytes", "events", "tokens")]
    return [(read.open, read.joined) for read in rows_of(trace, (lanes[0], lanes[1], lanes[2]))[0]]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ((20,), [(True, False), (False, True)]),  # within an event
        ((20, 30), [(True, False), (True, True), (False, True)]),  # one that runs through three reads
        ((57,), [(False, False), (False, False)]),  # between two
        ((56,), [(True, False), (False, True)]),  # before the line end that completes one
        ((60,), [(True, False), (False, True)]),  # in the name of a field
        ((114,), [(False, False), (False, False)]),  # between two that say the same
        ((124,), [(True, False), (False, True)]),  # within the one of these that comes later
    ],
)
async def test_reads_that_an_event_runs_through_are_joined(
    places: tuple[int, ...], expected: list[tuple[bool, bool]]
) -> None:
    data = body(["a", "a", "a"])
    assert data[:57].endswith(b"\n\n")
    assert data[:57] == data[57:114]
    made = raw(Looked(rx.of(*cut(data, *places))))
    await made
    assert joints(made) == expected


async def test_a_comment_between_two_events_joins_nothing() -> None:
    event = body(["a"])[:57]
    made = raw(Looked(rx.of(event, b": wait\n\n", body(["b"]))))
    await made
    assert joints(made) == [(False, False)] * 3


async def test_elements_of_an_array_that_is_cut_are_joined_and_what_its_end_gives_is_shown() -> None:
    said = [{"content": {"parts": [{"text": word}]}} for word in "ab"]
    data = json.dumps([{"candidates": [one]} for one in (*said, {"finishReason": "STOP"})], indent=2).encode()
    second = data.index(b"},\n  {") + 2
    made = raw(Looked(rx.of(*cut(data, 30, second)), as_array=True))
    await made
    assert joints(made) == [(True, False), (False, True), (False, False)]
    _, late, _ = rows_of(made.view.trace, (0, 2, 3))
    assert [type(token.item) for pair in late for token in pair.tokens] == [Finish]
    page = Page(made.html())
    assert page.open == []
    assert page.classes("token") == 3
    assert page.text.endswith("of no read: when the stream endedfinish stop")


async def test_what_a_provider_says_is_shown_and_does_nothing() -> None:
    made = raw(Looked(rx.of(body(["<b>\\u202e</b>", "é"]) + HOSTILE.encode())), title=HOSTILE)
    await made
    html = made.html()
    page = Page(html)
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= {"div", "style", "span", "code", "details", "summary", "pre", "br"}
    assert "\u202e" not in html
    assert "\\u202e" in page.text


async def test_of_many_reads_the_first_and_the_last_are_shown() -> None:
    source = rx.of(*(body([str(place)])[:60] + b"\n\n" for place in range(500)))
    made = raw(Looked(source))
    await made
    html = made.html()
    assert Page(html).classes("read") == 2 * READS
    assert f"… {500 - 2 * READS} more reads …" in html
    assert len(html) < 400_000


async def test_of_many_events_of_one_read_the_first_and_the_last_are_shown() -> None:
    made = raw(Looked(rx.of(body(map(str, range(500))))))
    await made
    page = Page(made.html())
    assert page.classes("pair") == 2 * READS
    assert f"… {502 - 2 * READS} more events …" in page.text


async def test_without_bytes_to_see_it_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=re.escape("there are stream (any)")):
        raw(show(rx.of(1)))
    source: Subject[Any] = Subject()
    with pytest.raises(ValueError, match="expected a lane of bytes"):
        raw(source)
    assert not source.observers


# -- frames -----------------------------------------------------------------------------------------------------------


async def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    view = show(rx.of(Text("a")))
    frames: list[Callable[[], object]] = [
        view.frame,
        timeline(view).frame,
        compare([view, view]).frame,
        raw(Looked(rx.of(body([])))).frame,
    ]
    for frame in frames:
        with pytest.raises(ImportError, match="pip install pandas"):
            frame()


@pytest.mark.browser  # where the group of packages for notebooks is installed, and pandas with it
async def test_a_frame_has_a_row_for_each_mark() -> None:
    pd = pytest.importorskip("pandas", reason="pandas is installed by make notebooks")
    made = raw(Looked(rx.of(body(["He", "llo"]))))
    await made
    frame = made.frame()
    assert list(frame.columns) == ["seq", "t", "gap_s", "lane", "kind", "label", "text", "size", "cause"]
    assert len(frame) == made.view.trace.next_seq
    assert list(frame[frame.kind == "text"].text) == ["He", "llo"]
    assert frame.lane.dtype == "category"
    assert list(frame.label) == [mark.label for mark in made.view.trace.kept]
    assert frame[frame.lane == "bytes"].cause.isna().all()
    assert set(frame[frame.lane == "tokens"].cause) <= set(frame[frame.lane == "events"].seq)
    assert frame.equals(made.frame())
    both = compare([made.view.trace, made.view], labels=["a", "b"]).frame()
    assert list(both.groupby("run", observed=True).size()) == [len(frame)] * 2
    assert isinstance(both, pd.DataFrame)
