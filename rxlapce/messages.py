"""What an editor and the daemon say to each other: commands, responses, and their numbers on the wire.

Control messages are dataclasses with dataclasses-json's mixin (`to_dict`, `from_dict`, `schema`). What comes from a
peer is first checked strictly by msgspec (types, missing keys, ranges; the error names the JSON path), because the
mixin alone turns "false" into True in silence. Unknown members are ignored, so that a newer peer can say more. The
messages that are sent once a token (`StreamChunk` and its ends) are msgspec Structs.

`TYPES` is the one table of types, numbers and directions; `encode` and `decode` are its two uses.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import msgspec
from dataclasses_json import DataClassJsonMixin

from rxlapce.control import Control
from rxlapce.errors import BadMessageType, BadPayload
from rxlapce.requests import ChatRequest, CompletionRequest, Message, in_range
from rxlapce.status import StatusReport
from rxlapce.tokens import Finish, FinishKind, StreamToken, Usage

PROTOCOL_VERSION: Final = 1

TransportName = Literal["shm", "socket"]


# -- connection -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake(Control):
    """The client's first frame: who it is, which versions it speaks, and by which way it wants stream frames.

    `features` are the abilities it asks for. With `sign` go `nonce`, 32 bytes that were never used before as 64
    hexadecimal digits, and `key`, the name of the secret that both sides know.
    """

    tag: ClassVar[str] = "handshake"
    versions: tuple[int, ...] = (PROTOCOL_VERSION,)
    client: str = ""
    transport: TransportName = "socket"
    features: tuple[str, ...] = ()
    nonce: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RingGrant(DataClassJsonMixin):
    """The ring that comes with the acknowledgement; its descriptors are, in order, memory and wake-up socket."""

    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeAck(Control):
    """The daemon's answer: what was agreed. `reason` says why `transport` is not the one that was asked for.

    `features` are those of the client's that are granted. With `sign` comes `nonce`, the daemon's 32 bytes as 64
    hexadecimal digits; the acknowledgement itself is the first signed frame.
    """

    tag: ClassVar[str] = "handshake_ack"
    version: int = PROTOCOL_VERSION
    server: str = ""
    transport: TransportName = "socket"
    features: tuple[str, ...] = ()
    ring: RingGrant | None = None
    max_streams: int = 0
    reason: str | None = None
    nonce: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect(Control):
    """A goodbye: the sender closes next. From the daemon it tells why (`shutdown`, `protocol`, ...)."""

    tag: ClassVar[str] = "disconnect"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining(Control):
    """The daemon takes no new requests here; those under way may finish within `within_s` seconds. Connect anew.

    Sent only to a client that asked for the feature `drain`; a `disconnect` follows at the end.
    """

    tag: ClassVar[str] = "draining"
    within_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Control):
    """A sign of life; whoever gets one with `echo` set sends it back with `echo` unset."""

    tag: ClassVar[str] = "heartbeat"
    echo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolFailure(Control):
    """The daemon's last word to a peer that broke the protocol, before it closes."""

    tag: ClassVar[str] = "error"
    error: str
    message: str


# -- questions about the daemon --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Control):
    """Ask how the daemon is."""

    tag: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models(Control):
    """Ask which models there are: the daemon's aliases, then what `providers` list (null: all that are configured)."""

    tag: ClassVar[str] = "models"
    providers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry(DataClassJsonMixin):
    """A name that a request's `model` may have. `provider` is null for an alias, and `asks` what that stands for."""

    name: str
    provider: str | None = None
    asks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisted(DataClassJsonMixin):
    """A provider that did not tell its models, and why."""

    provider: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList(Control):
    """The models there are; `unlisted` names the providers that could not be asked."""

    tag: ClassVar[str] = "models"
    models: tuple[ModelEntry, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()


#: What is asked of the daemon itself, and what answers it.
Question = Status | Models
QuestionAnswer = StatusReport | ModelList


# -- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Control):
    """Ask for a completion in one piece."""

    tag: ClassVar[str] = "complete"
    request: CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Control):
    """Ask for an answer in one piece."""

    tag: ClassVar[str] = "chat"
    request: ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteStream(Control):
    """Ask for a completion as a stream. `credit`, from 0: see `Credit`."""

    tag: ClassVar[str] = "complete_stream"
    request: CompletionRequest
    credit: int | None = None

    def __post_init__(self) -> None:
        in_range("credit", self.credit, 0, 2**31)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStream(Control):
    """Ask for an answer as a stream. `credit`, from 0: see `Credit`."""

    tag: ClassVar[str] = "chat_stream"
    request: ChatRequest
    credit: int | None = None

    def __post_init__(self) -> None:
        in_range("credit", self.credit, 0, 2**31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Control):
    """End the request whose id the frame carries; its terminal frame is an error of kind `cancelled`."""

    tag: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit(Control):
    """Let the stream whose id the frame carries send `frames` more stream chunks (from 1).

    A stream that was asked for without `credit` is not counted. Terminal frames need no credit.
    """

    tag: ClassVar[str] = "credit"
    frames: int

    def __post_init__(self) -> None:
        if not 1 <= self.frames <= 2**31:
            raise ValueError(f"frames must be from 1 to 2147483648, not {self.frames}")


ProviderCommand = Complete | Chat | CompleteStream | ChatStream


# -- responses ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCall(DataClassJsonMixin):
    """A whole tool call of an answer."""

    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatResponse(Control):
    """An answer in one piece (the first choice of several).

    `turn` is the same as the assistant's turn to send back in the next request, with all that must go back unchanged:
    signatures, redacted thoughts, the order of the pieces.
    """

    tag: ClassVar[str] = "chat"
    text: str
    finish: FinishKind
    finish_raw: str | None = None
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: tuple[AnsweredCall, ...] = ()
    model: str | None = None
    usage: Usage | None = None
    turn: Message | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteResponse(Control):
    """A completion in one piece."""

    tag: ClassVar[str] = "complete"
    text: str
    finish: FinishKind
    finish_raw: str | None = None
    model: str | None = None
    usage: Usage | None = None


class StreamChunk(msgspec.Struct, frozen=True, tag="stream_chunk", gc=False):
    """One token of a stream; `seq` counts a stream's frames from 0 without a gap, the terminal one included."""

    seq: int
    token: StreamToken


class StreamDone(msgspec.Struct, frozen=True, tag="stream_done", gc=False):
    """The end of a whole stream: it carries the `Finish` token, which is not sent as a chunk."""

    seq: int
    finish: Finish


class ErrorBody(msgspec.Struct, frozen=True, gc=False):
    """A `ProviderError` on the wire, field by field.

    `delivered_chars` is how many characters of visible text the client has of an answer that broke off.
    """

    kind: str
    retry: str
    phase: str
    message: str
    retry_after_s: float | None = None
    status: int | None = None
    provider: str | None = None
    request_id: str | None = None
    raw: str | None = None
    delivered_chars: int | None = None


class StreamError(msgspec.Struct, frozen=True, tag="error", gc=False):
    """The end of a request that failed; a stream's carries its `seq`, a unary request's 0."""

    seq: int
    error: ErrorBody


ProviderResponse = ChatResponse | CompleteResponse | StreamChunk | StreamDone | StreamError

WireMessage = (
    Handshake
    | HandshakeAck
    | Disconnect
    | Draining
    | Heartbeat
    | ProtocolFailure
    | Question
    | QuestionAnswer
    | ProviderCommand
    | Cancel
    | Credit
    | ProviderResponse
)


# -- the table ------------------------------------------------------------------------------------------------------

To = Literal["daemon", "client", "both"]

#: number on the wire -> (message, who receives it). Numbers are never reused.
TYPES: Final[dict[int, tuple[type[WireMessage], To]]] = {
    0x0004: (ProtocolFailure, "client"),
    0x0005: (Heartbeat, "both"),
    0x0010: (Handshake, "daemon"),
    0x0011: (HandshakeAck, "client"),
    0x0012: (Disconnect, "both"),
    0x0013: (Draining, "client"),
    0x0020: (Status, "daemon"),
    0x0021: (StatusReport, "client"),
    0x0205: (Cancel, "daemon"),
    0x0300: (Complete, "daemon"),
    0x0301: (Chat, "daemon"),
    0x0302: (CompleteStream, "daemon"),
    0x0303: (ChatStream, "daemon"),
    0x0304: (Credit, "daemon"),
    0x0305: (Models, "daemon"),
    0x0310: (CompleteResponse, "client"),
    0x0311: (ChatResponse, "client"),
    0x0312: (StreamChunk, "client"),
    0x0313: (StreamDone, "client"),
    0x0314: (StreamError, "client"),
    0x0315: (ModelList, "client"),
}
NUMBERS: Final[dict[type[WireMessage], int]] = {message: number for number, (message, _) in TYPES.items()}
#: number -> the payload's `type` member
TAGS: Final[dict[int, str]] = {
    number: message.tag if issubclass(message, Control) else str(message.__struct_config__.tag)
    for number, (message, _) in TYPES.items()
}

encoder: Final = msgspec.json.Encoder()
#: The messages that are Structs.
_STRUCTS: Final = frozenset(NUMBERS[message] for message in (StreamChunk, StreamDone, StreamError))


class _Tagged(msgspec.Struct):
    """What is read first, as nothing in a message names its class but its number."""

    type: Any = None


_tagged: Final = msgspec.json.Decoder(_Tagged)
#: One a type: to go by a dict takes four times as long for a `Credit`, three times for a conversation of many turns.
_decoders: Final[dict[int, msgspec.json.Decoder[WireMessage]]] = {
    number: msgspec.json.Decoder(message) for number, (message, _) in TYPES.items()
}


def encode(message: WireMessage) -> bytes:
    """The payload of a message: UTF-8 JSON with its `type` tag. None members are written as null."""
    if isinstance(message, StreamChunk | StreamDone | StreamError):
        return encoder.encode(message)
    return encoder.encode({"type": message.tag, **msgspec.to_builtins(message)})


def decode(number: int, payload: bytes | memoryview, *, receiver: Literal["daemon", "client"]) -> WireMessage:
    """The message of a payload.

    Raises `BadMessageType` for a number that is not in the table or does not go to `receiver`, `BadPayload` (with the
    JSON path) for what is not JSON, has another tag than its number, lacks a member, or has one of a wrong type or
    range.
    """
    entry = TYPES.get(number)
    if entry is None or entry[1] not in (receiver, "both"):
        known = ", ".join(f"{n:#06x}" for n, (_, to) in TYPES.items() if to in (receiver, "both"))
        raise BadMessageType(f"message type {number:#06x} does not go to the {receiver}; known: {known}")
    try:
        if number not in _STRUCTS:  # those look at their own tag
            tag, expected = _tagged.decode(payload).type, TAGS[number]
            if tag != expected:
                raise BadPayload(f"$.type: expected {expected!r} in a frame of type {number:#06x}, got {_shown(tag)}")
        return _decoders[number].decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPayload(f"payload of type {number:#06x}: {error}") from None


def _shown(tag: object) -> str:
    """What stands where a tag was expected: its `repr` could be as long as the payload."""
    return repr(tag[:64]) if isinstance(tag, str) else f"a {type(tag).__name__}"
