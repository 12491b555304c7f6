"""What every decoder must keep to, whatever bytes come: one function for each part of the way that checks all of it.

`Broken` is raised for the first rule that does not hold. The rules of a stream, for `decode` and `decode_all_cuts`:

- exactly one end: `Finish` last and a completion, or on_error(ProviderError) and no `Finish`; nothing after it
- every token can be written as JSON and goes into a frame; the tool calls of a choice are numbered from 0 in order;
  no count of a usage is negative
- the same tokens and the same end however the bytes are cut
- time and memory linear in the bytes: see `cpu_limit_s` and `memory_limit_bytes`
"""

import math
import time
import tracemalloc
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.codec.event import Event
from rxlapce.codec.frame import MAX_PAYLOAD_BYTES
from rxlapce.errors import CodecError, ProtocolError, ProviderError
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS
from rxlapce.tokens import Finish, StreamToken, ToolCall, UsageReport
from rxlapce.typing import Dialect

#: The longest line that says what an error is about.
MAX_SAID_CHARS: Final = ProviderError.MAX_MESSAGE_CHARS
#: Tokens take this many times the bytes of their events at most: an element `1` of a list becomes an Opaque token.
MAX_GROWTH: Final = 64
#: For the things that do not depend on the size.
ALLOWANCE_BYTES: Final = 2**20

_read_token: Final = msgspec.json.Decoder(StreamToken).decode


class Broken(AssertionError):
    """A rule that a decoder must keep does not hold."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stream said: its tokens, what they fold to, and the error that ended it, if one did."""

    tokens: tuple[StreamToken, ...]
    answer: Answer
    error: ProviderError | None

    def verdict(self) -> tuple[object, ...]:
        """What must not depend on how the bytes were cut.

        The message of a framing's error may: it tells how many bytes had come.
        """
        error = self.error
        told: tuple[object, ...] = ()
        if error is not None:
            message = None if isinstance(error.__cause__, CodecError) else (error.message, error.raw)
            told = (error.kind, error.retry, error.phase, error.retry_after_s, error.request_id, message)
        return msgspec.json.encode(self.tokens), msgspec.json.encode(self.answer), told


# -- streams ----------------------------------------------------------------------------------------------------------


def decode(api: str, data: bytes, cuts: Iterable[int] = ()) -> Outcome:
    """What `data`, cut at these places, says in the API of that name. Raises `Broken`."""
    tokens: list[StreamToken] = []
    ends: list[Exception | None] = []

    def on_next(token: StreamToken) -> None:
        _check(not ends, "a token after the end", token)
        tokens.append(token)

    def source(receiver: Receiver[bytes], _: SchedulerBase | None) -> DisposableBase:
        # Goes on after a failure, as a source does that is still in the call which brought it.
        for piece in cut(data, cuts):
            receiver.on_next(piece)
        receiver.on_completed()
        return Disposable()

    spoken = APIS[api]
    stream = Stage(source).pipe(spoken.framing.decode(), token_map(spoken.dialect()))
    # Without the auto-detach of `subscribe`, which would hide what comes after the end.
    connect(stream, Receiver(on_next, ends.append, lambda: ends.append(None)), None)
    _check(len(ends) == 1, "not one end", ends)
    error = ends[0]
    if error is not None and not isinstance(error, ProviderError):
        raise Broken(f"on_error with {type(error).__name__}") from error
    if error is not None:
        check_error(error)
    check_tokens(tokens, whole=error is None, size=len(data))
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return Outcome(tuple(tokens), builder.answer(), error)


def all_cuts(data: bytes) -> list[Sequence[int]]:
    """Whole, in pieces of 7 bytes, and byte by byte."""
    return [(), range(7, len(data), 7), range(1, len(data))]


def decode_all_cuts(
    api: str, data: bytes, cuttings: Sequence[Sequence[int]] | None = None, *, slower: float = 1.0
) -> Outcome:
    """`decode` cut in each of these ways, `all_cuts` if none are given: the one outcome that all of them have.

    Raises `Broken`, also when one of them takes longer than `cpu_limit_s` times `slower`.
    """
    outcomes: list[Outcome] = []
    for places in all_cuts(data) if cuttings is None else cuttings:
        with timed(len(data), len(places) + 1, slower=slower):
            outcomes.append(decode(api, data, places))
    first = outcomes[0]
    for other in outcomes[1:]:
        _check(other.verdict() == first.verdict(), "other cuts, another outcome", first, other)
    return first


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """`data` in pieces that end at these places, which must rise; those outside of it are left out."""
    start = 0
    for place in places:
        if start < place < len(data):
            yield data[start:place]
            start = place
    yield data[start:]


# -- single bodies ----------------------------------------------------------------------------------------------------


def read_answer(dialect: Dialect[Event], body: bytes, *, slower: float = 1.0) -> list[StreamToken] | None:
    """The tokens of a unary answer; None if it is an error. Raises `Broken`."""
    with timed(len(body), slower=slower):
        try:
            tokens = dialect.read_answer(body)
        except ProviderError as error:
            check_error(error)
            return None
    check_tokens(tokens, whole=True, size=len(body))
    return tokens


def read_error(
    dialect: Dialect[Event], status: int, headers: Mapping[str, str], body: bytes, *, slower: float = 1.0
) -> ProviderError:
    """The error that an HTTP response means. Raises `Broken`."""
    with timed(len(body) + sum(map(len, headers.values())), slower=slower):
        error = dialect.read_error(status, headers, body)
    check_error(error)
    _check(error.status == status, "another status", error.status, status)
    _check("\n" not in error.message, "a message of several lines")
    return error


# -- codecs -----------------------------------------------------------------------------------------------------------


class Codec(Protocol):
    """What all codecs share."""

    @property
    def error(self) -> Exception | None:
        """Set by bytes that are not of the framing."""
        ...

    def feed(self, data: bytes) -> Sequence[Any]:
        """What `data` completes."""
        ...

    def close(self) -> Sequence[Any] | None:
        """What the end of the bytes completes."""
        ...


def run_codec(make: Callable[[], Codec], data: bytes, cuts: Iterable[int] = ()) -> tuple[list[Any], str | None]:
    """What a codec makes of `data`, and the name of its error's class; None without one. Raises `Broken`."""
    codec = make()
    events: list[Any] = []
    for piece in cut(data, cuts):
        events += codec.feed(piece)
        if codec.error is not None:
            break
    else:
        try:
            events += codec.close() or ()
        except ProtocolError as error:  # our own frames': cut off inside of one
            _check(error is codec.error, "close raises what is not its error")
    failure = codec.error
    if failure is None:
        return events, None
    _check(isinstance(failure, CodecError | ProtocolError), "a codec's error of another kind", failure)
    _check(0 < len(str(failure)) <= MAX_SAID_CHARS, "an error without a bounded message")
    for again in (lambda: codec.feed(b"x"), codec.close):
        try:
            again()
        except (CodecError, ProtocolError) as raised:
            _check(raised is failure, "another error is raised later", raised, failure)
        else:
            raise Broken(f"nothing raised after {failure!r}")
    return events, type(failure).__name__


def run_codec_all_cuts(
    make: Callable[[], Codec], data: bytes, cuttings: Sequence[Sequence[int]] | None = None, *, slower: float = 1.0
) -> list[Any]:
    """`run_codec` cut in each of these ways, `all_cuts` if none are given: the events. Raises `Broken`."""
    runs: list[tuple[list[Any], str | None]] = []
    for places in all_cuts(data) if cuttings is None else cuttings:
        with timed(len(data), len(places) + 1, slower=slower):
            runs.append(run_codec(make, data, places))
    for other in runs[1:]:
        _check(other == runs[0], "other cuts, other events", runs[0], other)
    return runs[0][0]


# -- rules ------------------------------------------------------------------------------------------------------------


def check_tokens(tokens: Sequence[StreamToken], *, whole: bool, size: int) -> None:
    """That these are all tokens of a stream (`whole`: it completed) that had `size` bytes. Raises `Broken`."""
    finishes = [position for position, token in enumerate(tokens) if isinstance(token, Finish)]
    _check(finishes == ([len(tokens) - 1] if whole else []), "a Finish out of place", finishes, len(tokens), whole)
    calls: dict[int, int] = {}
    written = 0
    for token in tokens:
        payload = msgspec.json.encode(token)
        _check(len(payload) <= MAX_PAYLOAD_BYTES, "a token that goes into no frame", len(payload))
        _check(_read_token(payload) == token, "a token that is read back as another", token)
        written += len(payload)
        if isinstance(token, ToolCall):
            known = calls.setdefault(token.choice, 0)
            _check(0 <= token.index <= known, "tool calls not numbered in order", token, known)
            calls[token.choice] = max(known, token.index + 1)
        elif isinstance(token, UsageReport):
            _check_usage(token)
    bound = MAX_GROWTH * size + ALLOWANCE_BYTES
    _check(written <= bound, "too many tokens: bytes, tokens, their bytes", size, len(tokens), written)


def _check_usage(token: UsageReport) -> None:
    usage = token.usage
    counts = [getattr(usage, name) for name in ("input", "cached_input", "cache_write", "output", "reasoning", "total")]
    counts += [getattr(usage.reported, name) for name in usage.reported.__struct_fields__]
    possible = all(count is None or (type(count) is int and count >= 0) for count in counts)
    _check(possible, "counts that cannot be", usage)
    cost = usage.cost_usd
    _check(cost is None or (math.isfinite(cost) and cost >= 0), "a cost that cannot be", cost)


def check_error(error: ProviderError) -> None:
    """That an error can be told: bounded, and as JSON. Raises `Broken`."""
    _check(0 < len(error.message) <= MAX_SAID_CHARS, "a message of so many characters", len(error.message))
    _check(error.raw is None or len(error.raw) <= ProviderError.MAX_RAW_CHARS, "a raw body without bound")
    _check(error.request_id is None or len(error.request_id) <= MAX_SAID_CHARS, "a request id without bound")
    wait = error.retry_after_s
    _check(wait is None or (math.isfinite(wait) and wait >= 0), "a wait that cannot be", wait)
    msgspec.json.encode(error.to_dict())


def _check(holds: bool, otherwise: str, *seen: object) -> None:
    if not holds:
        raise Broken(f"{otherwise}: {', '.join(map(repr, seen))}"[:MAX_SAID_CHARS])


# -- cost -------------------------------------------------------------------------------------------------------------


def cpu_limit_s(size: int, pieces: int = 1) -> float:
    """Seconds of CPU for `size` bytes in so many pieces: far more than it takes on a busy machine, and no square.

    A decoder that reads anew what it has read takes minutes for 64 KiB byte by byte; this is to tell that, no more.
    """
    return 2.0 + 10e-6 * size + 100e-6 * pieces


def memory_limit_bytes(size: int) -> int:
    """The peak of memory for `size` bytes, all tokens kept: some are 50 times the text that they say."""
    return ALLOWANCE_BYTES + 160 * size


@contextmanager
def timed(size: int, pieces: int = 1, *, slower: float = 1.0) -> Generator[None]:
    """Raise `Broken` if the block takes this thread more than `cpu_limit_s`, times `slower`."""
    start = time.thread_time()
    yield
    spent, limit = time.thread_time() - start, cpu_limit_s(size, pieces) * slower
    _check(spent <= limit, "too slow: bytes, seconds of CPU, limit", size, spent, limit)


@contextmanager
def weighed(size: int) -> Generator[None]:
    """Raise `Broken` if the block's peak of memory is more than `memory_limit_bytes`. Slows it down by half."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    _check(peak <= memory_limit_bytes(size), "too much memory: bytes, peak", size, peak)
