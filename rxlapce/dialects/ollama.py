"""Ollama's own chat API (`POST /api/chat`): JSON lines, whole tool calls, and settings in `options`.

Source: Ollama's API reference, "Generate a chat completion", and the request types of its server. Ollama speaks chat
completions too, but takes some settings only here: `num_ctx`, `keep_alive`, `think`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.chat_turns import function_tool
from rxlapce.dialects.json_values import is_array, is_object, loads
from rxlapce.dialects.ollama_decoder import OllamaDecoder
from rxlapce.dialects.refusals import answered_call, call_arguments, cannot, check_cache_lives, check_said
from rxlapce.dialects.turns import check_turns, encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest, Effort, Image, Message, ResponseFormat
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "seed",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
    }
)

#: `think` is a switch for most models, and one of three words for some.
_THINK: Final[dict[Effort, bool | str]] = {"none": False, "low": "low", "medium": "medium", "high": "high"}

#: The opaque tokens of an answer that told of it, and are no part of the conversation.
_REPORTS: Final = frozenset({"logprobs", "usage"})


@dataclass(slots=True, kw_only=True)
class Ollama:
    """The dialect `ollama.chat`. `now` is the wall clock, for a Retry-After that is a date.

    Older servers know a tool call by its name, newer ones by its id too: a tool turn tells both. A developer's turn is
    a system turn. Prefixes are cached without asking. Of the opaque pieces of an earlier answer `images` goes back as
    it came; `logprobs` and `usage` only told of it and are left out; all others are refused.
    """

    now: Callable[[], float] = time.time
    name: str = "ollama.chat"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return OllamaDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body. `extra` members win; its `options` are put to ours, where each wins for itself.

        Raises `ProviderError` (bad_request) for a tool choice (but auto), an effort beyond high, an image that is not
        data or not in a user turn, signed thoughts, and opaque pieces other than reports.
        """
        check_said(request, SAID, self.name)
        check_cache_lives(request, self.name)
        if request.tool_choice not in (None, "auto"):
            raise cannot(f"{self.name} lets the model choose its tools: leave tool_choice {request.tool_choice!r} out")
        options = {
            "num_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": request.stop or None,
            "seed": request.seed,
        }
        members = {
            "model": model,
            "messages": self._messages(request.messages),
            "stream": stream,  # without it a stream is what comes
            "tools": [function_tool(tool) for tool in request.tools] or None,
            "format": _format(request.response_format),
            "think": self._think(request.reasoning_effort),
            "options": {name: value for name, value in options.items() if value is not None} or None,
        }
        body = {name: value for name, value in members.items() if value is not None}
        extra = dict(request.extra)
        if is_object(extra.get("options")):
            extra["options"] = body.get("options", {}) | extra["options"]
        return encode_body(body | extra)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. An error in its place is raised."""
        tokens: list[StreamToken] = []
        OllamaDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())

    def _think(self, effort: Effort | None) -> bool | str | None:
        if effort is None:
            return None
        if effort not in _THINK:
            raise cannot(f"{self.name} thinks low, medium, high or none: leave reasoning_effort {effort!r} out")
        return _THINK[effort]

    def _messages(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        check_turns(messages)
        names: dict[str, str] = {}  # of the tools, by the ids of their calls
        turns: list[dict[str, Any]] = []
        for message in messages:
            turn: dict[str, Any] = {
                "role": "system" if message.role == "developer" else message.role,
                "content": message.text,
            }
            self._pieces(message, turn)
            names.update({call.id: call.name for call in message.calls()})
            if message.role == "tool":
                turn["tool_call_id"] = answered_call(message)
                if turn["tool_call_id"] in names:
                    turn["tool_name"] = names[turn["tool_call_id"]]
            turns.append(turn)
        return turns

    def _pieces(self, message: Message, turn: dict[str, Any]) -> None:
        """All that is no text. A turn has one text, and its images beside it."""
        for part in message.pieces():
            if part.image is not None:
                if message.role == "tool":
                    raise cannot(f"{self.name} takes images in user turns only: leave the image out of the tool turn")
                turn.setdefault("images", []).append(self._image(part.image))
            elif part.tool_call is not None:
                call = part.tool_call
                function = {"name": call.name, "arguments": call_arguments(call)}
                turn.setdefault("tool_calls", []).append({"id": call.id, "function": function})
            elif part.reasoning is not None:
                if part.signature is not None:
                    raise cannot(f"{self.name} takes no signed reasoning back: send Message.plain()")
                turn["thinking"] = turn.get("thinking", "") + part.reasoning
            elif part.opaque is not None:
                images = loads(part.opaque.raw) if part.opaque.kind == "images" else None
                if message.role == "assistant" and is_array(images):
                    turn.setdefault("images", []).extend(images)
                elif message.role != "assistant" or part.opaque.kind not in _REPORTS:
                    what = f"an opaque {part.opaque.kind!r} piece"
                    raise cannot(f"{self.name} has no word for {what}: send Message.plain()")

    def _image(self, image: Image) -> str:
        if image.data is None:
            raise cannot(f"{self.name} fetches no images: send the image's data, not its url")
        if image.detail in ("low", "high"):
            raise cannot(f"{self.name} takes no detail for an image: leave it out")
        return image.data


def _format(wanted: ResponseFormat | None) -> str | dict[str, Any] | None:
    """The schema itself. Its name has no place here, and it is always adhered to."""
    if wanted is None:
        return None
    return "json" if wanted.json_schema is None else wanted.json_schema
