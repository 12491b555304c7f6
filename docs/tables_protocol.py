"""The tables of protocol.md: what goes over the wire."""

import dataclasses
import hmac
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from tables_markdown import paragraph, summary, table, words

from rxlapce import errors, messages, requests, status, tokens
from rxlapce.codec import frame, signing
from rxlapce.daemon.server import DaemonSettings
from rxlapce.transports import handshake, ring, shm, unix, writer

#: What the worked example of a signed connection is made of.
SECRET = bytes(range(0x40, 0x60))
CLIENT_NONCE = bytes(range(32))
DAEMON_NONCE = CLIENT_NONCE[::-1]
HANDSHAKE = messages.encode(messages.Handshake(features=("sign",), nonce=CLIENT_NONCE.hex(), key="laptop"))


def header() -> str:
    """The frame's header, from the table in the codec's own docstring."""
    rows = re.findall(r"^ +(\d+) +(\d+)  (.+)$", frame.__doc__ or "", re.MULTILINE)
    return table(
        ("offset", "bytes", "field"), ((at, size, text.replace("see `Flag`", "see below")) for at, size, text in rows)
    )


def flags() -> str:
    """The bits of a frame's flags, and which of them this version speaks."""
    flag = frame.Flag
    meanings = {
        flag.ZSTD: "refused; reserved for compressed payloads",
        flag.ENCRYPTED: "refused; reserved for encrypted payloads",
        flag.STREAM_PART: "set by the daemon on each `stream_chunk`",
        flag.PRIORITY: "taken, without effect",
        flag.REQUEST: "set by the client on all that it sends",
        flag.RESPONSE: "set by the daemon on all that it sends",
        flag.SIGNED: "a trailer of 32 bytes follows the payload; refused where no [signing](#signing) was agreed on",
    }
    rows = [(f"{one.value:#04x}", one.name or "", meanings[one]) for one in flag]
    return table(("bit", "name", "in version 1"), [*rows, ("0x80", "", "refused; reserved")])


def message_types() -> str:
    """All message types by number."""
    receivers = {"daemon": "client → daemon", "client": "daemon → client", "both": "both ways"}
    return table(
        ("number", "`type`", "direction", "meaning"),
        (
            (f"`{number:#06x}`", schema_link(number, message), receivers[to], summary(message))
            for number, (message, to) in messages.TYPES.items()
        ),
    )


def schema_link(number: int, message: type[Any]) -> str:
    """The message's tag, leading to its JSON Schema, which is named for its class."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", message.__name__).lower()
    return f"[`{messages.TAGS[number]}`](../protocol/schema/{name}.json)"


def features() -> str:
    """What a client may ask for in its handshake."""
    meanings = {
        handshake.DRAIN: "the daemon says [`draining`](#the-end) when it begins to stop",
        handshake.SIGN: "[signing](#signing); granted where the daemon has a key of the name in `key`",
    }
    return table(("feature", "with it"), ((f"`{name}`", meaning) for name, meaning in sorted(meanings.items())))


def members(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Name, type and default of each JSON member."""
    hints = typing.get_type_hints(kind)
    if issubclass(kind, msgspec.Struct):
        return [
            (f"`{one.encode_name}`", wire_type(hints[one.name]), default_of(one.default, one.default_factory))
            for one in msgspec.structs.fields(kind)
        ]
    return [
        (f"`{one.name}`", wire_type(hints[one.name]), default_of(one.default, one.default_factory))
        for one in dataclasses.fields(kind)
    ]


def default_of(default: Any, factory: Any) -> str:
    """The default as JSON; "required" where there is none."""
    if factory not in (msgspec.NODEFAULT, dataclasses.MISSING):
        default = factory()
    elif default in (msgspec.NODEFAULT, dataclasses.MISSING):
        return "required"
    return f"`{msgspec.json.encode(default).decode()}`"


def wire_type(hint: Any) -> str:
    """A Python type in the words of JSON."""
    plain = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "any"}
    if hint == tokens.StreamToken:
        return "[token](#tokens)"
    if hint in plain:
        return plain[hint]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(wire_type(part) for part in parts)
    if origin is tuple:
        return f"array of {wire_type(parts[0])}"
    if origin is dict:
        return "object"
    if origin is typing.Literal:
        return " or ".join(f'`"{part}"`' for part in parts)
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def section(kind: type[Any], title: str, text: str) -> str:
    """A heading, a sentence and a table of members."""
    rows = members(kind)
    told = table(("member", "type", "default"), rows) if rows else "No members."
    return f"{title}\n\n{paragraph(text)}\n\n{told}"


def message_members() -> str:
    """The members of every message."""
    return "\n\n".join(
        section(message, f"#### `{messages.TAGS[number]}` ({number:#06x})", summary(message))
        for number, (message, _) in messages.TYPES.items()
    )


def nested() -> str:
    """The objects that messages hold, each under its own heading."""
    kinds: tuple[type[Any], ...] = (
        requests.ChatRequest,
        requests.CompletionRequest,
        requests.Message,
        requests.Part,
        requests.Image,
        requests.RequestedCall,
        requests.OpaquePart,
        requests.Tool,
        requests.ResponseFormat,
        messages.RingGrant,
        messages.AnsweredCall,
        messages.ModelEntry,
        messages.Unlisted,
        status.ModelStatus,
        status.ProviderStatus,
        status.ClientStatus,
        status.UserStatus,
        status.ConfigStatus,
        messages.ErrorBody,
        tokens.Usage,
        tokens.Reported,
    )
    enums: tuple[type[StrEnum], ...] = (tokens.FinishKind, tokens.UsageSource)
    return "\n\n".join(
        [
            *(section(kind, f"#### {kind.__name__}", summary(kind)) for kind in kinds),
            *(
                f"#### {kind.__name__}\n\n{paragraph(summary(kind))}\n\n{', '.join(f'`{w}`' for w in kind)}"
                for kind in enums
            ),
        ]
    )


def stream_tokens() -> str:
    """Every kind of token with its members."""
    kinds: tuple[type[msgspec.Struct], ...] = typing.get_args(tokens.StreamToken)
    parts = [section(kind, f"#### `{kind.__struct_config__.tag}`", summary(kind)) for kind in kinds]
    return "\n\n".join([*parts, section(tokens.ChoiceEnd, "#### ChoiceEnd", summary(tokens.ChoiceEnd))])


def error_kinds() -> str:
    """What went wrong, and the retry that it comes with unless its finder knew better."""
    kind = errors.ErrorKind
    meanings = {
        kind.AUTH: "the key is wrong, or may not do this",
        kind.BILLING: "the account cannot pay",
        kind.QUOTA: "the account's allowance is used up",
        kind.RATE_LIMIT: "too many requests or tokens in a time",
        kind.OVERLOADED: "the provider, or the daemon, takes no more now",
        kind.TIMEOUT: "one of the time limits; `phase` says which",
        kind.NETWORK: "no connection, or it broke",
        kind.TRUNCATED: "the stream ended without its terminal event",
        kind.BAD_REQUEST: "the request, or the model's name, is wrong",
        kind.CONTEXT_LENGTH: "the prompt is too long for the model",
        kind.CONTENT_FILTER: "refused by a filter",
        kind.PROTOCOL: "the provider said what its own protocol does not allow",
        kind.CANCELLED: "the client cancelled, or the daemon stops",
        kind.INTERNAL: "a bug of the daemon's",
    }
    rows = ((f"`{one}`", meanings[one], f"`{errors.DEFAULT_RETRY[one]}`") for one in kind)
    return table(("`kind`", "meaning", "usual `retry`"), rows)


def error_retries() -> str:
    """Where the request may be tried again."""
    retry = errors.Retry
    return words(
        retry,
        {
            retry.NEVER: "the same request fails again",
            retry.SAME: "there, after `retry_after_s` if that is given",
            retry.OTHER_KEY: "there, with another key",
            retry.OTHER_PROVIDER: "elsewhere",
        },
    )


def error_phases() -> str:
    """How far the request had come."""
    phase = errors.Phase
    return words(
        phase,
        {
            phase.ADMIT: "nothing was sent",
            phase.CONNECT: "while connecting to the provider",
            phase.HEADERS: "after sending, before or with the response's headers",
            phase.FIRST_TOKEN: "after the headers, before the first visible token",
            phase.FLOW: "after it",
        },
    )


def protocol_errors() -> str:
    """The words of a `ProtocolFailure`: the classes of errors that end a connection."""
    kinds: list[type[errors.ProtocolError]] = [errors.ProtocolError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return table(("`error`", "meaning"), ((f"`{kind.__name__}`", summary(kind)) for kind in kinds))


def limits() -> str:
    """Every number that a peer can run into."""
    daemon = DaemonSettings(path=Path())
    return table(
        ("what", "limit", "past it"),
        (
            ("payload of a frame", f"{frame.MAX_PAYLOAD_BYTES:,} bytes", "`FrameTooLarge`, told by the header"),
            ("payload of a handshake", f"{handshake.MAX_HANDSHAKE_BYTES:,} bytes", "`FrameTooLarge`"),
            ("each of the two handshake frames", f"{daemon.handshake_s:g} s", "the daemon closes"),
            ("connections of a daemon", f"{daemon.max_connections}", "`HandshakeRefused`, and it closes"),
            ("handshakes under way of a daemon", f"{daemon.max_handshakes}", "`HandshakeRefused`, and it closes"),
            ("requests under way of a connection", f"{daemon.limits.max_requests:,}", "an error of kind `rate_limit`"),
            (
                "bytes of the requests under way of a connection",
                f"{daemon.limits.max_request_bytes:,} bytes",
                "an error of kind `rate_limit`",
            ),
            (
                "requests under way of a daemon",
                f"{daemon.daemon_limits.max_requests:,}",
                "an error of kind `rate_limit`",
            ),
            (
                "bytes of the requests under way of a daemon",
                f"{daemon.daemon_limits.max_request_bytes:,} bytes",
                "an error of kind `rate_limit`",
            ),
            ("frames of a signed way without a trailer", f"{signing.MAX_BATCH_BYTES:,} bytes", "`BadSignature`"),
            ("ring, unless set otherwise", f"{daemon.ring_bytes:,} bytes", "the daemon waits for room"),
            ("ring, at most", f"{shm.MAX_CAPACITY:,} bytes", "the client refuses it"),
            (
                "frames that the daemon holds for one client, by each way",
                f"{writer.MAX_PENDING_BYTES:,} bytes",
                "it gives up",
            ),
            ("an orderly stop waits for running streams", f"{daemon.drain_s:g} s", "an error of kind `cancelled`"),
            ("longest sleep beside a ring", f"{shm.NET_S:g} s", "look again, woken or not"),
            ("path of the socket", f"{unix.MAX_PATH_BYTES} bytes", "the daemon does not start"),
        ),
    )


def ring_fields() -> str:
    """The ring's layout, from the table in its own docstring."""
    rows = re.findall(r"^ +(\d+) +(writer|reader) +(\S.+)$", ring.__doc__ or "", re.MULTILINE)
    return table(("offset", "written by", "field"), rows)


# -- examples in bytes ------------------------------------------------------------------------------------------------


def hex_dump(data: bytes) -> str:
    """Sixteen bytes a line: offset, hex, text."""
    lines: list[str] = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{at:04x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {text}")
    return "```text\n" + "\n".join(lines) + "\n```"


def handshake_bytes() -> str:
    """A client's first frame."""
    message = messages.Handshake(client="example", transport="socket")
    number = messages.NUMBERS[messages.Handshake]
    return hex_dump(frame.encode_frame(number, int(frame.Flag.REQUEST), 0, messages.encode(message)))


def chunk_bytes() -> str:
    """One token of request 7."""
    message = messages.StreamChunk(0, tokens.Text("Hi"))
    number = messages.NUMBERS[messages.StreamChunk]
    flags = int(frame.Flag.RESPONSE | frame.Flag.STREAM_PART)
    return hex_dump(frame.encode_frame(number, flags, 7, messages.encode(message)))


def signing_keys() -> str:
    """What the keys of the worked example are derived from, and what they are."""
    keys = signing.derive_keys(SECRET, CLIENT_NONCE, DAEMON_NONCE, HANDSHAKE)
    told = {
        "secret": SECRET.hex(),
        "client's nonce": CLIENT_NONCE.hex(),
        "daemon's nonce": DAEMON_NONCE.hex(),
        "prk": hmac.digest(CLIENT_NONCE + DAEMON_NONCE, SECRET, "sha256").hex(),
        "said": sha256(HANDSHAKE).hexdigest(),
        "key of `client`": keys.client.hex(),
        "key of `daemon`": keys.daemon.hex(),
        "key of `ring`": keys.ring.hex(),
    }
    rows = [(name, f"`{value}`") for name, value in told.items()]
    return (
        f"Payload of the handshake: `{HANDSHAKE.decode()}`\n\n{table(('what', 'bytes, in hexadecimal digits'), rows)}"
    )


def signed_bytes() -> str:
    """A client's first two frames behind a handshake, as one signed batch."""
    keys = signing.derive_keys(SECRET, CLIENT_NONCE, DAEMON_NONCE, HANDSHAKE)
    out = bytearray()
    last = 0
    for request_id, message in ((1, messages.Status()), (2, messages.Cancel())):
        last = len(out)
        number = messages.NUMBERS[type(message)]
        frame.append_frame(out, number, int(frame.Flag.REQUEST), request_id, messages.encode(message))
    signing.Signer(keys.client).seal(out, len(out), len(out) - last)
    return hex_dump(bytes(out)).replace("```text", "```hex")


TABLES: Mapping[str, Callable[[], str]] = {
    "header": header,
    "flags": flags,
    "types": message_types,
    "members": message_members,
    "objects": nested,
    "tokens": stream_tokens,
    "kinds": error_kinds,
    "retries": error_retries,
    "phases": error_phases,
    "protocol-errors": protocol_errors,
    "limits": limits,
    "ring": ring_fields,
    "features": features,
    "handshake-bytes": handshake_bytes,
    "signing-keys": signing_keys,
    "signed-bytes": signed_bytes,
    "chunk-bytes": chunk_bytes,
}
