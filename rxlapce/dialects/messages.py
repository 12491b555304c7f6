"""Anthropic's messages: spoken at Anthropic, and with the same events on Vertex AI, Azure and Bedrock's mantle.

Source: Anthropic's API reference, "Messages".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

#: Anthropic demands `max_tokens`. A request that names none gets this: every Claude model allows it, and the models
#: that allow more are asked for more by the request.
DEFAULT_MAX_TOKENS: Final = 4096

_TOOL_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


@dataclass(slots=True, kw_only=True)
class AnthropicMessages:
    """The dialect `anthropic.messages`.

    `default_max_tokens`: what a request without `max_tokens` gets. `now` is the wall clock, for a Retry-After that is
    a date.
    """

    default_max_tokens: int = DEFAULT_MAX_TOKENS
    now: Callable[[], float] = time.time
    name: str = "anthropic.messages"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return MessagesDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win.

        System and developer turns are joined into `system`, wherever they stand. Results of tools become blocks of a
        user turn, those in a row of one. Raises `ProviderError` (bad_request) for a seed, for `n` over 1, for a tool
        turn that names no call, and for tool arguments that are no JSON object.
        """
        if request.seed is not None:
            raise _cannot("Anthropic's messages take no seed: leave it out")
        if request.n is not None and request.n > 1:
            raise _cannot(f"Anthropic's messages give one answer a request, not n={request.n}: ask {request.n} times")
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": self.default_max_tokens if request.max_tokens is None else request.max_tokens,
        }
        system = [turn.content for turn in request.messages if turn.role in ("system", "developer") and turn.content]
        settings = {
            "system": "\n\n".join(system) or None,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop_sequences": list(request.stop) or None,
            "stream": stream or None,
        }
        body.update({name: value for name, value in settings.items() if value is not None})
        body["messages"] = _turns(request.messages)
        if request.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in request.tools
            ]
        if request.tool_choice is not None:
            body["tool_choice"] = _tool_choice(request.tool_choice)
        body.update(request.extra)
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        MessagesDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())


def _cannot(why: str) -> ProviderError:
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the tool turns in a row, which share one user turn
    for message in messages:
        if message.role == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append(_result(message))
        elif message.role not in ("system", "developer"):
            results = None
            turns.append({"role": message.role, "content": _content(message)})
    return turns


def _content(message: Message) -> str | list[dict[str, Any]]:
    """The text alone, or blocks if the turn called tools. Anthropic refuses empty text blocks."""
    if not message.tool_calls:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return [*text, *(_call(call) for call in message.tool_calls)]


def _call(call: RequestedCall) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _cannot(f"the arguments of tool call {call.id!r} are no JSON object: {error}") from None
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _result(message: Message) -> dict[str, Any]:
    if message.tool_call_id is None:
        raise _cannot("a tool turn must name the call that it answers in tool_call_id")
    return {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}


def _tool_choice(choice: str) -> dict[str, str]:
    if choice in _TOOL_CHOICES:
        return {"type": _TOOL_CHOICES[choice]}
    return {"type": "tool", "name": choice}
