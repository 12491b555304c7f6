"""JSON Schemas (2020-12) of the payloads, from the messages in code."""

from collections.abc import Iterator
from typing import Any

import msgspec
from valid import name_of

from rxlapce import messages as m

_DIRECTIONS = {"daemon": "client to daemon", "client": "daemon to client", "both": "both ways"}


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the schema of every message."""
    for number, (message, to) in m.TYPES.items():
        yield name_of(message), schema(number, message, to)


def schema(number: int, message: type[m.WireMessage], to: m.To) -> dict[str, Any]:
    """One message's schema, with its number and direction in `x-` members."""
    made = msgspec.json.schema(message)
    name = message.__name__
    definitions: dict[str, Any] = made["$defs"]
    body = definitions.pop(name)
    tag = m.TAGS[number]
    body["properties"] = {"type": {"const": tag}} | {k: v for k, v in body["properties"].items() if k != "type"}
    body["required"] = ["type", *(one for one in body.get("required", []) if one != "type")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "x-number": number,
        "x-direction": _DIRECTIONS[to],
        **{key: value for key, value in body.items() if key != "title"},
        **({"$defs": definitions} if definitions else {}),
    }
