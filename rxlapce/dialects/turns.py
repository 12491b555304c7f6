"""A turn as dialects read it: what its role lets it hold, and what its opaque pieces stand for."""

import math
from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from rxlapce.dialects.json_values import is_object
from rxlapce.dialects.refusals import cannot
from rxlapce.requests import Message, OpaquePart, Part, Role

#: The pieces that a turn may hold, by its role. An opaque one of a user's is what answers an opaque one of the model's,
#: such as the result of a tool that is no function.
HOLDS: Final[dict[Role, frozenset[str]]] = {
    "system": frozenset({"text"}),
    "developer": frozenset({"text"}),
    "user": frozenset({"text", "image", "opaque"}),
    "assistant": frozenset({"text", "reasoning", "tool_call", "opaque"}),
    "tool": frozenset({"text", "image"}),
}

_PIECES: Final = ("text", "image", "reasoning", "tool_call", "opaque")


def _article(role: Role) -> str:
    return f"an {role}" if role == "assistant" else f"a {role}"


def check_turns(messages: tuple[Message, ...]) -> None:
    """Raise `cannot` for a turn that holds what no turn of its role says, or that answers a call without being one."""
    for turn in messages:
        if turn.tool_call_id is not None and turn.role != "tool":
            raise cannot(f"{_article(turn.role)} turn answers no tool call: leave its tool_call_id out")
        if not turn.parts and not turn.tool_calls:  # text, which all may say
            continue
        for part in turn.pieces():
            kind = kind_of(part)
            if kind not in HOLDS[turn.role]:
                raise cannot(f"{_article(turn.role)} turn cannot hold {kind.replace('_', ' ')}: leave it out")


def kind_of(part: Part) -> str:
    """The name of the one member that makes the piece."""
    return next(name for name in _PIECES if getattr(part, name) is not None)


def opaque_object(piece: OpaquePart) -> dict[str, Any] | None:
    """The object that the piece is whole: one whose `type` is its kind. None for a member or a part of something else.

    Raises `cannot` if it is no JSON.
    """
    try:
        value: Any = msgspec.json.decode(piece.raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise cannot(f"the raw of an opaque {piece.kind!r} piece is no JSON: {error}") from None
    return value if is_object(value) and value.get("type") == piece.kind else None


def encode_body(members: dict[str, Any]) -> bytes:
    """A body as JSON. Raises `cannot` for what JSON cannot hold.

    That is half a surrogate pair, a Python object in `extra`, and a number that is none or infinite.
    """
    try:
        body = msgspec.json.encode(members)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise cannot(f"the request is not to be written as JSON: {error}") from None
    if not _finite(members):  # msgspec writes them as null
        raise cannot("the request is not to be written as JSON: it holds a number that is not finite")
    return body


def _finite(value: Any) -> bool:
    """Whether all numbers are. For what has been encoded, so that it is no deeper and no cycle."""
    rest: list[Any] = [value]
    while rest:
        member = rest.pop()
        if isinstance(member, str):
            continue
        if isinstance(member, dict):
            rest.extend(cast("dict[str, Any]", member).values())
        elif isinstance(member, list | tuple):
            rest.extend(cast("Iterable[Any]", member))  # JSON's array has no type of its own
        elif isinstance(member, float) and not math.isfinite(member):
            return False
    return True
