"""Converse's conversation: turns as blocks, the system's, settings and tools. Nova's own API takes nearly the same.

Source: the Amazon Bedrock API reference, "Converse"; names, patterns and bounds are those of AWS's service model.
"""

import re
from typing import Any, Final

import msgspec

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.dialects.refusals import answered_call, call_arguments, cannot
from rxlapce.dialects.turns import check_turns
from rxlapce.requests import CacheLife, ChatRequest, Image, Message, OpaquePart, RequestedCall, Tool

#: Media types -> the words for them.
FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}

#: The kinds of opaque pieces that are blocks, whole or as a stream says them in parts. All others told of an answer
#: without being in it, and stay out: `citation` and `citationsContent` (the text that is cited goes as text), `trace`,
#: `additionalModelResponseFields`, `performanceConfig`, `serviceTier`, and what is told of it tomorrow.
BLOCKS: Final = frozenset({"reasoningContent", "toolResult", "image", "audio", "video", "document", "searchResult"})

_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CHOICES: Final[dict[str, dict[str, Any]]] = {"auto": {"auto": {}}, "required": {"any": {}}}


def conversation(request: ChatRequest, who: str) -> dict[str, Any]:
    """`messages`, `system`, `inferenceConfig` and `toolConfig`. Raises `cannot` as `Converse.chat_body` says."""
    check_turns(request.messages)
    members: dict[str, Any] = {"messages": _turns(request.messages)}
    if system := _system(request.messages):
        members["system"] = system
    if settings := _inference(request, who):
        members["inferenceConfig"] = settings
    if tools := _tool_config(request, who):
        members["toolConfig"] = tools
    return members


# -- turns ------------------------------------------------------------------------------------------------------------


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The turns; those of one role in a row are one, since roles must alternate. Results are blocks of a user's."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"] += _result(message) if message.role == "tool" else _blocks(message)
    for turn in turns:
        if not turn["content"]:
            raise cannot(f"Bedrock refuses {turn['role']} turns of nothing but blanks: leave them out")
    if not turns:
        raise cannot("Bedrock needs a turn beside the system's")
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    """The turn's blocks. Blank text is left out, which Bedrock refuses."""
    blocks: list[dict[str, Any]] = []
    kinds: dict[str, str] = {}  # of calls that the provider ran itself, by their ids
    for piece in message.pieces():
        before = len(blocks)
        if piece.text is not None:
            blocks += [{"text": piece.text}] if piece.text.strip() else []
        elif piece.image is not None:
            blocks.append(_image(piece.image))
        elif piece.reasoning is not None:
            signature = {} if piece.signature is None else {"signature": piece.signature}
            blocks.append({"reasoningContent": {"reasoningText": {"text": piece.reasoning, **signature}}})
        elif piece.tool_call is not None:
            blocks.append(_call(piece.tool_call, kinds))
        elif piece.opaque is not None:
            _put_back(piece.opaque, blocks, kinds)
        if piece.cache is not None:
            if len(blocks) == before:
                raise cannot("a cache mark stands on a piece that is not sent: put it on the one before")
            blocks.append(_cache_point(piece.cache))
    return blocks


def _result(message: Message) -> list[dict[str, Any]]:
    """A tool's result. A cache mark can only follow all of it."""
    pieces = message.pieces()
    if any(piece.cache is not None for piece in pieces[:-1]):
        raise cannot("Bedrock caches a tool's result as a whole: put the mark on its last piece")
    content: list[dict[str, Any]] = []
    for piece in pieces:
        if piece.image is not None:
            content.append(_image(piece.image))
        elif piece.text is not None and piece.text.strip():
            content.append({"text": piece.text})
    blocks = [{"toolResult": {"toolUseId": _call_id(answered_call(message)), "content": content}}]
    mark = pieces[-1].cache if pieces else None
    return blocks if mark is None else [*blocks, _cache_point(mark)]


def _system(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The text of system and developer turns, wherever they stand."""
    turns = (message for message in messages if message.role in ("system", "developer"))
    return [block for message in turns for block in _blocks(message)]


def _call(call: RequestedCall, kinds: dict[str, str]) -> dict[str, Any]:
    said = {"toolUseId": _call_id(call.id), "name": _tool_name(call.name), "input": call_arguments(call)}
    return {"toolUse": said if call.id not in kinds else {**said, "type": kinds[call.id]}}


def _call_id(call_id: str) -> str:
    if _CALL_ID.fullmatch(call_id) is None:
        raise cannot(f"Bedrock takes ids of tool calls of 1 to 64 letters, digits and _.:- and not {call_id!r}")
    return call_id


def _tool_name(name: str) -> str:
    if _TOOL_NAME.fullmatch(name) is None:
        raise cannot(f"Bedrock takes names of tools of 1 to 64 letters, digits, _ and - and not {name!r}")
    return name


def _image(image: Image) -> dict[str, Any]:
    if image.url is not None and not image.url.startswith("s3://"):
        raise cannot("Bedrock fetches images from s3:// URLs alone: send this one as data")
    word = FORMATS.get(image.media_type or "")
    if word is None:
        raise cannot(f"Bedrock takes images of the media_type {', '.join(FORMATS)}, not {image.media_type!r}")
    source = {"bytes": image.data} if image.url is None else {"s3Location": {"uri": image.url}}
    return {"image": {"format": word, "source": source}}


def _cache_point(life: CacheLife) -> dict[str, Any]:
    """Five minutes is what goes without saying, and what models that know no other life take."""
    return {"cachePoint": {"type": "default"} if life == "5m" else {"type": "default", "ttl": life}}


def _put_back(piece: OpaquePart, blocks: list[dict[str, Any]], kinds: dict[str, str]) -> None:
    """Put an opaque piece of an earlier answer back as the block that it was, or as the part of one that it was.

    A stream says the results of tools that the provider ran, and pictures, in pieces: the head, then what it holds. A
    call of such a tool is told by a piece with the call's `type`, before the call itself.
    """
    try:
        value: Any = msgspec.json.decode(piece.raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise cannot(f"the raw of an opaque {piece.kind!r} piece is no JSON: {error}") from None
    last = blocks[-1].get(piece.kind) if blocks else None
    if piece.kind == "toolResult" and is_array(value) and last is not None:
        _add_results(last["content"], value)
    elif piece.kind == "image" and is_object(value) and "format" not in value and last is not None:
        last.update(value)
    elif piece.kind == "toolResult" and is_object(value):
        content = value.get("content")
        blocks.append({"toolResult": {**value, "content": content if is_array(content) else []}})
    elif piece.kind in BLOCKS and is_object(value):
        blocks.append({piece.kind: value})
    elif is_object(value) and value.get("type") == piece.kind and isinstance(value.get("toolUseId"), str):
        kinds[value["toolUseId"]] = piece.kind


def _add_results(content: list[Any], pieces: list[Any]) -> None:
    """Pieces of text go on with the text before them."""
    for piece in pieces:
        before = content[-1] if content else None
        if is_object(piece) and is_object(before) and piece.keys() == before.keys() == {"text"}:
            before["text"] = f"{before['text']}{piece['text']}"
        else:
            content.append(piece)


# -- settings and tools -----------------------------------------------------------------------------------------------


def _inference(request: ChatRequest, who: str) -> dict[str, Any]:
    if request.temperature is not None and request.temperature > 1:
        raise cannot(f"{who} takes a temperature from 0 to 1, not {request.temperature}")
    if "" in request.stop:
        raise cannot(f"{who} takes no empty text to stop at: leave it out")
    settings = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _tool_config(request: ChatRequest, who: str) -> dict[str, Any] | None:
    """There is no word for "call none": the tools are left out, which is allowed while none has been called."""
    choice = request.tool_choice
    if choice == "none":
        if any(message.calls() for message in request.messages):
            raise cannot(f'{who} cannot forbid tools (tool_choice "none") once some were called: leave it out')
        return None
    if not request.tools:
        if choice not in (None, "auto"):
            raise cannot(f"{who} has nothing to call for the tool_choice {choice!r}: give tools")
        return None
    config: dict[str, Any] = {"tools": [entry for tool in request.tools for entry in _tool(tool)]}
    if choice is not None:
        config["toolChoice"] = _CHOICES.get(choice) or {"tool": {"name": _tool_name(choice)}}
    return config


def _tool(tool: Tool) -> list[dict[str, Any]]:
    spec: dict[str, Any] = {"name": _tool_name(tool.name), "inputSchema": {"json": tool.parameters}}
    if tool.description:  # Bedrock refuses an empty one
        spec["description"] = tool.description
    return [{"toolSpec": spec}] if tool.cache is None else [{"toolSpec": spec}, _cache_point(tool.cache)]
