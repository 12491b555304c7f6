"""A stream as steps to perform: bytes with the silence before them, and how the connection ends.

Sans-I/O: `play` decides everything that a server does with an answer, so a test can have it all without a socket.

    events -> fault -> pace -> keep-alives -> batches, CR LF, splitting -> Step, Step, ..., Close
"""

import random
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain, pairwise, repeat
from typing import Final

import msgspec

from rxlapce.simulator.options import Fault, Options
from rxlapce.simulator.wire import Part, Wire, WireEvent


class Step(msgspec.Struct, frozen=True, gc=False):
    """Be silent for `delay_s`, then write `data`, which completes `tokens` tokens."""

    delay_s: float
    data: bytes
    tokens: int = 0


class Close(StrEnum):
    """How a stream ends on the network."""

    COMPLETED = "completed"  # the HTTP body ends as it should
    CUT = "cut"  # the connection closes inside the body
    RESET = "reset"  # the connection is reset
    SILENCE = "silence"  # nothing more comes, and nothing ends


#: Bytes that are written at once when there is no pace.
BATCH_BYTES: Final = 32 * 1024
#: The longest write of `split=0`.
_LONGEST_SPLIT: Final = 40


def play(wire: Wire, events: Iterable[WireEvent], options: Options, chance: random.Random) -> Iterator[Step | Close]:
    """The steps of a stream, made as they are taken; the last is always a `Close`. Memory: one batch."""
    faulty = _misbehave(wire, events, options)
    if _is_bulk(options):
        steps = _batched(faulty)
    else:
        steps = _kept_alive(_paced(faulty, options, chance), wire.keepalive, options.keepalive)
    if options.crlf and wire.text_lines:
        steps = _with_crlf(steps)
    return steps if options.split is None else _split(steps, options.split, chance)


def _is_bulk(options: Options) -> bool:
    return not options.tps and not options.ttft and not options.keepalive


_ENDS: Final = {
    Fault.STALL: Close.SILENCE,
    Fault.CUT: Close.CUT,
    Fault.RESET: Close.RESET,
    Fault.END: Close.COMPLETED,
    Fault.ERROR: Close.COMPLETED,
}
_IN_STREAM: Final = frozenset({*_ENDS, Fault.MALFORMED, Fault.HUGE})


def _misbehave(wire: Wire, events: Iterable[WireEvent], options: Options) -> Iterator[WireEvent | Close]:
    """The events with the fault among them; an answer shorter than `after` has it before its finish."""
    if options.fault not in _IN_STREAM:
        yield from _left_out(events, options.fault)
        yield Close.COMPLETED
        return
    events = iter(events)
    remaining = options.fault_after
    held: WireEvent | None = None
    for event in events:
        part = event[0]
        if part is Part.FINISH or (part is Part.TOKEN and remaining == 0):
            held = event
            break
        remaining -= part is Part.TOKEN
        yield event
    match options.fault:
        case Fault.ERROR:
            yield Part.FRAME, wire.error()
        case Fault.MALFORMED:
            yield Part.FRAME, wire.malformed()
        case Fault.HUGE:
            yield Part.TOKEN, wire.huge(options.size)
        case _:
            pass
    end = _ENDS.get(options.fault)
    if end is None:
        yield from chain((held,) if held else (), events)
    yield end or Close.COMPLETED


def _left_out(events: Iterable[WireEvent], fault: Fault) -> Iterator[WireEvent]:
    """The events without the finish or without the last one, if that is the fault."""
    match fault:
        case Fault.NO_FINISH:
            return (event for event in events if event[0] is not Part.FINISH)
        case Fault.NO_DONE:
            return (event for event, _ in pairwise(events))
        case _:
            return iter(events)


def _batched(events: Iterable[WireEvent | Close]) -> Iterator[Step | Close]:
    """As few writes as `BATCH_BYTES` allows. The hot loop of a fast source: 0.1 us an event beside rendering."""
    batch: list[bytes] = []
    size = tokens = 0
    token = Part.TOKEN
    for event in events:
        if isinstance(event, Close):
            if batch:
                yield Step(0.0, b"".join(batch), tokens)
            yield event
            return
        part, data = event
        batch.append(data)
        size += len(data)
        tokens += part is token
        if size >= BATCH_BYTES:
            yield Step(0.0, b"".join(batch), tokens)
            batch.clear()
            size = tokens = 0


def _paced(events: Iterable[WireEvent | Close], options: Options, chance: random.Random) -> Iterator[Step | Close]:
    """One token a step, after its gap; what is no token follows at once. Without a pace the rest comes in batches."""
    mean_s = 1 / options.tps if options.tps else 0.0
    gap_s = options.ttft
    events = iter(events)
    for event in events:
        if isinstance(event, Close):
            yield event
        elif event[0] is Part.TOKEN:
            yield Step(gap_s, event[1], 1)
            if not mean_s:
                yield from _batched(events)
                return
            gap_s = mean_s * (1 + options.jitter * chance.uniform(-1, 1)) if options.jitter else mean_s
        else:
            yield Step(0.0, event[1])


def _kept_alive(steps: Iterable[Step | Close], keepalive: bytes, every_s: float) -> Iterator[Step | Close]:
    """The same with a keep-alive after every `every_s` of silence; a stall becomes keep-alives without end.

    A framing that has no keep-alives (b"") stays silent.
    """
    for step in steps:
        if not every_s or not keepalive:
            yield step
        elif step is Close.SILENCE:
            yield from repeat(Step(every_s, keepalive))
        elif isinstance(step, Step) and step.delay_s > every_s:
            remaining_s = step.delay_s
            while remaining_s > every_s:
                yield Step(every_s, keepalive)
                remaining_s -= every_s
            yield Step(remaining_s, step.data, step.tokens)
        else:
            yield step


def _with_crlf(steps: Iterable[Step | Close]) -> Iterator[Step | Close]:
    """The same with CR LF: JSON never has a raw LF, so each one ends a line."""
    for step in steps:
        yield Step(step.delay_s, step.data.replace(b"\n", b"\r\n"), step.tokens) if isinstance(step, Step) else step


def _split(steps: Iterable[Step | Close], size: int, chance: random.Random) -> Iterator[Step | Close]:
    """The same bytes in writes of `size` (0: of random sizes); a step's tokens count with its last write."""
    for step in steps:
        if isinstance(step, Close):
            yield step
            continue
        data, delay_s, start = step.data, step.delay_s, 0
        while start < len(data):
            end = start + (size or chance.randint(1, _LONGEST_SPLIT))
            yield Step(delay_s, data[start:end], step.tokens if end >= len(data) else 0)
            start, delay_s = end, 0.0


def play_whole(body: bytes, tokens: int, options: Options) -> Iterator[Step | Close]:
    """The steps of a unary answer of so many tokens. A fault of the stream strikes in the middle of the body."""
    delay_s = options.ttft + (tokens / options.tps if options.tps else 0.0)
    broken = options.fault in _ENDS or options.fault is Fault.MALFORMED
    yield Step(delay_s, body[: len(body) // 2] if broken else body, tokens)
    yield _ENDS.get(options.fault, Close.COMPLETED)
