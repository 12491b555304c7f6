"""Bytes to events: the codecs of `rxlapce.codec` as operators."""

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase

from rxlapce.codec.event import Event
from rxlapce.codec.sse import MAX_EVENT_BYTES, SSEDecoder
from rxlapce.errors import CodecError, ErrorKind, ProviderError
from rxlapce.flow import Receiver, Stage, connect


def sse_decode(max_event_bytes: int = MAX_EVENT_BYTES) -> Callable[[Observable[bytes]], Observable[Event]]:
    r"""Emit the server-sent events of a `text/event-stream` body, each at once when its blank line has come.

        bytes   --"data: a\n\nda"--"ta: b\n\ndata: c"--|
        events  --a---------------b------------------|

    Completes with the source; an event without its blank line is dropped, as the standard says. An event of more than
    `max_event_bytes` is on_error(ProviderError) of kind `protocol`, with the `EventTooLarge` as its cause, after the
    events before it; an error of the source passes as it is. Disposing disposes the source. Works on the source's
    thread, needs no scheduler, and holds at most one event that is not whole. See `SSEDecoder`.

    Raises ValueError for a bound under 1.
    """
    SSEDecoder(max_event_bytes)  # a wrong bound is told where it is written, not at the first subscription

    def decode(source: Observable[bytes]) -> Observable[Event]:
        def on_subscribe(receiver: Receiver[Event], scheduler: SchedulerBase | None) -> DisposableBase:
            decoder = SSEDecoder(max_event_bytes)
            feed, on_next = decoder.feed, receiver.on_next

            def on_bytes(data: bytes) -> None:
                if decoder.error is not None:
                    return  # a source that is still in the call that brought the error
                for event in feed(data):
                    on_next(event)
                if decoder.error is not None:
                    receiver.on_error(_protocol_error(decoder.error))

            def on_error(error: Exception) -> None:
                if decoder.error is None:
                    receiver.on_error(error)

            def on_completed() -> None:
                if decoder.error is None:
                    decoder.close()
                    receiver.on_completed()

            return connect(source, Receiver(on_bytes, on_error, on_completed), scheduler)

        return Stage(on_subscribe)

    return decode


def _protocol_error(error: CodecError) -> ProviderError:
    failure = ProviderError(ErrorKind.PROTOCOL, str(error))
    failure.__cause__ = error
    return failure
