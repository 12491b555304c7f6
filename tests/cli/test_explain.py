"""`rxlapce explain`, `list` and `schema`: what there is to be named, as a person, a machine and an editor see it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import click
import pytest
from click.shell_completion import BashComplete

from rxlapce.cli.main import cli
from rxlapce.config import catalog
from rxlapce.config.schema import schema
from rxlapce.dialects import DIALECTS
from rxlapce.pipeline.kinds import SINKS, STAGES
from rxlapce.providers import SPECS
from rxlapce.registry import Kind, Scope, Shape, option, required


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class CensorOptions:
    words: tuple[str, ...] = required(help="what nobody shall read")
    held: int = option(64, help="so much is held back", unit="characters", at_least=1, at_most=4096)
    wait_s: float = option(2.0, help="the longest wait", unit="seconds", above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    """A stage without any."""


def made(**options: Any) -> Kind[Any]:
    return Kind(summary="Leaves words out.", takes=Shape.TOKENS, make=print, **options)


CENSOR = made(
    name="censor",
    gives=Shape.TOKENS,
    options=CensorOptions,
    scope=Scope.LEG,
    bound="`held` characters; then it fails",
    example="censor: {words: [no]}\ncensor: {words: []}",
)


@pytest.fixture
def censor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage and a sink of a third party; both have one name."""
    monkeypatch.setattr(catalog, "stages", lambda: {"censor": CENSOR})
    monkeypatch.setattr(catalog, "sinks", lambda: {"censor": made(name="censor", gives=None, options=NoOptions)})


@pytest.mark.usefixtures("censor")
def test_a_stage_and_a_sink_are_explained_whole(command: Command) -> None:
    done = command("explain", "censor")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "censor: a stage, tokens -> tokens, before fallback\n"
        "\n"
        "Leaves words out.\n"
        "\n"
        "Holds:\n"
        "  `held` characters; then it fails\n"
        "\n"
        "Options:\n"
        "  words   what nobody shall read [list, each text; required]\n"
        "  held    so much is held back [whole number of characters from 1 to 4096;\n"
        "          default: 64]\n"
        "  wait_s  the longest wait [number of seconds above 0; default: 2]\n"
        "\n"
        "Example:\n"
        "  censor: {words: [no]}\n"
        "  censor: {words: []}\n"
        "\n"
        "censor: a sink, takes tokens\n"
        "\n"
        "Leaves words out.\n"
    )


@pytest.mark.parametrize("name", sorted({*STAGES, *SINKS}))
def test_every_stage_and_sink_says_what_it_and_each_of_its_options_is(command: Command, name: str) -> None:
    out = command("explain", name).out
    kinds = [kinds[name] for kinds in (STAGES, SINKS) if name in kinds]
    parts = re.split(rf"^(?={name}: a )", out, flags=re.MULTILINE)[1:]
    assert len(parts) == len(kinds)
    for kind, part in zip(kinds, parts, strict=True):
        assert part.startswith(f"{name}: a sink, takes " if kind.gives is None else f"{name}: a stage, ")
        assert all(f"  {line}\n" in part for line in kind.example.splitlines())
        options = part.partition("Options:\n")[2].partition("\n\n")[0]
        for option_name in kind.options.__dataclass_fields__:
            said = options.partition(f"  {option_name} ")[2].strip()
            assert said, option_name
            assert not said.startswith("["), f"{option_name} has no meaning"


MEMBERS = {
    "retry.max_attempts": (
        "retry.max_attempts: how often a model is asked, the first time counted\n\n"
        "Takes:\n  whole number of attempts from 1; default: 3\n"
    ),
    "fallback.after_commit": (
        "fallback.after_commit: what becomes of an answer that breaks off when a part\n"
        "of it has been seen\n\n"
        'Takes:\n  fail or continue or restart; default: "fail"\n'
    ),
    "timeouts.total_s": (
        "timeouts.total_s: until the end of the answer\n\nTakes:\n  number of seconds above 0 or null; default: null\n"
    ),
    "limits.providers.openai.requests": (
        "limits.providers.openai.requests: so many requests a minute\n\n"
        "Takes:\n  whole number of requests from 1 or null; default: null\n"
    ),
    "retry.budget": (
        "retry.budget: retries of all requests together\n\n"
        "Members:\n"
        "  fraction  retries of all requests together, as a share of the requests of\n"
        "            the window [number from 0 to 1; default: 0.2]\n"
        "  floor     so many retries besides [whole number of retries from 0; default:\n"
        "            10]\n"
        "  window_s  the window [number of seconds above 0; default: 60]\n"
    ),
}


@pytest.mark.parametrize("path", MEMBERS)
def test_a_member_of_the_file_is_explained_with_what_it_takes(command: Command, path: str) -> None:
    assert command("explain", path).out == MEMBERS[path]


def test_names_of_the_user_s_own_may_hold_dots_at_the_end_alone(command: Command) -> None:
    assert command("explain", "models.fast.ask").out.startswith("models.fast.ask: whom to ask")
    assert command("explain", "models.gpt-4.1.ask").code == 2


@pytest.mark.parametrize("section", list(schema()["properties"]))
def test_every_section_is_explained_by_all_its_members(command: Command, section: str) -> None:
    out = command("explain", section).out
    assert out.startswith(f"{section}: ")
    for name in schema()["properties"][section].get("properties", {}):
        assert f"\n  {name} " in out


UNKNOWN = {
    "retr.max_attempts": "Did you mean 'retry.max_attempts'?",
    "retry.max_atempts": "Did you mean 'retry.max_attempts'?",
    "redct": "Did you mean 'redact'?",
    "anthropi": "Did you mean 'anthropic'?",
    "retry.max_attempts.more": "Did you mean 'retry.max_attempts'?",
    "xyzzy": "`rxlapce list` names what there is.",
    "": "`rxlapce list` names what there is.",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_is_a_misuse_with_the_nearest_right_one(command: Command, name: str) -> None:
    done = command("explain", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == f"Error: Nothing is called {name!r}. {UNKNOWN[name]}"


def test_a_provider_is_explained_with_what_configures_it(command: Command) -> None:
    assert command("explain", "vertex").out.endswith(
        "Configured by:\n  VERTEX_PROJECT_ID or VERTEX_LOCATION or VERTEX_API_KEY\n"
    )


def test_names_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(incomplete: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", f"rxlapce explain {incomplete}")
        monkeypatch.setenv("COMP_CWORD", "2")
        lines = BashComplete(cli, {}, "rxlapce", "_RXLAPCE_COMPLETE").complete().splitlines()
        return [line.partition(",")[2] for line in lines]

    assert completed("retry.max") == ["retry.max_attempts", "retry.max_s"]
    assert completed("redac") == ["redact"]
    assert completed("xyzzy") == []


# -- list -------------------------------------------------------------------------------------------------------------


def test_everything_is_listed_group_by_group(command: Command) -> None:
    out = command("list").out
    groups = [line.rstrip(":") for line in out.splitlines() if not line.startswith(" ") and line]
    assert groups == ["Stages", "Sinks", "Providers", "Dialects", "Transports"]
    for name in (*STAGES, *SINKS, *SPECS, *DIALECTS, *catalog.TRANSPORTS):
        assert f"\n  {name}" in out


def test_json_lists_the_same_for_machines(command: Command) -> None:
    done = command("list", "--json")
    found = json.loads(done.out)
    assert [each["name"] for each in found] == [*STAGES, *SINKS, *SPECS, *DIALECTS, *catalog.TRANSPORTS]
    assert all(each["group"] and each["summary"] for each in found)
    assert len(done.out.splitlines()) == 1


@pytest.mark.usefixtures("censor")
def test_a_third_party_s_stage_is_listed_with_the_groups_that_are_asked_for(command: Command) -> None:
    assert command("list", "stages").out == "Stages:\n  censor  Leaves words out.\n"
    found = json.loads(command("list", "--json", "sinks", "transports").out)
    assert [each["group"] for each in found] == ["sinks", *["transports"] * len(catalog.TRANSPORTS)]


def test_an_unknown_group_is_a_misuse(command: Command) -> None:
    assert command("list", "stage").code == 2


def test_every_dialect_has_a_summary_of_its_own() -> None:
    said = {entry.name: entry.summary for entry in catalog.catalog() if entry.group == "dialects"}
    assert len(set(said.values())) == len(DIALECTS)
    assert all(len(summary) > 10 for summary in said.values())


# -- schema -----------------------------------------------------------------------------------------------------------


def test_the_schema_is_printed_as_json(command: Command) -> None:
    done = command("schema")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == schema()


def test_every_command_has_a_line_in_the_shell_s_completion() -> None:
    names = cli.list_commands(click.Context(cli))
    assert {"check", "schema", "explain", "list"} <= set(names)
