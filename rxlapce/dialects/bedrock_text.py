"""The models on Bedrock's InvokeModel that complete a text: Titan, Llama, Mistral, Cohere, AI21's and Claude's first.

Each says the same three things under other names: a piece of text, why it stopped, and counts. `READERS` has the one
that knows the names of a payload's shape. Source: the Amazon Bedrock user guide, "Inference request parameters and
response fields for foundation models".
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.json_values import dumps, is_array, is_object, loads, text_of
from rxlapce.dialects.usage import Count
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reported,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)

#: Bedrock's own count, in the last payload of a stream of any model.
METRICS: Final = "amazon-bedrock-invocationMetrics"

#: The models' words for why they stopped, in lower case. One that is not here is a stop.
FINISH_KINDS: Final[dict[str, FinishKind]] = {
    "length": FinishKind.LENGTH,
    "max_tokens": FinishKind.LENGTH,
    "error_limit": FinishKind.LENGTH,
    "tool_calls": FinishKind.TOOL_CALLS,
    "content_filtered": FinishKind.CONTENT_FILTER,
    "error_toxic": FinishKind.CONTENT_FILTER,
}


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What one payload says: text, the word for why the answer ended, the counts so far, and what else there is."""

    text: str | None = None
    stop: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    more: tuple[StreamToken, ...] = ()


Reader = Callable[[dict[str, Any]], Piece]


def _titan(said: dict[str, Any]) -> Piece:
    whole = _first(said.get("results"))
    return Piece(
        text_of(said.get("outputText")) or text_of(whole.get("outputText")),
        text_of(said.get("completionReason")) or text_of(whole.get("completionReason")),
        _count(said.get("inputTextTokenCount")),
        _count(said.get("totalOutputTextTokenCount", whole.get("tokenCount"))),
    )


def _llama(said: dict[str, Any]) -> Piece:
    return Piece(
        text_of(said.get("generation")),
        text_of(said.get("stop_reason")),
        _count(said.get("prompt_token_count")),
        _count(said.get("generation_token_count")),
    )


def _mistral(said: dict[str, Any]) -> Piece:
    output = _first(said.get("outputs"))
    return Piece(text_of(output.get("text")), text_of(output.get("stop_reason")))


def _choices(said: dict[str, Any]) -> Piece:
    """Choices that are no chat completion's: Mistral's later models, DeepSeek."""
    choice = _first(said.get("choices"))
    message = choice.get("message")
    text = message.get("content") if is_object(message) else choice.get("text")
    return Piece(text_of(text), text_of(choice.get("stop_reason")) or text_of(choice.get("finish_reason")))


def _claude(said: dict[str, Any]) -> Piece:
    return Piece(text_of(said.get("completion")), text_of(said.get("stop_reason")))


def _ai21(said: dict[str, Any]) -> Piece:
    completion = _first(said.get("completions"))
    data, reason = completion.get("data"), completion.get("finishReason")
    return Piece(
        text_of(data.get("text")) if is_object(data) else None,
        text_of(reason.get("reason")) if is_object(reason) else text_of(reason),
    )


def _cohere(said: dict[str, Any]) -> Piece:
    """Command and Command R; the last event of the latter repeats the whole text inside `response`."""
    whole = _first(said.get("generations"))
    kind = text_of(said.get("event_type"))
    more: list[StreamToken] = []
    calls = said.get("tool_calls")
    if kind in (None, "tool-calls-generation") and is_array(calls):
        for index, call in enumerate(item for item in calls if is_object(item)):
            more.append(ToolCall(index, None, text_of(call.get("name")), dumps(call.get("parameters") or {})))
    elif kind not in (None, "text-generation", "stream-end", "stream-start"):
        more.append(Opaque(kind, dumps(said)))
    return Piece(
        text_of(said.get("text")) or text_of(whole.get("text")),
        text_of(said.get("finish_reason")) or text_of(whole.get("finish_reason")),
        more=tuple(more),
    )


#: A member that only this shape has -> what reads it. The first that is there decides.
READERS: Final[dict[str, Reader]] = {
    "outputText": _titan,
    "results": _titan,
    "generation": _llama,
    "outputs": _mistral,
    "choices": _choices,
    "completion": _claude,
    "completions": _ai21,
    "is_finished": _cohere,
    "event_type": _cohere,
    "generations": _cohere,
    "response_id": _cohere,
}


class TextDecoder:
    """One stream of such payloads, in an event's data each. Memory: two counts and a word.

    The answer has ended with the word for why. Its `Finish` comes with Bedrock's metrics, which stand in the same
    payload as a rule, or with the end of the bytes.
    """

    __slots__ = ("_input_tokens", "_output_tokens", "_read", "_stop", "model")

    def __init__(self, read: Reader) -> None:
        self.model: str | None = None
        """Always None: none of these models names itself."""
        self._read = read
        self._stop: str | None = None
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`."""
        said = loads(event.data)
        if not is_object(said):
            raise self._failed(failures.malformed("a chunk's payload is no JSON object", event.data), out)
        self._take(said, out)
        if self._stop is None or METRICS not in said:
            return False
        self._finish(self._stop, out)
        return True

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`. Without a word for why it ended, a stream is cut."""
        if self._stop is None:
            error = ProviderError(ErrorKind.TRUNCATED, "the stream ended without a reason to stop")
            raise self._failed(error, out)
        self._finish(self._stop, out)

    def take_whole(self, said: dict[str, Any], out: list[StreamToken]) -> None:
        """Read a unary answer."""
        self._take(said, out)
        self._finish(self._stop, out)

    def _take(self, said: dict[str, Any], out: list[StreamToken]) -> None:
        piece = self._read(said)
        if piece.text:
            out.append(Text(piece.text))
        out.extend(piece.more)
        self._stop = piece.stop or self._stop
        if piece.input_tokens is not None:
            self._input_tokens = piece.input_tokens
        if piece.output_tokens is not None:
            self._output_tokens = piece.output_tokens
        if piece.stop is not None and piece.stop.lower() == "error":  # Cohere's
            error = ProviderError(ErrorKind.OVERLOADED, "the model ended its answer with an error", raw=dumps(said))
            raise self._failed(error, out)

    def _failed(self, error: ProviderError, out: list[StreamToken]) -> ProviderError:
        self._report(UsageSource.PARTIAL, out)
        return error

    def _report(self, source: UsageSource, out: list[StreamToken]) -> None:
        asked, said = self._input_tokens, self._output_tokens
        if asked is None and said is None:
            return
        total = None if asked is None or said is None else asked + said
        reported = Reported(input_tokens=asked, output_tokens=said)
        out.append(UsageReport(Usage(input=asked, output=said, total=total, source=source, reported=reported)))

    def _finish(self, stop: str | None, out: list[StreamToken]) -> None:
        self._report(UsageSource.PROVIDER, out)
        called = stop is None and any(isinstance(token, ToolCall) for token in out)
        default = FinishKind.TOOL_CALLS if called else FinishKind.STOP
        out.append(Finish(FINISH_KINDS.get((stop or "").lower(), default), stop, self.model))


def _first(items: Any) -> dict[str, Any]:
    """The first object of a list; an empty one if there is none."""
    return items[0] if is_array(items) and items and is_object(items[0]) else {}


def _count(value: Any) -> int | None:
    """Titan counts in floats at times. What cannot be true is no count."""
    try:
        return msgspec.convert(value, Count, strict=False)
    except msgspec.ValidationError:
        return None
