"""Every error that rxlapce raises.

    RxlapceError
    ├── ProviderError            a stream, or the request before it, failed: travels as on_error, becomes a frame
    ├── ConfigError              a setting is missing or wrong; says which, and what to do
    │   └── VaultError           the vault of keys cannot be opened or written
    │       ├── VaultMissing     there is no file
    │       ├── VaultDamaged     the file is no vault that this version can read: cut, changed, another format
    │       ├── WrongPassphrase  the file is as it was written, and does not open
    │       └── VaultTampered    it opens, and somebody has changed it who could not
    ├── ProtocolError            the peer broke the wire protocol; the connection is over
    │   ├── FrameError           bytes that are no frame
    │   │   ├── BadMagic, BadVersion, BadFlags, BadChecksum, FrameTooLarge, BadMessageType, BadSignature,
    │   │   │   TruncatedFrame
    │   ├── BadPayload           a frame whose payload is not what its type says
    │   ├── SequenceGap          a stream frame is missing or doubled
    │   ├── RingCorrupt          an index in shared memory that cannot be true
    │   └── HandshakeRefused     the two sides do not agree on a version, or the peer is not allowed
    ├── CodecError               provider bytes that no reading of the framing's standard allows
    │   ├── EventTooLarge        one event past its size bound
    │   ├── BadEventStream       a message of an AWS event stream that its own lengths or checksums refute
    │   ├── BadJsonArray         bytes that are no JSON array
    │   └── UnfinishedBody       the bytes ended inside a body that marks its end
    └── ConnectionLost           the other process is gone
        └── DaemonNotRunning     nobody listens at the path
    DaemonAlreadyRunning         (a ConfigError) somebody already does

A *local* misuse (a bad argument, a call in the wrong state) is the built-in ValueError, TypeError or RuntimeError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorKind(StrEnum):
    """What went wrong, in the words a caller decides by."""

    AUTH = "auth"
    BILLING = "billing"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    NETWORK = "network"
    TRUNCATED = "truncated"
    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    PROTOCOL = "protocol"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Retry(StrEnum):
    """Where the same request may be tried again."""

    NEVER = "never"
    SAME = "same"
    OTHER_KEY = "other_key"
    OTHER_PROVIDER = "other_provider"


class Phase(StrEnum):
    """How far the request had come (the stages of one lifecycle, `docs/lifecycle.md`)."""

    ADMIT = "admit"
    CONNECT = "connect"
    HEADERS = "headers"
    FIRST_TOKEN = "first_token"  # noqa: S105 - a phase's name
    FLOW = "flow"


def writable(text: str, max_chars: int) -> str:
    """The first `max_chars` characters of `text`, lone surrogates replaced: what UTF-8 can hold."""
    text = text[:max_chars]
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


class RxlapceError(Exception):
    """The root of all errors of rxlapce."""


#: What is tried when the finder of an error does not know better.
DEFAULT_RETRY: dict[ErrorKind, Retry] = {
    ErrorKind.AUTH: Retry.OTHER_KEY,
    ErrorKind.BILLING: Retry.OTHER_KEY,
    ErrorKind.QUOTA: Retry.OTHER_KEY,
    ErrorKind.RATE_LIMIT: Retry.SAME,
    ErrorKind.OVERLOADED: Retry.SAME,
    ErrorKind.TIMEOUT: Retry.OTHER_PROVIDER,
    ErrorKind.NETWORK: Retry.SAME,
    ErrorKind.TRUNCATED: Retry.SAME,
    ErrorKind.BAD_REQUEST: Retry.NEVER,
    ErrorKind.CONTEXT_LENGTH: Retry.OTHER_PROVIDER,
    ErrorKind.CONTENT_FILTER: Retry.NEVER,
    ErrorKind.PROTOCOL: Retry.OTHER_PROVIDER,
    ErrorKind.CANCELLED: Retry.NEVER,
    ErrorKind.INTERNAL: Retry.NEVER,
}


class ProviderError(RxlapceError):
    """A request or its stream failed, told in one shape for every provider.

    - `kind`, `retry`, `phase`: see the enums. `retry` defaults by kind (`DEFAULT_RETRY`).
    - `retry_after_s`: what the provider asked for, in seconds; None where it said nothing. Zero is not None.
    - `status`: the HTTP status; None before the headers.
    - `provider`, `request_id`: who failed, and the provider's own id of the exchange, for its support.
    - `message`: one or two sentences for a person, at most `MAX_MESSAGE_CHARS`. `raw`: the provider's own body or
      event, at most `MAX_RAW_CHARS`. Both are scrubbed of secrets by `providers.http` before they are kept.
    - `delivered_chars`: how many characters of visible text the reader has of an answer that broke off; None where
      nothing had been delivered, or nobody counted. `operators.fallback` sets it, and `daemon.sink` where that did not.

    What a provider says can hold what UTF-8 cannot (headers come with lone surrogates); here it is replaced, so that an
    error can always be written into a frame or a log.
    """

    MAX_MESSAGE_CHARS = 2048
    MAX_RAW_CHARS = 4096

    delivered_chars: int | None = None

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        retry: Retry | None = None,
        phase: Phase = Phase.FLOW,
        retry_after_s: float | None = None,
        status: int | None = None,
        provider: str | None = None,
        request_id: str | None = None,
        raw: str | None = None,
    ) -> None:
        message = writable(message, self.MAX_MESSAGE_CHARS)
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry = DEFAULT_RETRY[kind] if retry is None else retry
        self.phase = phase
        self.retry_after_s = retry_after_s
        self.status = status
        self.provider = provider
        self.request_id = None if request_id is None else writable(request_id, self.MAX_MESSAGE_CHARS)
        self.raw = None if raw is None else writable(raw, self.MAX_RAW_CHARS)

    def __str__(self) -> str:
        who = f"{self.provider}: " if self.provider else ""
        status = f", HTTP {self.status}" if self.status is not None else ""
        return f"{who}{self.message} ({self.kind} in phase {self.phase}{status})"

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, enums as their values, None kept: what a frame and `--json` carry."""
        return {
            "kind": self.kind.value,
            "retry": self.retry.value,
            "phase": self.phase.value,
            "retry_after_s": self.retry_after_s,
            "status": self.status,
            "provider": self.provider,
            "request_id": self.request_id,
            "message": self.message,
            "raw": self.raw,
            "delivered_chars": self.delivered_chars,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong place of a file: line and column from 1, `path` of keys from the top, and what is wrong there.

    Line and column are 0 where it is the file that is wrong, such as one that cannot be read.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        said = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{said}: {self.path}: {self.message}" if self.path else f"{said}: {self.message}"


class ConfigError(RxlapceError):
    """A setting is missing or wrong. `problems` are the places of a file that are, where it is about a file."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class VaultError(ConfigError):
    """The vault of keys cannot be opened or written."""


class VaultMissing(VaultError):
    """There is no vault at the path."""


class VaultDamaged(VaultError):
    """What stands in the file is no vault that this version can read: cut, changed, or of another format."""


class WrongPassphrase(VaultError):
    """The file is as it was written, and the passphrase, or the keyring's key, does not open it."""


class VaultTampered(VaultError):
    """The vault opens, and holds what its owner did not put there, or not all of it."""


class DaemonAlreadyRunning(ConfigError):
    """Another daemon listens on the path."""


class ProtocolError(RxlapceError):
    """The peer broke the wire protocol; nothing more is read from the connection."""

    # Its message may quote the peer, and goes back to it in a frame, and into the log.
    MAX_MESSAGE_CHARS = 2048

    def __init__(self, message: str = "") -> None:
        super().__init__(writable(message, self.MAX_MESSAGE_CHARS))


class FrameError(ProtocolError):
    """Bytes that are no frame of ours."""


class BadMagic(FrameError):
    """The first four bytes are not the magic."""


class BadVersion(FrameError):
    """A frame of a version that this side does not speak."""


class BadFlags(FrameError):
    """Flags that this side does not speak: compressed, encrypted, without a name, or signed without agreement."""


class BadChecksum(FrameError):
    """The CRC-32 does not match the header and payload."""


class FrameTooLarge(FrameError):
    """A payload longer than the limit, told by the header before any of it is read."""


class BadMessageType(FrameError):
    """A message type that is not in the table, or that this side never receives."""


class BadSignature(FrameError):
    """The HMAC of a batch of frames does not match, or is missing where it was agreed on."""


class TruncatedFrame(FrameError):
    """The connection ended inside a frame."""


class BadPayload(ProtocolError):
    """A payload that is not JSON, or not the message that the frame's type names; has the JSON path."""


class SequenceGap(ProtocolError):
    """A stream frame whose sequence number is not the next one."""


class RingCorrupt(ProtocolError):
    """An index in the shared ring is out of range: the peer is broken or hostile."""


class HandshakeRefused(ProtocolError):
    """The handshake ended without agreement; the message says on what."""


class CodecError(RxlapceError):
    """Provider bytes that the framing's standard does not allow."""


class EventTooLarge(CodecError):
    """One event grew past its bound before it ended."""


class EventStreamFault(StrEnum):
    """Which check a message of an AWS event stream fails."""

    PRELUDE_CRC = "prelude-crc"
    TOTAL_LENGTH = "total-length"
    HEADERS_LENGTH = "headers-length"
    MESSAGE_CRC = "message-crc"
    HEADER = "header"
    DUPLICATE_HEADER = "duplicate-header"


class BadEventStream(CodecError):
    """A message of an AWS event stream that its own lengths or checksums refute; `fault` names the check."""

    def __init__(self, fault: EventStreamFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class BadJsonArray(CodecError):
    """Bytes that are no JSON array: something else between its elements, or brackets that do not match."""


class UnfinishedBody(CodecError):
    """The bytes ended inside a body that marks its end: it was cut off."""


class ConnectionLost(RxlapceError):
    """The other process closed the connection or died."""


class DaemonNotRunning(ConnectionLost):
    """Nobody listens at the socket's path."""
