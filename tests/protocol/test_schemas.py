"""The schemas of the wire protocol take what the vectors show, and refuse what our decoder refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeGuard

import pytest

from rxlapce.codec.frame import HEADER_BYTES
from rxlapce.errors import BadPayload
from rxlapce.messages import TYPES, decode

PROTOCOL: Final = Path(__file__).parents[2] / "protocol"
VECTORS: Final = PROTOCOL / "vectors"
SCHEMAS: Final[dict[int, dict[str, Any]]] = {
    schema["x-number"]: schema
    for file in (PROTOCOL / "schema").glob("*.json")
    for schema in [json.loads(file.read_text())]
}
_ANNOTATIONS: Final = frozenset({"$schema", "$defs", "title", "description", "default", "x-number", "x-direction"})
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


class Schema:
    """As much of JSON Schema (2020-12) as the schemas use: a schema, and which of its members payloads had."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.seen: set[tuple[str, str]] = set()

    def members(self) -> set[tuple[str, str]]:
        """Every member of every object in it, by the object's title."""
        kinds = [self.root, *self.root.get("$defs", {}).values()]
        return {(kind["title"], name) for kind in kinds for name in kind.get("properties", {})}

    def problems(self, value: Any, schema: Any = None, path: str = "$") -> Iterator[str]:
        """What is wrong with a value. Raises `KeyError` for a keyword that is not known here."""
        schema = self.root if schema is None else schema
        for keyword, rule in schema.items():
            if keyword not in _ANNOTATIONS:
                yield from getattr(self, _CHECKS[keyword])(value, rule, path, schema)

    def _ref(self, value: Any, rule: str, path: str, _: Any) -> Iterator[str]:
        yield from self.problems(value, self.root["$defs"][rule.removeprefix("#/$defs/")], path)

    def _any_of(self, value: Any, rule: list[Any], path: str, _: Any) -> Iterator[str]:
        found = [list(self.problems(value, one, path)) for one in rule]
        if all(found):
            yield f"{path}: none of {len(rule)}: {found}"

    def _type(self, value: Any, rule: str, path: str, _: Any) -> Iterator[str]:
        if not isinstance(value, _TYPES[rule]) or (isinstance(value, bool) and rule != "boolean"):
            yield f"{path}: no {rule}"

    def _properties(self, value: Any, rule: dict[str, Any], path: str, schema: Any) -> Iterator[str]:
        if is_object(value):
            for name in value.keys() & rule.keys():
                self.seen.add((schema["title"], name))
                yield from self.problems(value[name], rule[name], f"{path}.{name}")

    def _additional(self, value: Any, rule: Any, path: str, schema: Any) -> Iterator[str]:
        if is_object(value):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from self.problems(value[name], rule, f"{path}.{name}")

    def _required(self, value: Any, rule: list[str], path: str, _: Any) -> Iterator[str]:
        if is_object(value):
            yield from (f"{path}: no member {name}" for name in rule if name not in value)

    def _items(self, value: Any, rule: Any, path: str, _: Any) -> Iterator[str]:
        if is_array(value):
            for at, one in enumerate(value):
                yield from self.problems(one, rule, f"{path}[{at}]")

    def _enum(self, value: Any, rule: list[Any], path: str, _: Any) -> Iterator[str]:
        if value not in rule:
            yield f"{path}: none of {rule}"

    def _const(self, value: Any, rule: Any, path: str, _: Any) -> Iterator[str]:
        if value != rule:
            yield f"{path}: not {rule!r}"

    def _bounds(self, value: Any, _: Any, path: str, schema: Any) -> Iterator[str]:
        size: float | None = None
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(value, int | float) and not isinstance(value, bool):
            size = value
        elif isinstance(value, str):
            size, low, high = len(value), schema.get("minLength"), schema.get("maxLength")
        elif is_array(value):
            size, low, high = len(value), schema.get("minItems"), None
        if size is not None and not (size if low is None else low) <= size <= (size if high is None else high):
            yield f"{path}: {size} is not from {low} to {high}"


_CHECKS: Final = {
    "$ref": "_ref",
    "anyOf": "_any_of",
    "type": "_type",
    "properties": "_properties",
    "additionalProperties": "_additional",
    "required": "_required",
    "items": "_items",
    "enum": "_enum",
    "const": "_const",
    "minimum": "_bounds",
    "maximum": "_bounds",
    "minLength": "_bounds",
    "maxLength": "_bounds",
    "minItems": "_bounds",
}


def shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every frame of the valid vectors."""
    for file in sorted((VECTORS / "valid").glob("*.json")):
        for frame in json.loads(file.read_text()):
            yield file.stem, frame


def test_there_is_a_schema_for_each_message_type_with_its_direction() -> None:
    directions = {"daemon": "client to daemon", "client": "daemon to client", "both": "both ways"}
    assert {number: schema["x-direction"] for number, schema in SCHEMAS.items()} == {
        number: directions[to] for number, (_, to) in TYPES.items()
    }
    assert {number: schema["title"] for number, schema in SCHEMAS.items()} == {
        number: message.__name__ for number, (message, _) in TYPES.items()
    }


def test_valid_vectors_are_as_the_schemas_say_and_show_every_member() -> None:
    schemas = {number: Schema(root) for number, root in SCHEMAS.items()}
    for name, frame in shown():
        assert list(schemas[frame["type"]].problems(frame["payload"])) == [], name
    for schema in schemas.values():
        assert schema.members() - schema.seen == set(), schema.root["title"]


def no_constants(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def refused() -> list[str]:
    """The vectors of refused payloads that are JSON all the same."""
    found: list[str] = []
    for file in sorted((VECTORS / "invalid").glob("*-payload-*.bin")):
        try:
            told = json.loads(file.read_bytes()[HEADER_BYTES:].decode(), parse_constant=no_constants)
        except (ValueError, RecursionError):
            continue
        said = json.dumps(told, ensure_ascii=False)
        if "Infinity" not in said and said.isascii() and "\\u" not in said:
            found.append(file.stem)
    return found


def test_payloads_that_are_json_but_no_message_are_not_as_the_schemas_say() -> None:
    names = refused()
    assert len(names) > 40
    for name in names:
        data = (VECTORS / "invalid" / f"{name}.bin").read_bytes()
        number = int.from_bytes(data[6:8], "little")
        assert list(Schema(SCHEMAS[number]).problems(json.loads(data[HEADER_BYTES:]))) != [], name


REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "ChatRequest": {"model": "a/b", "messages": [{"role": "user", "content": "Hi"}]},
    "CompletionRequest": {"model": "a/b", "prompt": "Hi"},
}


def bounded() -> Iterator[tuple[int, str, str, str, int]]:
    """Number of the message, object, member, keyword and value of each bound."""
    for number, schema in SCHEMAS.items():
        for kind in (schema, *schema.get("$defs", {}).values()):
            for member, told in kind.get("properties", {}).items():
                for keyword in sorted(told.keys() & {"minimum", "maximum", "minLength", "maxLength", "minItems"}):
                    yield number, kind["title"], member, keyword, told[keyword]


def at_bound(number: int, kind: str, member: str, keyword: str, value: int) -> bytes:
    """A message whose member is so large, or so long."""
    given: Any = value
    if keyword.endswith("Length"):
        given = "x" * value
    elif keyword == "minItems":
        given = REQUESTS["ChatRequest"]["messages"] * value
    properties = SCHEMAS[number]["properties"]
    of_request = properties.get("request", {}).get("$ref", "").removeprefix("#/$defs/")
    message: dict[str, Any] = {"type": properties["type"]["const"], "request": dict(REQUESTS.get(of_request, {}))}
    (message["request"] if kind == of_request else message)[member] = given
    return json.dumps(message).encode()


def test_bounds_of_the_schemas_are_those_of_the_code() -> None:
    found = list(bounded())
    assert len(found) > 50
    for number, kind, member, keyword, bound in found:
        past = bound + (1 if keyword.startswith("max") else -1)
        decode(number, at_bound(number, kind, member, keyword, bound), receiver="daemon")
        with pytest.raises(BadPayload):
            decode(number, at_bound(number, kind, member, keyword, past), receiver="daemon")
