"""The tables of config.md: the file's sections and their members, as its schema has them."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from tables_markdown import table

from rxlapce.config.file import SECTIONS
from rxlapce.config.keys import SCHEMES
from rxlapce.config.schema import Schema, schema
from rxlapce.config.schema_paths import meaning_of, members_of, required_at, words_of

ROOT: Final = schema()
HEADINGS: Final = ("member", "takes", "default", "meaning")


def default(at: Mapping[str, Any]) -> str:
    """The default, as it stands in the file."""
    if "default" not in at:
        return ""
    value = at["default"]
    return (
        f"`{value:.15g}`" if isinstance(value, float) else f"`{value if isinstance(value, str) else json.dumps(value)}`"
    )


def rows(at: Schema, before: str = "") -> Iterator[tuple[str, str, str, str]]:
    """A line for each member, those of mappings within it after it."""
    named, each = members_of(ROOT, at)
    required = required_at(ROOT, at)
    for name, member in named.items():
        below, _ = members_of(ROOT, member)
        is_mapping = member.get("type") == "object" and below and "title" not in member
        if is_mapping:
            yield from rows(member, f"{before}{name}.")
        else:
            said = "required" if name in required else default(member)
            yield f"`{before}{name}`", words_of(ROOT, member), said, meaning_of(member)
    if each is not None and not named:
        yield from rows(each, f"{before}NAME.")


def section(name: str) -> str:
    """The table of a section."""
    return table(HEADINGS, rows(ROOT["properties"][name]))


def vendor() -> str:
    """The members of a provider that is not built in."""
    _, each = members_of(ROOT, ROOT["properties"]["providers"])
    return table(HEADINGS, rows(each or {}))


def quota() -> str:
    """The members of a quota."""
    return table(HEADINGS, rows(ROOT["$defs"]["quota"]))


def references() -> str:
    """The forms of a reference."""
    return ", ".join(f"`{form}`" for _, form in SCHEMES.values())


def sections() -> str:
    """The sections, in the order in which they are best written."""
    return table(("section", ""), ((f"[`{name}`](#{name})", said) for name, said in SECTIONS.items()))


TABLES: Mapping[str, Callable[[], str]] = {
    "config-sections": sections,
    "config-vendor": vendor,
    "config-quota": quota,
    "config-references": references,
    **{f"config-{name}": partial(section, name) for name in ROOT["properties"] if name != "providers"},
}
