"""`rxlapce decode`: recorded provider bytes in, one JSON object a file out, through the same operators as live."""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import click
import msgspec
import reactivex
from reactivex import Observable

from rxlapce.answer import Answer, AnswerBuilder, Choice
from rxlapce.cli.screen import json_line
from rxlapce.codec.event import Event
from rxlapce.codec.eventstream import EventStreamDecoder, Message
from rxlapce.codec.google_sse import GoogleSSEDecoder
from rxlapce.codec.json_array import JsonArrayDecoder
from rxlapce.codec.ndjson import NDJSONDecoder
from rxlapce.codec.sse import SSEDecoder
from rxlapce.errors import BadEventStream, CodecError, ConfigError, ErrorKind, Phase, ProviderError, UnfinishedBody
from rxlapce.operators.recording import RecordingHeader, RecordingReader, read_recording
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS, EVENTSTREAM, FRAMINGS, GOOGLE_SSE, JSON_ARRAY, NDJSON, SSE, Format
from rxlapce.providers.recorded import format_of
from rxlapce.tokens import StreamToken, Usage
from rxlapce.typing import Dialect, StreamDecoder

PROVIDERS: Final = (
    "openai",
    "azure",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "xai",
    "openrouter",
    "openai-compatible",
    "local",
)
#: file ending -> what the body is, unless --content-type says otherwise
CONTENT_TYPES: Final = {
    ".sse": "text/event-stream",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".eventstream": "application/vnd.amazon.eventstream",
}
JSON: Final = "application/json"
CHUNK_BYTES: Final = 65536
#: What a recording has in the first bytes of its first line, and no provider's body does.
RECORDING_MARK: Final = b'"rxlapce-recording"'
RECORDING_MARK_WITHIN: Final = 64

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

EPILOG: Final = """\b
Examples:
  rxlapce decode --provider openai --api openai.chat.completions answer.sse
  curl -sN ... | rxlapce decode --provider anthropic --api anthropic.messages -
  rxlapce decode --framing sse --events answer.sse
  rxlapce decode answer.rec

\b
Exit codes: 0 all answers are complete; 1 one holds an error or was cut off;
2 a misuse, such as a missing file or an unknown name.
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--provider", type=click.Choice(PROVIDERS), help="Who said it.")
@click.option("--api", metavar="API", help=f"In which dialect and framing: {', '.join(APIS)}.")
@click.option("--status", default=200, show_default=True, type=click.IntRange(100, 599), help="The HTTP status.")
@click.option("--content-type", metavar="TYPE", help="What the body is; by the file's ending where not given.")
@click.option("--framing", type=click.Choice(tuple(FRAMINGS)), help="With --events: how the bytes are framed.")
@click.option("--events", is_flag=True, help="Stop after the framing and print its events.")
@click.option(
    "--chunk-bytes",
    default=CHUNK_BYTES,
    show_default=True,
    type=click.IntRange(min=1),
    help="Feed the bytes in pieces of this size; the result must not change.",
)
def decode(
    files: tuple[str, ...],
    provider: str | None,
    api: str | None,
    status: int,
    content_type: str | None,
    framing: str | None,
    events: bool,
    chunk_bytes: int,
) -> None:
    """Decode recorded provider streams, offline.

    Each FILE holds the body of one HTTP response, byte for byte, or is a recording of rxlapce record, which says itself
    by whom and how it was said; - is the standard input. For each, one JSON object is printed on a line: the text,
    reasoning, refusal and tool calls, how it finished, the token usage in one meaning for all providers (usage) and as
    the provider gave it (reported_usage), and the error if there was one. A body that was cut off gives what had
    arrived and the error "truncated".
    """
    whole = True
    if events:
        for file in files:
            header = _header(file)
            usual = SSE.name if header is None else _spoken(file, header).framing.name
            whole &= _print_events(framing or usual, _chunks(_read(file, header), chunk_bytes))
    elif framing is not None:
        raise click.UsageError("--framing goes with --events.")
    else:
        headers = [_header(file) for file in files]
        if (provider is None or api is None) and None in headers:
            raise click.UsageError("--provider and --api are needed (or --framing sse --events).")
        spoken = None if api is None else _api(api)
        ways = [_way(file, header, spoken, content_type, status) for file, header in zip(files, headers, strict=True)]
        for file, header, way in zip(files, headers, ways, strict=True):
            answer, error = _decode(_read(file, header), way, chunk_bytes)
            _print(_line(file, answer, error))
            whole &= error is None
    if not whole:
        raise click.exceptions.Exit(1)


# -- input ----------------------------------------------------------------------------------------------------------


def _api(name: str) -> Format:
    if name not in APIS:
        raise click.BadParameter(f"{name!r} is not supported; supported: {', '.join(APIS)}.", param_hint="'--api'")
    return APIS[name]


def _is_stream(api: Format, file: str, said: str | None, status: int) -> bool:
    """Whether the body is a stream in the API's framing; otherwise it is a unary answer, or an HTTP error.

    A type that is no framing's (proxies and recorders write such) is taken for the API's own framing. Raises
    `click.BadParameter` for the type of another framing.
    """
    own = api.framing.media_type
    full = said or CONTENT_TYPES.get(Path(file).suffix, own)
    media_type = full.partition(";")[0].strip().lower()
    if status >= 400:
        return False
    if media_type == own:
        return True
    if _is_json(media_type):
        return False
    if media_type in CONTENT_TYPES.values():
        raise click.BadParameter(
            f"{media_type!r} ({file}) is not supported; supported: {own}, {JSON}.", param_hint="'--content-type'"
        )
    return True


def _is_json(media_type: str) -> bool:
    return media_type == JSON or media_type.endswith("+json")


@dataclass(frozen=True, slots=True)
class _Way:
    """How one body is to be read."""

    api: Format
    status: int
    stream: bool


def _header(file: str) -> RecordingHeader | None:
    """What a recording says of itself; None for the body of a response. Raises `ConfigError` for a broken one."""
    if file == "-":
        return None
    with Path(file).open("rb") as start:
        if RECORDING_MARK not in start.read(RECORDING_MARK_WITHIN):
            return None
    try:
        with closing(RecordingReader(Path(file))) as reader:
            return reader.header
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _way(file: str, header: RecordingHeader | None, api: Format | None, content_type: str | None, status: int) -> _Way:
    """By the options; by what is recorded, where there are none."""
    if header is not None:
        api = _spoken(file, header) if api is None else api
        content_type, status = content_type or header.content_type or None, header.status or status
    if api is None:
        raise click.UsageError("--api is needed.")
    return _Way(api, status, _is_stream(api, file, content_type, status))


def _spoken(file: str, header: RecordingHeader) -> Format:
    try:
        return format_of(header)
    except ValueError as error:
        raise click.UsageError(f"{file}: {error}; name it by --provider and --api.") from None


def _read(file: str, header: RecordingHeader | None) -> bytes:
    if header is not None:
        return read_recording(Path(file)).body
    with click.open_file(file, "rb") as stream:
        body: bytes = stream.read()
    return body


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


# -- answers --------------------------------------------------------------------------------------------------------


class _Kept:
    """A dialect's one decoder, kept in hand: a stream that breaks off has no `Finish` that names its model."""

    def __init__(self, dialect: Dialect[Event]) -> None:
        self.decoding = dialect.decoder()

    def decoder(self) -> StreamDecoder[Event]:
        return self.decoding


def _decode(body: bytes, way: _Way, chunk_bytes: int) -> tuple[Answer, ProviderError | None]:
    """What a body says, and the error that it holds or that its cut is."""
    builder = AnswerBuilder()
    if way.status >= 400:
        error: ProviderError | None = way.api.dialect().read_error(way.status, {}, body)
    elif way.stream:
        error = _read_stream(way.api, body, chunk_bytes, builder)
    else:
        error = _read_unary(way.api.dialect(), body, builder)
    return builder.answer(), error


def _read_unary(dialect: Dialect[Event], body: bytes, builder: AnswerBuilder) -> ProviderError | None:
    try:
        tokens = dialect.read_answer(body)
    except ProviderError as error:
        return error
    for token in tokens:
        builder.add(token)
    return None


def _read_stream(api: Format, body: bytes, chunk_bytes: int, builder: AnswerBuilder) -> ProviderError | None:
    kept = _Kept(api.dialect())
    tokens = reactivex.from_iterable(_chunks(body, chunk_bytes)).pipe(api.framing.decode(), token_map(kept))
    error = _drain(tokens, builder.add)
    if builder.model is None:
        builder.model = kept.decoding.model
    return error


def _drain(tokens: Observable[StreamToken], take: Callable[[StreamToken], None]) -> ProviderError | None:
    """Run a synchronous source to its end; the error that ended it, if one did."""
    errors: list[Exception] = []
    tokens.subscribe(take, errors.append)
    if not errors:
        return None
    error = errors[0]
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, CodecError):
        return ProviderError(ErrorKind.PROTOCOL, str(error), phase=Phase.FLOW)
    raise error


# -- output ---------------------------------------------------------------------------------------------------------


def _line(file: str, answer: Answer, error: ProviderError | None) -> dict[str, Any]:
    first, *others = answer.choices
    line: dict[str, Any] = {
        "file": file,
        **_choice(first),
        "usage": _usage(answer.usage),
        "reported_usage": None if answer.usage is None else msgspec.to_builtins(answer.usage.reported),
        "model": answer.model,
        "tokens": answer.tokens,
        "error": None if error is None else _error(error),
        "complete": error is None,
    }
    if others:
        line["choices"] = [{"index": choice.index, **_choice(choice)} for choice in answer.choices]
    return line


def _choice(choice: Choice) -> dict[str, Any]:
    finish = None if choice.finish_kind is None else {"kind": choice.finish_kind.value, "raw": choice.finish_raw}
    return {
        "text": choice.text,
        "reasoning": choice.reasoning,
        "refusal": choice.refusal,
        "tool_calls": [msgspec.to_builtins(call) for call in choice.tool_calls],
        "finish": finish,
    }


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    """The normal form, every field by name: null is unknown, 0 is none."""
    if usage is None:
        return None
    fields = (name for name in usage.__struct_fields__ if name != "reported")
    return {name: msgspec.to_builtins(getattr(usage, name)) for name in fields}


def _error(error: ProviderError) -> dict[str, Any]:
    fields = error.to_dict()
    return {name: fields[name] for name in ("kind", "retry", "phase", "status", "message", "raw")}


def _print(line: dict[str, Any]) -> None:
    click.echo(json_line(line))


# -- events ---------------------------------------------------------------------------------------------------------


class _Codec(Protocol[E_co]):
    """What all codecs share, whatever their events are."""

    @property
    def error(self) -> CodecError | None: ...

    def feed(self, data: bytes) -> Sequence[E_co]: ...

    def close(self) -> Sequence[E_co]: ...


def _print_events(framing: str, chunks: Iterator[bytes]) -> bool:
    """Print one body's events and how they ended; whether that was without an error."""
    if framing == SSE.name:
        sse = SSEDecoder()
        return _print_all(sse, chunks, _event, lambda: {"last_event_id": sse.last_event_id, "retry": sse.retry_ms})
    if framing == EVENTSTREAM.name:
        messages = EventStreamDecoder()
        return _print_all(messages, chunks, _message, lambda: {"incomplete_tail_bytes": messages.incomplete_tail_bytes})
    return _print_all(PLAIN_CODECS[framing](), chunks, _event, dict[str, Any])


#: The framings whose events are all there is to tell.
PLAIN_CODECS: Final[dict[str, Callable[[], _Codec[Event]]]] = {
    GOOGLE_SSE.name: GoogleSSEDecoder,
    JSON_ARRAY.name: JsonArrayDecoder,
    NDJSON.name: NDJSONDecoder,
}


def _print_all(
    codec: _Codec[E],
    chunks: Iterator[bytes],
    describe: Callable[[E], dict[str, Any]],
    besides: Callable[[], dict[str, Any]],
) -> bool:
    try:
        for chunk in chunks:
            for event in codec.feed(chunk):
                _print(describe(event))
        for event in codec.close():
            _print(describe(event))
        if codec.error is not None:
            raise codec.error
    except CodecError as error:
        kind = ErrorKind.TRUNCATED if isinstance(error, UnfinishedBody) else ErrorKind.PROTOCOL
        fault = {"fault": error.fault.value} if isinstance(error, BadEventStream) else {}
        _print({"error": {"kind": kind.value, **fault, "message": str(error)}})
        return False
    _print({"end": True, **besides()})
    return True


def _event(event: Event) -> dict[str, Any]:
    return {"event": event.event, "data": event.data, "id": event.id}


def _message(message: Message) -> dict[str, Any]:
    """An AWS message with its typed headers: binary as base64, a timestamp in milliseconds, a UUID as its text."""
    headers = [{"name": name, **msgspec.to_builtins(header)} for name, header in message.headers.items()]
    return {"headers": headers, "payload_base64": base64.b64encode(message.payload).decode()}
