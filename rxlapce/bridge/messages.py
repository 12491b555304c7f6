"""What an editor's UI and its bridge say to each other.

    UI -- OutboundMessage --> bridge -- frames --> daemon
    UI <-- InboundMessage --- bridge <-- frames -- daemon

As JSON a message is an object of two members, `{"method": "providerChatStream", "params": {...}}`, with camelCase names
all the way down: what this enum of serde's reads and writes, and what Lapce's own RPC looks like.

    #[serde(tag = "method", content = "params", rename_all = "camelCase", rename_all_fields = "camelCase")]

`id` is the UI's own number of a request, from 0; the answers to the request carry it. It may be used again after the
request's last message: `providerChatResponse`, `providerCompleteResponse`, `providerStreamDone`, `providerError`,
`modelList`, `status` or `pong`. `encode`, `decode_outbound` and `decode_inbound` are the JSON's two ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Self, cast, get_args

import msgspec
from dataclasses_json import DataClassJsonMixin

from rxlapce.bridge.camel import CamelCase
from rxlapce.errors import BadPayload
from rxlapce.messages import ChatResponse, CompleteResponse, ErrorBody, ModelEntry, TransportName, Unlisted
from rxlapce.requests import ChatRequest, CompletionRequest, in_range
from rxlapce.status import StatusReport
from rxlapce.tokens import Finish, StreamToken

#: The largest whole number that every JSON reader keeps exactly (RFC 8259 section 6).
MAX_ID: Final = 2**53 - 1


class UiMessage(DataClassJsonMixin):
    """A message with its `method`. `to_dict` and `from_dict` are its `params`, in camelCase, strictly checked."""

    method: ClassVar[str]

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """The members in camelCase, as builtin types."""
        return _codec(type(self)).to_dict(self)

    @classmethod
    def from_dict(cls, kvs: Any, *, infer_missing: bool = False) -> Self:
        """The message of such members. Raises `BadPayload` with the JSON path."""
        # `of_dict` makes what its codec is for.
        return cast("Self", _codec(cls).of_dict(kvs, "$"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered(UiMessage):
    """A message about one request of the UI's."""

    id: int

    def __post_init__(self) -> None:
        in_range("id", self.id, 0, MAX_ID)


# -- UI to bridge -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChat(Numbered):
    """Ask for an answer in one piece: `providerChatResponse` or `providerError`."""

    method: ClassVar[str] = "providerChat"
    request: ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChatStream(Numbered):
    """Ask for an answer as a stream: `providerStreamChunk`s, then `providerStreamDone` or `providerError`."""

    method: ClassVar[str] = "providerChatStream"
    request: ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderComplete(Numbered):
    """Ask for a completion in one piece: `providerCompleteResponse` or `providerError`."""

    method: ClassVar[str] = "providerComplete"
    request: CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCompleteStream(Numbered):
    """Ask for a completion as a stream."""

    method: ClassVar[str] = "providerCompleteStream"
    request: CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Numbered):
    """End the request `id`: its last message is a `providerError` of kind `cancelled`. Without effect if it ended."""

    method: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListModels(Numbered):
    """Ask which models there are, of `providers` or (null) of all: `modelList` or `providerError`."""

    method: ClassVar[str] = "listModels"
    providers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Numbered):
    """Ask how the daemon is: `status` or `providerError`."""

    method: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Numbered):
    """Ask whether the daemon answers: `pong` or `providerError`."""

    method: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect(UiMessage):
    """Try to connect now, also out of the state `error`. Without effect while connected or connecting."""

    method: ClassVar[str] = "reconnect"


OutboundMessage = (
    ProviderChat
    | ProviderChatStream
    | ProviderComplete
    | ProviderCompleteStream
    | Cancel
    | ListModels
    | Status
    | Ping
    | Reconnect
)


# -- bridge to UI -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChatResponse(Numbered):
    """The answer to a `providerChat`."""

    method: ClassVar[str] = "providerChatResponse"
    response: ChatResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCompleteResponse(Numbered):
    """The answer to a `providerComplete`."""

    method: ClassVar[str] = "providerCompleteResponse"
    response: CompleteResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStreamChunk(Numbered):
    """One token of a stream; `seq` counts a stream's messages from 0 without a gap."""

    method: ClassVar[str] = "providerStreamChunk"
    seq: int
    token: StreamToken


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStreamDone(Numbered):
    """The end of a whole stream."""

    method: ClassVar[str] = "providerStreamDone"
    seq: int
    finish: Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailure(Numbered):
    """The end of a request that failed. A stream that had begun says how much of the answer is there."""

    method: ClassVar[str] = "providerError"
    error: ErrorBody


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsListed(Numbered):
    """The models there are; `unlisted` names the providers that could not be asked."""

    method: ClassVar[str] = "modelList"
    models: tuple[ModelEntry, ...] = ()
    unlisted: tuple[Unlisted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusTold(Numbered):
    """How the daemon is."""

    method: ClassVar[str] = "status"
    report: StatusReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Numbered):
    """The daemon has answered a `ping`."""

    method: ClassVar[str] = "pong"


class ConnectionState(StrEnum):
    """How the bridge stands to the daemon."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus(UiMessage):
    """The connection has changed. `reason` says why it is not there, `advice` what to do about an `error`.

    `server` and `transport` are told of a connection: what the daemon calls itself, and by which way tokens come.
    """

    method: ClassVar[str] = "connectionStatus"
    state: ConnectionState
    reason: str | None = None
    advice: str | None = None
    server: str | None = None
    transport: TransportName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidMessage(UiMessage):
    """The UI said what is no message, or used the `id` of a request that is under way; nothing was done about it."""

    method: ClassVar[str] = "invalidMessage"
    message: str
    id: int | None = None


InboundMessage = (
    ProviderChatResponse
    | ProviderCompleteResponse
    | ProviderStreamChunk
    | ProviderStreamDone
    | ProviderFailure
    | ModelsListed
    | StatusTold
    | Pong
    | ConnectionStatus
    | InvalidMessage
)

#: method -> message, each way.
OUTBOUND: Final[Mapping[str, type[OutboundMessage]]] = {kind.method: kind for kind in get_args(OutboundMessage)}
INBOUND: Final[Mapping[str, type[InboundMessage]]] = {kind.method: kind for kind in get_args(InboundMessage)}

_codecs: Final[dict[type[UiMessage], CamelCase]] = {}


def _codec(kind: type[UiMessage]) -> CamelCase:
    """A message's JSON, made when it is first wanted: all of them take 20 ms, which a mere `connect` does not pay."""
    if kind not in _codecs:
        _codecs[kind] = CamelCase(kind)
    return _codecs[kind]


class _Envelope(msgspec.Struct):
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _OnlyId(msgspec.Struct):
    id: int


class _Salvage(msgspec.Struct):
    params: _OnlyId


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def encode(message: OutboundMessage | InboundMessage) -> bytes:
    """The JSON text, in one line."""
    return b'{"method":"%b","params":%b}' % (message.method.encode(), _codec(type(message)).to_json(message))


def decode_outbound(text: bytes | str) -> OutboundMessage:
    """What the UI says. Raises `BadPayload`, with the JSON path, for what is no such message."""
    message: OutboundMessage = _decode(text, OUTBOUND)
    return message


def decode_inbound(text: bytes | str) -> InboundMessage:
    """What the bridge says. Raises as `decode_outbound` does."""
    message: InboundMessage = _decode(text, INBOUND)
    return message


def request_id(text: bytes | str) -> int | None:
    """The `id` in a text that is no message, so that whoever waits for an answer gets one; None without one."""
    try:
        found = msgspec.json.decode(text, type=_Salvage).params.id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if 0 <= found <= MAX_ID else None


def _decode(text: bytes | str, kinds: Mapping[str, type[UiMessage]]) -> Any:
    try:
        envelope = _envelopes.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadPayload(str(error)) from None
    kind = kinds.get(envelope.method)
    if kind is None:
        raise BadPayload(f"unknown method {envelope.method!r}; known: {', '.join(kinds)} - at `$.method`")
    return _codec(kind).read(envelope.params, "$.params")
