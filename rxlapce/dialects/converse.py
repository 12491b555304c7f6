"""Converse: one dialect for all models on AWS Bedrock. Source: the Amazon Bedrock API reference, "ConverseStream"."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.codec.event import Event
from rxlapce.dialects import bedrock_failures
from rxlapce.dialects.converse_decoder import ConverseDecoder
from rxlapce.dialects.json_values import is_object
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall, Tool
from rxlapce.tokens import StreamToken
from rxlapce.typing import StreamDecoder

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


@dataclass(slots=True, kw_only=True)
class Converse:
    """The dialect `bedrock.converse-stream`; the model and whether to stream stand in the URL, not in the body.

    `now` is the wall clock, for a Retry-After that is a date.
    """

    now: Callable[[], float] = time.time
    name: str = "bedrock.converse-stream"

    def decoder(self) -> StreamDecoder[Event]:
        """A fresh decoder for one stream."""
        return ConverseDecoder()

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body; `extra` members win, those that are not Converse's own go to the model.

        See `conversation` for the turns. Raises `ProviderError` (bad_request) for what `conversation` refuses.
        """
        body = conversation(request)
        passed = {name: value for name, value in request.extra.items() if name not in MEMBERS}
        body.update({name: value for name, value in request.extra.items() if name in MEMBERS})
        if passed:
            given = body.get("additionalModelRequestFields")
            body["additionalModelRequestFields"] = {**(given if is_object(given) else {}), **passed}
        return msgspec.json.encode(body)

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary answer. A body that holds an error instead raises it."""
        tokens: list[StreamToken] = []
        ConverseDecoder().take_whole(body, tokens)
        return tokens

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means."""
        return bedrock_failures.from_response(status, headers, body, now=self.now())


def conversation(request: ChatRequest) -> dict[str, Any]:
    """The request in Converse's words, without its `extra`: `messages`, `system`, `inferenceConfig`, `toolConfig`.

    System and developer turns go to `system`, wherever they stand. Turns of one role in a row become one turn of
    several blocks, since roles must alternate; results of tools are blocks of a user turn. Raises `ProviderError`
    (bad_request) for a seed, for `n` over 1, for `tool_choice` none after tools were called, for a tool turn that names
    no call, and for tool arguments that are no JSON object.
    """
    if request.seed is not None:
        raise cannot("Converse takes no seed: leave it out")
    if request.n is not None and request.n > 1:
        raise cannot(f"Converse gives one answer a request, not n={request.n}: ask {request.n} times")
    body: dict[str, Any] = {"messages": _turns(request.messages)}
    system = [turn.content for turn in request.messages if turn.role in ("system", "developer") and turn.content]
    if system:
        body["system"] = [{"text": text} for text in system]
    settings = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    inference = {name: value for name, value in settings.items() if value is not None}
    if inference:
        body["inferenceConfig"] = inference
    tools = _tool_config(request)
    if tools is not None:
        body["toolConfig"] = tools
    return body


def cannot(why: str) -> ProviderError:
    """The error for a request that the dialect cannot say."""
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"] += _blocks(message)
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    """The turn's blocks. Bedrock refuses empty text beside tool calls; a turn of nothing else keeps its own."""
    if message.role == "tool":
        if message.tool_call_id is None:
            raise cannot("a tool turn must name the call that it answers in tool_call_id")
        return [{"toolResult": {"toolUseId": message.tool_call_id, "content": [{"text": message.content}]}}]
    text = [{"text": message.content}] if message.content or not message.tool_calls else []
    return [*text, *(_call(call) for call in message.tool_calls)]


def _call(call: RequestedCall) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise cannot(f"the arguments of tool call {call.id!r} are no JSON object: {error}") from None
    return {"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments}}


def _tool_config(request: ChatRequest) -> dict[str, Any] | None:
    """Converse has no word for "call none": the tools are left out, which it allows while none has been called."""
    choice = request.tool_choice
    if choice == "none":
        if any(message.tool_calls for message in request.messages):
            raise cannot('Converse cannot forbid tools (tool_choice "none") once some were called: leave it out')
        return None
    if not request.tools:
        return None
    config: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    if choice is not None:
        named: dict[str, dict[str, Any]] = {"auto": {"auto": {}}, "required": {"any": {}}}
        config["toolChoice"] = named.get(choice, {"tool": {"name": choice}})
    return config


def _tool(tool: Tool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:  # Bedrock refuses an empty one
        spec["description"] = tool.description
    return {"toolSpec": spec}
