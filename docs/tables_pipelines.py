"""The tables of pipelines.md: the stages and sinks as they tell of themselves, and the options of each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from tables_markdown import table

from rxlapce.config.options import options_of
from rxlapce.config.routes import RouteSettings
from rxlapce.pipeline.kinds import SINKS, STAGES
from rxlapce.pipeline.spec import base_of
from rxlapce.registry import Kind, Scope, told_of
from rxlapce.routing.settings import RoutingSettings

#: Whose defaults stand in another document.
SECTIONS: Final[Mapping[str, str]] = {
    "stream_timeouts": "timeouts",
    "circuit_break": "breaker",
    "retry_stream": "retry",
    "fallback": "fallback",
}
STANDS: Final = {
    Scope.ATTEMPT: "before the tokens",
    Scope.LEG: "before `fallback`",
    Scope.REQUEST: "anywhere",
}


def stages() -> str:
    """All stages that are built in."""
    rows = (
        (f"`{kind.name}`", f"{kind.takes} to {kind.gives}", _stands(kind), kind.summary, kind.bound or "nothing")
        for kind in STAGES.values()
    )
    return table(("stage", "makes of", "stands", "what it does", "what it may hold"), rows)


def _stands(kind: Kind[Any]) -> str:
    where = "last" if kind.name == "buffer_with_backpressure" else STANDS[kind.scope]
    return f"{where}, once" if kind.once and kind.scope is not Scope.ATTEMPT else where


def sinks() -> str:
    """All sinks that are built in."""
    rows = ((f"`{kind.name}`", kind.summary, kind.bound) for kind in SINKS.values())
    return table(("sink", "what it is", "what may wait for it"), rows)


def options() -> str:
    """The options of all of them, but for those that are a section's."""
    return table(("of", "option", "takes", "default", "meaning"), _options())


def _options() -> Iterator[tuple[str, str, str, str, str]]:
    for group, kinds in (("", STAGES), ("sink ", SINKS)):
        for kind in kinds.values():
            if kind.name in SECTIONS:
                continue
            for name, option in options_of(kind.options).items():
                told, default = told_of(kind.options)[name], _default(kind, name)
                yield f"{group}`{kind.name}`", f"`{name}`", option.expected, default, told.help


def _default(kind: Kind[Any], name: str) -> str:
    base = base_of(kind, RoutingSettings())
    if base is None:
        value = next(each.default for each in fields(kind.options) if each.name == name)
    else:
        value = getattr(base, name)
    if value is MISSING:
        return "required"
    if isinstance(value, tuple):
        return f"`[{', '.join(str(each) for each in value)}]`"
    return "`null`" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def routes() -> str:
    """The members of a route."""
    rows = ((f"`{name}`", option.expected, told_of(RouteSettings)[name].help)
            for name, option in options_of(RouteSettings).items())  # fmt: skip
    return table(("member", "takes", "meaning"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "stages": stages,
    "sinks": sinks,
    "stage-options": options,
    "route-members": routes,
}
