"""Legacy completions: a text to go on from, at OpenAI's older models and most local servers.

Source: OpenAI's API reference, "Completions (legacy)".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.completions_decoder import CompletionsDecoder
from rxlapce.dialects.plain_text import plain_text
from rxlapce.dialects.refusals import cannot, check_cache_lives, check_said
from rxlapce.dialects.turns import encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

SAID: Final = frozenset(
    {"max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop", "seed", "n"}
)


@dataclass(slots=True, kw_only=True)
class Completions:
    """The dialect `openai.completions`. `now` is the wall clock, for a Retry-After that is a date."""

    now: Callable[[], float] = time.time
    name: str = "openai.completions"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return CompletionsDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body: the text of its one user turn is the prompt. `extra` members win.

        Raises `ProviderError` (bad_request) for any other conversation, for images, and for all that a prompt cannot
        say, such as tools.
        """
        check_said(request, SAID, self.name)
        check_cache_lives(request, self.name)
        prompt = request.messages[0]
        if len(request.messages) != 1 or prompt.role != "user":
            raise cannot(f"{self.name} takes one user turn, whose text is the prompt: leave the other turns out")
        members = {
            "model": model,
            "prompt": plain_text(prompt, self.name),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": request.stop or None,
            "seed": request.seed,
            "n": request.n,
            "stream": stream or None,
            "stream_options": {"include_usage": True} if stream else None,
        }
        return encode_body({name: value for name, value in members.items() if value is not None} | request.extra)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. An error in its place is raised."""
        tokens: list[StreamToken] = []
        CompletionsDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())
