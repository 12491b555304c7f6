"""InvokeModel: AWS Bedrock with the body and the events of the model's own vendor.

Source: the Amazon Bedrock API reference, "InvokeModelWithResponseStream", and the user guide's pages of the vendors.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import bedrock_failures, failures
from rxlapce.dialects.bedrock_invoke_decoder import InvokeDecoder
from rxlapce.dialects.bedrock_text import READERS, TextDecoder
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.dialects.converse import cannot, conversation
from rxlapce.dialects.converse_decoder import ConverseDecoder
from rxlapce.dialects.json_values import is_array, is_object, loads
from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

ANTHROPIC_VERSION: Final = "bedrock-2023-05-31"
NOVA_SCHEMA: Final = "messages-v1"


@dataclass(slots=True, kw_only=True)
class BedrockInvoke:
    """The dialect `bedrock.invoke-with-response-stream`; the model and whether to stream stand in the URL.

    It reads every vendor's answers. It asks those that take a conversation: Claude, Nova, and the models that speak
    chat completions. The others take a prompt in a template of their own, which Bedrock writes for them in Converse.
    `now` is the wall clock, for a Retry-After that is a date.
    """

    now: Callable[[], float] = time.time
    name: str = "bedrock.invoke-with-response-stream"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return InvokeDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body in the words of the model's vendor; `extra` members win.

        Raises `ProviderError` (bad_request) for a model whose vendor takes no conversation, and for what the vendor's
        dialect refuses.
        """
        for part, say in _BODIES.items():
            if part in model:
                return msgspec.json.encode({**say(request), **request.extra})
        raise cannot(f"InvokeModel takes no conversation for {model}: ask for it with Converse")

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        answer = loads(body)
        if is_object(answer) and "output" in answer:
            ConverseDecoder().take_whole(body, tokens)
        elif is_object(answer) and is_array(answer.get("content")):
            MessagesDecoder().take_whole(body, tokens)
        elif is_object(answer) and _is_chat(answer):
            ChatDecoder().take_whole(body, tokens)
        else:
            _read_text(answer, body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return bedrock_failures.from_response(status, headers, body, now=self.now())


def _claude(request: ChatRequest) -> dict[str, Any]:
    body = _members(AnthropicMessages().chat_body(request, "", stream=False))
    return {"anthropic_version": ANTHROPIC_VERSION, **body}


def _nova(request: ChatRequest) -> dict[str, Any]:
    return {"schemaVersion": NOVA_SCHEMA, **conversation(request)}


def _chat(request: ChatRequest) -> dict[str, Any]:
    return _members(ChatCompletions(max_tokens_field="max_tokens").chat_body(request, "", stream=False))


#: A part of the model's id -> what says the request in its vendor's words.
_BODIES: Final[dict[str, Callable[[ChatRequest], dict[str, Any]]]] = {
    "anthropic.claude": _claude,
    "amazon.nova": _nova,
    "openai.": _chat,
    "ai21.jamba": _chat,
    "qwen.": _chat,
}


def _members(body: bytes) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(body)
    del members["model"]
    return members


def _is_chat(answer: dict[str, Any]) -> bool:
    choices = answer.get("choices")
    first = choices[0] if is_array(choices) and choices else None
    return is_object(first) and "message" in first and "finish_reason" in first


def _read_text(answer: Any, body: bytes, out: list[StreamToken]) -> None:
    raw = body.decode("utf-8", "replace")
    if is_object(answer):
        for member, read in READERS.items():
            if member in answer:
                TextDecoder(read).take_whole(answer, out)
                return
    if failures.find_problem(answer) is not None:
        raise failures.from_value(answer, raw)
    raise failures.malformed("the answer has no shape that a vendor on Bedrock gives it", raw)
