"""Requests to Ollama's own API: `/api/chat` and `/api/generate`."""

from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import NOWHERE, Asked, BadBody, OfferedTool, Where, decode_body, joined, stops_of
from rxlapce.simulator.options import split_model
from rxlapce.simulator.turns import Turn, images_in, last_prompt, last_results, spoken, text_of


class _Function(msgspec.Struct):
    name: str = ""
    parameters: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    function: _Function


class _Options(msgspec.Struct):
    num_predict: int | None = None
    stop: str | list[str] | None = None


class _Body(msgspec.Struct):
    model: str = ""
    messages: list[Turn] = []
    prompt: str = ""
    system: str = ""
    images: list[str] | None = None
    stream: bool | None = None
    tools: list[_Tool] | None = None
    think: bool | str | None = None
    format: dict[str, Any] | str | None = None
    options: _Options | None = None


_decoder: Final = msgspec.json.Decoder(_Body)


def read_chat(body: bytes, _where: Where = NOWHERE) -> Asked:
    """A chat request; it streams unless told not to. Raises `BadBody`."""
    said = _read(body)
    tools = tuple(OfferedTool(tool.function.name, tool.function.parameters) for tool in said.tools or ())
    return msgspec.structs.replace(
        _common(said),
        prompt=last_prompt(said.messages),
        heard=joined(text_of(turn.content) for turn in said.messages),
        images=images_in(said.messages),
        tools=tools,
        tool_results=last_results(said.messages),
        turns=spoken(said.messages),
    )


def read_generate(body: bytes, _where: Where = NOWHERE) -> Asked:
    """A generate request: one prompt. Raises `BadBody`."""
    said = _read(body)
    return msgspec.structs.replace(
        _common(said), prompt=said.prompt, heard=joined([said.system, said.prompt]), images=len(said.images or ())
    )


def _read(body: bytes) -> _Body:
    said = decode_body(_decoder, body)
    if not said.model:
        raise BadBody("model is required")
    return said


def _common(said: _Body) -> Asked:
    model, options = split_model(said.model)
    wishes = said.options or _Options()
    limit = wishes.num_predict
    return Asked(
        model=model,
        options=options,
        prompt="",
        heard="",
        stream=said.stream is not False,
        # -1 and -2 are without end, and until the context is full.
        max_tokens=limit if limit is not None and limit > 0 else None,
        stop=stops_of(wishes.stop),
        json_schema=said.format if isinstance(said.format, dict) else {} if said.format == "json" else None,
        thinking=bool(said.think),
        hide_reasoning=said.think is False,
    )
