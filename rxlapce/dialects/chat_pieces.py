"""Pieces of chat completions: content that is a list, what says nothing, and what has no token of its own."""

from typing import Any

from rxlapce.dialects.json_values import dumps, is_array, is_object, text_of
from rxlapce.tokens import Opaque, Reasoning, StreamToken, Text


def say_parts(parts: list[Any], choice: int, out: list[StreamToken]) -> None:
    """Mistral's content as a list: `text` parts and `thinking` parts, which hold `text` parts themselves."""
    for part in parts:
        kind = part.get("type") if is_object(part) else None
        if kind == "text" and isinstance(part.get("text"), str):
            if part["text"]:
                out.append(Text(part["text"], choice))
        elif kind == "thinking":
            inner = part.get("thinking")
            said = [p.get("text") for p in inner if is_object(p)] if is_array(inner) else [inner]
            text = "".join(piece for piece in said if isinstance(piece, str))
            signature = part.get("signature")
            if text or signature:
                out.append(Reasoning(text, text_of(signature), choice))
        else:
            out.append(opaque(kind if isinstance(kind, str) else "content", part, choice))


def says_something(value: Any) -> bool:
    """Whether there is more in it than objects without anything. Not recursive: it can be nested to any depth."""
    rest = [value]
    while rest:
        member = rest.pop()
        if is_object(member):
            rest.extend(member.values())
        elif member:
            return True
    return False


def flagged(results: Any) -> bool:
    """Whether Azure's verdicts hold more than "all clear", which it repeats in every chunk."""
    if not is_object(results):
        return False
    return any(
        is_object(verdict) and (verdict.get("filtered") or verdict.get("detected")) for verdict in results.values()
    )


def opaque(kind: str, value: Any, choice: int = 0) -> Opaque:
    """What has no token of its own, whole."""
    return Opaque(kind, dumps(value), choice)
