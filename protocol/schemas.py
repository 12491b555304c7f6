"""JSON Schemas (2020-12) of the payloads, from the messages in code."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

import msgspec
from vectors_valid import name_of

from rxlapce import messages as m
from rxlapce.requests import MAX_MODEL_CHARS

_DIRECTIONS: Final = {"daemon": "client to daemon", "client": "daemon to client", "both": "both ways"}
_MAX_INT: Final = 2**31 - 1
_MODEL: Final = {"minLength": 1, "maxLength": MAX_MODEL_CHARS}
_COMPLETION: Final[Mapping[str, Mapping[str, int]]] = {
    "model": _MODEL,
    "max_tokens": {"minimum": 1, "maximum": _MAX_INT},
    "temperature": {"minimum": 0, "maximum": 2},
    "top_p": {"minimum": 0, "maximum": 1},
}
#: What the classes check themselves, and their types do not tell. A test holds it to the classes.
BOUNDS: Final[Mapping[str, Mapping[str, Mapping[str, int]]]] = {
    "Credit": {"frames": {"minimum": 1, "maximum": 2**31}},
    "ChatStream": {"credit": {"minimum": 0, "maximum": 2**31}},
    "CompleteStream": {"credit": {"minimum": 0, "maximum": 2**31}},
    "CompletionRequest": _COMPLETION,
    "ChatRequest": {
        **_COMPLETION,
        "messages": {"minItems": 1},
        "top_k": {"minimum": 1, "maximum": _MAX_INT},
        "presence_penalty": {"minimum": -2, "maximum": 2},
        "frequency_penalty": {"minimum": -2, "maximum": 2},
        "n": {"minimum": 1, "maximum": 128},
        "reasoning_tokens": {"minimum": 0, "maximum": _MAX_INT},
    },
}


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the schema of every message."""
    for number, (message, to) in m.TYPES.items():
        yield name_of(message), schema(number, message, to)


def schema(number: int, message: type[m.WireMessage], to: m.To) -> dict[str, Any]:
    """One message's schema, with its number and direction in `x-` members."""
    made: dict[str, Any] = _told(msgspec.json.schema(message))
    definitions: dict[str, Any] = made["$defs"]
    for name, members in BOUNDS.items():
        for member, bounds in members.items() if name in definitions else ():
            definitions[name]["properties"][member] |= bounds
    name = message.__name__
    body = definitions.pop(name)
    if message is m.StreamChunk:  # the last token travels in `stream_done` alone
        body["properties"]["token"]["anyOf"].remove({"$ref": "#/$defs/Finish"})
        del definitions["Finish"], definitions["FinishKind"], definitions["ChoiceEnd"]
    members = {key: value for key, value in body["properties"].items() if key != "type"}
    body["properties"] = {"type": {"const": m.TAGS[number]}, **members}
    body["required"] = ["type", *(one for one in body.get("required", ()) if one != "type")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "x-number": number,
        "x-direction": _DIRECTIONS[to],
        **{key: value for key, value in body.items() if key != "title"},
        **({"$defs": definitions} if definitions else {}),
    }


def _told(part: Any) -> Any:
    """The same with the docstrings in the words of JSON, and without what is OpenAPI's alone."""
    if _is_array(part):
        return [_told(one) for one in part]
    if not _is_object(part):
        return part
    made = {key: _told(value) for key, value in part.items() if key != "discriminator"}
    described = made.get("description")
    if isinstance(described, str):
        made["description"] = re.sub(r"\bNone\b", "null", " ".join(inspect.cleandoc(described).split()))
    return made


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
