"""Converse: one dialect for all models on AWS Bedrock. Source: the Amazon Bedrock API reference, "ConverseStream"."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.dialects import bedrock_failures
from rxlapce.dialects.converse_decoder import ConverseDecoder
from rxlapce.dialects.converse_request import conversation
from rxlapce.dialects.counting import read_count
from rxlapce.dialects.json_values import is_object
from rxlapce.dialects.refusals import cannot, check_said
from rxlapce.dialects.turns import encode_body
from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest, ResponseFormat
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

WHO: Final = "Converse"

#: What a request can ask of Converse; `top_k` and `reasoning_tokens` of the models in `MODEL_FIELDS` alone.
SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "reasoning_tokens",
    }
)
EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")

#: The members of the body itself. Of `extra` these go there, all others into `additionalModelRequestFields`, which
#: Bedrock hands on to the model.
MEMBERS: Final = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "inferenceConfig",
        "messages",
        "outputConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "serviceTier",
        "system",
        "toolConfig",
    }
)


#: What the count takes of a body.
COUNTED: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")


def _thinking(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens} if tokens else {"type": "disabled"}}


#: A part of a model's id -> how its vendor says what Converse has no word for, each in additional fields.
MODEL_FIELDS: Final[dict[str, dict[str, Callable[[int], dict[str, Any]]]]] = {
    "anthropic.claude": {"top_k": lambda top_k: {"top_k": top_k}, "reasoning_tokens": _thinking},
    "amazon.nova": {"top_k": lambda top_k: {"inferenceConfig": {"topK": top_k}}},
    "cohere.command": {"top_k": lambda top_k: {"k": top_k}},
}


@dataclass(slots=True, kw_only=True)
class Converse:
    """The dialect `bedrock.converse-stream`, and its `TokenCounter`.

    The model and whether to stream stand in the URL, not in the body. `now` is the wall clock, for a Retry-After that
    is a date.
    """

    now: Callable[[], float] = time.time
    name: str = "bedrock.converse-stream"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ConverseDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win, those that are not Converse's own go to the model.

        System and developer turns go to `system`, wherever they stand. Turns of one role in a row become one turn of
        several blocks, since roles must alternate; results of tools are blocks of a user turn. An earlier answer's
        thoughts go back with their signatures, its opaque blocks in their places; `converse_request` says which of its
        pieces are no blocks. A cache mark becomes a block after the marked piece.

        Raises `ProviderError` (bad_request) for what Converse has no word for (a seed, penalties, `n` over 1,
        `parallel_tool_calls`, JSON without a schema, the efforts none and minimal), for `top_k` and `reasoning_tokens`
        of models that are not in `MODEL_FIELDS`, for a temperature over 1, for `tool_choice` none after tools were
        called; and for turns that Bedrock refuses: blank ones, images of other types or behind other URLs than s3://,
        tool turns that name no call, tool arguments that are no JSON object, ids and names of tools with characters of
        their own.
        """
        return encode_body(self._members(request, model))

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """See `TokenCounter.count_body`; what counts are the members of `COUNTED`."""
        members = self._members(request, model)
        return encode_body({"input": {"converse": {name: members[name] for name in COUNTED if name in members}}})

    def read_count(self, body: bytes) -> int:
        """See `TokenCounter.read_count`."""
        return read_count(body, "inputTokens")

    def _members(self, request: ChatRequest, model: str) -> dict[str, Any]:
        check_said(request, SAID, WHO)
        members = conversation(request, WHO)
        if output := _output_config(request):
            members["outputConfig"] = output
        fields = _model_fields(request, model)
        for name, value in request.extra.items():
            if name == "additionalModelRequestFields" and is_object(value):
                fields = {**fields, **value}
            elif name in MEMBERS:
                members[name] = value
        fields.update({name: value for name, value in request.extra.items() if name not in MEMBERS})
        if fields:
            members["additionalModelRequestFields"] = fields
        return members

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        ConverseDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return bedrock_failures.from_response(status, headers, body, now=self.now())


def _output_config(request: ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.response_format is not None:
        config["textFormat"] = _text_format(request.response_format)
    effort = request.reasoning_effort
    if effort is not None:
        if effort not in EFFORTS:
            raise cannot(f"Converse has no reasoning_effort {effort!r}: it has {', '.join(EFFORTS)}")
        config["effort"] = effort
    return config


def _text_format(form: ResponseFormat) -> dict[str, Any]:
    """The schema is a JSON text within the JSON."""
    if form.json_schema is None:
        raise cannot("Converse needs a json_schema for an answer in JSON: give the response_format one")
    schema = encode_body(form.json_schema).decode()
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": form.name, "schema": schema}}}


def _model_fields(request: ChatRequest, model: str) -> dict[str, Any]:
    """What the model's vendor has a word for and Converse has not. Raises `cannot` where neither has one."""
    words = next((words for part, words in MODEL_FIELDS.items() if part in model), None) or {}
    fields: dict[str, Any] = {}
    for name, value in (("top_k", request.top_k), ("reasoning_tokens", request.reasoning_tokens)):
        if value is None:
            continue
        if name not in words:
            raise cannot(
                f"Converse has no {name}, and none is known of {model}: leave it out, or put the model's own in extra"
            )
        fields.update(words[name](value))
    return fields
