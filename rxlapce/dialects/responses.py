"""Responses: OpenAI's newer API, spoken at OpenAI, Azure, xAI, OpenRouter, Bedrock's mantle and some local servers.

Source: OpenAI's API reference, "Responses".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects import responses_request as said
from rxlapce.dialects.counting import read_count
from rxlapce.dialects.refusals import check_cache_lives, check_said
from rxlapce.dialects.responses_decoder import ResponsesDecoder
from rxlapce.dialects.turns import check_turns, encode_body
from rxlapce.errors import ProviderError
from rxlapce.registry import option
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder


@dataclass(slots=True, kw_only=True)
class Responses:
    """The dialect `openai.responses`, and its `TokenCounter`.

    `store`: whether the provider may keep the answer to be fetched or continued by its id. OpenAI does so for 30 days
    unless told not to. Every request of ours carries its whole conversation, so that nothing is gained by it: False is
    the default. None leaves the member out, for a server that refuses it.

    `include_encrypted`: whether to ask for the thoughts in a form that can go back, which comes as
    `Opaque("reasoning", item)`. OpenAI refuses the question for a model that does not reason. None, the default, asks
    where `store` is False and the request shows that its model reasons: by a `reasoning_effort` other than none, or by
    a thought in its history. `summary`: how much of the thoughts to tell in words where an effort is asked for. None,
    the default, tells nothing, since OpenAI refuses the others to an organisation that it has not verified.

    `now` is the wall clock, for a Retry-After that is a date.
    """

    store: bool | None = option(
        default=False, help="whether the provider may keep the answer; null: it is not told, for who refuses the word"
    )
    include_encrypted: bool | None = option(
        None, help="whether the thoughts are asked for in a form that can go back; null: where the model reasons"
    )
    summary: Literal["auto", "concise", "detailed"] | None = option(
        None, help="how much of the thoughts is told in words; null: nothing"
    )
    now: Callable[[], float] = time.time
    name: str = "openai.responses"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ResponsesDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win.

        System and developer turns before all others are joined into `instructions`; later ones stay in their place.
        Tools are not `strict`, which here, other than in chat completions, is the default: it refuses most schemas.
        Items of an earlier answer go back unchanged in their places; `responses_request` says which opaque pieces are
        none. A thought in words does not go back where its turn holds the item that it was told from.

        Raises `ProviderError` (bad_request) for what `ChatRequest` can ask and this API cannot: a seed, stop words,
        penalties, `top_k`, `n` over 1, a number of tokens to think, a cache mark of an hour; for a thought without its
        item, an image by another scheme than http(s), and a tool turn that names no call.
        """
        return encode_body({**self._members(request, model), **({"stream": True} if stream else {}), **request.extra})

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """The JSON body that asks for the count; of `extra` the members that the endpoint knows.

        Raises `ProviderError` (bad_request) as `chat_body` does.
        """
        members = {**self._members(request, model), **request.extra}
        return encode_body({name: value for name, value in members.items() if name in said.COUNTED})

    def read_count(self, body: bytes) -> int:
        """See `TokenCounter.read_count`."""
        return read_count(body, "input_tokens")

    def _members(self, request: ChatRequest, model: str) -> dict[str, Any]:
        check_said(request, said.SAID, said.WHO)
        check_cache_lives(request, said.WHO)
        check_turns(request.messages)
        instructions, turns = said.split(request.messages)
        members = {
            "model": model,
            "instructions": instructions,
            "input": said.items(turns),
            "tools": [said.tool(tool) for tool in request.tools] or None,
            "tool_choice": said.tool_choice(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
            "reasoning": said.reasoning(request.reasoning_effort, self.summary),
            "text": said.text(request.response_format),
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "store": self.store,
            "include": ["reasoning.encrypted_content"] if self._asks_for_thoughts(request) else None,
        }
        return {name: value for name, value in members.items() if value is not None}

    def _asks_for_thoughts(self, request: ChatRequest) -> bool:
        if self.include_encrypted is not None or self.store is not False:
            return bool(self.include_encrypted)
        return request.reasoning_effort not in (None, "none") or any(map(said.holds_thought, request.messages))

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        ResponsesDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())
