"""The file's schema, asked what may stand at a place: for who explains it and for the tables of the documents."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from rxlapce.config.schema import UNIT, Schema
from rxlapce.registry import Told

_WORDS: Final[Mapping[str, str]] = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "mapping",
}


def member(root: Schema, path: str) -> Schema | None:
    """What may stand at the dotted `path` of the file, such as `limits.providers.openai.requests`; None for nothing."""
    found: Schema | None = root if path and not path.endswith(".") else None
    rest = path
    while rest and found is not None:
        found, rest = _next(root, found, rest)
    return None if found is None else resolved(root, found)


def _next(root: Schema, at: Schema, path: str) -> tuple[Schema | None, str]:
    """One name further. A user's own name may hold dots, so that the longest known name is taken first."""
    mapping = mapping_of(root, at)
    if mapping is None:
        return None, ""
    properties: dict[str, Schema] = mapping.get("properties", {})
    known = [name for name in properties if path == name or path.startswith(f"{name}.")]
    name = max(known, key=len) if known else path.partition(".")[0]
    return properties.get(name, _each(mapping)), path[len(name) + 1 :]


def members_of(root: Schema, at: Schema) -> tuple[dict[str, Schema], Schema | None]:
    """The members by name of what may stand at `at`, and what those are whose names are the user's own."""
    mapping = mapping_of(root, at)
    if mapping is None:
        return {}, None
    each = _each(mapping)
    named = {name: resolved(root, schema) for name, schema in mapping.get("properties", {}).items()}
    return named, None if each is None else resolved(root, each)


def required_at(root: Schema, at: Schema) -> Collection[str]:
    """The members that have to be said of what may stand at `at`."""
    required: list[str] = (mapping_of(root, at) or {}).get("required", [])
    return required


def _each(mapping: Schema) -> Schema | None:
    """What the members are whose names are the user's own; None where there are none."""
    each: Schema | bool = mapping.get("additionalProperties", False)
    return each if isinstance(each, dict) else None


def paths(root: Schema, at: Schema | None = None, before: str = "") -> Iterator[str]:
    """Every path whose names are not the user's own."""
    named, _ = members_of(root, root if at is None else at)
    for name, schema in named.items():
        yield before + name
        yield from paths(root, schema, f"{before}{name}.")


def resolved(root: Schema, at: Schema) -> Schema:
    """`at` itself, or what it refers to, with what stands beside the reference."""
    name = str(at.get("$ref", "")).removeprefix("#/$defs/")
    return {**root["$defs"][name], **{word: said for word, said in at.items() if word != "$ref"}} if name else at


def mapping_of(root: Schema, at: Schema) -> Schema | None:
    """The mapping that may stand at `at`, as it, or as an item of a list; None where none may."""
    at = resolved(root, at)
    if "items" in at:
        return mapping_of(root, at["items"])
    if "anyOf" in at:
        return next((found for each in at["anyOf"] if (found := mapping_of(root, each)) is not None), None)
    return at if at.get("type") == "object" else None


def meaning_of(at: Schema) -> str:
    """What stands at `at` is for, in words; its unit is a part of `words_of`."""
    return str(at.get("description", "")).removesuffix(f" ({at.get(UNIT)})")


def words_of(root: Schema, at: Schema) -> str:
    """What may stand at `at`, in words: "whole number of tokens from 1 or null"."""
    at = resolved(root, at)
    if "title" in at:
        return str(at["title"])
    if "enum" in at:
        return " or ".join("null" if choice is None else str(choice) for choice in at["enum"])
    if "anyOf" in at:
        return " or ".join(words_of(root, each) for each in at["anyOf"])
    kinds: list[str] = [at["type"]] if isinstance(at["type"], str) else at["type"]
    said = [_WORDS[kind] for kind in kinds if kind not in ("null", "array")]
    if "array" in kinds:
        said = [f"list, each {words_of(root, at['items'])}"]
    if _each(at) is not None:
        said = [f"by name, each {words_of(root, _each(at) or {})}"]
    if UNIT in at:
        said.append(f"of {at[UNIT]}")
    told = Told(at_least=at.get("minimum"), above=at.get("exclusiveMinimum"), at_most=at.get("maximum"))
    null = ["null"] if "null" in kinds else []
    return " or ".join([" ".join(filter(None, (*said, told.range))), *null])
