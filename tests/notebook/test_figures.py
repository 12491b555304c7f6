"""What timelines, comparisons and raw bytes show: by their own words, and by the elements of their pictures."""

import asyncio
import re
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex.subject import Subject

from rxlapce.dialects import ChatCompletions
from rxlapce.notebook import compare, raw, show, timeline
from rxlapce.notebook.compare import merged
from rxlapce.notebook.figure import Figure
from rxlapce.notebook.marks import Outcome, State
from rxlapce.notebook.plot import Scale, log_range, rate_ticks, thinned
from rxlapce.notebook.probes import Probes
from rxlapce.notebook.raw import READS, rows_of
from rxlapce.notebook.trace import Trace
from rxlapce.operators import sse_decode, token_map
from rxlapce.tokens import StreamToken, Text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</code><script>alert(1)</script>\u202e"&'


def chunk(text: str) -> str:
    return f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}'


def body(texts: Iterable[str]) -> bytes:
    events = [*map(chunk, texts), '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', "[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events).encode()


class Looked:
    """Bytes that can be looked into."""

    def __init__(self, source: Observable[bytes]) -> None:
        self.source = source

    def observed(self, probes: Probes) -> Observable[StreamToken]:
        return self.source.pipe(
            probes.lane("bytes", "bytes"),
            sse_decode(),
            probes.lane("events", "events"),
            token_map(ChatCompletions()),
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
        trace.mark(0, place / 1000 + (5.0 if place > 15_000 else 0.0), Text("x"))
    view.cancel()
    svg = timeline(view).svg()
    drawn = list(ET.fromstring(svg).iter())  # noqa: S314 - our own
    assert len(drawn) < 4_000
    dots = [float(element.attrib["cy"]) for element in drawn if element.tag == f"{SVG}circle"]
    assert min(dots) < sorted(dots)[1] - 20, "the one long wait stands above all others"
    assert "p99 1 ms" in texts(svg)


@pytest.mark.parametrize("title", ["", HOSTILE])
async def test_a_timeline_of_nothing_is_a_picture_all_the_same(title: str) -> None:
    made = timeline(rx.empty(), title=title)
    assert "<script" not in made.svg()
    assert "\u202e" not in made.svg()
    assert texts(made.svg())


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
        reads, lost = rows_of(made.view.trace, (0, 1, 2))
        assert lost == 0
        assert b"".join(read.mark.item for read in reads) == data
        events = [event.item.data for read in reads for event, _ in read.events]
        assert events == [*map(chunk, ["He", "llo", " you"]), events[3], "[DONE]"]
        tokens = [token.item for read in reads for _, made_of in read.events for token in made_of]
        assert tokens == made.view.items
        joined = [read.closes for read in reads]
        assert joined[:2] == {40: [False, True], len(data): [False]}.get(size, [False, False])
        assert ("completes what the read before began" in Page(made.html()).text) is any(joined)


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
    frames: list[Callable[[], object]] = [view.frame, timeline(view).frame, compare([view, view]).frame]
    for frame in frames:
        with pytest.raises(ImportError, match="pip install pandas"):
            frame()


@pytest.mark.browser  # where the group of packages for notebooks is installed, and pandas with it
async def test_a_frame_has_a_row_for_each_mark() -> None:
    pd = pytest.importorskip("pandas", reason="pandas is installed by make notebooks")
    made = raw(Looked(rx.of(body(["He", "llo"]))))
    await made
    frame = made.view.frame()
    assert list(frame.columns) == ["seq", "t", "gap_s", "lane", "kind", "text", "size", "cause"]
    assert len(frame) == made.view.trace.next_seq
    assert list(frame[frame.kind == "text"].text) == ["He", "llo"]
    assert frame.lane.dtype == "category"
    assert frame[frame.lane == "bytes"].cause.isna().all()
    assert set(frame[frame.lane == "tokens"].cause) <= set(frame[frame.lane == "events"].seq)
    both = compare([made.view, made.view], labels=["a", "b"]).frame()
    assert list(both.groupby("run", observed=True).size()) == [len(frame)] * 2
    assert isinstance(both, pd.DataFrame)
