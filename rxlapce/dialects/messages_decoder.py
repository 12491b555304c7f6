"""Anthropic's message events to tokens: one stream's state.

The grammar: `message_start`, then for each block `content_block_start`, `content_block_delta`s, `content_block_stop`,
then `message_delta` (stop reason, usage) and `message_stop`; `ping` anywhere, and events that nobody announced.
Source: Anthropic's API reference, "Streaming Messages".
"""

from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.json_values import dumps, is_array, is_object, loads, text_of
from rxlapce.dialects.split_characters import SplitCharacters
from rxlapce.dialects.usage import Count, report_usage
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Reported,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageSource,
)

FINISH_KINDS: Final[dict[str, FinishKind]] = {
    "end_turn": FinishKind.STOP,
    "stop_sequence": FinishKind.STOP,
    "max_tokens": FinishKind.LENGTH,
    "model_context_window_exceeded": FinishKind.LENGTH,
    "tool_use": FinishKind.TOOL_CALLS,
    "pause_turn": FinishKind.PAUSE,
    "refusal": FinishKind.REFUSAL,
}

#: Blocks that call a tool. Those other than `tool_use` are run by the provider: an Opaque with the block's start comes
#: before the ToolCall, so that a client can tell that it has nothing to do.
CALL_BLOCKS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})

_EMPTY_CONTEXT: Final[dict[str, list[Any]]] = {"applied_edits": []}


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    container: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    context_management: Any = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _WireUsage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class _Call:
    """A tool call under way: its number, and the arguments that came with the block's start, if any did."""

    __slots__ = ("index", "initial", "spoken")

    def __init__(self, index: int, initial: str) -> None:
        self.index = index
        self.initial = initial
        self.spoken = False


_decode_event: Final = msgspec.json.Decoder(_Event).decode


class MessagesDecoder:
    """One stream of message events. Memory: the usage object and a few words an open tool call.

    CPU a text delta, from event to token: 0.68 us (99-byte event), of which msgspec 0.45. CPython 3.11, msgspec 0.22,
    2 vCPUs of a busy virtual machine, best of 600 runs of 2000, 2026-11-22.
    """

    __slots__ = ("_calls", "_calls_seen", "_split", "_stop_reason", "_usage", "model")

    def __init__(self) -> None:
        self.model: str | None = None
        self._usage: dict[str, Any] = {}
        self._stop_reason: str | None = None
        self._calls: dict[int, _Call] = {}  # open ones, by block
        self._calls_seen = 0
        self._split = SplitCharacters()

    # -- the interface ----------------------------------------------------------------------------------------------

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`. Only `message_stop` ends a stream: a stop reason alone does not."""
        try:
            said = _decode_event(event.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            mended = self._split.mend(event)
            return self._unusual(event, error, out) if mended is None else self.feed(mended, out)
        kind = said.type
        if kind == "content_block_delta":
            delta = said.delta
            if delta is not None and delta.type == "text_delta" and delta.text is not None:
                if delta.text:
                    out.append(Text(delta.text))
            else:
                self._delta(said, event.data, out)
            return False
        return self._other(said, event, out)

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`. A stream without `message_stop` is cut, even if it had its stop reason."""
        raise self._failed(ProviderError(ErrorKind.TRUNCATED, "the stream ended without message_stop"), out)

    def take_whole(self, body: bytes, out: list[StreamToken]) -> None:
        """Read a unary answer: the blocks, each as if it came whole, and the end."""
        raw = body.decode("utf-8", "replace")
        try:
            message: Any = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise failures.malformed(f"the answer is no message: {error}", raw) from None
        if failures.find_problem(message) is not None:
            raise failures.from_value(message, raw)
        blocks = message.get("content") if is_object(message) else None
        if not is_array(blocks):
            raise failures.malformed("the answer holds no list of content blocks", raw)
        self._start(message)
        for index, block in enumerate(blocks):
            if is_object(block):
                self._block(index, block, out)
            else:
                out.append(_opaque("content", block))
            self._end_block(index, out)
        self._stop_reason = text_of(message.get("stop_reason"))
        extras = ("stop_sequence", "stop_details", "container")
        out.extend(_opaque(name, message[name]) for name in extras if message.get(name))
        self._finish(out)

    # -- events -------------------------------------------------------------------------------------------------------

    def _other(self, said: _Event, event: Event, out: list[StreamToken]) -> bool:
        match said.type:
            case "content_block_start":
                self._block(said.index, said.content_block or {}, out)
            case "content_block_stop":
                self._end_block(said.index, out)
            case "message_delta":
                self._message_delta(said, out)
            case "message_stop":
                self._finish(out)
                return True
            case "message_start":
                self._start(said.message or {})
            case "ping":
                pass
            case "error":
                raise self._failed(failures.from_value(loads(event.data), event.data), out)
            case unknown:
                out.append(Opaque(unknown, event.data))
        return False

    def _start(self, message: dict[str, Any]) -> None:
        """A second `message_start` occurs when a server falls back to another model; the last one's model answered."""
        model, usage = message.get("model"), message.get("usage")
        if isinstance(model, str) and model:
            self.model = model
        if is_object(usage):
            self._count(usage)

    def _block(self, index: int, block: dict[str, Any], out: list[StreamToken]) -> None:
        """The start of a block, which for some kinds is all of it."""
        kind = text_of(block.get("type"))
        if kind == "text":
            _text(block, out)
        elif kind == "thinking":
            thinking, signature = block.get("thinking"), block.get("signature")
            if thinking or signature:
                out.append(Reasoning(text_of(thinking) or "", text_of(signature)))
        elif kind is not None and kind in CALL_BLOCKS:
            self._start_call(index, kind, block, out)
        else:
            out.append(_opaque(kind or "content_block", block))

    def _start_call(self, index: int, kind: str, block: dict[str, Any], out: list[StreamToken]) -> None:
        if kind != "tool_use":
            out.append(_opaque(kind, block))
        self._end_block(index, out)  # a server that reuses an index without a stop
        call = self._calls[index] = _Call(self._calls_seen, dumps(block.get("input") or {}))
        self._calls_seen += 1
        out.append(ToolCall(call.index, text_of(block.get("id")), text_of(block.get("name"))))

    def _end_block(self, index: int, out: list[StreamToken]) -> None:
        """The end of a block; a call without argument pieces has what its start said, and that is `{}` mostly."""
        call = self._calls.pop(index, None)
        if call is not None and not call.spoken:
            out.append(ToolCall(call.index, arguments_delta=call.initial))

    def _delta(self, said: _Event, raw: str, out: list[StreamToken]) -> None:
        """A delta other than plain text."""
        delta = said.delta
        kind = delta.type if delta is not None else None
        if delta is not None and kind == "thinking_delta" and delta.thinking is not None:
            if delta.thinking:
                out.append(Reasoning(delta.thinking))
        elif delta is not None and kind == "input_json_delta" and delta.partial_json is not None:
            call = self._calls.get(said.index)
            if delta.partial_json and call is not None:  # the first piece is "" as a rule
                call.spoken = True
                out.append(ToolCall(call.index, arguments_delta=delta.partial_json))
            elif delta.partial_json:
                out.append(Opaque("input_json_delta", raw))
        elif delta is not None and kind == "signature_delta" and delta.signature is not None:
            out.append(Reasoning("", delta.signature))
        elif delta is not None:
            whole = loads(raw)
            if not is_object(whole):
                raise self._failed(failures.malformed("an event cannot be read as a whole", raw), out)
            out.append(_opaque(kind or "content_block_delta", whole["delta"]))
        else:
            out.append(Opaque("content_block_delta", raw))

    def _message_delta(self, said: _Event, out: list[StreamToken]) -> None:
        if said.usage is not None:
            self._count(said.usage)
        if said.context_management and said.context_management != _EMPTY_CONTEXT:
            out.append(_opaque("context_management", said.context_management))
        delta = said.delta
        if delta is None:
            return
        self._stop_reason = delta.stop_reason or self._stop_reason
        for name in ("stop_sequence", "stop_details", "container"):
            value = getattr(delta, name)
            if value:
                out.append(_opaque(name, value))

    def _unusual(self, event: Event, error: Exception, out: list[StreamToken]) -> bool:
        text = event.data.strip()
        if not text:
            return False
        value = loads(text)
        if failures.find_problem(value) is not None:
            raise self._failed(failures.from_value(value, event.data), out)
        if event.event == "error":
            raise self._failed(failures.from_value({"error": text}, event.data), out)
        raise self._failed(failures.malformed(f"an event is no message event: {error}", event.data), out)

    # -- usage and ends -----------------------------------------------------------------------------------------------

    def _count(self, usage: dict[str, Any]) -> None:
        """Counts are cumulative, and a later event may leave some out: replace field by field, never add."""
        self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _report(self, source: UsageSource, out: list[StreamToken]) -> None:
        report_usage(self._usage, source, read_usage, out)

    def _failed(self, error: ProviderError, out: list[StreamToken]) -> ProviderError:
        self._report(UsageSource.PARTIAL, out)
        return error

    def _finish(self, out: list[StreamToken]) -> None:
        for index in tuple(self._calls):
            self._end_block(index, out)
        self._report(UsageSource.PROVIDER, out)
        reason = self._stop_reason
        default = FinishKind.TOOL_CALLS if reason is None and self._calls_seen else FinishKind.STOP
        out.append(Finish(FINISH_KINDS.get(reason or "", default), reason, self.model))


def read_usage(value: dict[str, Any], source: UsageSource) -> Usage:
    """The usage object in the normal form. Raises `msgspec.ValidationError`.

    Anthropic's three input counts are disjoint, so that the whole input is their sum. `reported` has the members under
    Anthropic's meaning, without the thinking tokens, for which it has no name of its own.
    """
    wire = msgspec.convert(value, _WireUsage, strict=False)
    created, read = wire.cache_creation_input_tokens, wire.cache_read_input_tokens
    whole_input = None if wire.input_tokens is None else wire.input_tokens + (created or 0) + (read or 0)
    both = whole_input is not None and wire.output_tokens is not None
    return Usage(
        input=whole_input,
        cached_input=read,
        cache_write=created,
        output=wire.output_tokens,
        reasoning=wire.output_tokens_details.thinking_tokens if wire.output_tokens_details else None,
        total=(whole_input or 0) + (wire.output_tokens or 0) if both else None,
        source=source,
        reported=Reported(
            input_tokens=wire.input_tokens,
            output_tokens=wire.output_tokens,
            cached_input_tokens=read,
            cache_creation_input_tokens=created,
        ),
    )


def _text(block: dict[str, Any], out: list[StreamToken]) -> None:
    text, citations = block.get("text"), block.get("citations")
    if isinstance(text, str) and text:
        out.append(Text(text))
    if citations:
        out.append(_opaque("citations", citations))


def _opaque(kind: str, value: Any) -> Opaque:
    return Opaque(kind, dumps(value))
