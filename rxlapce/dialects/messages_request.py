"""A request in the words of Anthropic's messages: the members of the body, each from what it says.

Source: Anthropic's API reference, "Create a Message", and the types of its SDK.
"""

from typing import Any, Final

from rxlapce.dialects.json_values import text_of
from rxlapce.dialects.refusals import answered_call, call_arguments, cannot
from rxlapce.dialects.turns import opaque_object
from rxlapce.requests import CacheLife, ChatRequest, Image, Message, Part, Tool

Block = dict[str, Any]

WHO: Final = "Anthropic's Messages API"

#: The members of `ChatRequest` that have a word here.
SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "reasoning_tokens",
    }
)

#: The members of a body that the endpoint which counts tokens takes too.
COUNTED: Final = frozenset(
    {
        "anthropic_version",
        "cache_control",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "speed",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)

MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
#: The least that a model may be told to think.
MIN_THINKING_TOKENS: Final = 1024

#: Blocks of calls that the provider runs. Their arguments come, as all do, in the tool call that follows them.
RUN_BY_PROVIDER: Final = frozenset({"server_tool_use", "mcp_tool_use"})

_SYSTEM: Final = ("system", "developer")
_TOOL_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_CANNOT_MARK: Final = f"{WHO} cannot mark the end of a cached prefix there: mark a text, an image, a tool or its result"


def system(messages: tuple[Message, ...]) -> str | list[Block] | None:
    """The system and developer turns joined, wherever they stand; as blocks if one of their pieces has a cache mark."""
    turns = [turn for turn in messages if turn.role in _SYSTEM]
    parts = [part for turn in turns for part in turn.pieces()]
    if any(part.cache is not None for part in parts):
        return _without_blank([_marked({"type": "text", "text": part.text}, part.cache) for part in parts])
    return "\n\n".join(turn.text for turn in turns if turn.text) or None


def turns(messages: tuple[Message, ...]) -> list[Block]:
    """All other turns. The results of tools become blocks of a user turn, those in a row of one."""
    said: list[Block] = []
    results: list[Block] | None = None  # of the tool turns in a row
    for message in messages:
        if message.role == "tool":
            if results is None:
                results = []
                said.append({"role": "user", "content": results})
            results.append(_result(message))
        elif message.role not in _SYSTEM:
            results = None
            said.append({"role": message.role, "content": _content(message)})
    if not said:
        raise cannot(f"{WHO} needs a turn beside the system's")
    return said


def tool(tool: Tool) -> Block:
    """A tool's description, which may be left out, and its schema."""
    said: Block = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description:
        said["description"] = tool.description
    return _marked(said, tool.cache)


def tool_choice(choice: str | None, parallel: bool | None) -> Block | None:
    """Which tools are called. Whether several at once is a member of it; there is none where no tool is called."""
    if choice is None and parallel is None:
        return None
    word = _TOOL_CHOICES.get(choice or "auto")
    said: Block = {"type": "tool", "name": choice} if word is None else {"type": word}
    if parallel is not None and word != "none":
        said["disable_parallel_tool_use"] = not parallel
    return said


def max_tokens(request: ChatRequest, default: int) -> int:
    """The bound of the whole answer. Thinking counts: it must leave room, and stands above the default."""
    budget = request.reasoning_tokens or 0
    if request.max_tokens is None:
        return default + budget
    if request.max_tokens <= budget:
        raise cannot(
            f"{WHO} counts what is thought in max_tokens: it must be larger than reasoning_tokens={budget}, "
            f"not {request.max_tokens}"
        )
    return request.max_tokens


def thinking(request: ChatRequest) -> Block | None:
    """Whether and how much to think: `reasoning_tokens` says it if given, else any effort leaves it to the model."""
    tokens, effort = request.reasoning_tokens, request.reasoning_effort
    if tokens is not None and 0 < tokens < MIN_THINKING_TOKENS:
        raise cannot(
            f"{WHO} lets a model think {MIN_THINKING_TOKENS} tokens at least, or with 0 not at all; "
            f"reasoning_tokens={tokens} is neither"
        )
    if tokens and effort == "none":
        raise cannot(f"reasoning_effort none and reasoning_tokens={tokens} contradict each other: leave one out")
    if tokens:
        return {"type": "enabled", "budget_tokens": tokens}
    if tokens == 0 or effort == "none":
        return {"type": "disabled"}
    return None if effort is None else {"type": "adaptive"}


def output_config(request: ChatRequest) -> Block | None:
    """The effort and the schema of the answer. Its name has no word here, and adherence is always strict."""
    said: Block = {}
    effort = request.reasoning_effort
    if effort is not None and effort != "none":
        if effort not in _EFFORTS:
            raise cannot(f"{WHO} knows no reasoning_effort {effort!r}: say one of none, {', '.join(_EFFORTS)}")
        said["effort"] = effort
    wanted = request.response_format
    if wanted is not None:
        if wanted.json_schema is None:
            raise cannot(f"{WHO} give JSON by a schema only: set response_format.json_schema, or leave it out")
        said["format"] = {"type": "json_schema", "schema": wanted.json_schema}
    return said or None


# -- turns ----------------------------------------------------------------------------------------------------------


def _content(message: Message) -> str | list[Block]:
    """The text alone, or blocks if the turn is more than that."""
    blocks = _blocks(message)
    if not blocks:
        raise cannot(f"{WHO} refuse a turn that says nothing, and here is one ({message.role}): leave it out")
    only = blocks[0]
    return only["text"] if len(blocks) == 1 and only.keys() == {"type", "text"} else blocks


def _blocks(message: Message) -> list[Block]:
    """The pieces as blocks in their order. What an answer's text was cut into by pieces that are none is joined."""
    blocks: list[Block] = []
    run = _run_by_provider(message)
    for part in message.pieces():
        block = _block(part, run)
        if block is None:
            _take_up(part, blocks)
        elif part.text is not None and message.role == "assistant" and blocks and blocks[-1].keys() == {"type", "text"}:
            blocks[-1]["text"] += part.text
            _marked(blocks[-1], part.cache)
        else:
            blocks.append(_marked(block, part.cache))
    return _without_blank(blocks)


def _run_by_provider(message: Message) -> dict[str, Block]:
    """The blocks of calls that the provider ran, by the ids of the calls that follow them."""
    asked = {call.id for call in message.calls()}
    run: dict[str, Block] = {}
    for part in message.pieces():
        if part.opaque is not None and part.opaque.kind in RUN_BY_PROVIDER:
            block = opaque_object(part.opaque) or {}
            call_id = text_of(block.get("id"))
            if call_id in asked:
                run[str(call_id)] = block
    return run


def _block(part: Part, run: dict[str, Block]) -> Block | None:
    """The block that a piece is. None for one that is none of its own."""
    if part.text is not None:
        return {"type": "text", "text": part.text}
    if part.image is not None:
        return {"type": "image", "source": _source(part.image)}
    if part.tool_call is not None:
        call = part.tool_call
        own = run.get(call.id, {"type": "tool_use", "id": call.id, "name": call.name})
        return {**own, "input": call_arguments(call)}
    if part.reasoning is not None:
        return _thought(part)
    return _opaque(part, run)


def _thought(part: Part) -> Block:
    if part.signature is None:
        raise cannot(
            f"{WHO} take back only thoughts that they signed, and one has no signature: send the turn's Message.plain()"
        )
    if part.cache is not None:
        raise cannot(_CANNOT_MARK)
    return {"type": "thinking", "thinking": part.reasoning, "signature": part.signature}


def _opaque(part: Part, run: dict[str, Block]) -> Block | None:
    """A block of an earlier answer, unchanged. What came with it but is no block does not go back.

    These are: deltas (`citations_delta`, ...), `citations`, `stop_sequence`, `stop_details`, `container`,
    `context_management`, and members of `content` that are no objects.
    """
    piece = part.opaque
    block = None if piece is None or piece.kind.endswith("_delta") else opaque_object(piece)
    if block is None or text_of(block.get("id")) in run:
        return None
    if part.cache is not None and block["type"] == "redacted_thinking":
        raise cannot(_CANNOT_MARK)
    return block


def _take_up(part: Part, blocks: list[Block]) -> None:
    """A compaction is said in a block without its text and a delta with it; no other piece that is no block counts."""
    if part.cache is not None:
        raise cannot(_CANNOT_MARK)
    piece = part.opaque
    if piece is not None and piece.kind == "compaction_delta" and blocks and blocks[-1]["type"] == "compaction":
        delta = opaque_object(piece) or {}
        blocks[-1].update({name: value for name, value in delta.items() if name != "type" and value is not None})


def _result(message: Message) -> Block:
    """What a tool gave. A mark on its last piece stands on the whole result."""
    said: Block = {"type": "tool_result", "tool_use_id": answered_call(message)}
    parts = message.pieces()
    if not parts:
        return said
    blocks = [_marked(block, part.cache) for part in parts if (block := _block(part, {})) is not None]
    mark = blocks[-1].pop("cache_control", None)
    if mark is not None:
        said["cache_control"] = mark
    if len(blocks) > 1:
        blocks = _without_blank(blocks)
    if blocks:
        said["content"] = blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks
    return said


def _source(image: Image) -> Block:
    """Where the picture is. `detail` is not asked for here."""
    if image.data is not None:
        if image.media_type not in MEDIA_TYPES:
            raise cannot(f"{WHO} take images of the types {', '.join(MEDIA_TYPES)}, not {image.media_type!r}")
        return {"type": "base64", "media_type": image.media_type, "data": image.data}
    if not (image.url or "").startswith("https://"):
        raise cannot(f"{WHO} fetch images by https only: give another image's data and media_type instead of its url")
    return {"type": "url", "url": image.url}


def _marked(block: Block, life: CacheLife | None) -> Block:
    if life is not None:
        block["cache_control"] = {"type": "ephemeral"} if life == "5m" else {"type": "ephemeral", "ttl": life}
    return block


def _without_blank(blocks: list[Block]) -> list[Block]:
    """The blocks without texts of nothing but blanks, which models say between others and the API refuses."""
    blank = [block for block in blocks if block["type"] == "text" and not block["text"].strip()]
    if any("cache_control" in block for block in blank):
        raise cannot(_CANNOT_MARK)
    return [block for block in blocks if block["type"] != "text" or block["text"].strip()]
