"""A JSON value that fits a schema: the arguments of a tool call, or an answer that must be JSON."""

import random
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rxlapce.dialects.json_values import is_object

#: A schema that holds itself is followed so deep; beyond it only what must be there is given.
_DEEPEST: Final = 12


def example(schema: Mapping[str, Any], prompt: str, chance: random.Random) -> str:
    """A JSON object (or what the schema wants) as text; strings take up the prompt's proper names in order."""
    value = _Examples(schema, prompt, chance).value(schema, "value", 0)
    return msgspec.json.encode(value).decode()


def object_example(schema: Mapping[str, Any], prompt: str, chance: random.Random) -> str:
    """The same for a schema of arguments, which are an object whatever it says."""
    text = example(schema, prompt, chance)
    return text if text.startswith("{") else "{}"


def _proper_names(prompt: str) -> list[str]:
    """Capitalised words after the first: good values for a city or a person."""
    return [name.group() for name in re.finditer(r"(?<=\s)[A-Z]\w+(?: [A-Z]\w+)*", prompt)]


class _Examples:
    """One value in the making: the common part of JSON Schema, with references within the document."""

    def __init__(self, root: Mapping[str, Any], prompt: str, chance: random.Random) -> None:
        self._root = root
        self._names = _proper_names(prompt)
        self._chance = chance

    def value(self, wanted: Any, name: str, depth: int) -> Any:
        """A value for a member that is called `name`; a schema may be `true`."""
        schema = self._resolved(wanted if is_object(wanted) else {})
        if depth > 2 * _DEEPEST:  # even what must be there holds itself: no value fits
            return None
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("enum", "examples"):
            if schema.get(listed):
                return schema[listed][0]
        for union in ("anyOf", "oneOf", "allOf"):
            if schema.get(union):
                return self.value(schema[union][-1 if depth > _DEEPEST else 0], name, depth + 1)
        kind: str | list[str] | None = schema.get("type")
        return self._of_type(kind[0] if isinstance(kind, list) else kind, schema, name, depth)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that `$ref` points to, a few references on; {} if there is none."""
        for _ in range(_DEEPEST):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            found: Any = self._root
            for step in reference.removeprefix("#").split("/")[1:]:
                found = found.get(step) if is_object(found) else None
            schema = found if is_object(found) else {}
        return {}

    def _of_type(self, kind: str | None, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match kind:
            case "object" | None:
                properties: dict[str, Any] = schema.get("properties", {})
                kept = properties if depth <= _DEEPEST else {key: properties[key] for key in schema.get("required", ())}
                return {key: self.value(member, key, depth + 1) for key, member in kept.items()}
            case "array":
                if depth > _DEEPEST:
                    return []
                item = schema.get("items", {"type": "string"})
                return [self.value(item, name, depth + 1) for _ in range(max(schema.get("minItems", 1), 1))]
            case "integer" | "number":
                low = schema.get("minimum", 1)
                return self._chance.randint(int(low), int(schema.get("maximum", low + 99)))
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._names.pop(0) if self._names else name
