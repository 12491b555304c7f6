"""The stages that make events of bytes, and tokens of events."""

from dataclasses import dataclass
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.codec.eventstream import MAX_MESSAGE_BYTES
from rxlapce.codec.json_array import MAX_ELEMENT_BYTES
from rxlapce.codec.ndjson import MAX_LINE_BYTES
from rxlapce.codec.sse import MAX_EVENT_BYTES
from rxlapce.operators.decode import (
    eventstream_decode,
    google_sse_decode,
    json_array_decode,
    ndjson_decode,
    sse_decode,
)
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import EVENTSTREAM, GOOGLE_SSE, JSON_ARRAY, NDJSON, SSE, Framing
from rxlapce.providers.inlet import DecodeOperator, MapOperator
from rxlapce.registry import SECONDS, Kind, Scope, Shape, check_ranges, option
from rxlapce.routing.stages import NoOptions
from rxlapce.routing.way import Decoding, MakeMap, Setup, Site
from rxlapce.typing import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBytes:
    """How large one event may be."""

    max_event_bytes: int = option(
        MAX_EVENT_BYTES, help="a larger event ends the stream in an error", unit="bytes", at_least=1
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementBytes:
    """How large one element of the array may be."""

    max_element_bytes: int = option(
        MAX_ELEMENT_BYTES, help="a larger element ends the stream in an error", unit="bytes", at_least=1
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBytes:
    """How long one line may be."""

    max_line_bytes: int = option(
        MAX_LINE_BYTES, help="a longer line ends the stream in an error", unit="bytes", at_least=1
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBytes:
    """How large one message of an event stream may be."""

    max_message_bytes: int = option(
        MAX_MESSAGE_BYTES, help="a larger message ends the stream in an error", unit="bytes", at_least=16
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMapOptions:
    """How the end of an answer is waited for."""

    linger_s: float = option(
        0.25,
        help="how long completion waits for the end of the events after the `Finish`, so that the connection can be "
        "used again",
        unit=SECONDS,
        at_least=0,
    )

    def __post_init__(self) -> None:
        check_ranges(self)


def _decoding(framing: Framing, operator: DecodeOperator) -> Decoding:
    def make(_: Site) -> DecodeOperator:
        return operator

    return Decoding(framing=framing.name, make=make)


def _own(_: NoOptions, __: Setup) -> None:
    """The provider's own framing: nothing stands in its place."""


def _sse(options: EventBytes, _: Setup) -> Decoding:
    return _decoding(SSE, sse_decode(options.max_event_bytes))


def _google_sse(options: EventBytes, _: Setup) -> Decoding:
    return _decoding(GOOGLE_SSE, google_sse_decode(options.max_event_bytes))


def _json_array(options: ElementBytes, _: Setup) -> Decoding:
    return _decoding(JSON_ARRAY, json_array_decode(options.max_element_bytes))


def _ndjson(options: LineBytes, _: Setup) -> Decoding:
    return _decoding(NDJSON, ndjson_decode(options.max_line_bytes))


def _eventstream(options: MessageBytes, _: Setup) -> Decoding:
    return _decoding(EVENTSTREAM, eventstream_decode(options.max_message_bytes))


def _token_map(options: TokenMapOptions, _: Setup) -> MakeMap:
    def make(_: Site, dialect: Dialect[Event]) -> MapOperator:
        return token_map(dialect, linger_s=options.linger_s)

    return make


DECODE: Final = Kind(
    name="decode",
    summary="Cuts the answer's bytes into events, in whichever framing its provider sends",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=NoOptions,
    make=_own,
    scope=Scope.ATTEMPT,
    once=True,
    bound="one event that is not whole yet, of at most 10 MiB (AWS event stream: 24); a larger one is an error",
    example="decode",
)
SSE_DECODE: Final = Kind(
    name="sse_decode",
    summary="Cuts bytes into server-sent events",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=EventBytes,
    make=_sse,
    scope=Scope.ATTEMPT,
    once=True,
    bound="one event that is not whole yet, of at most `max_event_bytes`; a larger one is an error",
    example="sse_decode: {max_event_bytes: 1048576}",
)
GOOGLE_SSE_DECODE: Final = Kind(
    name="google_sse_decode",
    summary="Cuts bytes into server-sent events as Google's servers end them",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=EventBytes,
    make=_google_sse,
    scope=Scope.ATTEMPT,
    once=True,
    bound="two events that are not whole yet, of at most `max_event_bytes` each; a larger one is an error",
    example="google_sse_decode",
)
JSON_ARRAY_DECODE: Final = Kind(
    name="json_array_decode",
    summary="Cuts the bytes of one JSON array into its elements",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=ElementBytes,
    make=_json_array,
    scope=Scope.ATTEMPT,
    once=True,
    bound="one element that is not whole yet, of at most `max_element_bytes`; a larger one is an error",
    example="json_array_decode",
)
NDJSON_DECODE: Final = Kind(
    name="ndjson_decode",
    summary="Cuts bytes into lines of JSON",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=LineBytes,
    make=_ndjson,
    scope=Scope.ATTEMPT,
    once=True,
    bound="one line that is not whole yet, of at most `max_line_bytes`; a longer one is an error",
    example="ndjson_decode",
)
EVENTSTREAM_DECODE: Final = Kind(
    name="eventstream_decode",
    summary="Cuts bytes into the messages of an AWS event stream",
    takes=Shape.BYTES,
    gives=Shape.EVENTS,
    options=MessageBytes,
    make=_eventstream,
    scope=Scope.ATTEMPT,
    once=True,
    bound="one message that is not whole yet, of at most `max_message_bytes`; a larger one is an error",
    example="eventstream_decode",
)
TOKEN_MAP: Final = Kind(
    name="token_map",
    summary="Makes tokens of events, as the provider's dialect means them",
    takes=Shape.EVENTS,
    gives=Shape.TOKENS,
    options=TokenMapOptions,
    make=_token_map,
    scope=Scope.ATTEMPT,
    once=True,
    example="token_map: {linger_s: 0.5}",
)
