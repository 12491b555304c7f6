"""The tables of bridge.md: what an editor's UI and its bridge say to each other."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from tables_markdown import summary, table
from tables_protocol import default_of, wire_type

from rxlapce.bridge import bridge, stdio
from rxlapce.bridge.camel import camel
from rxlapce.bridge.messages import (
    INBOUND,
    MAX_ID,
    OUTBOUND,
    ConnectionState,
    ProviderChatStream,
    UiMessage,
    encode,
)
from rxlapce.bridge.states import TRANSITIONS, Event
from rxlapce.messages import NUMBERS, ChatResponse, CompleteResponse
from rxlapce.requests import ChatRequest, Message
from rxlapce.status import StatusReport

#: What stands in docs/protocol.md.
_THERE = "protocol.md"
#: Messages of the protocol's that stand inside one of the bridge's, with their headings.
_CONTROL: Mapping[Any, str] = {
    kind: f"{kind.tag}-{NUMBERS[kind]:#06x}" for kind in (ChatResponse, CompleteResponse, StatusReport)
}


def _messages(kinds: Iterable[type[UiMessage]]) -> str:
    return table(
        ("`method`", "`params`", "meaning"), ((f"`{kind.method}`", _members(kind), summary(kind)) for kind in kinds)
    )


def _members(kind: type[Any]) -> str:
    """Each member with its type, and its default where it may be left out."""
    hints = typing.get_type_hints(kind)
    parts: list[str] = []
    for one in dataclasses.fields(kind):
        default = default_of(one.default, one.default_factory)
        optional = "" if default == "required" else f" = {default}"
        parts.append(f"`{camel(one.name)}`: {_type(hints[one.name])}{optional}")
    return "<br>".join(parts) or "none"


def _type(hint: Any) -> str:
    if hint is ConnectionState:
        return " or ".join(f'`"{state}"`' for state in ConnectionState)
    if hint in _CONTROL:
        return f"[{hint.__name__}]({_THERE}#{_CONTROL[hint]})"
    return wire_type(hint).replace("](#", f"]({_THERE}#")


def outbound() -> str:
    """What the UI says."""
    return _messages(OUTBOUND.values())


def inbound() -> str:
    """What the bridge says."""
    return _messages(INBOUND.values())


def states() -> str:
    """Which state each event leads to."""
    events = list(Event)
    meanings = {
        Event.TRY: "somebody is there, or is being started",
        Event.UP: "the hands are shaken",
        Event.ABSENT: "nobody is there, or the handshake was not finished",
        Event.REFUSED: "it will not have us, is not to be trusted, or cannot be started",
        Event.LOST: "the connection is over, or the daemon is stopping",
    }
    rows = (
        (
            meanings[event],
            *(f"`{after}`" if (after := TRANSITIONS.get((state, event))) else "" for state in ConnectionState),
        )
        for event in events
    )
    return table(("what happens", *(f"while `{state}`" for state in ConnectionState)), rows)


def limits() -> str:
    """Every number that a UI can run into."""
    return table(
        ("what", "limit", "past it"),
        (
            ("`id`", f"{MAX_ID:,}", "refused"),
            ("a line", f"{stdio.MAX_LINE_BYTES:,} bytes", "`invalidMessage`; the line is dropped"),
            ("chunks of a stream that may come while the UI does not read", f"{stdio.WINDOW}", "the stream waits"),
            (
                "bytes that wait for a UI that does not read",
                f"{stdio.MAX_WAITING_BYTES:,} and what streams may still send",
                "nothing more is read from the UI",
            ),
            ("requests that wait for a connection", f"{bridge.MAX_WAITING}", "`providerError` of kind `network`"),
        ),
    )


def example() -> str:
    """A request as it goes over standard input."""
    messages = (Message(role="user", content="hi"),)
    asked = ProviderChatStream(id=1, request=ChatRequest(model="openai/gpt-4.1", messages=messages, max_tokens=100))
    told = msgspec.json.decode(encode(asked))
    return f"```json\n{msgspec.json.encode(_without_defaults(told)).decode()}\n```"


def _without_defaults(value: Any) -> Any:
    """A JSON value without the members that may be left out since they are empty."""
    if isinstance(value, dict):
        kept = {name: _without_defaults(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in (None, [], {}, "")}
    return [_without_defaults(inner) for inner in value] if isinstance(value, list) else value


TABLES: Mapping[str, Callable[[], str]] = {
    "bridge-outbound": outbound,
    "bridge-inbound": inbound,
    "bridge-states": states,
    "bridge-limits": limits,
    "bridge-example": example,
}
