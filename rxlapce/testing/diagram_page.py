"""A page with a diagram and nothing else, and what a kernel would tell it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

import rxlapce.notebook
from rxlapce.notebook.marks import Bin, Lane, LaneEnd, Span, State
from rxlapce.notebook.messages import Columns, Delta, LaneTotal, Snapshot, ToPage
from rxlapce.notebook.palette import as_json
from rxlapce.testing.browser import Page, Route

STATIC: Final = Path(rxlapce.notebook.__file__).with_name("static")
DOCUMENT: Final = """<!doctype html><meta charset="utf-8"><title>a diagram</title>
<link rel="stylesheet" href="/marbles.css"><body><script type="module" src="/harness.js"></script>"""
LANES: Final = (Lane(0, "bytes", "bytes"), Lane(1, "sse_decode", "events"), Lane(2, "token_map", "tokens"))


class Told(msgspec.Struct, frozen=True):
    """One mark as a page is told of it."""

    seq: int
    t: float
    lane: int
    kind: str
    label: str = ""
    size: int = 1
    cause: int | None = None


def columns(marks: Iterable[Told]) -> Columns:
    """Marks column by column."""
    rows = list(marks)
    return Columns(
        seq=[one.seq for one in rows],
        t=[one.t for one in rows],
        lane=[one.lane for one in rows],
        kind=[one.kind for one in rows],
        label=[one.label for one in rows],
        size=[one.size for one in rows],
        cause=[one.cause for one in rows],
    )


def totals(marks: Iterable[Told], lanes: Sequence[Lane]) -> list[LaneTotal]:
    """What has passed each lane, if `marks` is all."""
    rows = list(marks)
    return [
        LaneTotal(lane.id, len(mine), sum(one.size for one in mine))
        for lane in lanes
        for mine in [[one for one in rows if one.lane == lane.id]]
    ]


def snapshot(
    marks: Sequence[Told] = (),
    *,
    state: State = State.COMPLETED,
    now: float = 10.0,
    lanes: Sequence[Lane] = LANES,
    bins: Sequence[Bin] = (),
    spans: Sequence[Span] = (),
    ends: Sequence[LaneEnd] = (),
    max_marks: int = 20_000,
    title: str = "a stream",
) -> Snapshot:
    """A trace with `marks` and nothing else, unless it is said."""
    return Snapshot(
        title=title,
        state=state,
        now=now,
        lanes=list(lanes),
        marks=columns(marks),
        bins=list(bins),
        spans=list(spans),
        ends=list(ends),
        totals=totals(marks, lanes),
        max_marks=max_marks,
    )


def delta(
    marks: Sequence[Told] = (),
    *,
    now: float,
    state: State = State.RUNNING,
    lanes: Sequence[Lane] = (),
    bins: Sequence[Bin] = (),
    spans: Sequence[Span] = (),
    ends: Sequence[LaneEnd] = (),
    totals: Sequence[LaneTotal] = (),
    kept_from: int = 0,
) -> Delta:
    """What is new."""
    return Delta(
        state=state,
        now=now,
        marks=columns(marks),
        bins=list(bins),
        spans=list(spans),
        ends=list(ends),
        lanes=list(lanes),
        totals=list(totals),
        kept_from=kept_from,
    )


def reads(count: int, *, every_s: float = 0.1, first: int = 0, start: float = 0.5) -> list[Told]:
    """`count` reads of bytes, each of which makes one event and one token a little later."""
    marks: list[Told] = []
    for read in range(count):
        seq, t = first + 3 * read, start + every_s * read
        marks += [
            Told(seq, t, 0, "bytes", "data: {}", 100),
            Told(seq + 1, t + 2e-6, 1, "event", "chunk", 94, seq),
            Told(seq + 2, t + 4e-6, 2, "text", f"word{read}", 6, seq + 1),
        ]
    return marks


class DiagramPage:
    """One diagram on a page, and the model behind it."""

    def __init__(self, page: Page, harness: Path) -> None:
        self.page = page
        self.harness = harness
        self.errors: list[str] = []
        page.on("pageerror", self._failed)

    def _failed(self, error: object) -> None:
        self.errors.append(str(error))

    async def start(self) -> None:
        """Show the diagram, with nothing to draw yet."""
        await self.page.route("**/*", self.serve)
        await self.page.goto("http://diagram.test/")
        await self.page.wait_for_function("window.harnessReady")
        await self.page.evaluate("palette => harness.start(palette)", as_json())

    async def tell(self, *messages: ToPage) -> None:
        """Let the kernel say `messages`, and wait until they are drawn."""
        await self.page.evaluate(
            "messages => harness.tell(...messages)", [msgspec.to_builtins(one) for one in messages]
        )

    async def js(self, expression: str, argument: object = None) -> Any:
        """The value of an expression, in which `d` is the first view's diagram and `argument` is at hand."""
        return await self.page.evaluate(
            f"argument => {{ const d = harness.views[0].diagram; return ({expression}); }}", argument
        )

    async def sent(self, kind: str) -> list[dict[str, Any]]:
        """What the page has told the kernel, of one type."""
        messages: list[dict[str, Any]] = await self.page.evaluate("harness.model.sent")
        return [message for message in messages if message["type"] == kind]

    async def until(self, expression: str) -> None:
        """Wait until an expression is true, in which `d` is the first view's diagram."""
        await self.page.wait_for_function(f"(() => {{ const d = harness.views[0].diagram; return {expression}; }})()")

    async def mark(self, seq: int) -> tuple[float, float]:
        """Where a mark is on the page."""
        x, y = await self.js(
            """(() => {
              const { marks } = d.store;
              const slot = marks.find(argument);
              const box = d.canvas.getBoundingClientRect();
              return [box.left + d.window.x(marks.t[slot], d.painter.width), box.top + d.painter.line(marks.row[slot])];
            })()""",
            seq,
        )
        return x, y

    async def colours(self) -> set[str]:
        """All colours of the canvas that are nowhere mixed with another, as `#rrggbb`."""
        found: list[str] = await self.js(
            """(() => {
              const { canvas } = d;
              const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
              const found = new Set();
              for (let i = 0; i < pixels.length; i += 4) {
                if (pixels[i + 3] === 255) {
                  found.add("#" + [0, 1, 2].map((c) => pixels[i + c].toString(16).padStart(2, "0")).join(""));
                }
              }
              return [...found];
            })()"""
        )
        return set(found)

    async def serve(self, route: Route) -> None:
        """The harness's few files; nothing else is there to ask."""
        files = {
            "/marbles.js": STATIC / "marbles.js",
            "/marbles.css": STATIC / "marbles.css",
            "/harness.js": self.harness,
        }
        path = urlsplit(str(route.request.url)).path
        if path == "/":
            await route.fulfill(body=DOCUMENT, content_type="text/html")
        elif path in files:
            await route.fulfill(path=files[path])
        else:
            await route.fulfill(status=404)
