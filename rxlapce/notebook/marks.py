"""What a diagram is made of: lanes on one clock, with marks, spans and an end each.

bytes   --o----o------o-|      a lane, `Lane`; o a `Mark`
events  --o-o--oo-----o-|      each mark knows its cause: the one upstream in whose delivery it came
tokens  --o-o---o=====o-|      = a `Span`: a stall, or a gate that is closed

All plain data: what draws it live, what draws it for good and what counts it read the same.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec


class MarkKind(StrEnum):
    """What passed; colours go by it."""

    BYTES = "bytes"
    EVENT = "event"
    TEXT = "text"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TOOL_CALL = "tool_call"
    USAGE = "usage"
    FINISH = "finish"
    SEAM = "seam"
    OPAQUE = "opaque"
    VALUE = "value"
    """Anything else that an Observable emits."""


class Outcome(StrEnum):
    """How a lane ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Disposed by who read it."""


class State(StrEnum):
    """How a trace is; after `waiting` and `running` nothing changes any more."""

    WAITING = "waiting"
    """Nothing has come yet."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SpanKind(StrEnum):
    """Why nothing passed for a while."""

    STALL = "stall"
    """Far longer than usual in this lane."""
    PAUSED = "paused"
    """The gate beside the stream was closed: its reader could not take more."""


#: Of a mark's label, in characters.
LABEL_CHARS: Final = 40


class Lane(msgspec.Struct, frozen=True, gc=False):
    """One place of a pipeline at which what passes is seen. `shape` is that of `registry.Shape`, or `any`."""

    id: int
    name: str
    shape: str = "any"


class Mark(msgspec.Struct, frozen=True):
    """One thing that passed a lane, `t` seconds after the trace began.

    `seq` counts all marks of a trace from 0. `label` is printable, at most `LABEL_CHARS` long. `cause` is the `seq` of
    the mark in the lane before, None where that is not known. `size` is in bytes, or in characters for text. `item` is
    what passed.
    """

    seq: int
    t: float
    lane: int
    kind: MarkKind
    label: str
    size: int = 0
    cause: int | None = None
    item: Any = None  # what any Observable emits


class Bin(msgspec.Struct, frozen=True, gc=False):
    """Marks that are no longer kept one by one: how many of which kind a lane had from `t0` to `t1`, in seconds."""

    lane: int
    t0: float
    t1: float
    counts: dict[str, int]


class Span(msgspec.Struct, frozen=True, gc=False):
    """A while of a lane, in seconds; `t1` is None while it goes on."""

    lane: int
    kind: SpanKind
    t0: float
    t1: float | None = None


class LaneEnd(msgspec.Struct, frozen=True, gc=False):
    """The end of a lane; `error` says of a failure its kind and message, without a secret."""

    lane: int
    t: float
    outcome: Outcome
    error: str | None = None
