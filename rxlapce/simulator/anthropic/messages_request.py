"""A Messages request, of Anthropic."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rxlapce.simulator.asked import NOWHERE, Asked, BadBody, OfferedTool, Where, check_max_tokens, decode_body, joined
from rxlapce.simulator.options import split_model
from rxlapce.simulator.turns import Part, Turn, images_in, last_prompt, spoken, text_of


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] = {}


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct):
    type: str = "json_schema"
    schema: dict[str, Any] = {}


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None
    effort: str | None = None


class _MessagesBody(msgspec.Struct):
    model: str
    messages: list[Turn]
    max_tokens: int
    system: str | list[Part] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None


class _CountBody(msgspec.Struct):
    model: str
    messages: list[Turn]
    system: str | list[Part] | None = None


_decoder: Final = msgspec.json.Decoder(_MessagesBody)
_count_decoder: Final = msgspec.json.Decoder(_CountBody)

_LEAST_BUDGET: Final = 1024


def read_messages(body: bytes, _where: Where = NOWHERE) -> Asked:
    """A Messages request. Raises `BadBody`."""
    said = decode_body(_decoder, body)
    check_max_tokens(said.max_tokens)
    _check_turns(said.messages)
    _check_thinking(said)
    model, options = split_model(said.model)
    choice = said.tool_choice
    wanted = said.output_config.format if said.output_config else None
    return Asked(
        model=model,
        options=options,
        prompt=last_prompt(said.messages),
        heard=_heard(said.system, said.messages),
        images=images_in(said.messages),
        stream=bool(said.stream),
        max_tokens=said.max_tokens,
        stop=tuple(said.stop_sequences or ()),
        tools=tuple(OfferedTool(tool.name, tool.input_schema) for tool in said.tools or ()),
        must_call=choice is not None and choice.type in ("any", "tool"),
        may_call=choice is None or choice.type != "none",
        only_tool=choice.name if choice else None,
        tool_results=tuple(text_of(part.content) for part in _parts(said.messages[-1]) if part.type == "tool_result"),
        json_schema=wanted.schema if wanted else None,
        thinking=said.thinking is not None and said.thinking.type in ("enabled", "adaptive"),
        hide_reasoning=said.thinking is not None and said.thinking.display == "omitted",
        turns=spoken(said.messages),
    )


def read_count(body: bytes, _where: Where = NOWHERE) -> Asked:
    """What is to be counted: a Messages request, of which only the model and the turns must be there."""
    said = decode_body(_count_decoder, body)
    _check_turns(said.messages)
    model, options = split_model(said.model)
    return Asked(
        model=model,
        options=options,
        prompt="",
        heard=_heard(said.system, said.messages),
        images=images_in(said.messages),
    )


def _heard(system: str | list[Part] | None, turns: Sequence[Turn]) -> str:
    return joined([text_of(system), *(text_of(turn.content) for turn in turns)])


def _parts(turn: Turn) -> list[Part]:
    return turn.content if isinstance(turn.content, list) else []


def _check_turns(turns: Sequence[Turn]) -> None:
    if not turns:
        raise BadBody("messages: at least one message is required", "messages")
    waiting: set[str] = set()
    for at, turn in enumerate(turns):
        if turn.role not in ("user", "assistant"):
            message = (
                f'messages: Unexpected role "{turn.role}". The Messages API accepts a top-level `system` parameter, '
                'not "system" as an input message role.'
            )
            raise BadBody(message, "messages")
        answered = [part.tool_use_id or "" for part in _parts(turn) if part.type == "tool_result"]
        for number, name in enumerate(answered):
            if name not in waiting:
                message = (
                    f"messages.{at}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
                raise BadBody(message, "messages")
        missing = sorted(waiting - set(answered))
        if missing:
            message = (
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
            raise BadBody(message, "messages")
        waiting = {part.id or "" for part in _parts(turn) if part.type == "tool_use"}


def _check_thinking(said: _MessagesBody) -> None:
    if said.thinking is None or said.thinking.type != "enabled":
        return
    budget = said.thinking.budget_tokens
    if budget is None:
        raise BadBody("thinking.enabled.budget_tokens: Field required", "thinking")
    if budget < _LEAST_BUDGET:
        raise BadBody(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}", "thinking"
        )
    if budget >= said.max_tokens:
        raise BadBody("`max_tokens` must be greater than `thinking.budget_tokens`.", "max_tokens")
