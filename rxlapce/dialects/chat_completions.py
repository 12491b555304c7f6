"""Chat completions: what OpenAI began and nearly every other provider and local server speaks too.

Source: OpenAI's API reference, "Chat Completions"; the quirks of others stand in `chat_decoder`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.dialects.chat_turns import ReasoningBack, TurnWriter
from rxlapce.dialects.refusals import cannot, check_cache_lives, check_said
from rxlapce.dialects.turns import check_turns, encode_body
from rxlapce.errors import ProviderError
from rxlapce.registry import option
from rxlapce.requests import ChatRequest, ResponseFormat
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

#: The wishes that all who speak chat completions have a word for.
SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "seed",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
    }
)


@dataclass(slots=True, kw_only=True)
class ChatCompletions:
    """The dialect `openai.chat.completions`. What vendors do differently is said here, each as one option.

    `max_tokens_field`: OpenAI and Azure want `max_completion_tokens` (their reasoning models refuse the other); most
    local servers know only `max_tokens`. `reasoning`: how long to think goes as `reasoning_effort`, or as OpenRouter's
    `reasoning` object, which takes a number of tokens too; None where it cannot be said. `top_k`: whether that is
    known (local servers and OpenRouter; not OpenAI, Azure, xAI). `cache_control`: whether cache marks go as Anthropic's
    `cache_control` (OpenRouter); the others cache by themselves. `unpadded`: whether to ask for a stream without the
    padding that OpenAI adds, a member that others refuse.

    `reasoning_back`: how the thoughts of an earlier answer go back: as text in `reasoning_content` (DeepSeek, xAI,
    llama.cpp, vLLM), as OpenRouter's `reasoning` and `reasoning_details`, or not at all (OpenAI, Azure: refused).

    Opaque parts of an earlier answer: `reasoning_details` are thoughts; `audio` goes back as its id; `images` as they
    came. Those that only told of the answer are left out: `annotations`, `citations`, `search_results`, `reference`,
    `logprobs`, `content_filter_results`, `prompt_filter_results`, `moderation`, `phase`, `usage`. All others are
    refused.

    `now` is the wall clock, for a Retry-After that is a date.
    """

    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = option(
        "max_completion_tokens", help="what the server calls the most tokens of an answer"
    )
    reasoning: Literal["effort", "openrouter"] | None = option(
        "effort", help="how it is told how long to think; null: it cannot be told"
    )
    reasoning_back: ReasoningBack | None = option(
        None, help="how the thoughts of an earlier answer go back; null: not at all"
    )
    top_k: bool = option(default=False, help="whether it knows top_k")
    cache_control: bool = option(default=False, help="whether marks of what to cache go to it")
    unpadded: bool = option(default=False, help="whether it is asked for a stream without padding")
    now: Callable[[], float] = time.time
    name: str = "openai.chat.completions"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ChatDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body. A stream asks for its usage; `extra` members win.

        Raises `ProviderError` (bad_request) for what the options leave no word for, for images outside of user turns,
        and for a turn whose pieces cannot go back.
        """
        check_said(request, self._said(), self.name)
        if not self.cache_control:
            check_cache_lives(request, self.name)
        check_turns(request.messages)
        turns = TurnWriter(who=self.name, cache_control=self.cache_control, reasoning_back=self.reasoning_back)
        members: dict[str, Any] = {
            "model": model,
            "messages": [turns.write(message) for message in request.messages],
            "stream": stream or None,
            "stream_options": self._stream_options() if stream else None,
            self.max_tokens_field: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop": request.stop or None,
            "seed": request.seed,
            "n": request.n,
            "tools": [turns.tool(tool) for tool in request.tools] or None,
            "tool_choice": _tool_choice(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
            "response_format": _response_format(request.response_format),
            **self._reasoning(request),
        }
        return encode_body({name: value for name, value in members.items() if value is not None} | request.extra)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. An error in its place is raised (OpenRouter sends some with a 200)."""
        tokens: list[StreamToken] = []
        ChatDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())

    def _said(self) -> frozenset[str]:
        said = SAID
        if self.top_k:
            said |= {"top_k"}
        if self.reasoning is not None:
            said |= {"reasoning_effort"}
        if self.reasoning == "openrouter":
            said |= {"reasoning_tokens"}
        return said

    def _stream_options(self) -> dict[str, bool]:
        options = {"include_usage": True}
        if self.unpadded:
            options["include_obfuscation"] = False
        return options

    def _reasoning(self, request: ChatRequest) -> dict[str, Any]:
        effort, tokens = request.reasoning_effort, request.reasoning_tokens
        if self.reasoning != "openrouter":
            return {"reasoning_effort": effort}
        if effort is not None and tokens is not None:
            raise cannot(f"{self.name} takes reasoning_effort or reasoning_tokens: leave one out")
        if effort is not None:
            return {"reasoning": {"effort": effort}}
        if tokens is None:
            return {}
        return {"reasoning": {"max_tokens": tokens} if tokens else {"effort": "none"}}


def _tool_choice(choice: str | None) -> str | dict[str, Any] | None:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    if wanted.json_schema is None:
        return {"type": "json_object"}
    schema = {"name": wanted.name, "strict": wanted.strict, "schema": wanted.json_schema}
    return {"type": "json_schema", "json_schema": schema}
