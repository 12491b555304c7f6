"""The tables of logs.md: the events, as the code declares them."""

from collections.abc import Callable
from functools import partial
from typing import Final

from tables_markdown import table

from rxlapce.telemetry.events import ERROR, EVENTS, LINE, REQUEST, SESSION


def named(members: tuple[str, ...]) -> str:
    """Members in a cell; those of an error by one word."""
    if members[-len(ERROR) :] == ERROR:
        said = [f"`{name}`" for name in members[: -len(ERROR)]] + ["the error"]
    else:
        said = [f"`{name}`" for name in members]
    return ", ".join(said)


def events(of: str) -> str:
    """The events that belong to a request, a session, or the daemon."""
    rows = (
        (f"`{name}`", event.levels, event.meaning, named(event.members))
        for name, event in EVENTS.items()
        if event.of == of
    )
    told: str = table(("event", "level", "when", "with"), rows)
    return told


def common() -> str:
    """What lines have in common."""
    rows = (
        ("every line", named(LINE)),
        ("of a client", named(SESSION)),
        ("of a request", named(REQUEST)),
        ("of an error", ", ".join(f"`{name}`" for name in ERROR)),
    )
    told: str = table(("line", "has"), rows)
    return told


TABLES: Final[dict[str, Callable[[], str]]] = {
    "log-members": common,
    "log-request-events": partial(events, "request"),
    "log-session-events": partial(events, "session"),
    "log-daemon-events": partial(events, ""),
}
