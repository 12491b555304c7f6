"""Chat completions to tokens: one stream's state, and all that compatible servers do differently.

Which recording or provider showed a quirk is said where it is handled. What has no token of its own becomes `Opaque`.
"""

from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.chat_pieces import flagged, opaque, say_parts, says_something
from rxlapce.dialects.chat_wire import CallPiece, Chunk, Delta, Function, StreamChoice, WholeBody, read_usage
from rxlapce.dialects.json_values import dumps, is_array, is_object, loads, text_of
from rxlapce.dialects.reasoning_details import DetailReader
from rxlapce.dialects.split_characters import SplitCharacters
from rxlapce.dialects.usage import report_usage
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    StreamToken,
    Text,
    ToolCall,
    UsageSource,
)

FINISH_KINDS: Final[dict[str, FinishKind]] = {
    "stop": FinishKind.STOP,
    "length": FinishKind.LENGTH,
    "model_length": FinishKind.LENGTH,  # Mistral
    "max_tokens": FinishKind.LENGTH,
    "tool_calls": FinishKind.TOOL_CALLS,
    "function_call": FinishKind.TOOL_CALLS,
    "tool_use": FinishKind.TOOL_CALLS,
    "content_filter": FinishKind.CONTENT_FILTER,
    "refusal": FinishKind.REFUSAL,
}

#: Finish words that mean that the answer broke off.
FAILED_FINISH: Final = {
    "error": "the provider ended the answer with finish_reason error",  # OpenRouter
    "insufficient_system_resource": "the provider broke the answer off for want of resources",  # DeepSeek
}

#: Members of a delta that say nothing by themselves when no other member does; all others become Opaque then.
_SILENT: Final = frozenset({*Delta.__struct_fields__, "role", "name", "channel", "obfuscation", "index", "token_id"})

#: Members of a chunk that are read elsewhere, or that are an exchange's own bookkeeping (timings, ids).
_KNOWN_MEMBERS: Final = frozenset(
    {*Chunk.__struct_fields__, "x_groq", "time_info", "sla_metrics", "latency_checkpoint"}
)

_decode_chunk: Final = msgspec.json.Decoder(Chunk).decode
_decode_whole: Final = msgspec.json.Decoder(WholeBody).decode


class _Call:
    """A tool call under way."""

    __slots__ = ("id", "index", "name")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id: str | None = None
        self.name: str | None = None


class _Progress:
    """How far one choice has come."""

    __slots__ = ("by_key", "calls", "details", "finish", "refused")

    def __init__(self, choice: int) -> None:
        self.finish: str | None = None
        self.details = DetailReader(choice)
        self.calls: list[_Call] = []
        self.by_key: dict[int, _Call] = {}
        self.refused = False

    def kind(self) -> FinishKind:
        """A forced tool call ends in "stop" at OpenAI, and so does a refusal: what was said decides."""
        kind = FINISH_KINDS.get(self.finish or "stop", FinishKind.STOP)
        if kind is not FinishKind.STOP:
            return kind
        if self.calls:
            return FinishKind.TOOL_CALLS
        return FinishKind.REFUSAL if self.refused else kind

    def call_for(self, key: int | None, call_id: str | None, name: str | None) -> _Call:
        """The call that a piece belongs to, which may be a new one."""
        if key is not None:
            known = self.by_key.get(key)
            # Gemini's compatible endpoint numbers all parallel calls 0; a piece with another id and a name is new.
            if known is not None and not (call_id and name and known.id and call_id != known.id):
                return known
        elif call_id:
            for known in self.calls:
                if known.id == call_id:
                    return known
        elif not name and self.calls:
            return self.calls[-1]
        call = _Call(len(self.calls))
        self.calls.append(call)
        if key is not None:
            self.by_key[key] = call
        return call


class ChatDecoder:
    """One stream of chat completion chunks. Memory: a few objects a choice and a tool call, none a token.

    CPU a text delta, from event to token: 1.35 us (327-byte OpenAI chunk), of which msgspec 0.79 and the token 0.06; a
    struct of four members alone takes msgspec 0.74 there. CPython 3.11, msgspec 0.22, 2 vCPUs of a busy virtual
    machine, best of 600 runs of 2000, 2026-11-22. Comparing whole structs, not single members, was no faster.
    """

    __slots__ = ("_failure", "_last_choice", "_last_sources", "_progress", "_split", "_usage", "model")

    def __init__(self) -> None:
        self.model: str | None = None
        self._split = SplitCharacters()
        self._progress: dict[int, _Progress] = {}
        self._usage: Any = None
        self._last_choice = -1
        self._failure: ProviderError | None = None
        self._last_sources: dict[str, Opaque] = {}

    # -- the interface ----------------------------------------------------------------------------------------------

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`. `[DONE]` ends the stream, whether or not a finish word came before it."""
        try:
            chunk = _decode_chunk(event.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            mended = self._split.mend(event)
            return self._unusual(event, error, out) if mended is None else self.feed(mended, out)
        if not chunk.choices:
            self._without_choices(chunk, event, out)
            return False
        silent = False
        for choice in chunk.choices:
            index = choice.index
            if index != self._last_choice:
                self._turn_to(index)
            delta = choice.delta
            if delta is not None:
                content = delta.content
                if (
                    content
                    and isinstance(content, str)
                    and not (delta.reasoning_content or delta.reasoning or delta.reasoning_details)
                    and not (delta.tool_calls or delta.refusal or delta.function_call is not None)
                    and not (delta.annotations or delta.audio or delta.images)
                ):
                    out.append(Text(content, index))
                else:
                    before = len(out)
                    self._say(delta, index, out)
                    silent = silent or len(out) == before
            if (
                choice.finish_reason is not None
                or choice.content_filter_results is not None
                or choice.logprobs is not None
                or choice.usage is not None
                or choice.error is not None
            ):
                self._about_choice(choice, event.data, out)
        if silent:
            self._unknown_members(event.data, out)
        if (
            self.model is None
            or chunk.usage is not None
            or chunk.error is not None
            or chunk.citations is not None
            or chunk.search_results is not None
            or self._failure is not None
        ):
            self._about_answer(chunk, event.data, out)
        return False

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`. Without `[DONE]`, the answer is whole if every choice has its finish word."""
        ended = [progress.finish is not None for progress in self._progress.values()]
        if not ended or not all(ended):
            raise self._failed(
                ProviderError(ErrorKind.TRUNCATED, "the stream ended without a finish_reason or [DONE]"), out
            )
        self._finish(out)

    def take_whole(self, body: bytes, out: list[StreamToken]) -> None:
        """Read a unary answer: the same members, once, and the end."""
        raw = body.decode("utf-8", "replace")
        try:
            whole = _decode_whole(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise failures.malformed(f"the answer is no chat completion: {error}", raw) from None
        if not whole.choices:
            value = loads(body)
            if failures.find_problem(value) is not None:
                raise failures.from_value(value, raw)
            raise failures.malformed("the answer holds no choices", raw)
        for choice in whole.choices:
            self._turn_to(choice.index)
            if choice.delta is not None:
                self._say(choice.delta, choice.index, out)
            self._about_choice(choice, raw, out)
        self._about_answer(whole, raw, out)
        self._finish(out)

    # -- what is not a plain piece of text ----------------------------------------------------------------------------

    def _turn_to(self, choice: int) -> None:
        """A choice speaks that did not speak last."""
        self._last_choice = choice
        if choice not in self._progress:
            self._progress[choice] = _Progress(choice)

    def _say(self, delta: Delta, choice: int, out: list[StreamToken]) -> None:
        """All that a delta says."""
        text = delta.reasoning_content or delta.reasoning
        if delta.reasoning_details:
            self._progress[choice].details.read(delta.reasoning_details, text, out)
        elif text:
            out.append(Reasoning(text, None, choice))
        if isinstance(delta.content, list):
            say_parts(delta.content, choice, out)
        elif delta.content:
            out.append(Text(delta.content, choice))
        if delta.refusal:
            self._progress[choice].refused = True
            out.append(Refusal(delta.refusal, choice))
        for piece in delta.tool_calls or ():
            self._call(piece, choice, out)
        if delta.function_call is not None:  # OpenAI's older single call, still sent by GitHub Copilot's endpoint
            self._call(CallPiece(index=-1, function=delta.function_call), choice, out)
        for name in ("annotations", "audio", "images"):
            value = getattr(delta, name)
            if value:
                out.append(opaque(name, value, choice))

    def _call(self, piece: CallPiece, choice: int, out: list[StreamToken]) -> None:
        """One piece of a call. The first id and the first name hold: some servers repeat both in every piece."""
        function = piece.function
        if function is None:
            name, text = (piece.custom or {}).get("name"), (piece.custom or {}).get("input")
            function = Function(text_of(name), text_of(text))
        name, arguments = function.name or None, function.arguments
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = dumps(arguments)
        progress = self._progress[choice]
        calls_before = len(progress.calls)
        call = progress.call_for(piece.index, piece.id or None, name)
        new_id = piece.id or None if call.id is None else None
        new_name = name if call.name is None else None
        call.id, call.name = call.id or new_id, call.name or new_name
        if arguments or new_id or new_name or len(progress.calls) > calls_before:
            out.append(ToolCall(call.index, new_id, new_name, arguments, choice))

    def _about_choice(self, choice: StreamChoice, raw: str, out: list[StreamToken]) -> None:
        """Members beside the delta: the finish word (null after the real one does not undo it), verdicts, errors."""
        if says_something(choice.logprobs):
            out.append(opaque("logprobs", choice.logprobs, choice.index))
        if flagged(choice.content_filter_results):
            out.append(opaque("content_filter_results", choice.content_filter_results, choice.index))
        if choice.usage:  # Moonshot puts it here
            self._usage = choice.usage
        word = choice.finish_reason
        if word:
            self._progress[choice.index].finish = word
        if choice.error:
            self._failure = failures.from_value({"error": choice.error}, raw)
        elif word in FAILED_FINISH:
            self._failure = ProviderError(ErrorKind.OVERLOADED, FAILED_FINISH[word], raw=raw)

    def _about_answer(self, chunk: Chunk | WholeBody, raw: str, out: list[StreamToken]) -> None:
        """Members beside the choices, in whichever chunk they come; then the failures that a chunk can carry."""
        if self.model is None and chunk.model:  # Azure's first chunk has an empty one
            self.model = chunk.model
        if chunk.usage:
            self._usage = chunk.usage
        for name in ("citations", "search_results"):
            value = getattr(chunk, name)
            if value:
                said = opaque(name, value)
                if said != self._last_sources.get(name):  # Perplexity repeats them in every chunk
                    self._last_sources[name] = said
                    out.append(said)
        verdicts = chunk.prompt_filter_results
        if is_array(verdicts) and any(
            is_object(verdict) and flagged(verdict.get("content_filter_results")) for verdict in verdicts
        ):
            out.append(opaque("prompt_filter_results", verdicts))
        if chunk.error:
            raise self._failed(failures.from_value(loads(raw), raw), out)
        if self._failure is not None:
            raise self._failed(self._failure, out)

    def _without_choices(self, chunk: Chunk, event: Event, out: list[StreamToken]) -> None:
        """Usage, Azure's first chunk, moderation results, or an error in a shape of its own."""
        self._about_answer(chunk, event.data, out)
        value = self._whole(event.data, out)
        if chunk.choices is None and (event.event == "error" or failures.find_problem(value) is not None):
            raise self._failed(failures.from_value(value, event.data), out)
        before = len(out)
        for name, member in value.items():
            if name not in _KNOWN_MEMBERS and (is_object(member) or is_array(member)) and member:
                out.append(opaque(name, member))
        if value and len(out) == before and chunk.choices is None and chunk.usage is None:
            out.append(Opaque(text_of(value.get("type")) or text_of(value.get("object")) or "event", event.data))

    def _unusual(self, event: Event, error: Exception, out: list[StreamToken]) -> bool:
        """An event that is no chunk: the terminator, an error of another shape, or nothing that can be read."""
        text = event.data.strip()
        if text == "[DONE]":
            self._finish(out)
            return True
        if not text:
            return False
        value = loads(text)
        if failures.find_problem(value) is not None:
            raise self._failed(failures.from_value(value, event.data), out)
        if event.event == "error":
            raise self._failed(failures.from_value({"error": text}, event.data), out)
        raise self._failed(failures.malformed(f"an event is no chat completion chunk: {error}", event.data), out)

    def _whole(self, raw: str, out: list[StreamToken]) -> dict[str, Any]:
        """All members of an event of which some have been read."""
        value = loads(raw)
        if not is_object(value):
            raise self._failed(failures.malformed("an event cannot be read as a whole", raw), out)
        return value

    def _unknown_members(self, raw: str, out: list[StreamToken]) -> None:
        """Pass on members of deltas that we do not know, where those that we do said nothing (start, finish, news)."""
        for choice in self._whole(raw, out)["choices"]:
            delta: dict[str, Any] = choice.get("delta") or {}
            for name, value in delta.items():
                if name not in _SILENT and says_something(value):
                    out.append(opaque(name, value, choice.get("index", 0)))

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _report(self, source: UsageSource, out: list[StreamToken]) -> None:
        report_usage(self._usage, source, read_usage, out)

    def _failed(self, error: ProviderError, out: list[StreamToken]) -> ProviderError:
        self._report(UsageSource.PARTIAL, out)
        return error

    def _finish(self, out: list[StreamToken]) -> None:
        for progress in self._progress.values():
            progress.details.end(out)
        self._report(UsageSource.PROVIDER, out)
        ends = [
            ChoiceEnd(index, progress.kind(), progress.finish) for index, progress in sorted(self._progress.items())
        ]
        first = ends[0] if ends else ChoiceEnd(0, FinishKind.STOP)
        out.append(Finish(first.kind, first.raw, self.model, tuple(ends[1:])))
