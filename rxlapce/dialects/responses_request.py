"""A request in the words of the responses API: the members of the body, each from what it says.

Source: OpenAI's API reference, "Create a model response", and the types of its SDK.
"""

from typing import Any, Final

from rxlapce.dialects.json_values import loads, text_of
from rxlapce.dialects.refusals import answered_call, cannot
from rxlapce.dialects.turns import opaque_object
from rxlapce.requests import Effort, Image, Message, Part, RequestedCall, ResponseFormat, Tool

Item = dict[str, Any]

WHO: Final = "the responses API"

#: The members of `ChatRequest` that have a word here.
SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
    }
)

#: The members of a body that the endpoint which counts tokens takes too.
COUNTED: Final = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "personality",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)

#: Items of calls that stand beside the tool call that they are -> the member that holds what the tool is given.
CALL_ITEMS: Final = {"function_call": "arguments", "custom_tool_call": "input"}

#: Pieces of messages, not items.
_CONTENT: Final = frozenset({"output_text", "refusal", "reasoning_text", "summary_text"})
#: Members that some servers write as null and the API refuses so.
_NOT_NULL: Final = ("status", "content", "encrypted_content")


def split(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    """The instructions, and the turns that remain. A conversation of nothing else keeps them: `input` may not be []."""
    count = next((at for at, turn in enumerate(messages) if turn.role not in ("system", "developer")), 0)
    return "\n\n".join(turn.text for turn in messages[:count] if turn.text) or None, messages[count:]


def items(messages: tuple[Message, ...]) -> list[Item]:
    """The input items that the turns become, in order."""
    custom = {
        call_id
        for turn in messages
        for call_id, item in _call_items(turn).items()
        if item["type"] == "custom_tool_call"
    }
    said: list[Item] = []
    for turn in messages:
        match turn.role:
            case "tool":
                said.append(_output(turn, custom))
            case "assistant":
                said += _answer(turn)
            case "user" | "system" | "developer":
                said += _question(turn)
    return said


def holds_thought(message: Message) -> bool:
    """Whether the turn holds a reasoning item. Raises `cannot` for one that is no JSON."""
    pieces = (part.opaque for part in message.parts if part.opaque is not None)
    return any(piece.kind == "reasoning" and opaque_object(piece) is not None for piece in pieces)


def tool(tool: Tool) -> Item:
    """A function that the model may call; its description may be left out."""
    said: Item = {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": False}
    if tool.description:
        said["description"] = tool.description
    return said


def tool_choice(choice: str | None) -> str | Item | None:
    """One of the API's words, or a function."""
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "name": choice}


def reasoning(effort: Effort | None, summary: str | None) -> Item | None:
    """How long to think, and how much to tell of it."""
    if effort is None:
        return None
    return {"effort": effort} if summary is None or effort == "none" else {"effort": effort, "summary": summary}


def text(wanted: ResponseFormat | None) -> Item | None:
    """The form of the answer."""
    if wanted is None:
        return None
    if wanted.json_schema is None:
        return {"format": {"type": "json_object"}}
    return {
        "format": {
            "type": "json_schema",
            "name": wanted.name,
            "schema": wanted.json_schema,
            "strict": wanted.strict,
        }
    }


# -- turns ----------------------------------------------------------------------------------------------------------


def _question(turn: Message) -> list[Item]:
    """What is told to the model: a message, and the items between which its pieces stand, if there are any."""
    said: list[Item] = []
    content: list[Item] = []
    for part in turn.pieces():
        if part.opaque is None:
            content.append(_content(part))
        elif (item := _item(part, {})) is not None:
            said += _message(turn, content)
            said.append(item)
            content = []
    return (
        [*said, *_message(turn, content)] if content or turn.parts else [{"role": turn.role, "content": turn.content}]
    )


def _message(turn: Message, content: list[Item]) -> list[Item]:
    """One message; its text alone if that is all."""
    if not content:
        return []
    only = content[0]
    plain = len(content) == 1 and only["type"] == "input_text"
    return [{"role": turn.role, "content": only["text"] if plain else content}]


def _answer(turn: Message) -> list[Item]:
    """What the model said: messages, calls and other items in their order.

    Text is `output_text` in a message without the id that it had: it is the only form that llama.cpp takes beside
    OpenAI. Text that pieces cut which are no items is joined; a `phase` ends the message that it belongs to.
    """
    said: list[Item] = []
    calls, spoken = _call_items(turn), ""
    thought = holds_thought(turn)
    for part in turn.pieces():
        if part.text is not None:
            spoken += part.text
            continue
        if part.reasoning is not None and not thought:
            raise cannot(
                f"{WHO} takes back no thought without its reasoning item: send the turn's Message.plain(), and ask for "
                'the items with extra={"include": ["reasoning.encrypted_content"]}'
            )
        if part.opaque is not None and part.opaque.kind == "phase":
            said += _spoken(spoken, text_of(loads(part.opaque.raw)))
            spoken = ""
            continue
        item = _item(part, calls)
        if item is not None:
            said += _spoken(spoken)
            said.append(item)
            spoken = ""
    return [*said, *_spoken(spoken)] if turn.pieces() else _spoken("", empty=True)


def _spoken(text: str, phase: str | None = None, *, empty: bool = False) -> list[Item]:
    if not text and not empty:
        return []
    content: Item = {"type": "output_text", "text": text, "annotations": []}
    said: Item = {"type": "message", "role": "assistant", "content": [content]}
    return [said if phase is None else {**said, "phase": phase}]


def _call_items(turn: Message) -> dict[str, Item]:
    """The opaque items that are calls of the turn as well, by the calls' ids."""
    asked = {call.id for call in turn.calls()}
    found: dict[str, Item] = {}
    for part in turn.parts:
        if part.opaque is not None and part.opaque.kind in CALL_ITEMS:
            item = opaque_object(part.opaque) or {}
            call_id = text_of(item.get("call_id")) or text_of(item.get("id"))
            if call_id in asked:
                found[str(call_id)] = item
    return found


def _item(part: Part, calls: dict[str, Item]) -> Item | None:
    """The item that a piece is. None for a thought in words, and for what is none."""
    if part.tool_call is not None:
        return _call(part.tool_call, calls.get(part.tool_call.id))
    return None if part.opaque is None else _opaque(part, calls)


def _call(call: RequestedCall, own: Item | None) -> Item:
    """A call of a function, or of a custom tool, whose input is no JSON. Its item has more that must go back.

    The item of a custom call is its start, so that its status does not hold.
    """
    if own is None:
        return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}
    if own["type"] == "custom_tool_call":
        return {**{name: value for name, value in own.items() if name != "status"}, "input": call.arguments}
    return _accepted({**own, "arguments": call.arguments or "{}"})


def _opaque(part: Part, calls: dict[str, Item]) -> Item | None:
    """An item of an earlier answer. What came with it but is no item does not go back.

    These are: events (`response.*`), `annotation`, `logprobs`, `incomplete_details`, and pieces of a message's content.
    """
    piece = part.opaque
    if piece is None or piece.kind in _CONTENT or piece.kind.startswith("response."):
        return None
    item = opaque_object(piece)
    if item is None:
        return None
    told = piece.kind in CALL_ITEMS and (text_of(item.get("call_id")) or text_of(item.get("id"))) in calls
    return None if told else _accepted(item)


def _accepted(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None or name not in _NOT_NULL}


def _output(turn: Message, custom: set[str]) -> Item:
    """What a tool gave."""
    call_id = answered_call(turn)
    content = [_content(part) for part in turn.pieces()]
    plain = all(part["type"] == "input_text" for part in content) and len(content) < 2
    kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": turn.text if plain else content}


def _content(part: Part) -> Item:
    if part.image is None:
        return {"type": "input_text", "text": part.text}
    return {"type": "input_image", "image_url": _url(part.image), "detail": part.image.detail or "auto"}


def _url(image: Image) -> str:
    if image.url is None:
        return f"data:{image.media_type};base64,{image.data}"
    if not image.url.startswith(("https://", "http://", "data:")):
        raise cannot(f"{WHO} fetches images by http(s) only: give the image's data and media_type instead of its url")
    return image.url
