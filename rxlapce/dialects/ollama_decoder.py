"""Ollama's chat lines to tokens: one stream's state.

    {"model": ..., "message": {"content": "Hi", "thinking": ..., "tool_calls": [...]}, "done": false}
    {"model": ..., "message": {...}, "done": true, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 282}

Durations and times are the exchange's own bookkeeping and are not passed on.
"""

from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.json_values import dumps, is_object, loads, text_of
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

#: `load` and `unload` answer a request without messages, which only loads the model.
FINISH_KINDS: Final[dict[str, FinishKind]] = {
    "stop": FinishKind.STOP,
    "length": FinishKind.LENGTH,
    "load": FinishKind.STOP,
    "unload": FinishKind.STOP,
}


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None
    images: Any = None


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    model: str | None = None
    error: Any = None
    logprobs: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None


class _Counts(msgspec.Struct, gc=False):
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None


_decode_line: Final = msgspec.json.Decoder(_Line).decode


class OllamaDecoder:
    """One stream of lines; the one that is done is the last. Memory: the model's name and a number."""

    __slots__ = ("_calls", "model")

    def __init__(self) -> None:
        self.model: str | None = None
        self._calls = 0

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`."""
        try:
            line = _decode_line(event.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return _unusual(event, error)
        if line.error:
            self._report(line, UsageSource.PARTIAL, out)
            raise failures.from_value({"error": line.error}, event.data)
        if line.message is None and not line.done:
            _other(event, out)
            return False
        return self._take(line, out)

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`. There is no terminator but the line that is done."""
        raise ProviderError(ErrorKind.TRUNCATED, "the stream ended without a line that is done")

    def take_whole(self, body: bytes, out: list[StreamToken]) -> None:
        """Read a unary answer, which has the shape of a last line."""
        raw = body.decode("utf-8", "replace")
        try:
            whole = _decode_line(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise failures.malformed(f"the answer is no Ollama chat answer: {error}", raw) from None
        if whole.error:
            raise failures.from_value({"error": whole.error}, raw)
        if not self._take(whole, out):
            raise failures.malformed("the answer is not done", raw)

    def _take(self, line: _Line, out: list[StreamToken]) -> bool:
        self.model = line.model or self.model
        message = line.message
        if message is not None:
            if message.thinking:
                out.append(Reasoning(message.thinking))
            if message.content:
                out.append(Text(message.content))
            for call in message.tool_calls or ():
                self._call(call, out)
            if message.images:
                out.append(Opaque("images", dumps(message.images)))
        if line.logprobs:
            out.append(Opaque("logprobs", dumps(line.logprobs)))
        if not line.done:
            return False
        self._report(line, UsageSource.PROVIDER, out)
        kind = FINISH_KINDS.get(line.done_reason or "stop", FinishKind.STOP)
        if kind is FinishKind.STOP and self._calls:
            kind = FinishKind.TOOL_CALLS
        out.append(Finish(kind, line.done_reason, self.model))
        return True

    def _call(self, call: _Call, out: list[StreamToken]) -> None:
        """Calls come whole, each once; older servers give them no id, and their `index` counts anew in each line."""
        function = call.function or _Function()
        arguments = function.arguments
        if not isinstance(arguments, str):
            arguments = dumps({} if arguments is None else arguments)
        out.append(ToolCall(self._calls, call.id or None, function.name or None, arguments))
        self._calls += 1

    def _report(self, line: _Line, source: UsageSource, out: list[StreamToken]) -> None:
        counts = {"prompt_eval_count": line.prompt_eval_count, "eval_count": line.eval_count}
        report_usage({name: count for name, count in counts.items() if count is not None}, source, _read_usage, out)


def _read_usage(value: Any, source: UsageSource) -> Usage:
    """The counts of the last line. A count of zero is left out by the server, so that a missing one stays unknown."""
    counts = msgspec.convert(value, _Counts)
    inputs, output = counts.prompt_eval_count, counts.eval_count
    return Usage(
        input=inputs,
        output=output,
        total=None if inputs is None or output is None else inputs + output,
        source=source,
        reported=Reported(input_tokens=inputs, output_tokens=output),
    )


def _other(event: Event, out: list[StreamToken]) -> None:
    """A line without message that is not done: an error in another shape, or something new."""
    value = loads(event.data)
    if failures.find_problem(value) is not None:
        raise failures.from_value(value, event.data)
    if not is_object(value):
        raise failures.malformed("a line cannot be read as a whole", event.data)
    if value:
        out.append(Opaque(text_of(value.get("type")) or "event", event.data))


def _unusual(event: Event, error: Exception) -> bool:
    """A line that is none of Ollama's."""
    if not event.data.strip():
        return False
    value = loads(event.data)
    # A `message` that is an object is an answer's, which a search for a problem would take for one.
    if not (is_object(value) and is_object(value.get("message"))) and failures.find_problem(value) is not None:
        raise failures.from_value(value, event.data)
    raise failures.malformed(f"a line is no Ollama chat line: {error}", event.data)
