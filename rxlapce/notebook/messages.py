"""What kernel and page say to each other about one diagram: JSON objects with a `type`, by the widget's own messages.

The page asks for a `Snapshot` by `Ready`, whenever it draws the diagram anew; from then on it gets `Delta`s, at most
`UPDATES_PER_S` a second, of a bounded size however fast the stream is. Nothing here is needed to look at a saved
notebook: that has the static form.
"""

from typing import Final

import msgspec

from rxlapce.notebook.marks import Bin, Lane, LaneEnd, Span, State

#: Deltas a second, at most.
UPDATES_PER_S: Final = 30
#: Marks in one delta, at most: the rest comes as bins.
MARKS_PER_DELTA: Final = 500
VERSION: Final = 1


class Columns(msgspec.Struct, frozen=True):
    """Marks, column by column, in the order of `seq`."""

    seq: list[int]
    t: list[float]
    lane: list[int]
    kind: list[str]
    label: list[str]
    size: list[int]
    cause: list[int | None]


class LaneTotal(msgspec.Struct, frozen=True):
    """What has passed a lane so far: marks, and the sum of their sizes."""

    lane: int
    marks: int
    size: int


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """All that is kept of a trace. `now` is its clock, in seconds; the page runs on from there while it is running."""

    title: str
    state: State
    now: float
    lanes: list[Lane]
    marks: Columns
    bins: list[Bin]
    spans: list[Span]
    ends: list[LaneEnd]
    totals: list[LaneTotal]
    max_marks: int
    version: int = VERSION


class Delta(msgspec.Struct, frozen=True, tag="delta"):
    """What changed since the last message.

    `marks` are new. `lanes` and `ends` are new ones. A bin is new, or replaces those of its lane that begin within it:
    it came of them. A span is new, or replaces the one of its lane and kind that began at the same time. Marks before
    `kept_from` are kept no longer: bins tell of them. `totals` are all of them.
    """

    state: State
    now: float
    marks: Columns
    bins: list[Bin]
    spans: list[Span]
    ends: list[LaneEnd]
    lanes: list[Lane]
    totals: list[LaneTotal]
    kept_from: int


class Detail(msgspec.Struct, frozen=True, tag="detail"):
    """What is known of one mark: for the pointer that rests on it.

    `title` says what it is, `text` all of it (cut at a few thousand characters, which `cut` says), `raw` the bytes it
    was made of, as a hex dump with its text, None where they are not known. `chain` are the marks it came from, nearest
    first.
    """

    seq: int
    title: str
    text: str
    raw: str | None = None
    cut: bool = False
    chain: list[int] = []


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """The mark that was asked about is kept no longer."""

    seq: int


ToPage = Snapshot | Delta | Detail | Gone


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """A view is there, and has nothing."""


class Seen(msgspec.Struct, frozen=True, tag="seen"):
    """How many deltas the page has drawn since its snapshot; sent at most four times a second."""

    deltas: int


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Dispose of the stream."""


class AskDetail(msgspec.Struct, frozen=True, tag="ask_detail"):
    """The pointer rests on a mark."""

    seq: int


FromPage = Ready | Seen | Cancel | AskDetail
