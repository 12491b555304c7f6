"""`rxlapce explain NAME`: what a stage, a sink or a member of the file is, takes and gives."""

import difflib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import click

from rxlapce.cli.screen import printable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from rxlapce.config.catalog import Entry
    from rxlapce.registry import Kind


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem  # only while completing

    return [CompletionItem(name) for name in _names() if name.startswith(incomplete)]


@click.command()
@click.argument("name", shell_complete=_complete)
def explain(name: str) -> None:
    """Say what NAME is: a stage or sink of a pipeline, or a member of the configuration such as retry.max_attempts.

    `rxlapce list` names the stages and sinks, and docs/config.md shows the whole file.
    """
    from rxlapce.config.catalog import fixed, kinds_named  # takes a quarter of a second to load
    from rxlapce.config.schema import schema
    from rxlapce.config.schema_paths import member

    root = schema()
    kinds, at = kinds_named(name), member(root, name)
    others = [entry for entry in fixed() if entry.name == name]
    if not kinds and at is None and not others:
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " `rxlapce list` names what there is."
        raise click.UsageError(f"Nothing is called {name!r}.{hint}")
    parts = [_kind(kind, root) for kind in kinds]
    parts += [_member(name, at, root)] if at is not None else []
    parts += [_entry(entry) for entry in others]
    click.echo("\n\n".join(part.rstrip("\n") for part in parts))


def _names() -> list[str]:
    from rxlapce.config.catalog import catalog  # as above
    from rxlapce.config.schema import schema
    from rxlapce.config.schema_paths import paths

    return [*dict.fromkeys((*(entry.name for entry in catalog()), *paths(schema())))]


def _entry(entry: "Entry") -> str:
    """A provider, a dialect or a transport."""
    formatter = click.HelpFormatter()
    formatter.write_text(printable(f"{entry.name}, a {entry.group.removesuffix('s')}: {entry.summary}"))
    if entry.configured_by:
        with formatter.section("Configured by"):
            formatter.write_text(" or ".join(entry.configured_by))
    return formatter.getvalue()


def _kind(kind: "Kind[Any]", root: dict[str, Any]) -> str:
    """A stage or a sink."""
    from rxlapce.config.schema import options_schema  # as above

    formatter = click.HelpFormatter()
    what = f"a sink, takes {kind.takes}" if kind.gives is None else f"a stage, {kind.takes} -> {kind.gives}"
    before = ", before fallback" if kind.scope in ("attempt", "leg") and kind.name != "fallback" else ""
    once = ", at most once in a pipeline" if kind.once else ""
    formatter.write_text(printable(f"{kind.name}: {what}{before}{once}"))
    formatter.write_paragraph()
    formatter.write_text(printable(f"{kind.summary.removesuffix('.')}."))
    if kind.bound:
        with formatter.section("Holds"):
            formatter.write_text(printable(kind.bound))
    options = options_schema(kind.options)
    if options["properties"]:
        with formatter.section("Options"):
            formatter.write_dl(_lines(options["properties"], root, options.get("required", ())))
    if kind.example:
        with formatter.section("Example"):
            formatter.write("".join(f"  {line}\n" for line in kind.example.splitlines()))
    return formatter.getvalue()


def _member(path: str, at: dict[str, Any], root: dict[str, Any]) -> str:
    """A member of the file, and those below it."""
    from rxlapce.config.schema_paths import meaning_of, members_of, required_at, words_of  # as above

    formatter = click.HelpFormatter()
    said = meaning_of(at)
    formatter.write_text(printable(f"{path}: {said}" if said else path))
    named, each = members_of(root, at)
    if not named and each is None:
        with formatter.section("Takes"):
            formatter.write_text(_takes(at, words_of(root, at)))
    if named:
        with formatter.section("Members"):
            formatter.write_dl(_lines(named, root, required_at(root, at)))
    if each is not None:
        below, _ = members_of(root, each)
        with formatter.section("By name, each"):
            lines = _lines(below, root, required_at(root, each))
            formatter.write_dl(lines) if below else formatter.write_text(words_of(root, each))
    return formatter.getvalue()


def _lines(
    members: Mapping[str, dict[str, Any]], root: dict[str, Any], required: Collection[str] = ()
) -> list[tuple[str, str]]:
    from rxlapce.config.schema_paths import meaning_of, words_of  # as above

    lines: list[tuple[str, str]] = []
    for name, each in members.items():
        takes = _takes(each, words_of(root, each)) + ("; required" if name in required else "")
        lines.append((name, printable(f"{meaning_of(each)} [{takes}]".strip())))
    return lines


def _takes(at: Mapping[str, Any], words: str) -> str:
    if "default" not in at:
        return words
    default = at["default"]
    return f"{words}; default: {f'{default:.15g}' if isinstance(default, float) else json.dumps(default)}"
