"""`raw`: the provider's bytes beside the events that they made, beside the tokens that those became."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from rxlapce.notebook import cells
from rxlapce.notebook.axis import amount, duration
from rxlapce.notebook.figure import Figure, Source, looked_at, state_words, viewed
from rxlapce.notebook.frames import frame_of
from rxlapce.notebook.items import escaped
from rxlapce.notebook.marks import Mark
from rxlapce.notebook.played import Still
from rxlapce.notebook.svg import themes
from rxlapce.notebook.trace import Trace
from rxlapce.notebook.view import View
from rxlapce.registry import Shape

if TYPE_CHECKING:
    from pandas import DataFrame

#: Reads that are shown, from the beginning and from the end.
READS: Final = 40
#: Of one cell, in characters; of one read's hex dump, in bytes.
_CHARS: Final = 600
_HEX_BYTES: Final = 512

#: Where a line of what is shown ends: behind all line ends that follow each other.
_END_OF_LINE: Final = re.compile(r"(?<=⏎)(?=[^⏎␍])|(?<=⏎)(?=␍[^⏎])")

#: Where an event of SSE ends, and what stands between values in other framings.
_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_BETWEEN: Final = b" \t\r\n,["

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
.rxlapce-raw .read:hover>*,.rxlapce-raw .open:hover+.joined>*,.rxlapce-raw .open:has(+.joined:hover)>*
{background:color-mix(in srgb,var(--text) 12%,transparent)}
.rxlapce-raw .open>.bytes,.rxlapce-raw .joined>.bytes{border-left:3px solid var(--tool_call);padding-left:5px}
.rxlapce-raw .joined>*{border-top-style:dashed;border-top-color:var(--tool_call)}
.rxlapce-raw .made{grid-column:3/-1}
.rxlapce-raw .pair{display:grid;gap:1px 10px;grid-template-columns:minmax(0,2fr) minmax(0,1fr)}
.rxlapce-raw .pair:hover{background:color-mix(in srgb,var(--text) 20%,transparent)}
.rxlapce-raw .grid code,.rxlapce-raw .grid pre{background:none!important;color:inherit;padding:0!important}
.rxlapce-raw .grid code,.rxlapce-raw .grid pre{font:11px ui-monospace,"DejaVu Sans Mono",monospace}
.rxlapce-raw .grid code{white-space:pre-wrap;overflow-wrap:anywhere}
.rxlapce-raw .grid pre{font-size:10px;margin:2px 0;color:var(--muted);overflow-x:auto}
.rxlapce-raw details>summary{cursor:pointer;color:var(--muted);font-size:11px}
.rxlapce-raw .event,.rxlapce-raw .token{border-left:3px solid var(--event);padding-left:5px;margin-bottom:3px}
.rxlapce-raw .cut{color:var(--tool_call)}
.rxlapce-raw .more{grid-column:1/-1;text-align:center;color:var(--muted);padding:6px;border-top:1px solid var(--line)}
""".strip()


def raw(stream: Source, *, title: str = "") -> "Raw":
    """Draw `stream` read by read: a view by `inspect`, its trace, the path of a recording, or what can be looked into.

    The last is subscribed to now. Raises `ValueError` for what has no lane of bytes; else what `figure.looked_at` does.
    """
    stream = looked_at(stream, title)
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

    An event and its tokens stand in one line, beside the read that completed it. Reads that an event runs through are
    joined by a bar at their left, and say so. What came of no read, at the end of a stream, stands below all. The first
    `READS` and the last ones are shown. No script is in it: the pointer marks what belongs together.
    """

    def __init__(self, view: View | Still, title: str) -> None:
        self._lanes = _lanes(view.trace)
        self.view = view
        self.title = title
        super().__init__((view,), self._drawn, lambda: state_words(view.trace.state, duration(view.now())))

    def frame(self) -> "DataFrame":
        """The kept marks of all lanes: see `frames.frame_of`."""
        return frame_of(self.view.trace)

    def _drawn(self) -> str:
        trace = self.view.trace
        reads, late, lost = rows_of(trace, self._lanes)
        head = f'<span class="title">{escape(escaped(self.title, {}))}</span> ' if self.title else ""
        said = f'<span class="small">{escape(repr(self))}, {len(reads) + lost:,} reads</span>'
        heads = "".join(f'<div class="head">{name}</div>' for name in ("", "bytes", "events", "tokens"))
        rows = [_row(read) for read in reads]
        if lost or len(rows) > 2 * READS:
            hidden = max(0, len(rows) - 2 * READS)
            middle = f'<div class="more">… {hidden + lost:,} more reads …</div>'
            rows = [*rows[:READS], middle, *rows[-READS:]] if hidden else [middle, *rows]
        if late:
            rows.append(_late(late, reads[-1].mark.t if reads else 0.0))
        return (
            f'<div class="rxlapce-raw"><style>{_STYLE}{themes(".rxlapce-raw")}</style>{head}{said}'
            f'<div class="grid">{heads}{"".join(rows)}</div></div>'
        )


@dataclass(slots=True)
class Made:
    """An event and the tokens that it became; of tokens that came of no event, the event is None."""

    event: Mark | None
    tokens: list[Mark] = field(default_factory=list[Mark])


@dataclass(slots=True)
class Read:
    """One read, and what it completed. An event runs on into the next read (`open`), or from one before (`joined`)."""

    mark: Mark
    made: list[Made] = field(default_factory=list[Made])
    open: bool = False
    joined: bool = False

    @property
    def data(self) -> bytes:
        """Its bytes; none if they are not kept."""
        return bytes(self.mark.item) if isinstance(self.mark.item, bytes | bytearray) else b""


def rows_of(trace: Trace, lanes: tuple[int, int, int]) -> tuple[list[Read], list[Made], int]:
    """The kept reads in order; what came of none, when the stream ended; how many reads are kept no longer.

    Between the three lanes may be others: what passed them is the link.
    """
    bytes_lane, events_lane, tokens_lane = lanes
    reads: dict[int | None, Read] = {}
    made: dict[int | None, Made] = {}
    late: list[Made] = []
    for mark in trace.kept:
        read, event = reads.get(mark.cause), made.get(mark.cause)  # a cause comes before what it causes
        if mark.lane == bytes_lane:
            read = Read(mark)
        elif mark.lane == events_lane and (read is not None or mark.cause is None):
            event = Made(mark)
            (late if read is None else read.made).append(event)
        elif mark.lane == tokens_lane and event is not None:
            event.tokens.append(mark)
        elif mark.lane == tokens_lane and mark.cause is None:
            late.append(Made(None, [mark]))
        if read is not None:
            reads[mark.seq] = read
        if event is not None:
            made[mark.seq] = event
    ordered = [read for seq, read in reads.items() if read.mark.seq == seq]
    _join(ordered)
    return ordered, late, trace.totals[bytes_lane].marks - len(ordered)


def _join(reads: list[Read]) -> None:
    """Find the reads that each event runs through: in every framing its data stand in the bytes as they are.

    Events come in the order of their bytes, so each is looked for behind the one before: linear, and two that say the
    same are two. One that is not found (its bytes were no UTF-8, or are kept no longer) is taken to be of one read.
    """
    stream = b"".join(read.data for read in reads)
    ends = list(accumulate(len(read.data) for read in reads))
    done = 0
    for last, read in enumerate(reads):
        for made in read.made:
            data = getattr(made.event.item, "data", "") if made.event is not None else ""
            found = _place(stream, data, done, ends[last]) if isinstance(data, str) and data else None
            if found is None:
                continue
            first = bisect_right(ends, _begin(stream, done, found[0]))
            done = found[1]
            for place in range(first, last):
                reads[place].open = reads[place + 1].joined = True


def _place(stream: bytes, data: str, start: int, end: int) -> tuple[int, int] | None:
    """Where `data` stand between `start` and `end`, whole or line by line, each line in a field of its own."""
    whole = data.encode("utf-8", "replace")
    at = stream.find(whole, start, end)
    if at >= 0:
        return at, at + len(whole)
    begin: int | None = None
    for line in whole.split(b"\n"):
        at = stream.find(line, start, end)
        if at < 0:
            return None
        begin, start = at if begin is None else begin, at + len(line)
    return None if begin is None else (begin, start)


def _begin(stream: bytes, done: int, at: int) -> int:
    """Where the event begins whose data stand at `at`: behind the one that ended at `done`, and what parts the two."""
    head = stream[done:at]
    if b"\0" in head:
        return at  # binary: of the headers nobody here knows where they begin
    for blank in _BLANK_LINE.finditer(head):
        done = at - len(head) + blank.end()
    while done < at and stream[done] in _BETWEEN:
        done += 1
    return done


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
    mark, data = read.mark, read.data
    shown = _bytes_words(data) if data or not mark.size else f"{amount(mark.size)}, not kept"
    verb = "completes" if read.made else "goes on with"
    begun = f'<div class="cut">↳ {verb} what an earlier read began</div>' if read.joined else ""
    going = '<span class="cut" title="an event goes on in the next read"> ⋯</span>' if read.open else ""
    dump = f"<details><summary>hex</summary><pre>{escape(_hex(data))}</pre></details>" if data else ""
    style = f"read{' open' if read.open else ''}{' joined' if read.joined else ''}"
    return (
        f'<div class="{style}"><div class="small">{duration(mark.t)}<br>{amount(mark.size)}</div>'
        f'<div class="bytes">{begun}<code>{shown}</code>{going}{dump}</div>{_made(read.made)}</div>'
    )


def _late(made: list[Made], last_s: float) -> str:
    first = next(mark for one in made for mark in (one.event, *one.tokens) if mark is not None)
    # What came on another thread has no cause that is known.
    said = "of no read: when the stream ended" if first.t >= last_s else "of reads that nobody knows"
    return (
        f'<div class="late read"><div class="small">{duration(first.t)}</div><div class="small">{said}</div>'
        f"{_made(made)}</div>"
    )


def _made(made: list[Made]) -> str:
    """Events, each beside its tokens; of very many the first and the last."""
    pairs = [
        f'<div class="pair"><div>{_event(one.event) if one.event is not None else ""}</div>'
        f"<div>{''.join(map(_token, one.tokens))}</div></div>"
        for one in (made if len(made) <= 2 * READS else (*made[:READS], *made[-READS:]))
    ]
    if len(made) > 2 * READS:
        pairs.insert(READS, f'<div class="small">… {len(made) - 2 * READS:,} more events …</div>')
    return f'<div class="made">{"".join(pairs)}</div>'


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
