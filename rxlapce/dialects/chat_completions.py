"""Chat completions: what OpenAI began and nearly every other provider and local server speaks too.

Source: OpenAI's API reference, "Chat Completions"; the quirks of others stand in `chat_decoder`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder


@dataclass(slots=True, kw_only=True)
class ChatCompletions:
    """The dialect `openai.chat.completions`.

    `max_tokens_field`: OpenAI and Azure want `max_completion_tokens` (their reasoning models refuse the other); most
    local servers know only `max_tokens`. `now` is the wall clock, for a Retry-After that is a date.
    """

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    now: Callable[[], float] = time.time
    name: str = "openai.chat.completions"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ChatDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body. A stream asks for its usage; `extra` members win. Nothing is refused here."""
        body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        settings = {
            self.max_tokens_field: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "n": request.n,
        }
        body.update({name: value for name, value in settings.items() if value is not None})
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
        body.update(request.extra)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. An error in its place is raised (OpenRouter sends some with a 200)."""
        tokens: list[StreamToken] = []
        ChatDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())


def _message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["content"] = message.content or None
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _tool_choice(choice: str) -> str | dict[str, Any]:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}
