"""Responses: OpenAI's newer API, spoken at OpenAI, Azure, xAI, OpenRouter, Bedrock's mantle and some local servers.

Source: OpenAI's API reference, "Responses".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.responses_decoder import ResponsesDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder


@dataclass(slots=True, kw_only=True)
class Responses:
    """The dialect `openai.responses`.

    `store`: whether the provider may keep the answer to be fetched or continued by its id. OpenAI does so for 30 days
    unless told not to. Every request of ours carries its whole conversation, so that nothing is gained by it: False is
    the default. None leaves the member out, for a server that refuses it. With `store` a reasoning model's thoughts
    can only be given back if they are asked for: `extra={"include": ["reasoning.encrypted_content"]}`; they then
    come as `Opaque("reasoning", item)`. `now` is the wall clock, for a Retry-After that is a date.
    """

    store: bool | None = False
    now: Callable[[], float] = time.time
    name: str = "openai.responses"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ResponsesDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win, such as `text` for a format and `reasoning` for an effort.

        System and developer turns before all others are joined into `instructions`; later ones stay in their place.
        Tools are not `strict`, which here, other than in chat completions, is the default: it refuses most schemas.
        Raises `ProviderError` (bad_request) for a seed, for stop words, for `n` over 1, and for a tool turn that names
        no call.
        """
        if request.seed is not None:
            raise _cannot("the responses API takes no seed: leave it out")
        if request.stop:
            raise _cannot("the responses API takes no stop words: leave them out")
        if request.n is not None and request.n > 1:
            raise _cannot(f"the responses API gives one answer a request, not n={request.n}: ask {request.n} times")
        instructions, turns = _split(request.messages)
        settings: dict[str, Any] = {
            "model": model,
            "instructions": instructions,
            "input": [item for turn in turns for item in _items(turn)],
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "store": self.store,
            "stream": stream or None,
        }
        body = {name: value for name, value in settings.items() if value is not None}
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,
                }
                for tool in request.tools
            ]
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
        body.update(request.extra)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        ResponsesDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())


def _cannot(why: str) -> ProviderError:
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)


def _split(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    """The instructions, and the turns that remain. A conversation of nothing else keeps them: `input` may not be []."""
    count = next((at for at, turn in enumerate(messages) if turn.role not in ("system", "developer")), 0)
    return "\n\n".join(turn.content for turn in messages[:count] if turn.content) or None, messages[count:]


def _items(message: Message) -> list[dict[str, Any]]:
    """The input items that a turn becomes: its text, and one for each call."""
    if message.role == "tool":
        if message.tool_call_id is None:
            raise _cannot("a tool turn must name the call that it answers in tool_call_id")
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": message.content}]
    items: list[dict[str, Any]] = []
    if message.content or not message.tool_calls:
        items.append({"role": message.role, "content": message.content})
    items.extend(
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}
        for call in message.tool_calls
    )
    return items


def _tool_choice(choice: str) -> str | dict[str, str]:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "name": choice}
