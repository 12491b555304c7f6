"""Bedrock's InvokeModel stream to tokens: each chunk holds a payload in the words of the model's vendor.

Whose words they are is seen by the first payload's shape: Anthropic's messages, Nova's (which are Converse's), chat
completions, or those of a model that completes a text. Source: the Amazon Bedrock API reference,
"InvokeModelWithResponseStream".
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import bedrock_failures, failures
from rxlapce.dialects.bedrock_text import METRICS, READERS, TextDecoder
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.dialects.converse_decoder import EVENTS, ConverseDecoder
from rxlapce.dialects.json_values import dumps, is_array, is_object, loads
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.dialects.usage import Count
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import Opaque, StreamToken, Usage, UsageReport, UsageSource
from rxlapce.typing import StreamDecoder

_PREFIX: Final = "amazon-bedrock-"
_GUARDRAIL: Final = "amazon-bedrock-guardrailAction"


class _Chunk(msgspec.Struct, gc=False):
    """The payload of a message of type chunk; msgspec decodes the base64."""

    bytes: bytes


class _Metrics(msgspec.Struct, rename="camel"):
    input_token_count: Count | None = None
    output_token_count: Count | None = None
    cache_read_input_token_count: Count | None = None
    cache_write_input_token_count: Count | None = None


_decode_chunk: Final = msgspec.json.Decoder(_Chunk).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class NovaDecoder:
    """Converse's events as Nova says them in a chunk: each an object of one member with the event's name."""

    __slots__ = ("_converse", "model")

    def __init__(self) -> None:
        self.model: str | None = None
        """Always None: Nova does not name itself."""
        self._converse = ConverseDecoder()

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`."""
        try:
            members = _decode_members(event.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise failures.malformed(f"a chunk's payload is no JSON object: {error}", event.data) from None
        ended = False
        for name, value in members.items():
            if not name.startswith(_PREFIX) and not ended:
                ended = self._converse.take(name, bytes(value).decode("utf-8", "replace"), out)
        return ended

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`."""
        self._converse.close(out)


class InvokeDecoder:
    """One stream of chunks. Memory: that of the vendor's decoder."""

    __slots__ = ("_guarded", "_metrics", "_vendor", "model")

    def __init__(self) -> None:
        self.model: str | None = None
        self._vendor: StreamDecoder[Event] | None = None
        self._metrics: Any = None
        self._guarded = False  # that a guardrail intervened has been told

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`. What ends a stream is for the vendor's words to say."""
        if event.event.startswith(("exception/", "error/")):
            raise self._failed(bedrock_failures.from_event(event.event, event.data), out)
        if event.event != "chunk":
            out.append(Opaque(event.event, event.data if loads(event.data) is not None else dumps(event.data)))
            return False
        try:
            payload = _decode_chunk(event.data).bytes.decode("utf-8", "replace")
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self._failed(failures.malformed(f"a chunk holds no payload: {error}", event.data), out) from None
        if self._vendor is None or _PREFIX in payload:
            self._look(payload, out)
        vendor = self._vendor
        if vendor is None:
            return False
        before = len(out)
        ended = vendor.feed(Event(payload), out)
        self.model = vendor.model
        if ended:
            self._add_metrics(before, out)
        return ended

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`."""
        if self._vendor is None:
            raise ProviderError(ErrorKind.TRUNCATED, "the stream ended without an answer")
        before = len(out)
        self._vendor.close(out)
        self._add_metrics(before, out)

    def _look(self, payload: str, out: list[StreamToken]) -> None:
        """Find the vendor by the payload's shape, and Bedrock's own members beside the vendor's."""
        said = loads(payload)
        if not is_object(said):
            raise self._failed(failures.malformed("a chunk's payload is no JSON object", payload), out)
        if self._vendor is None:
            make = vendor_of(said)
            self._vendor = make() if make else None
            if make is None:
                out.append(Opaque("chunk", payload))
        if said.get(_GUARDRAIL) == "INTERVENED" and not self._guarded:
            self._guarded = True
            out.append(Opaque(_GUARDRAIL, dumps("INTERVENED")))
        self._metrics = said.get(METRICS) or self._metrics
        known = (METRICS, _GUARDRAIL)
        out.extend(Opaque(key, dumps(said[key])) for key in said if key.startswith(_PREFIX) and key not in known)

    def _add_metrics(self, since: int, out: list[StreamToken]) -> None:
        """Bedrock's count, where the vendor gave none; it goes before the `Finish`."""
        if not is_object(self._metrics) or any(isinstance(token, UsageReport) for token in out[since:]):
            return
        with suppress(msgspec.ValidationError):
            out.insert(len(out) - 1, UsageReport(usage_of(self._metrics)))

    def _failed(self, error: ProviderError, out: list[StreamToken]) -> ProviderError:
        """`error`, after what the vendor has counted so far."""
        said: list[StreamToken] = []
        if self._vendor is not None:
            with suppress(ProviderError):
                self._vendor.close(said)
        out.extend(token for token in said if isinstance(token, UsageReport))
        return error


def vendor_of(payload: dict[str, Any]) -> Callable[[], StreamDecoder[Event]] | None:
    """What reads a stream whose first payload this is; None if it has a shape that nobody knows."""
    if isinstance(payload.get("type"), str):
        return MessagesDecoder
    if not EVENTS.isdisjoint(payload):
        return NovaDecoder
    choices = payload.get("choices")
    if is_array(choices) and (not choices or (is_object(choices[0]) and "delta" in choices[0])):
        return ChatDecoder
    for member, read in READERS.items():
        if member in payload:
            return lambda: TextDecoder(read)
    return None


def usage_of(metrics: dict[str, Any]) -> Usage:
    """Bedrock's invocation metrics in the normal form. Raises `msgspec.ValidationError`.

    `reported` stays empty: the vendor, whose words the rest of the stream is in, reported none.
    """
    wire = msgspec.convert(metrics, _Metrics, strict=False)
    read, written = wire.cache_read_input_token_count, wire.cache_write_input_token_count
    whole_input = None if wire.input_token_count is None else wire.input_token_count + (read or 0) + (written or 0)
    both = whole_input is not None and wire.output_token_count is not None
    return Usage(
        input=whole_input,
        cached_input=read,
        cache_write=written,
        output=wire.output_token_count,
        total=(whole_input or 0) + (wire.output_token_count or 0) if both else None,
        source=UsageSource.PROVIDER,
    )
