"""Legacy completions: a text to go on from, at OpenAI's older models and most local servers.

Source: OpenAI's API reference, "Completions (legacy)".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.completions_decoder import CompletionsDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder


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

        Raises `ProviderError` (bad_request) for any other conversation, and for tools: a prompt cannot say them.
        """
        prompt = request.messages[0]
        if len(request.messages) != 1 or prompt.role != "user" or prompt.tool_calls:
            raise _cannot("completions take one user turn, whose text is the prompt")
        if request.tools or request.tool_choice is not None:
            raise _cannot("completions know no tools: leave them out")
        settings: dict[str, Any] = {
            "model": model,
            "prompt": prompt.content,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "n": request.n,
            "stream": stream or None,
            "stream_options": {"include_usage": True} if stream else None,
        }
        body = {name: value for name, value in settings.items() if value is not None}
        body.update(request.extra)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. An error in its place is raised."""
        tokens: list[StreamToken] = []
        CompletionsDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())


def _cannot(why: str) -> ProviderError:
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)
