"""Anthropic's legacy text completions (`/v1/complete`): a prompt of `Human:` and `Assistant:` turns.

Source: Anthropic's API reference, "Text Completions (legacy)"; old versions of the API streamed without `event:` lines.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.json_values import dumps, is_object, loads
from rxlapce.dialects.plain_text import plain_text
from rxlapce.dialects.refusals import cannot, check_said
from rxlapce.dialects.turns import encode_body
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, FinishKind, Opaque, StreamToken, Text
from rxlapce.typing import StreamDecoder

#: The API demands a number; its models end at this many.
DEFAULT_MAX_TOKENS: Final = 4096

FINISH_KINDS: Final[dict[str, FinishKind]] = {
    "stop_sequence": FinishKind.STOP,
    "max_tokens": FinishKind.LENGTH,
    "refusal": FinishKind.REFUSAL,
}

SAID: Final = frozenset({"max_tokens", "temperature", "top_p", "top_k", "stop"})

_SPEAKERS: Final = {"user": "Human", "assistant": "Assistant"}


@dataclass(slots=True, kw_only=True)
class AnthropicComplete:
    """The dialect `anthropic.complete`.

    `default_max_tokens`: what a request without `max_tokens` gets. `now` is the wall clock, for a Retry-After that is
    a date.
    """

    default_max_tokens: int = DEFAULT_MAX_TOKENS
    now: Callable[[], float] = time.time
    name: str = "anthropic.complete"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return CompleteDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; the turns become one prompt, system turns before it. `extra` members win.

        Raises `ProviderError` (bad_request) for turns of anything but text, for cache marks, and for all that a prompt
        cannot say, such as tools.
        """
        check_said(request, SAID, self.name)
        if any(request.cache_marks()):
            raise cannot(f"{self.name} caches no prefixes: leave the cache marks out")
        members = {
            "model": model,
            "prompt": self._prompt(request.messages),
            "max_tokens_to_sample": self.default_max_tokens if request.max_tokens is None else request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stop_sequences": request.stop or None,
            "stream": stream or None,
        }
        return encode_body({name: value for name, value in members.items() if value is not None} | request.extra)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        CompleteDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())

    def _prompt(self, messages: tuple[Message, ...]) -> str:
        system: list[str] = []
        spoken: list[str] = []
        for turn in messages:
            if turn.role == "tool":
                raise cannot(f"{self.name} knows no tools: leave the tool turns out")
            text = plain_text(turn, self.name)
            if turn.role in _SPEAKERS:
                spoken.append(f"\n\n{_SPEAKERS[turn.role]}: {text}")
            elif text:
                system.append(text)
        answer = "" if messages[-1].role == "assistant" else "\n\nAssistant:"
        return "\n\n".join(system) + "".join(spoken) + answer


class _Completion(msgspec.Struct, gc=False):
    type: str | None = None
    completion: str | None = None
    stop_reason: str | None = None
    stop: Any = None
    model: str | None = None


_decode_event: Final = msgspec.json.Decoder(_Completion).decode


class CompleteDecoder:
    """One stream of completion events; the one with a stop reason is the last. The API tells no usage."""

    __slots__ = ("model",)

    def __init__(self) -> None:
        self.model: str | None = None

    def feed(self, event: Event, out: list[StreamToken]) -> bool:
        """See `StreamDecoder.feed`."""
        try:
            said = _decode_event(event.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._unusual(event, error)
        if said.completion is None:
            self._other(said, event, out)
            return False
        return self._take(said, out)

    def close(self, out: list[StreamToken]) -> None:
        """See `StreamDecoder.close`. There is no terminator but the stop reason."""
        raise ProviderError(ErrorKind.TRUNCATED, "the stream ended without a stop_reason")

    def take_whole(self, body: bytes, out: list[StreamToken]) -> None:
        """Read a unary answer, which has the shape of a last event."""
        raw = body.decode("utf-8", "replace")
        try:
            said = _decode_event(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise failures.malformed(f"the answer is no completion: {error}", raw) from None
        if said.completion is None:
            value = loads(body)
            if failures.find_problem(value) is not None:
                raise failures.from_value(value, raw)
            raise failures.malformed("the answer holds no completion", raw)
        if not self._take(said, out):
            out.append(Finish(FinishKind.STOP, None, self.model))

    def _take(self, said: _Completion, out: list[StreamToken]) -> bool:
        self.model = said.model or self.model
        if said.completion:
            out.append(Text(said.completion))
        if said.stop_reason is None:
            return False
        if said.stop:  # which of the stop sequences it was
            out.append(Opaque("stop", dumps(said.stop)))
        out.append(Finish(FINISH_KINDS.get(said.stop_reason, FinishKind.STOP), said.stop_reason, self.model))
        return True

    def _other(self, said: _Completion, event: Event, out: list[StreamToken]) -> None:
        """An event without text: a sign of life, an error, or something new."""
        value = loads(event.data)
        if said.type == "error" or event.event == "error" or failures.find_problem(value) is not None:
            raise failures.from_value(value, event.data)
        if not is_object(value):
            raise failures.malformed("an event cannot be read as a whole", event.data)
        if said.type != "ping" and event.event != "ping" and value:
            out.append(Opaque(said.type or event.event, event.data))

    def _unusual(self, event: Event, error: Exception) -> bool:
        text = event.data.strip()
        if not text:
            return False
        value = loads(text)
        if failures.find_problem(value) is not None:
            raise failures.from_value(value, event.data)
        if event.event == "error":
            raise failures.from_value({"error": text}, event.data)
        raise failures.malformed(f"an event is no completion: {error}", event.data)
