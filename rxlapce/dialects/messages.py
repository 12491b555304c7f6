"""Anthropic's messages: spoken at Anthropic, and with the same events on Vertex AI, Azure and Bedrock's mantle.

Source: Anthropic's API reference, "Messages".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.dialects import failures
from rxlapce.dialects import messages_request as said
from rxlapce.dialects.counting import read_count
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.dialects.refusals import cannot, check_said
from rxlapce.dialects.turns import check_turns, encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

#: Anthropic demands `max_tokens`. A request that names none gets this: every Claude model allows it, and the models
#: that allow more are asked for more by the request.
DEFAULT_MAX_TOKENS: Final = 4096


@dataclass(slots=True, kw_only=True)
class AnthropicMessages:
    """The dialect `anthropic.messages`, and its `TokenCounter`.

    `default_max_tokens`: what a request without `max_tokens` gets, beside the tokens that it asks to think.
    `model_in_body` False and `version` ("vertex-2023-10-16") are for a server that takes the model in the URL and the
    version of the API in the body. `now` is the wall clock, for a Retry-After that is a date.
    """

    default_max_tokens: int = DEFAULT_MAX_TOKENS
    model_in_body: bool = True
    version: str | None = None
    now: Callable[[], float] = time.time
    name: str = "anthropic.messages"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return MessagesDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win.

        An earlier answer's thoughts and opaque blocks go back unchanged in their places; `messages_request` says which
        of its pieces are no blocks. Texts of nothing but blanks are left out, since the API refuses them. An effort
        other than none asks for adaptive thinking too; with `reasoning_tokens` it does not, so that 0 of them and an
        effort are an effort without thinking.

        Raises `ProviderError` (bad_request) for what `ChatRequest` can ask and this API cannot: a seed, penalties, `n`
        over 1, a temperature over 1, JSON without a schema, the effort `minimal`, fewer than 1024 tokens of thinking or
        as many as `max_tokens`; and for turns that it refuses: empty ones, thoughts without a signature, images of
        other types, cache marks on thoughts, tool arguments that are no JSON object.
        """
        members = self._members(request, stream=stream)
        if self.model_in_body:
            members = {"model": model, **members}
        return encode_body({**members, **request.extra})

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """The JSON body that asks for the count; it names the model even where `chat_body` does not.

        Of `extra` the members that the endpoint knows. Raises `ProviderError` (bad_request) as `chat_body` does.
        """
        members = {"model": model, **self._members(request, stream=False), **request.extra}
        return encode_body({name: value for name, value in members.items() if name in said.COUNTED})

    def read_count(self, body: bytes) -> int:
        """See `TokenCounter.read_count`."""
        return read_count(body, "input_tokens")

    def _members(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        check_said(request, said.SAID, said.WHO)
        check_turns(request.messages)
        if request.temperature is not None and request.temperature > 1:
            raise cannot(f"{said.WHO} takes a temperature from 0 to 1, not {request.temperature}")
        members = {
            "anthropic_version": self.version,
            "max_tokens": said.max_tokens(request, self.default_max_tokens),
            "system": said.system(request.messages),
            "messages": said.turns(request.messages),
            "tools": [said.tool(tool) for tool in request.tools] or None,
            "tool_choice": said.tool_choice(request.tool_choice, request.parallel_tool_calls),
            "thinking": said.thinking(request),
            "output_config": said.output_config(request),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stop_sequences": list(request.stop) or None,
            "stream": stream or None,
        }
        return {name: value for name, value in members.items() if value is not None}

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        MessagesDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return failures.from_response(status, headers, body, now=self.now())
