"""Bytes to events: the codecs of `rxlapce.codec` as operators.

All work alike. They complete with the source; bytes that the framing does not allow, or an event past the bound, are
on_error(ProviderError) of kind `protocol`, with the `CodecError` as its cause, after the events before; an error of the
source passes as it is. Disposing disposes the source. They work on the source's thread, need no scheduler, and hold at
most one event that is not whole.
"""

from collections.abc import Callable
from typing import Protocol

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase

from rxlapce.codec.event import Event
from rxlapce.codec.eventstream import MAX_MESSAGE_BYTES, MessageEvents
from rxlapce.codec.google_sse import GoogleSSEDecoder
from rxlapce.codec.json_array import MAX_ELEMENT_BYTES, JsonArrayDecoder
from rxlapce.codec.ndjson import MAX_LINE_BYTES, NDJSONDecoder
from rxlapce.codec.sse import MAX_EVENT_BYTES, SSEDecoder
from rxlapce.errors import CodecError, ErrorKind, ProviderError, UnfinishedBody
from rxlapce.flow import Receiver, Stage, connect

Decode = Callable[[Observable[bytes]], Observable[Event]]


class Codec(Protocol):
    """What the codecs share: `feed` and `close` give events, and `error` says after either that no more will come."""

    @property
    def error(self) -> CodecError | None:
        """Set by bytes that are not of the framing; nothing more may be fed then."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        ...

    def close(self) -> list[Event]:
        """The events that the end of the bytes completes."""
        ...


def sse_decode(max_event_bytes: int = MAX_EVENT_BYTES) -> Decode:
    r"""Emit the server-sent events of a `text/event-stream` body, each at once when its blank line has come.

        bytes   --"data: a\n\nda"--"ta: b\n\ndata: c"--|
        events  --a---------------b------------------|

    An event without its blank line is dropped at the end, as the standard says. An event may have `max_event_bytes`.
    See the module and `SSEDecoder`. Raises ValueError for a bound under 1.
    """
    return _decode(lambda: SSEDecoder(max_event_bytes))


def google_sse_decode(max_event_bytes: int = MAX_EVENT_BYTES) -> Decode:
    r"""Emit server-sent events as Google's servers end them: `sse_decode`, and what the body ends in.

        bytes   --"data: a\n\nda"--"ta: b\n"--|        bytes   --"data: a\n\n{"error"--": {}}"--|
        events  --a---------------------b-|        events  --a------------------------E-|

    That is an event without its blank line, if its data is one whole JSON value, or bare JSON, as an event named
    `error`. An event may have `max_event_bytes`. See the module and `GoogleSSEDecoder`. Raises ValueError for a bound
    under 1.
    """
    return _decode(lambda: GoogleSSEDecoder(max_event_bytes))


def eventstream_decode(max_message_bytes: int = MAX_MESSAGE_BYTES) -> Decode:
    """Emit the messages of an `application/vnd.amazon.eventstream` body, each at once when it is whole.

        bytes   --[message][mes--sage][mes--|
        events  --a--------------b----------|

    `event` is the message's type, `exception/NAME` or `error/CODE`: see `as_event`. A message that the end cuts off is
    dropped: whether the answer is whole then is for the dialect to find. A wrong checksum or length fails at once. A
    message may have `max_message_bytes`. See the module and `EventStreamDecoder`. Raises ValueError for a bound under
    16.
    """
    return _decode(lambda: MessageEvents(max_message_bytes))


def json_array_decode(max_element_bytes: int = MAX_ELEMENT_BYTES) -> Decode:
    """Emit the elements of a JSON array, each at once when its last bracket has come, as its text.

        bytes   --[{"a":1}--,{"b":--2}--]--|
        events  --a---------------b--------|

    A body that is one object gives that object. An array that has no end is on_error of kind `truncated`: its closing
    bracket is all that tells a whole body from one that was cut between two elements. An element may have
    `max_element_bytes`. See the module and `JsonArrayDecoder`. Raises ValueError for a bound under 1.
    """
    return _decode(lambda: JsonArrayDecoder(max_element_bytes))


def ndjson_decode(max_line_bytes: int = MAX_LINE_BYTES) -> Decode:
    r"""Emit the lines of a body of JSON lines, each at once when its line end has come, the last at the end too.

        bytes   --{"a":1}\n{"b"--:2}\n\n{"c":3}--|
        events  --a--------------b-------------c|

    A line may have `max_line_bytes`. See the module and `NDJSONDecoder`. Raises ValueError for a bound under 1.
    """
    return _decode(lambda: NDJSONDecoder(max_line_bytes))


def _decode(make: Callable[[], Codec]) -> Decode:
    make()  # a wrong bound is told where it is written, not at the first subscription

    def decode(source: Observable[bytes]) -> Observable[Event]:
        def on_subscribe(receiver: Receiver[Event], scheduler: SchedulerBase | None) -> DisposableBase:
            codec = make()
            feed, on_next = codec.feed, receiver.on_next

            def on_bytes(data: bytes) -> None:
                if codec.error is not None:
                    return  # a source that is still in the call that brought the error
                for event in feed(data):
                    on_next(event)
                if codec.error is not None:
                    receiver.on_error(_failure(codec.error))

            def on_error(error: Exception) -> None:
                if codec.error is None:
                    receiver.on_error(error)

            def on_completed() -> None:
                if codec.error is not None:
                    return
                for event in codec.close():
                    on_next(event)
                if codec.error is not None:
                    receiver.on_error(_failure(codec.error))
                else:
                    receiver.on_completed()

            return connect(source, Receiver(on_bytes, on_error, on_completed), scheduler)

        return Stage(on_subscribe)

    return decode


def _failure(error: CodecError) -> ProviderError:
    kind = ErrorKind.TRUNCATED if isinstance(error, UnfinishedBody) else ErrorKind.PROTOCOL
    failure = ProviderError(kind, str(error))
    failure.__cause__ = error
    return failure
