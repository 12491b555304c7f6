"""Chat completions as they stand on the wire: only the members that are read, and the usage in its two forms.

Everything is optional, since some provider leaves out each of them. Members of many shapes are `Any`. Structs without
collection by the garbage collector: decoded JSON holds no cycle.
"""

from typing import Any, Final

import msgspec

from rxlapce.dialects.usage import Cost, Count
from rxlapce.tokens import Reported, Usage, UsageSource

#: xAI's `cost_in_usd_ticks` counts units of 10^-10 US dollars.
TICKS_PER_USD: Final = 1e10


class Function(msgspec.Struct, gc=False):
    """A piece of a function call. Some servers give `arguments` as an object instead of its text."""

    name: str | None = None
    arguments: str | dict[str, Any] | list[Any] | None = None


class CallPiece(msgspec.Struct, gc=False):
    """A piece of a tool call; Mistral gives no `index`. `custom` is OpenAI's tool with free text as its input."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: dict[str, Any] | None = None


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds to a choice. Mistral's reasoning models give `content` as a list of typed parts."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: str | None = None
    function_call: Function | None = None
    reasoning_details: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None


class StreamChoice(msgspec.Struct, gc=False):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    content_filter_results: Any = None
    usage: Any = None
    error: Any = None


class WholeChoice(StreamChoice, gc=False):
    """One choice of a unary answer: the same, under the name `message`."""

    delta: Delta | None = msgspec.field(default=None, name="message")


class Chunk(msgspec.Struct, gc=False):
    """One event of a stream."""

    choices: list[StreamChoice] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None
    citations: Any = None
    search_results: Any = None
    prompt_filter_results: Any = None


class WholeBody(msgspec.Struct, gc=False):
    """A unary answer."""

    choices: list[WholeChoice] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None
    citations: Any = None
    search_results: Any = None
    prompt_filter_results: Any = None


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt's tokens."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of the output's tokens."""

    reasoning_tokens: Count | None = None


class WireUsage(msgspec.Struct, gc=False):
    """The usage object, with the names under which compatible servers put what OpenAI has in `details`."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    cost: Cost | None = None
    cost_in_usd_ticks: Cost | None = None
    cached_tokens: Count | None = None  # Moonshot, SiliconFlow
    prompt_cache_hit_tokens: Count | None = None  # DeepSeek
    cache_read_input_tokens: Count | None = None  # Databricks
    cache_creation_input_tokens: Count | None = None  # Databricks
    reasoning_tokens: Count | None = None  # SGLang


def read_usage(value: Any, source: UsageSource) -> Usage:
    """The usage object in the normal form, beside the provider's own numbers. Raises `msgspec.ValidationError`.

    Two meanings differ between providers under the same names; the numbers themselves tell which one holds:
    `completion_tokens` leaves out the reasoning (xAI) if only with it the sum is `total_tokens`, and `prompt_tokens`
    leaves out the cached ones (Grok on Azure) if they are more than it.
    """
    wire = msgspec.convert(value, WireUsage, strict=False)
    prompt, completion, total = wire.prompt_tokens, wire.completion_tokens, wire.total_tokens
    inputs = wire.prompt_tokens_details or PromptDetails()
    outputs = wire.completion_tokens_details or OutputDetails()
    cached = _known(
        inputs.cached_tokens, wire.cached_tokens, wire.prompt_cache_hit_tokens, wire.cache_read_input_tokens
    )
    reasoning = _known(outputs.reasoning_tokens, wire.reasoning_tokens)
    whole_input, whole_output = prompt, completion
    if prompt is not None and cached is not None and cached > prompt:
        whole_input = prompt + cached
    if completion is not None and reasoning and total == (prompt or 0) + completion + reasoning:
        whole_output = completion + reasoning
    both = whole_input is not None and whole_output is not None
    return Usage(
        input=whole_input,
        cached_input=cached,
        cache_write=_known(inputs.cache_write_tokens, wire.cache_creation_input_tokens),
        output=whole_output,
        reasoning=reasoning,
        total=(whole_input or 0) + (whole_output or 0) if both else total,
        cost_usd=_cost(wire),
        source=source,
        reported=Reported(
            input_tokens=prompt,
            output_tokens=completion,
            total_tokens=total,
            cached_input_tokens=inputs.cached_tokens,
            reasoning_tokens=outputs.reasoning_tokens,
        ),
    )


def _known(*values: int | None) -> int | None:
    """The first that is not missing; zero is not missing."""
    return next((value for value in values if value is not None), None)


def _cost(wire: WireUsage) -> float | None:
    if wire.cost is not None:
        return wire.cost
    return None if wire.cost_in_usd_ticks is None else wire.cost_in_usd_ticks / TICKS_PER_USD
