"""`raw`: the provider's bytes beside the events that they made, beside the tokens that those became."""

import re
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any, Final

from reactivex import Observable

from rxlapce.notebook import cells
from rxlapce.notebook.axis import amount, duration
from rxlapce.notebook.figure import Figure, state_words, viewed
from rxlapce.notebook.items import escaped
from rxlapce.notebook.marks import Mark
from rxlapce.notebook.probes import Observed
from rxlapce.notebook.svg import themes
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.view import View
from rxlapce.registry import Shape

#: Reads that are shown, from the beginning and from the end.
READS: Final = 40
#: Of one cell, in characters; of one read's hex dump, in bytes.
_CHARS: Final = 600
_HEX_BYTES: Final = 512

#: Where a line of what is shown ends: behind all line ends that follow each other.
_END_OF_LINE: Final = re.compile(r"(?<=⏎)(?=[^⏎␍])|(?<=⏎)(?=␍[^⏎])")

_STYLE: Final = """
.rxlapce-raw{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;background:var(--ground);color:var(--ink)}
.rxlapce-raw{padding:8px 12px}
.rxlapce-raw .title{font-size:14px;font-weight:600}
.rxlapce-raw .small{color:var(--muted);font-size:11px}
.rxlapce-raw .grid{display:grid;gap:1px 10px;margin-top:8px;max-height:520px;overflow:auto}
.rxlapce-raw .grid{grid-template-columns:70px minmax(0,4fr) minmax(0,4fr) minmax(0,2fr)}
.rxlapce-raw .head{font-weight:600;border-bottom:1px solid var(--line)}
.rxlapce-raw .read{display:contents}
.rxlapce-raw .read>*{border-top:1px solid var(--line);padding:3px 4px}
.rxlapce-raw .read:hover>*{background:color-mix(in srgb,var(--text) 12%,transparent)}
.rxlapce-raw .grid code,.rxlapce-raw .grid pre{background:none!important;color:inherit;padding:0!important}
.rxlapce-raw .grid code,.rxlapce-raw .grid pre{font:11px ui-monospace,"DejaVu Sans Mono",monospace}
.rxlapce-raw .grid code{white-space:pre-wrap;overflow-wrap:anywhere}
.rxlapce-raw .grid pre{font-size:10px;margin:2px 0;color:var(--muted);overflow-x:auto}
.rxlapce-raw details>summary{cursor:pointer;color:var(--muted);font-size:11px}
.rxlapce-raw .event,.rxlapce-raw .token{border-left:3px solid var(--event);padding-left:5px;margin-bottom:3px}
.rxlapce-raw .joined{color:var(--tool_call)}
.rxlapce-raw .more{grid-column:1/-1;text-align:center;color:var(--muted);padding:6px;border-top:1px solid var(--line)}
""".strip()


def raw(stream: View | Observable[Any] | Observed, *, title: str = "") -> "Raw":
    """Draw `stream` read by read: a view by `inspect`, or what can be looked into and is subscribed to now.

    Raises `ValueError` for a view that has no lane of bytes.
    """
    view = viewed(stream, title)
    try:
        made = Raw(view, title or view.trace.title)
    except ValueError:
        if view is not stream:
            view.close()
        raise
    if view is not stream:
        made.started([view])
        cells.close_when_run_again(made)
    made.display()
    return made


class Raw(Figure):
    """A row for each read of the provider's socket: its bytes; the events that it completed; the tokens they became.

    What a read ends in the middle of is completed by a later one, whose row says so. The first `READS` and the last
    ones are shown. No script is in it: what came of what stands in one row, and the pointer marks it.
    """

    def __init__(self, view: View, title: str) -> None:
        self._lanes = _lanes(view.trace)
        self.view = view
        self.title = title
        super().__init__((view,), self._drawn, lambda: state_words(view.trace.state, duration(view.now())))

    def _drawn(self) -> str:
        trace = self.view.trace
        reads, lost = rows_of(trace, self._lanes)
        head = f'<span class="title">{escape(escaped(self.title, {}))}</span> ' if self.title else ""
        said = f'<span class="small">{escape(repr(self))}, {len(reads) + lost:,} reads</span>'
        heads = "".join(f'<div class="head">{name}</div>' for name in ("", "bytes", "events", "tokens"))
        rows = [_row(read) for read in reads]
        if lost or len(rows) > 2 * READS:
            hidden = max(0, len(rows) - 2 * READS)
            middle = f'<div class="more">… {hidden + lost:,} more reads …</div>'
            rows = [*rows[:READS], middle, *rows[-READS:]] if hidden else [middle, *rows]
        return (
            f'<div class="rxlapce-raw"><style>{_STYLE}{themes(".rxlapce-raw")}</style>{head}{said}'
            f'<div class="grid">{heads}{"".join(rows)}</div></div>'
        )


@dataclass(slots=True)
class Read:
    """One read, and what came of it. `open` says that it ends inside an event, `closes` that it ends one of before."""

    mark: Mark
    events: list[tuple[Mark, list[Mark]]] = field(default_factory=list[tuple[Mark, list[Mark]]])
    open: bool = False
    closes: bool = False


def rows_of(trace: Trace, lanes: tuple[int, int, int]) -> tuple[list[Read], int]:
    """The kept reads in order, and how many there were that are kept no longer."""
    bytes_lane, events_lane, tokens_lane = lanes
    reads: dict[int, Read] = {}
    events: dict[int, list[Mark]] = {}
    for mark in trace.kept:
        if mark.lane == bytes_lane:
            reads[mark.seq] = Read(mark)
        elif mark.lane == events_lane and mark.cause in reads:
            events[mark.seq] = []
            reads[mark.cause].events.append((mark, events[mark.seq]))
        elif mark.lane == tokens_lane and mark.cause in events:
            events[mark.cause].append(mark)
    ordered = list(reads.values())
    for read, following in pairwise(ordered):
        read.open = following.closes = _began_before(following)
    return ordered, trace.totals[bytes_lane].marks - len(ordered)


def _began_before(read: Read) -> bool:
    """Whether its first event began in an earlier read: in every framing its data stand in the bytes as they are."""
    if not read.events or not isinstance(read.mark.item, bytes | bytearray):
        return False
    data = getattr(read.events[0][0].item, "data", "")
    begin = data.partition("\n")[0][:60] if isinstance(data, str) else ""
    return bool(begin) and begin.encode("utf-8", "replace") not in read.mark.item


def _lanes(trace: Trace) -> tuple[int, int, int]:
    """The first lanes of bytes, events and tokens, in that order."""
    found: list[int] = []
    for shape in (Shape.BYTES, Shape.EVENTS, Shape.TOKENS):
        lane = next((lane.id for lane in trace.lanes if lane.shape == shape), None)
        if lane is None:
            names = ", ".join(f"{lane.name} ({lane.shape})" for lane in trace.lanes)
            raise ValueError(f"expected a lane of {shape}, and there are {names}: look into it by inspect(...)")
        found.append(lane)
    return found[0], found[1], found[2]


def _row(read: Read) -> str:
    mark = read.mark
    data = bytes(mark.item) if isinstance(mark.item, bytes | bytearray) else b""
    shown = _bytes_words(data) if data or not mark.size else f"{amount(mark.size)}, not kept"
    begun = '<div class="joined">↳ completes what the read before began</div>' if read.closes else ""
    going = '<span class="joined" title="an event goes on in the next read"> ⋯</span>' if read.open else ""
    dump = f"<details><summary>hex</summary><pre>{escape(_hex(data))}</pre></details>" if data else ""
    events = "".join(_event(event) for event, _ in read.events)
    tokens = "".join(_token(token) for _, made in read.events for token in made)
    return (
        f'<div class="read"><div class="small">{duration(mark.t)}<br>{amount(mark.size)}</div>'
        f"<div>{begun}<code>{shown}</code>{going}{dump}</div><div>{events}</div><div>{tokens}</div></div>"
    )


def _event(mark: Mark) -> str:
    name, data = getattr(mark.item, "event", ""), getattr(mark.item, "data", mark.label)
    said = f'<span class="small">{escape(_safe(str(name)))}</span> ' if name not in ("", "message") else ""
    return f'<div class="event">{said}<code>{escape(_safe(str(data)))}</code></div>'


def _token(mark: Mark) -> str:
    text = getattr(mark.item, "text", None)
    said = _safe(text) if isinstance(text, str) else mark.label
    kind = mark.kind.replace("_", " ")
    return (
        f'<div class="token" style="border-color:var(--{mark.kind})"><span class="small">{escape(kind)}</span> '
        f"<code>{escape(said)}</code></div>"
    )


def _bytes_words(data: bytes) -> str:
    return escape(_safe(data.decode("utf-8", "backslashreplace")))


def _safe(text: str) -> str:
    """At most `_CHARS` of it; what cannot be seen or turns the writing is an escape, a line end is one and is seen."""
    cut = text[:_CHARS]
    shown = _END_OF_LINE.sub("\n", "⏎".join(escaped(line, {"\r": "␍", "\t": "⇥"}) for line in cut.split("\n")))
    return f"{shown} … ({len(text):,} characters)" if len(text) > _CHARS else shown


def _hex(data: bytes) -> str:
    lines = [
        f"{at:04x}  {data[at : at + 16].hex(' '):<47}  "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[at : at + 16])
        for at in range(0, min(len(data), _HEX_BYTES), 16)
    ]
    return "\n".join(lines if len(data) <= _HEX_BYTES else [*lines, f"… {len(data):,} bytes"])
