"""An `HttpSource` without sockets: providers that behave as a script says, in virtual time.

What `HttpClient` does to an exchange, this does too: status, content type, times and counts of reads, its own limits on
connecting, headers and whole answers. It asks `exchange.flow` before each read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import cycle
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, clock_of
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit
from rxlapce.providers.call import HttpCall, told_by
from rxlapce.testing.spoken import (
    CALL_AT,
    TRUTH,
    ChatCompletionsWire,
    Event,
    MessagesWire,
    Question,
    Saying,
    Wire,
    read_question,
)

CONNECT_S: Final = 5.0
HEADERS_S: Final = 20.0
ANSWER_S: Final = 40.0


class Fault(StrEnum):
    """What goes wrong with one answer."""

    NONE = "none"
    PLAIN = "plain"
    """None, but it comes as one document where a stream was asked for."""
    REFUSED = "refused"
    """No connection."""
    UNREACHABLE = "unreachable"
    """The connection is never there."""
    SILENT = "silent"
    """The headers never come."""
    RESET = "reset"
    """The connection breaks before the headers."""
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    CONTEXT_LENGTH = "context_length"
    AUTH = "auth"
    FILTERED = "filtered"
    """The prompt is refused by a content filter, with status 400."""
    WITHHELD = "withheld"
    """The answer is, with status 200."""
    CUT = "cut"
    ENDS_EARLY = "ends_early"
    """The bytes end as if all were said."""
    MALFORMED = "malformed"
    FAILS = "fails"
    """An error event."""
    STALLS = "stalls"
    """Nothing more comes."""


#: Status and body of those that are answered with an error.
RESPONSES: Final[dict[Fault, tuple[int, bytes]]] = {
    Fault.RATE_LIMIT: (429, b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'),
    Fault.SERVER_ERROR: (500, b'{"error": {"message": "it crashed", "type": "server_error"}}'),
    Fault.OVERLOADED: (503, b"<html><title>Overloaded</title></html>"),
    Fault.CONTEXT_LENGTH: (400, b'{"error": {"message": "prompt is too long", "type": "invalid_request_error"}}'),
    Fault.AUTH: (401, b'{"error": {"message": "no such key", "type": "authentication_error"}}'),
    Fault.FILTERED: (400, b'{"error": {"message": "filtered", "code": "content_filter"}}'),
}
NO_PREFILL: Final = (400, b'{"error": {"message": "no assistant prefill here", "type": "invalid_request_error"}}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What becomes of one request. Times are in seconds.

    The fault strikes after the first `after` events. Events come in reads of `read_bytes`, with `gaps_s` between them,
    after some keep-alives; both are used in turn. `repeats` is how many characters of an answer that is gone on with
    are said once more. `retry_after_s` goes with a 429.
    """

    fault: Fault = Fault.NONE
    headers_s: float = 0.0
    after: int = 0
    piece_chars: tuple[int, ...] = (9,)
    read_bytes: tuple[int, ...] = (4096,)
    gaps_s: tuple[float, ...] = (0.0,)
    keep_alives: int = 0
    repeats: int = 0
    retry_after_s: int | None = None
    refuses_prefill: bool = False


@dataclass(eq=False, slots=True)
class Sent:
    """One request that was sent, and how it went. `ended_s` is None while its connection is open."""

    question: Question
    provider: str
    at_s: float
    exchange: Exchange
    script: Script
    input_tokens: int
    spoke: bool = False
    """Something that a reader sees has been read."""
    told_usage: bool = False
    """The whole stream has been read, and with it the usage."""
    said: str = ""
    """The text of all that was to be said."""
    ended_s: float | None = None
    failure: ProviderError | None = None

    @property
    def model(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.question.model}"


@dataclass
class ScriptedHttp:
    """Answers each request by the next script of its `provider/model`, the last one over and over.

    `sent` has all requests in order; `on_sent` is called for each when it has just been sent. The input tokens that an
    answer to a request reports are 2 to the power of the number of requests with that first turn before it: a sum of
    them tells which it is the sum of.
    """

    scripts: dict[str, list[Script]]
    on_sent: Callable[[Sent], None] = lambda sent: None
    sent: list[Sent] = field(default_factory=list[Sent])
    used: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def open_connections(self) -> int:
        """Requests whose answer is awaited or read now."""
        return sum(sent.ended_s is None for sent in self.sent)

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """As `HttpClient.stream`."""
        return Stage(partial(self._subscribe, call, exchange, False))

    def whole(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        """As `HttpClient.whole`."""
        return Stage(partial(self._subscribe, call, exchange, True))

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        """Not scripted: nothing that is asked for by it streams."""
        raise NotImplementedError

    def _subscribe(
        self,
        call: HttpCall,
        exchange: Exchange,
        whole: bool,
        receiver: Receiver[bytes],
        scheduler: SchedulerBase | None,
    ) -> DisposableBase:
        if scheduler is None:
            raise RuntimeError("a scripted answer needs a scheduler")
        exchange.begin_attempt()
        question = read_question(call.body)
        model = f"{call.provider}/{question.model}"
        scripts = self.scripts[model]
        place = self.used[model] = self.used.get(model, -1) + 1
        before = sum(sent.question.text == question.text for sent in self.sent)
        script = scripts[min(place, len(scripts) - 1)]
        sent = Sent(question, call.provider, clock_of(scheduler)(), exchange, script, 2**before)
        self.sent.append(sent)
        self.on_sent(sent)
        return _Answering(call, sent, whole, receiver, scheduler).start()


class _Answering:
    """One connection. Every step is a turn of the scheduler, as every await of a client is one of the loop."""

    def __init__(
        self, call: HttpCall, sent: Sent, whole: bool, receiver: Receiver[bytes], scheduler: SchedulerBase
    ) -> None:
        self.call = call
        self.sent = sent
        self.whole = whole
        self.receiver = receiver
        self.scheduler = scheduler
        self.clock = clock_of(scheduler)
        self.exchange = sent.exchange
        self.script = sent.script
        self.body = bytearray()
        self.reads: Iterator[tuple[float, bytes, bool]] = iter(())
        self.step, self.deadline = SerialDisposable(), SerialDisposable()
        self.listening = SingleAssignmentDisposable()

    def start(self) -> DisposableBase:
        if self.whole:
            self.deadline.disposable = self._later(ANSWER_S, self._out_of_time)
        self._next(0.0, self._connect)
        return CompositeDisposable(self.step, self.deadline, self.listening, Disposable(self._close))

    def _later(self, delay_s: float, do: Callable[[], None]) -> DisposableBase:
        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        return self.scheduler.schedule_relative(delay_s, action)

    def _next(self, delay_s: float, do: Callable[[], None]) -> None:
        self.step.disposable = self._later(delay_s, do)

    # -- until the headers --------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        match self.script.fault:
            case Fault.REFUSED:
                self._fail_in(self.script.headers_s, ErrorKind.NETWORK, Phase.CONNECT, "cannot connect")
            case Fault.UNREACHABLE:
                own_s = self.exchange.connect_s
                limit_s = CONNECT_S if own_s is None else min(own_s, CONNECT_S)
                self._next(limit_s, partial(self._late, TimeLimit.CONNECT, Phase.CONNECT))
            case Fault.RESET:
                self._fail_in(self.script.headers_s, ErrorKind.NETWORK, Phase.HEADERS, "closed before it answered")
            case fault if fault is Fault.SILENT or self.script.headers_s > HEADERS_S:
                self._next(HEADERS_S, partial(self._late, TimeLimit.HEADERS, Phase.HEADERS))
            case _:
                self._next(self.script.headers_s, self._headers)

    def _late(self, limit: TimeLimit, phase: Phase) -> None:
        self._fail(StreamTimeout(limit, f"no {limit} in time", phase, self.exchange))

    def _out_of_time(self) -> None:
        phase = Phase.HEADERS if self.exchange.status is None else Phase.FLOW
        self._fail(StreamTimeout(TimeLimit.TOTAL, "no whole answer in time", phase, self.exchange))

    def _headers(self) -> None:
        script, exchange, question = self.script, self.exchange, self.sent.question
        status, body = RESPONSES.get(script.fault, (200, b""))
        if script.refuses_prefill and question.prefill:
            status, body = NO_PREFILL
        exchange.status = status
        exchange.provider_request_id = f"request-{len(question.text)}"
        exchange.last_read_s = self.clock()
        if status == 200:
            document = self.whole or script.fault is Fault.PLAIN
            exchange.content_type = "application/json" if document else "text/event-stream"
            self.reads = self._document() if document else self._stream()
            self._read()
            return
        exchange.content_type = "application/json"
        headers = {} if status != 429 or script.retry_after_s is None else {"retry-after": str(script.retry_after_s)}

        def refuse() -> None:
            error = self.call.read_error(status, headers, body)
            error.phase = Phase.HEADERS
            self._fail(error)

        self._next(script.gaps_s[0], refuse)

    # -- the body -----------------------------------------------------------------------------------------------------

    def _saying(self) -> Saying:
        question, script = self.sent.question, self.script
        begun = question.begun or ""
        if not TRUTH.startswith(begun):
            raise AssertionError(f"asked to go on with what is no beginning of the answer: {begun!r}")
        start = len(begun)
        if 8 <= script.repeats <= start:  # less could be chance, and is never cut off
            start -= script.repeats
        call_at = max(start, CALL_AT) if question.tools else len(TRUTH)
        before, behind = self._pieces(TRUTH[start:call_at]), self._pieces(TRUTH[call_at:])
        return Saying(before, question.tools, behind, question.model, self.sent.input_tokens)

    def _pieces(self, text: str) -> list[str]:
        sizes = cycle(self.script.piece_chars)
        left, pieces = text, list[str]()
        while left:
            size = next(sizes)
            pieces.append(left[:size])
            left = left[size:]
        return pieces

    def _wire(self) -> Wire:
        return MessagesWire() if self.sent.provider == "anthropic" else ChatCompletionsWire()

    def _stream(self) -> Iterator[tuple[float, bytes, bool]]:
        """Each read: the gap before it, its bytes, and whether they make something visible."""
        script, wire, saying = self.script, self._wire(), self._saying()
        events = wire.withheld(saying) if script.fault is Fault.WITHHELD else wire.events(saying)
        self.sent.said = saying.text
        breaks = script.fault in _BREAKING and script.after < len(events)
        self.sent.told_usage = not breaks and script.fault is not Fault.WITHHELD
        if script.fault in _BREAKING:
            events = events[: script.after]
        if script.fault is Fault.MALFORMED:
            events.append(Event(wire.malformed))
        elif script.fault is Fault.FAILS:
            events.append(Event(wire.failure))
        return self._cut([Event(wire.keep_alive)] * script.keep_alives + events)

    def _document(self) -> Iterator[tuple[float, bytes, bool]]:
        wire, saying, fault = self._wire(), self._saying(), self.script.fault
        body = wire.whole(saying)
        self.sent.told_usage = fault not in _BREAKING
        if fault is Fault.FAILS:
            body = b'{"error": {"message": "the engine failed", "type": "server_error"}}'
        elif fault in _BREAKING:
            body = body[: min(len(body) - 1, 8 * self.script.after)]
        return self._cut([Event(body)])

    def _cut(self, events: list[Event]) -> Iterator[tuple[float, bytes, bool]]:
        data = b"".join(event.data for event in events)
        ends, visible_at = 0, len(data) + 1
        for event in events:
            ends += len(event.data)
            if event.visible:
                visible_at = ends
                break
        start = number = 0
        while start < len(data):
            sizes, gaps_s = self.script.read_bytes, self.script.gaps_s
            end = min(start + sizes[number % len(sizes)], len(data))
            yield gaps_s[number % len(gaps_s)], data[start:end], end >= visible_at
            start = end
            number += 1

    def _read(self) -> None:
        """Ask the gate, then wait for the next bytes."""
        if self.exchange.flow.is_open:
            self._await_read()
        else:
            self.listening.dispose()
            self.listening = SingleAssignmentDisposable()
            self.listening.disposable = self.exchange.flow.on_change(self._on_gate)

    def _on_gate(self) -> None:
        if self.exchange.flow.is_open:
            self.listening.dispose()
            self._next(0.0, self._read)

    def _await_read(self) -> None:
        read = next(self.reads, None)
        if read is None:
            self._end()
            return
        gap_s, data, visible = read
        self._next(gap_s, partial(self._on_read, data, visible))

    def _on_read(self, data: bytes, visible: bool) -> None:
        exchange = self.exchange
        exchange.last_read_s = self.clock()
        exchange.bytes_read += len(data)
        exchange.reads += 1
        self.sent.spoke = self.sent.spoke or visible
        if self.whole:
            self.body.extend(data)
        else:
            self.receiver.on_next(data)
        if self.sent.ended_s is None:
            self._read()

    def _end(self) -> None:
        match self.script.fault:
            case Fault.STALLS:
                pass
            case Fault.CUT:
                self._fail_in(self.script.gaps_s[0], ErrorKind.TRUNCATED, Phase.FLOW, "the connection broke off")
            case _:
                self._next(self.script.gaps_s[-1], self._complete)

    def _complete(self) -> None:
        self._close()
        if self.whole:
            self.receiver.on_next(bytes(self.body))
        self.receiver.on_completed()

    def _fail_in(self, delay_s: float, kind: ErrorKind, phase: Phase, message: str) -> None:
        self._next(delay_s, lambda: self._fail(ProviderError(kind, message, phase=phase)))

    def _fail(self, error: ProviderError) -> None:
        self._close()
        self.sent.failure = told_by(error, self.call, self.exchange)
        self.receiver.on_error(self.sent.failure)

    def _close(self) -> None:
        if self.sent.ended_s is None:
            self.sent.ended_s = self.clock()
        for held in (self.step, self.deadline, self.listening):
            held.dispose()


_BREAKING: Final = frozenset({Fault.CUT, Fault.ENDS_EARLY, Fault.MALFORMED, Fault.FAILS, Fault.STALLS})
