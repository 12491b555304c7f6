"""generateContent as it stands on the wire: what a plain piece of text needs, and the usage object."""

from typing import Any

import msgspec

from rxlapce.dialects.usage import Count
from rxlapce.tokens import Reported, Usage, UsageSource


class Part(msgspec.Struct, gc=False, rename="camel"):
    """A part; one that is no plain text is read again as it stands."""

    text: str | None = None
    thought: Any = None
    thought_signature: Any = None
    function_call: Any = None


class Content(msgspec.Struct, gc=False):
    """What a chunk adds to a candidate."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """One answer of several. Any of the members after `content` sends the chunk the long way."""

    content: Content | None = None
    index: int = 0
    finish_reason: Any = None
    finish_message: Any = None
    citation_metadata: Any = None
    grounding_metadata: Any = None
    url_context_metadata: Any = None
    logprobs_result: Any = None


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    """One event of a stream. The usage stands in nearly every chunk, and only the last one is read."""

    candidates: list[Candidate] | None = None
    usage_metadata: msgspec.Raw = msgspec.Raw()
    model_version: str | None = None
    prompt_feedback: Any = None
    error: Any = None


class _WireUsage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    total_token_count: Count | None = None


def read_usage(value: Any, source: UsageSource) -> Usage:
    """The usage object in the normal form, beside the provider's own numbers. Raises `msgspec.ValidationError`.

    Thoughts are not among the candidates' tokens, and what tools put into the prompt (search results, code output) is
    not in the prompt's: both are added. The cached tokens are in the prompt's.
    """
    wire = msgspec.convert(value, _WireUsage, strict=False)
    prompt, candidates = wire.prompt_token_count, wire.candidates_token_count
    thoughts, tools, total = wire.thoughts_token_count, wire.tool_use_prompt_token_count, wire.total_token_count
    whole_input = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    # A count of zero is left out on the wire: with a total, what is missing is known.
    nothing_said = candidates is None and thoughts is None and (total is None or total != whole_input)
    whole_output = None if nothing_said else (candidates or 0) + (thoughts or 0)
    both = whole_input is not None and whole_output is not None
    return Usage(
        input=whole_input,
        cached_input=wire.cached_content_token_count,
        output=whole_output,
        reasoning=thoughts,
        total=(whole_input or 0) + (whole_output or 0) if both else total,
        source=source,
        reported=Reported(
            input_tokens=prompt,
            output_tokens=candidates,
            total_tokens=total,
            cached_input_tokens=wire.cached_content_token_count,
            reasoning_tokens=thoughts,
        ),
    )
