"""The one place in a pipeline where tokens may wait, with a bound and a named policy.

RxPY has no backpressure. Ours is two gates (`flow.FlowControl`): the sink closes the one below the buffer when it can
take no more, and the buffer closes the one above it, which the source asks before each read of its socket. So a slow
editor fills the provider's TCP window, and not our memory.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar, cast

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import FlowControl, Receiver, Stage, connect
from rxlapce.tokens import Finish, Reasoning, Text, ToolCall, UsageReport

T = TypeVar("T")
Mergeable = Text | Reasoning | ToolCall

#: A merged token ends here, in characters: even if JSON escapes each of them it fits one 10 MiB frame with room.
MAX_MERGED_CHARS: Final = 64 * 1024

_KEPT: Final = (Finish, UsageReport)


class Policy(StrEnum):
    """What a full buffer does. Only `pause` closes the source's gate; only `drop_*` lose what was said.

    - `pause`: the source waits. Past `capacity` (a source that does not ask its gate) the stream fails.
    - `coalesce`: past `high_water`, neighbours of one kind and choice merge. Past `capacity` the stream fails.
    - `drop_oldest`, `drop_newest`: at `capacity`, the first or the arriving token is lost and counted; `Finish` and
      the latest `UsageReport` never are. Pieces of a tool call can be: for streams that are only looked at.
    - `error`: past `capacity` the stream fails.
    """

    PAUSE = "pause"
    COALESCE = "coalesce"
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    ERROR = "error"


@dataclass(slots=True)
class BufferStats:
    """What a buffer did, in plain integers that anybody may read at any time. What passes straight is not seen."""

    queued: int = 0
    """Tokens that wait now."""
    max_queued: int = 0
    dropped: int = 0
    coalesced: int = 0
    """Tokens that went into the one before them."""
    pauses: int = 0
    """How often the source's gate was closed."""


def buffer_with_backpressure(
    *,
    upstream: FlowControl,
    downstream: FlowControl,
    high_water: int = 256,
    low_water: int = 64,
    policy: Policy = Policy.PAUSE,
    capacity: int = 4096,
    merge_chars: int = 0,
    stats: BufferStats | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Hand tokens on while `downstream` is open; queue them while it is closed, in order, up to a bound.

        source:     --a-b-c-----d-e--|
        downstream: ---[closed ]------
        result:     --a---------(bc)d-e--|

    While the gate is open and nothing waits, a token passes straight through. Under `Policy.PAUSE` the buffer closes
    `upstream` when `high_water` tokens wait and opens it when `low_water` are left; one read may bring more than that.
    The end waits behind the queue: an error does not overtake tokens that had arrived. With nothing before it, the end
    does not wait for the gate, nor does a `Finish`: the terminal frame of the wire protocol needs no credit.

    With `merge_chars` (to `MAX_MERGED_CHARS`) neighbouring pieces of text that had to wait are handed on as one, of at
    most so many characters: who catches up does so in fewer steps. Nothing else is changed, tool calls least of all.

    Memory: at most `capacity` tokens (from 2), under `Policy.COALESCE` of `MAX_MERGED_CHARS` each. `low_water` <
    `high_water` <= `capacity`. A source that brings more fails with `ProviderError` of kind `internal`, after the
    queue. Disposing drops the queue and takes the hold on `upstream` off. Runs in the caller of on_next or of
    `downstream.open`, and starts no timer or task. `stats` are added to.

    Raises `ValueError` for water marks or `merge_chars` out of range, or one gate for both sides (it would never open).
    """
    if not 0 <= merge_chars <= MAX_MERGED_CHARS:
        raise ValueError(f"merge_chars must be from 0 to {MAX_MERGED_CHARS}, not {merge_chars}")
    if not 0 <= low_water < high_water <= capacity or capacity < 2:
        raise ValueError(
            "expected 0 <= low_water < high_water <= capacity and capacity >= 2, "
            f"got low_water={low_water}, high_water={high_water}, capacity={capacity}"
        )
    if upstream is downstream:
        raise ValueError("upstream and downstream must be two gates: the buffer would wait for itself")
    counted = stats if stats is not None else BufferStats()

    def buffered(source: Observable[T]) -> Observable[T]:
        def on_subscribe(receiver: Receiver[T], scheduler: SchedulerBase | None) -> DisposableBase:
            buffer = _Buffer(
                receiver, upstream, downstream, high_water, low_water, policy, capacity, merge_chars, counted
            )
            emit, push = receiver.on_next, buffer.push

            def on_next(token: T) -> None:
                if buffer.straight and downstream.is_open:
                    emit(token)
                else:
                    push(token)

            buffer.listening.disposable = downstream.on_change(buffer.drain)
            buffer.source.disposable = connect(source, Receiver(on_next, buffer.end, buffer.end), scheduler)
            return CompositeDisposable(buffer.source, Disposable(buffer.close))

        return Stage(on_subscribe)

    return buffered


class _Run:
    """Neighbours that became one: kept in pieces, since adding strings up would copy the text once a token."""

    __slots__ = ("chars", "first", "pieces", "signature")

    def __init__(self, first: Mergeable) -> None:
        self.first = first
        self.signature = first.signature if isinstance(first, Reasoning) else None
        text = text_of(first)
        self.pieces = [text]
        self.chars = len(text)

    def take(self, token: object) -> bool:
        """Take `token` in if it continues this run, and tell whether it did."""
        if not isinstance(token, Text | Reasoning | ToolCall) or not continues(self.first, token):
            return False
        text = text_of(token)
        if self.signature is not None or self.chars + len(text) > MAX_MERGED_CHARS:
            return False
        if text:
            self.pieces.append(text)
            self.chars += len(text)
        if isinstance(token, Reasoning):
            self.signature = token.signature  # it closes the block, and with it the run
        return True

    def whole(self) -> Mergeable:
        """The one token that all of the run are now."""
        text, first = "".join(self.pieces), self.first
        match first:
            case Text():
                return Text(text, first.choice)
            case Reasoning():
                return Reasoning(text, self.signature, first.choice)
            case ToolCall():
                return ToolCall(first.index, first.id, first.name, text, first.choice)


def continues(first: Mergeable, token: Mergeable) -> bool:
    """Whether `token` says on what `first` began: the same kind, choice and tool call."""
    if type(token) is not type(first) or token.choice != first.choice:
        return False
    if isinstance(first, ToolCall) and isinstance(token, ToolCall):
        return token.index == first.index and token.id in (None, first.id) and token.name in (None, first.name)
    return True


def text_of(token: Mergeable) -> str:
    """What grows when tokens merge."""
    return token.arguments_delta if isinstance(token, ToolCall) else token.text


class _Buffer(Generic[T]):
    """The queue of one subscription, off the straight way."""

    __slots__ = (
        "capacity",
        "downstream",
        "draining",
        "ended",
        "error",
        "high_water",
        "listening",
        "low_water",
        "merge_chars",
        "paused",
        "policy",
        "queue",
        "receiver",
        "source",
        "stats",
        "straight",
        "upstream",
    )

    def __init__(
        self,
        receiver: Receiver[T],
        upstream: FlowControl,
        downstream: FlowControl,
        high_water: int,
        low_water: int,
        policy: Policy,
        capacity: int,
        merge_chars: int,
        stats: BufferStats,
    ) -> None:
        self.receiver = receiver
        self.upstream = upstream
        self.downstream = downstream
        self.high_water = high_water
        self.low_water = low_water
        self.policy = policy
        self.capacity = capacity
        self.merge_chars = merge_chars
        self.stats = stats
        self.queue: deque[T | _Run] = deque()
        self.source = SingleAssignmentDisposable()
        self.listening = SingleAssignmentDisposable()
        self.straight = True
        """Nothing waits and nothing has ended: tokens need not come here."""
        self.paused = False
        self.draining = False
        self.ended = False
        self.error: Exception | None = None

    def push(self, token: T) -> None:
        """Take a token that cannot pass straight."""
        if self.ended:
            return
        queue = self.queue
        if type(token) is Finish and self.straight:
            self.receiver.on_next(token)
            return
        if self.policy is Policy.COALESCE and len(queue) >= self.high_water and self._merge(token):
            self.stats.coalesced += 1
            return
        if len(queue) >= self.capacity and not self._make_room(token):
            return
        queue.append(token)
        self.straight = False
        self._count()
        if len(queue) >= self.high_water and self.policy is Policy.PAUSE and not self.paused:
            self.paused = True
            self.stats.pauses += 1
            self.upstream.close(self)

    def _count(self) -> None:
        waiting = self.stats.queued = len(self.queue)
        if waiting > self.stats.max_queued:
            self.stats.max_queued = waiting

    def _merge(self, token: T) -> bool:
        last = self.queue[-1]
        if isinstance(last, Text | Reasoning | ToolCall):
            run = _Run(last)
            if run.take(token):
                self.queue[-1] = run
                return True
            return False
        return isinstance(last, _Run) and last.take(token)

    def _make_room(self, token: T) -> bool:
        """Tell whether `token` can be queued, after what it takes; the queue is full."""
        if self.policy is Policy.DROP_OLDEST or self.policy is Policy.DROP_NEWEST:
            self.stats.dropped += 1
            return drop_one(self.queue, token, newest=self.policy is Policy.DROP_NEWEST)
        why = {
            Policy.PAUSE: "and its source goes on reading with its gate closed",
            Policy.COALESCE: "and neighbours do not merge",
        }.get(self.policy, "and the policy is to fail")
        message = f"the reader is too slow: {self.capacity} tokens wait, which is the bound, {why}"
        self.source.dispose()
        self.end(ProviderError(ErrorKind.INTERNAL, message))
        return False

    def drain(self) -> None:
        """Hand on what waits, until the gate closes or nothing is left. Safe to call from inside itself."""
        if self.draining:
            return  # the loop below sees the gate
        queue = self.queue
        self.draining = True
        self.straight = False
        try:
            while queue and (self.downstream.is_open or type(queue[0]) is Finish):
                item = queue.popleft()
                if self.merge_chars and type(item) is Text:
                    # Text is what came in as a T, and Text goes out.
                    item = cast("T", self._with_next(item))
                self.stats.queued = len(queue)
                # A run is of one class, that of the T's it was made of, which a type checker cannot follow.
                self.receiver.on_next(cast("T", item.whole()) if isinstance(item, _Run) else item)
                # Only now: a source that answers a gate at once must not overtake the token in hand.
                if self.paused and len(queue) <= self.low_water:
                    self.paused = False
                    self.upstream.open(self)
        finally:
            self.draining = False
            self.straight = not queue and not self.ended
        if self.ended and not queue:
            self._finish()

    def _with_next(self, first: Text) -> Text:
        """`first` and the pieces of text of the same choice that wait behind it, as far as `merge_chars` allows."""
        queue, pieces, chars = self.queue, [first.text], len(first.text)
        while queue:
            following = queue[0]
            if type(following) is not Text or following.choice != first.choice:
                break
            chars += len(following.text)
            if chars > self.merge_chars:
                break
            pieces.append(following.text)
            queue.popleft()
        if len(pieces) == 1:
            return first
        self.stats.coalesced += len(pieces) - 1
        return Text("".join(pieces), first.choice)

    def end(self, error: Exception | None = None) -> None:
        """The source has ended, with or without an error."""
        if self.ended:
            return
        self.ended = True
        self.straight = False
        self.error = error
        if not self.queue and not self.draining:
            self._finish()

    def _finish(self) -> None:
        receiver, error = self.receiver, self.error
        self.close()
        if error is None:
            receiver.on_completed()
        else:
            receiver.on_error(error)

    def close(self) -> None:
        """Forget everything and take the holds off; nothing is emitted any more."""
        self.ended = True
        self.straight = False
        self.receiver = Receiver(_ignore, _ignore, _nothing)
        self.listening.dispose()
        self.queue.clear()
        self.stats.queued = 0
        self.upstream.open(self)


def drop_one(queue: deque[T | _Run], token: T, *, newest: bool) -> bool:
    """Lose one token, `token` itself or a queued one, and tell whether `token` is to be queued."""
    spared = isinstance(token, _KEPT)
    if newest and not spared:
        return False
    places = range(len(queue) - 1, -1, -1) if newest else range(len(queue))
    for place in places:
        if not isinstance(queue[place], _KEPT):
            del queue[place]
            return True
    if spared:
        del queue[0]  # only usage reports wait, at least two: a later one replaces an earlier one
    return spared


def _ignore(value: object) -> None:
    pass


def _nothing() -> None:
    pass
