"""The responses API as it stands on the wire: what a call gives its tool, and the usage object in the normal form."""

from typing import Any

import msgspec

from rxlapce.dialects.chat_wire import TICKS_PER_USD
from rxlapce.dialects.json_values import dumps
from rxlapce.dialects.usage import Cost, Count
from rxlapce.tokens import Reported, Usage, UsageSource


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class _WireUsage(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None
    total_tokens: Count | None = None
    cost: Cost | None = None  # OpenRouter, in US dollars
    cost_in_usd_ticks: Cost | None = None  # xAI


def read_usage(value: Any, source: UsageSource) -> Usage:
    """The usage object in the normal form, beside the provider's own numbers. Raises `msgspec.ValidationError`.

    The cached and the reasoning tokens are parts of input and output. Should a server leave the reasoning out of the
    output, as xAI does in chat completions, the sum tells: only with it `total_tokens` comes out.
    """
    wire = msgspec.convert(value, _WireUsage, strict=False)
    inputs = wire.input_tokens_details or _InputDetails()
    outputs = wire.output_tokens_details or _OutputDetails()
    reasoning, output = outputs.reasoning_tokens, wire.output_tokens
    if output is not None and reasoning and wire.total_tokens == (wire.input_tokens or 0) + output + reasoning:
        output += reasoning
    both = wire.input_tokens is not None and output is not None
    cost = wire.cost
    if cost is None and wire.cost_in_usd_ticks is not None:
        cost = wire.cost_in_usd_ticks / TICKS_PER_USD
    return Usage(
        input=wire.input_tokens,
        cached_input=inputs.cached_tokens,
        cache_write=inputs.cache_write_tokens,
        output=output,
        reasoning=reasoning,
        total=(wire.input_tokens or 0) + (output or 0) if both else wire.total_tokens,
        cost_usd=cost,
        source=source,
        reported=Reported(
            input_tokens=wire.input_tokens,
            output_tokens=wire.output_tokens,
            total_tokens=wire.total_tokens,
            cached_input_tokens=inputs.cached_tokens,
            reasoning_tokens=reasoning,
        ),
    )


def given(item: dict[str, Any], member: str) -> str:
    """What a call gives its tool, as text. Some servers write the arguments as an object."""
    value = item.get(member)
    if value is None or isinstance(value, str):
        return value or ""
    return dumps(value)
