"""generateContent's request: its turns, tools and settings, and the parts of an earlier answer as they came.

Source: the Gemini API's reference, "Generating content"; its guides "Thinking" and "Thought signatures", which ask to
send a whole answer back with all its parts, so that thoughts go back too, and to put each signature on the part that it
came with.
"""

from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from rxlapce.dialects.json_values import is_object, loads
from rxlapce.dialects.refusals import answered_call, call_arguments, cannot, check_cache_lives, check_said
from rxlapce.dialects.turns import check_turns
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, RequestedCall, Tool

WHO: Final = "Gemini"

#: What a request can ask of Gemini. `parallel_tool_calls` has no word: the model calls as many as it likes.
SAID: Final = frozenset(
    {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "seed",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "reasoning_tokens",
    }
)

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_LOOKS: Final = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}


class _Call(NamedTuple):
    """A call of the history: where it stands among all calls, its function, and the id that Gemini gave it."""

    place: tuple[int, int]
    name: str
    id: str | None


def body_members(request: ChatRequest, unsigned: str | None) -> dict[str, Any]:
    """The members of the body, without `extra`. Raises `cannot` as `GenerateContent.chat_body` says."""
    check_said(request, SAID, WHO)
    check_cache_lives(request, WHO)
    check_turns(request.messages)
    turns = _contents(request.messages, unsigned)
    if not turns:
        raise cannot("Gemini needs a user turn beside the system's")
    system = [turn.text for turn in request.messages if turn.role in ("system", "developer") and turn.text]
    members: dict[str, Any] = {"contents": turns}
    if system:
        members["systemInstruction"] = {"parts": [{"text": "\n\n".join(system)}]}
    if config := _generation_config(request):
        members["generationConfig"] = config
    if request.tools:
        members["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
    if request.tool_choice is not None:
        members["toolConfig"] = {"functionCallingConfig": _tool_choice(request.tool_choice)}
    return members


# -- turns ------------------------------------------------------------------------------------------------------------


def _contents(messages: tuple[Message, ...], unsigned: str | None) -> list[dict[str, Any]]:
    """The turns. Results in a row share one user turn, in the order of their calls: it pairs them where ids do not."""
    contents: list[dict[str, Any]] = []
    calls: dict[str, _Call] = {}
    spoken = (message for message in messages if message.role not in ("system", "developer"))
    for are_results, run in groupby(spoken, key=lambda message: message.role == "tool"):
        if are_results:
            results = sorted((_result(message, calls) for message in run), key=lambda result: result[0])
            contents.append({"role": "user", "parts": [part for _, part in results]})
            continue
        for message in run:
            for number, call in enumerate(message.calls()):
                calls[call.id] = _Call((len(contents), number), call.name, _given_id(call, number))
            role = "model" if message.role == "assistant" else "user"
            contents.append({"role": role, "parts": _parts(message, unsigned)})
    return contents


def _given_id(call: RequestedCall, number: int) -> str | None:
    """The call's id if Gemini gave it. Ids are optional on both sides, and Vertex AI has refused them altogether.

    `TurnBuilder` names a call that came without one by its number; that name is ours, and stays here.
    """
    return None if call.id == f"call_{number}" else call.id


def _parts(message: Message, unsigned: str | None) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []  # those of `parts` that call a function
    for piece in message.pieces():
        if piece.text:
            parts.append({"text": piece.text})
        elif piece.image is not None:
            parts.append(_image(piece.image))
        elif piece.reasoning is not None:
            signature = {} if piece.signature is None else {"thoughtSignature": piece.signature}
            parts.append({"text": piece.reasoning, "thought": True, **signature})
        elif piece.tool_call is not None:
            calls.append(_function_call(piece.tool_call, len(calls)))
            parts.append(calls[-1])
        elif piece.opaque is not None:
            _put_back(piece.opaque, parts, calls)
    if calls and unsigned is not None:
        calls[0].setdefault("thoughtSignature", unsigned)
    return parts or [{"text": ""}]


def _function_call(call: RequestedCall, number: int) -> dict[str, Any]:
    given = _given_id(call, number)
    said = {"name": call.name, "args": call_arguments(call)}
    return {"functionCall": said if given is None else {"id": given, **said}}


def _result(message: Message, calls: dict[str, _Call]) -> tuple[tuple[int, int], dict[str, Any]]:
    """The place of the call that a tool turn answers, and its `functionResponse`."""
    call = calls.get(answered_call(message))
    if call is None:
        raise cannot("a tool turn must name, in tool_call_id, a call of an earlier assistant turn")
    value = loads(message.text)
    response: dict[str, Any] = {} if call.id is None else {"id": call.id}
    response |= {"name": call.name, "response": value if is_object(value) else {"result": message.text}}
    images = [_image(part.image) for part in message.parts if part.image is not None]
    if images:
        response["parts"] = images
    return call.place, {"functionResponse": response}


def _image(image: Image) -> dict[str, Any]:
    """The file itself, or where it is. The Gemini API asks a web server for the type; Cloud Storage is not asked."""
    look = _LOOKS.get(image.detail or "auto")
    more = {} if look is None else {"mediaResolution": {"level": look}}
    if image.url is None:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}, **more}
    scheme, separator, _ = image.url.partition("://")
    if not separator or scheme.lower() not in ("https", "gs"):
        raise cannot("Gemini fetches images from https and gs URLs alone: send this one as data")
    if scheme.lower() == "gs" and image.media_type is None:
        raise cannot("Gemini needs the media_type of an image in Cloud Storage (gs://), such as image/png")
    media_type = {} if image.media_type is None else {"mimeType": image.media_type}
    return {"fileData": {"fileUri": image.url, **media_type}, **more}


# -- pieces of an earlier answer --------------------------------------------------------------------------------------


def _put_back(piece: OpaquePart, parts: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """Put a signature, or a part that has no token of its own (a picture, code, its result), where it was said.

    A part is known by having a member of the name that the decoder gave it. All else told of an answer without being
    in it, and stays out: `groundingMetadata`, `citationMetadata`, `urlContextMetadata`, `logprobsResult`,
    `safetyRatings`, `promptFeedback`, `finishMessage`, `usageMetadata`, pieces of arguments that could not be read
    (`partialArgs`), and what is told of it tomorrow.
    """
    try:
        value: Any = msgspec.json.decode(piece.raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise cannot(f"the raw of an opaque {piece.kind!r} piece is no JSON: {error}") from None
    if not is_object(value):
        return
    if piece.kind == "thought_signature":
        _sign(value, parts, calls)
    elif piece.kind in value or piece.kind == "part":
        _put_part(value, parts, calls)


def _sign(mark: dict[str, Any], parts: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """Put a signature on its part: a call by its number; else as many characters of the text before it as it came with.

    None (an older mark does not say) stands for all of that text; without any, the part holds the signature alone.
    """
    signature, number, length = mark.get("thoughtSignature"), mark.get("toolCall"), mark.get("textLength")
    if not isinstance(signature, str):
        raise cannot("an opaque 'thought_signature' piece holds no thoughtSignature: leave it out")
    if number is not None:
        if not isinstance(number, int) or not 0 <= number < len(calls):
            raise cannot(f"a thought signature is for tool call {number!r}, which does not stand before it in its turn")
        calls[number]["thoughtSignature"] = signature
        return
    before = parts[-1] if parts and parts[-1].keys() == {"text"} else None
    text: str = before["text"] if before is not None else ""
    signed = text[len(text) - length :] if isinstance(length, int) and 0 <= length <= len(text) else text
    _cut(parts, signed)
    parts.append({"text": signed, "thoughtSignature": signature})


def _put_part(part: dict[str, Any], parts: list[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    """Put a part that came whole; its text or call has had a token of its own too, and does not go twice."""
    text = part.get("text")
    if isinstance(text, str) and parts and isinstance(parts[-1].get("text"), str):
        _cut(parts, text)
    if "functionCall" in part and parts and calls and parts[-1] is calls[-1]:
        parts.pop()
        calls[-1] = part
    parts.append(part)


def _cut(parts: list[dict[str, Any]], tail: str) -> None:
    """Take `tail` from the end of the last part's text, and the part with it if nothing is left."""
    if not tail or not parts[-1]["text"].endswith(tail):
        return
    parts[-1]["text"] = parts[-1]["text"][: -len(tail)]
    if not parts[-1]["text"]:
        parts.pop()


# -- tools and settings -----------------------------------------------------------------------------------------------


def _declaration(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}


def _tool_choice(choice: str) -> dict[str, Any]:
    if choice in _MODES:
        return {"mode": _MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}


def _generation_config(request: ChatRequest) -> dict[str, Any]:
    form = request.response_format
    settings = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "candidateCount": request.n,
        "responseMimeType": None if form is None else "application/json",
        "responseJsonSchema": None if form is None else form.json_schema,
        "thinkingConfig": _thinking(request),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _thinking(request: ChatRequest) -> dict[str, Any] | None:
    """How long to think. Thoughts are told as well, but where there are none: asking for both is refused."""
    effort, tokens = request.reasoning_effort, request.reasoning_tokens
    if effort is not None and tokens is not None:
        raise cannot("Gemini takes reasoning_effort or reasoning_tokens: leave one out")
    if effort is None and tokens is None:
        return None
    if tokens == 0 or effort == "none":
        return {"thinkingBudget": 0}
    if tokens is not None:
        return {"thinkingBudget": tokens, "includeThoughts": True}
    level = _LEVELS.get(effort or "")
    if level is None:
        raise cannot(f"Gemini has no reasoning_effort {effort!r}: it has none, {', '.join(_LEVELS)}")
    return {"thinkingLevel": level, "includeThoughts": True}
