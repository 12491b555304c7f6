"""A chat completions request, of OpenAI or of one of the many who speak it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import (
    NOWHERE,
    Asked,
    BadBody,
    OfferedTool,
    Where,
    check_choices,
    check_max_tokens,
    decode_body,
    stops_of,
)
from rxlapce.simulator.options import split_model
from rxlapce.simulator.turns import Turn, images_in, last_prompt, last_results, spoken, text_of


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    function: _Function


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False
    include_obfuscation: bool = True


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] = {}


class _ResponseFormat(msgspec.Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _Reasoning(msgspec.Struct):
    """OpenRouter's member: an effort, a budget, or just yes."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    exclude: bool = False


class _ChatBody(msgspec.Struct):
    messages: list[Turn]
    model: str | None = None
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Tool | None = None
    response_format: _ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None


_decoder: Final = msgspec.json.Decoder(_ChatBody)


def read_chat(body: bytes, where: Where = NOWHERE) -> Asked:
    """A chat completions request; a model in the path (Azure's deployments) wins. Raises `BadBody`."""
    said = decode_body(_decoder, body)
    name = where.model or said.model or next(iter(said.models or ()), None)
    if name is None:
        raise BadBody("Missing required parameter: 'model'.", "model")
    max_tokens = said.max_completion_tokens or said.max_tokens
    if not said.messages:
        raise BadBody("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
    check_max_tokens(max_tokens)
    check_calls(said.messages)
    model, options = split_model(name)
    stream_options = said.stream_options or _StreamOptions()
    choice = said.tool_choice
    return Asked(
        model=model,
        options=options,
        prompt=last_prompt(said.messages),
        heard="\n".join(text_of(turn.content) for turn in said.messages),
        images=images_in(said.messages),
        stream=bool(said.stream),
        include_usage=stream_options.include_usage,
        obfuscate=stream_options.include_obfuscation,
        choices=check_choices(said.n),
        max_tokens=max_tokens,
        stop=stops_of(said.stop),
        tools=tuple(OfferedTool(tool.function.name, tool.function.parameters) for tool in said.tools or ()),
        must_call=choice == "required" or isinstance(choice, _Tool),
        may_call=choice != "none",
        only_tool=choice.function.name if isinstance(choice, _Tool) else None,
        tool_results=last_results(said.messages),
        json_schema=_schema(said.response_format),
        thinking=_thinks(said),
        hide_reasoning=said.reasoning is not None and said.reasoning.exclude,
        turns=spoken(said.messages),
    )


def _schema(wanted: _ResponseFormat | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type not in ("json_schema", "json_object"):
        return None
    if wanted.type == "json_schema" and wanted.json_schema is None:
        raise BadBody("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema")
    return wanted.json_schema.schema if wanted.json_schema else {}


def _thinks(said: _ChatBody) -> bool:
    reasoning = said.reasoning
    if reasoning is not None:
        return reasoning.enabled is not False and reasoning.effort != "none"
    return said.reasoning_effort not in (None, "none")


def check_calls(turns: Sequence[Turn]) -> None:
    """Raise `BadBody` for a tool turn that answers no call, or a call that no tool turn answers."""
    waiting: list[str] = []
    for at, turn in enumerate(turns):
        if turn.role == "tool":
            if turn.tool_call_id not in waiting:
                message = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'."
                )
                raise BadBody(message, f"messages.[{at}].role")
            waiting.remove(turn.tool_call_id)
            continue
        _check_answered(waiting)
        waiting = [str(call.get("id")) for call in turn.tool_calls or ()]
    _check_answered(waiting)


def _check_answered(waiting: Sequence[str]) -> None:
    if waiting:
        message = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
        raise BadBody(message, "messages")
