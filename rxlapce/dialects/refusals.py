"""What a dialect cannot say, told before anything is sent; and the few readings of a request that dialects share."""

from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, fields
from typing import Any, Final

import msgspec

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.requests import ChatRequest, Message, RequestedCall

#: Every dialect says these.
ALWAYS_SAID: Final = frozenset({"model", "messages", "api", "extra"})


def cannot(why: str) -> ProviderError:
    """The error for a request that the dialect cannot say."""
    return ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)


def check_said(request: ChatRequest, said: AbstractSet[str], who: str) -> None:
    """Raise `cannot` unless `said` names every member of `request` that was set.

    So a member that is new to `ChatRequest` is refused by every dialect until it has learned it. `n` of 1 is what
    everybody does.
    """
    for member in fields(request):
        name, value = member.name, getattr(request, member.name)
        if name in said or name in ALWAYS_SAID or value == _default(member) or (name == "n" and value == 1):
            continue
        if name == "n":
            raise cannot(f"{who} gives one answer a request, not n={value}: ask {value} times")
        raise cannot(f"{who} takes no {name}: leave it out")


def check_cache_lives(request: ChatRequest, who: str) -> None:
    """Raise `cannot` for a mark of an hour, where `who` caches prefixes by itself and takes no word for how long."""
    if any(life == "1h" for life in request.cache_marks()):
        raise cannot(f"{who} cannot be asked to keep a cached prefix for an hour: mark it with 5m, or not at all")


def call_arguments(call: RequestedCall) -> dict[str, Any]:
    """The arguments of a call of the history as the JSON object that they must be here. Raises `cannot`."""
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise cannot(f"the arguments of tool call {call.id!r} are no JSON object: {error}") from None


def answered_call(message: Message) -> str:
    """The id of the call that a tool turn answers. Raises `cannot`."""
    if message.tool_call_id is None:
        raise cannot("a tool turn must name the call that it answers in tool_call_id")
    return message.tool_call_id


def _default(member: Field[Any]) -> object:
    return member.default_factory() if member.default_factory is not MISSING else member.default
