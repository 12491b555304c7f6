"""A Responses request: a text or a list of items to go on from."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import (
    NOWHERE,
    Asked,
    BadBody,
    OfferedTool,
    Spoken,
    Voice,
    Where,
    check_max_tokens,
    decode_body,
    joined,
)
from rxlapce.simulator.options import split_model


class _Part(msgspec.Struct):
    type: str = "input_text"
    text: str = ""
    refusal: str = ""


class _Item(msgspec.Struct):
    """A message, or what else may stand in a conversation; `content` of a reasoning item is heard as nothing."""

    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None
    call_id: str = ""
    output: str | list[_Part] | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    parameters: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    type: str = ""
    name: str | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    schema: dict[str, Any] = {}


class _TextSettings(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _StreamOptions(msgspec.Struct):
    include_obfuscation: bool = True


class _ResponsesBody(msgspec.Struct):
    model: str | None = None
    input: str | list[_Item] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_output_tokens: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _TextSettings | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None


_decoder: Final = msgspec.json.Decoder(_ResponsesBody)


class _TextMembers(msgspec.Struct):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class _Said(msgspec.Struct):
    """Members that the response repeats in another form than they came."""

    reasoning: _Reasoning | None = None
    text: _TextMembers | None = None


_members: Final = msgspec.json.Decoder(dict[str, Any])
_said: Final = msgspec.json.Decoder(_Said)

#: Members of the request that the response object repeats, with what stands there when they are not given.
_REPEATED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_LEAST_OUTPUT: Final = 16
_ENCRYPTED: Final = "reasoning.encrypted_content"


def read_responses(body: bytes, where: Where = NOWHERE) -> Asked:
    """A Responses request. Raises `BadBody`."""
    said = decode_body(_decoder, body)
    name = where.model or said.model
    if name is None:
        raise BadBody("Missing required parameter: 'model'.", "model")
    if not said.input:
        message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided."
        raise BadBody(message, "input")
    items = [_Item(role="user", content=said.input)] if isinstance(said.input, str) else said.input
    _check_limit(said.max_output_tokens)
    _check_calls(items)
    model, options = split_model(name)
    choice, reasoning = said.tool_choice, said.reasoning
    wanted = said.text.format if said.text else None
    return Asked(
        model=model,
        options=options,
        prompt=_last_prompt(items),
        heard=joined([said.instructions or "", *(_text(item.content) + _text(item.output) for item in items)]),
        images=sum(_images(item.content) + _images(item.output) for item in items),
        stream=bool(said.stream),
        include_usage=True,
        obfuscate=said.stream_options is None or said.stream_options.include_obfuscation,
        max_tokens=said.max_output_tokens,
        tools=tuple(OfferedTool(tool.name, tool.parameters or {}) for tool in said.tools or () if tool.name),
        must_call=choice == "required" or isinstance(choice, _Choice),
        may_call=choice != "none",
        only_tool=choice.name if isinstance(choice, _Choice) else None,
        tool_results=_last_results(items),
        json_schema=wanted.schema if wanted and wanted.type in ("json_schema", "json_object") else None,
        thinking=reasoning is not None and reasoning.effort not in (None, "none"),
        encrypted=_ENCRYPTED in (said.include or ()),
        hide_reasoning=reasoning is not None and not (reasoning.summary or reasoning.generate_summary),
        repeated=_repeated(_members.decode(body), _said.decode(body)),
        turns=tuple(_spoken(item) for item in items),
    )


def _check_limit(limit: int | None) -> None:
    check_max_tokens(limit, "max_output_tokens")
    if limit is not None and limit < _LEAST_OUTPUT:
        message = (
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= "
            f"{_LEAST_OUTPUT}, but got {limit} instead."
        )
        raise BadBody(message, "max_output_tokens")


def _check_calls(items: Sequence[_Item]) -> None:
    """Raise `BadBody` for a result of a call that nobody made, or for a call that has no result."""
    open_calls: dict[str, None] = {}
    for item in items:
        if item.type == "function_call":
            open_calls[item.call_id] = None
        elif item.type == "function_call_output":
            if item.call_id not in open_calls:
                raise BadBody(f"No tool call found for function call output with call_id {item.call_id}.", "input")
            del open_calls[item.call_id]
    if open_calls:
        raise BadBody(f"No tool output found for function call {next(iter(open_calls))}.", "input")


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return joined(part.text or part.refusal for part in content)


def _images(content: str | list[_Part] | None) -> int:
    return sum(part.type == "input_image" for part in content) if isinstance(content, list) else 0


def _last_prompt(items: Sequence[_Item]) -> str:
    return next((_text(item.content) for item in reversed(items) if item.role == "user" and _text(item.content)), "")


def _last_results(items: Sequence[_Item]) -> tuple[str, ...]:
    results: list[str] = []
    for item in reversed(items):
        if item.type != "function_call_output":
            break
        results.append(_text(item.output))
    return tuple(reversed(results))


_VOICES: Final = {"user": Voice.USER, "assistant": Voice.MODEL}


def _spoken(item: _Item) -> Spoken:
    if item.type == "function_call_output":
        return Spoken(Voice.OTHER, results=(_text(item.output),))
    voice = _VOICES.get(item.role, Voice.OTHER)
    if voice is Voice.MODEL and isinstance(item.content, list):
        return Spoken(voice, "".join(part.text for part in item.content))
    return Spoken(voice, _text(item.content))


def _repeated(members: dict[str, Any], said: _Said) -> dict[str, Any]:
    """What the response object repeats of the request."""
    given = {name: value for name, value in members.items() if name in _REPEATED and value is not None}
    reasoning, text = said.reasoning or _Reasoning(), said.text or _TextMembers()
    shaped: dict[str, Any] = {
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
        "text": {"format": text.format or {"type": "text"}, "verbosity": text.verbosity or "medium"},
    }
    return _REPEATED | given | shaped
