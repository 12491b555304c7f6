"""InvokeModel: AWS Bedrock with the body and the events of the model's own vendor.

Source: the Amazon Bedrock API reference, "InvokeModelWithResponseStream", and the user guide's pages of the vendors.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import bedrock_failures, failures
from rxlapce.dialects.bedrock_invoke_decoder import InvokeDecoder
from rxlapce.dialects.bedrock_prompts import PROMPTS, Say
from rxlapce.dialects.bedrock_text import READERS, TextDecoder
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.chat_decoder import ChatDecoder
from rxlapce.dialects.converse_decoder import ConverseDecoder
from rxlapce.dialects.converse_request import conversation
from rxlapce.dialects.counting import read_count
from rxlapce.dialects.json_values import is_array, is_object, loads
from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.dialects.messages_decoder import MessagesDecoder
from rxlapce.dialects.refusals import cannot, check_said
from rxlapce.dialects.turns import encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

ANTHROPIC_VERSION: Final = "bedrock-2023-05-31"
NOVA_SCHEMA: Final = "messages-v1"
NOVA: Final = "Nova on InvokeModel"


#: What a request can ask of Nova, of Jamba and of Mistral's chat completion, each on InvokeModel.
NOVA_SAID: Final = frozenset({"max_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice"})
JAMBA_SAID: Final = frozenset(
    {"max_tokens", "temperature", "top_p", "stop", "n", "presence_penalty", "frequency_penalty"}
    | {"tools", "tool_choice", "response_format"}
)
MISTRAL_SAID: Final = frozenset({"max_tokens", "temperature", "top_p", "tools", "tool_choice"})


@dataclass(slots=True, kw_only=True)
class BedrockInvoke:
    """The dialect `bedrock.invoke-with-response-stream`, and its `TokenCounter`.

    The model and whether to stream stand in the URL. `now` is the wall clock, for a Retry-After that is a date.
    """

    now: Callable[[], float] = time.time
    name: str = "bedrock.invoke-with-response-stream"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return InvokeDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body in the words of the model's vendor, whom its id names; `extra` members win.

        Claude, Nova and those who speak chat completions take a conversation; the others a text, which is made of the
        turns by the vendor's template. Raises `ProviderError` (bad_request) for a model of no vendor that is known
        here, and for what the vendor's API has no word for.
        """
        for part, say in _BODIES.items():
            if part in model:
                return encode_body({**say(request, stream), **request.extra})
        raise cannot(f"InvokeModel has no body that is known here for {model}: ask for it with Converse")

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """See `TokenCounter.count_body`; what counts is the body that `chat_body` would send, in base64."""
        body = b64encode(self.chat_body(request, model, stream=False)).decode()
        return encode_body({"input": {"invokeModel": {"body": body}}})

    def read_count(self, body: bytes) -> int:
        """See `TokenCounter.read_count`."""
        return read_count(body, "inputTokens")

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


def _claude(request: ChatRequest, stream: bool) -> dict[str, Any]:
    dialect = AnthropicMessages(model_in_body=False, version=ANTHROPIC_VERSION)
    return _members(dialect.chat_body(request, "", stream=False))


def _nova(request: ChatRequest, stream: bool) -> dict[str, Any]:
    check_said(request, NOVA_SAID, NOVA)
    members = conversation(request, NOVA)
    if request.top_k is not None:
        members["inferenceConfig"] = {**members.get("inferenceConfig", {}), "topK": request.top_k}
    return {"schemaVersion": NOVA_SCHEMA, **members}


def _chat(request: ChatRequest, stream: bool) -> dict[str, Any]:
    members = _members(ChatCompletions(max_tokens_field="max_tokens").chat_body(request, "", stream=False))
    members.pop("model", None)
    return members


def _jamba(request: ChatRequest, stream: bool) -> dict[str, Any]:
    check_said(request, JAMBA_SAID, "AI21's Jamba")
    return _chat(request, stream)


def _mistral(request: ChatRequest, stream: bool) -> dict[str, Any]:
    """Chat completions, but for the word that a tool must be called; one tool cannot be named."""
    check_said(request, MISTRAL_SAID, "Mistral")
    if request.tool_choice not in (None, "auto", "none", "required"):
        raise cannot(
            f"Mistral on Bedrock cannot be made to call {request.tool_choice!r}: say required, or leave it out"
        )
    members = _chat(request, stream)
    return members if request.tool_choice != "required" else {**members, "tool_choice": "any"}


#: A part of the model's id -> what says the request in its vendor's words. The first part that an id holds decides.
_BODIES: Final[dict[str, Say]] = {
    "anthropic.claude": _claude,
    "amazon.nova": _nova,
    "openai.": _chat,
    "qwen.": _chat,
    "ai21.jamba": _jamba,
    **PROMPTS,
    "mistral.": _mistral,  # those after mistral-large-2402 take messages
}


def _members(body: bytes) -> dict[str, Any]:
    return msgspec.json.decode(body, type=dict[str, Any])


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
