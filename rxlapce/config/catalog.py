"""All that has a name: stages, sinks, providers, dialects and transports."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rxlapce.dialects import DIALECTS
from rxlapce.pipeline.kinds import sinks, stages
from rxlapce.providers import SPECS
from rxlapce.registry import Kind

#: How frames reach a client. Which of them is a client's choice (`handshake.transport`), not the file's.
TRANSPORTS: Final[Mapping[str, str]] = {
    "shm": "a ring in shared memory, passed over the socket: a token costs no system call",
    "socket": "the Unix socket itself: everywhere, and for clients without shared memory",
    "memory": "within one process, for tests and for those who use rxlapce as a library",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is listed: `group` is stages, sinks, providers, dialects or transports.

    `configured_by`: the variables of which one configures a provider.
    """

    group: str
    name: str
    summary: str
    configured_by: tuple[str, ...] = ()


def catalog() -> Iterator[Entry]:
    """All of them, group by group. Raises `ConfigError` for a third party's stage or sink that is none."""
    for group, kinds in (("stages", stages()), ("sinks", sinks())):
        yield from (Entry(group, kind.name, kind.summary) for kind in kinds.values())
    yield from fixed()


def fixed() -> Iterator[Entry]:
    """Those that no third party adds to: providers, dialects and transports."""
    yield from (Entry("providers", spec.name, spec.summary, spec.needs) for spec in SPECS.values())
    yield from (Entry("dialects", name, _module_line(dialect)) for name, dialect in DIALECTS.items())
    yield from (Entry("transports", name, summary) for name, summary in TRANSPORTS.items())


def kinds_named(name: str) -> list[Kind[Any]]:
    """The stage, the sink, or both that have the name."""
    return [kinds[name] for kinds in (stages(), sinks()) if name in kinds]


def _module_line(thing: Callable[..., object]) -> str:
    """The first sentence of the module that `thing` stands in."""
    said = sys.modules[thing.__module__].__doc__ or ""
    return re.split(r"[.;](?:\s|$)|\n", said)[0].replace("`", "")
