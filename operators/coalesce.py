"""`coalesce_text`: many small pieces of text become few larger ones."""

import asyncio
from collections.abc import Callable
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxlapce.flow import Receiver, Stage, connect
from rxlapce.tokens import Reasoning, Refusal, StreamToken, Text

Prose = Text | Reasoning | Refusal

#: A piece that is no larger than its token needs no copy to be merged; this many characters make one good frame.
DEFAULT_MAX_CHARS: Final = 4096


def coalesce_text(
    max_delay_s: float = 0.02, max_chars: int = DEFAULT_MAX_CHARS
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    """Merge neighbours of one kind and choice, if they come within `max_delay_s` of the first of them.

        source, 3 s   --a-b-----c-d-e-u-f|         u is no text
        result        -----(ab)-----(cd)(e)u(f)|   one time unit is a second; e came too late for c's

    Merged are `Text`, `Reasoning` and `Refusal`, each with its own kind and choice only; the piece that brings a
    reasoning's signature is the last of its merge. All else passes at once and unchanged, tool arguments too, after the
    text that came before it, so the order never changes. A merge leaves when `max_delay_s` seconds (from 0) have gone
    by, when the next piece would take it past `max_chars` (from 1), before any token that it cannot take in, on
    completion and before an error. With `max_delay_s` 0 that is the next round of the event loop: what one read brought
    becomes one token. A piece alone leaves as it came, also one that is larger than `max_chars`.

    At most one timer at a time, set by the first piece of a merge, on the scheduler of the subscription, or the running
    loop's without one. Memory: `max_chars` characters. Disposing drops what waits and cancels the timer.

    Raises `ValueError` for a delay or size out of range.
    """
    if not max_delay_s >= 0:
        raise ValueError(f"max_delay_s must not be negative, not {max_delay_s}")
    if max_chars < 1:
        raise ValueError(f"max_chars must be at least 1, not {max_chars}")

    def coalesced(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            merge = _Merge(receiver, scheduler, max_delay_s, max_chars)
            above = Receiver(merge.on_next, merge.on_error, merge.on_completed)
            merge.source.disposable = connect(source, above, scheduler)
            return CompositeDisposable(merge.source, Disposable(merge.stop))

        return Stage(on_subscribe)

    return coalesced


class _Merge:
    """The run of neighbours that waits in one subscription."""

    __slots__ = (
        "chars",
        "ended",
        "first",
        "max_chars",
        "max_delay_s",
        "pieces",
        "receiver",
        "scheduler",
        "source",
        "timer",
    )

    def __init__(
        self, receiver: Receiver[StreamToken], scheduler: SchedulerBase | None, max_delay_s: float, max_chars: int
    ) -> None:
        self.receiver = receiver
        self.scheduler = scheduler if scheduler is not None else AsyncIOScheduler(asyncio.get_running_loop())
        self.max_delay_s = max_delay_s
        self.max_chars = max_chars
        self.first: Prose | None = None
        self.pieces: list[str] = []
        self.chars = 0
        self.source = SingleAssignmentDisposable()
        self.timer = SerialDisposable()
        self.ended = False

    def on_next(self, token: StreamToken) -> None:
        if self.ended:
            return
        if not isinstance(token, Text | Reasoning | Refusal):
            self.flush(token)
            return
        first = self.first
        signed = isinstance(token, Reasoning) and token.signature is not None
        size = len(token.text)
        fits = self.chars + size <= self.max_chars
        if first is not None and (not fits or type(token) is not type(first) or token.choice != first.choice):
            self.flush()
            first = None
        if self.ended:  # disposed by what waited
            return
        if size >= self.max_chars:
            self.flush(token)
        elif signed:
            self.flush(self.merged_with(token))
        elif first is None:
            self.first, self.pieces, self.chars = token, [token.text], size
            self.timer.disposable = self.scheduler.schedule_relative(self.max_delay_s, self.on_timer)
        else:
            self.pieces.append(token.text)
            self.chars += size
            if self.chars >= self.max_chars:
                self.flush()

    def merged_with(self, token: StreamToken) -> StreamToken:
        """What waits and the `Reasoning` that ends it, as one; nothing waits any more."""
        if self.first is None or not isinstance(token, Reasoning):
            return token
        text = "".join(self.pieces) + token.text
        self.drop()
        return Reasoning(text, token.signature, token.choice)

    def flush(self, after: StreamToken | None = None) -> None:
        """Let go what waits, and then `after`."""
        first, pieces = self.first, self.pieces
        if first is not None:
            self.drop()
            whole = first if len(pieces) == 1 else type(first)("".join(pieces), choice=first.choice)
            self.receiver.on_next(whole)
        if after is not None and not self.ended:
            self.receiver.on_next(after)

    def drop(self) -> None:
        self.first, self.pieces, self.chars = None, [], 0
        self.timer.disposable = Disposable()

    def on_timer(self, scheduler: SchedulerBase, state: object = None) -> None:
        if not self.ended:
            self.flush()

    def on_error(self, error: Exception) -> None:
        if not self.ended:
            self.flush()
        if not self.ended:
            self.stop()
            self.receiver.on_error(error)

    def on_completed(self) -> None:
        if not self.ended:
            self.flush()
        if not self.ended:
            self.stop()
            self.receiver.on_completed()

    def stop(self) -> None:
        """No timer stays; nothing is emitted any more."""
        self.ended = True
        self.first, self.pieces = None, []
        self.timer.dispose()
