"""The schema for editors takes every file that is right, and tells what every member is."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.config.check import problems_of
from rxlapce.config.file import SECTIONS
from rxlapce.config.keys import SCHEMES, parsed
from rxlapce.config.options import options_of
from rxlapce.config.schema import schema
from rxlapce.config.schema_paths import member, members_of, paths, words_of
from rxlapce.config.vendors import dialect_options
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.providers.compatible import DIALECTS
from rxlapce.routing.settings import HealthSettings, RoutingSettings, StreamTimeouts
from rxlapce.telemetry.settings import TelemetrySettings
from rxlapce.testing.thoroughness import examples

Errors = Callable[[str], list[str]]
ROOT = Path(__file__).parents[2]
ROOT_SCHEMA = schema()
BASE = RoutingSettings()


def configurations() -> dict[str, str]:
    """The examples, and every block of the documents that has a section of the file."""
    found = {path.name: path.read_text() for path in sorted(ROOT.glob("examples/*.yaml"))}
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)):
            if re.search(rf"^(?:{'|'.join(SECTIONS)}):", block, re.MULTILINE):
                found[f"{path.name} {number}"] = block
    return found


SHOWN = configurations()


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    from jsonschema import Draft202012Validator  # seconds to load where its formats' checkers are installed

    assert ROOT_SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(ROOT_SCHEMA)


@pytest.mark.parametrize("shown", SHOWN)
def test_every_file_that_is_shown_is_right_by_the_schema_and_by_check(shown: str, schema_errors: Errors) -> None:
    assert schema_errors(SHOWN[shown]) == []
    assert [str(problem) for problem in problems_of(SHOWN[shown], "f.yaml")] == []


def test_every_section_is_in_it_and_every_mapping_refuses_what_it_does_not_know() -> None:
    assert list(ROOT_SCHEMA["properties"]) == list(SECTIONS)

    found: list[dict[str, Any]] = []
    json.loads(json.dumps(ROOT_SCHEMA), object_hook=found.append)  # every object in it
    found = [each for each in found if each.get("type") == "object"]
    assert len(found) > 20
    assert all("additionalProperties" in each and each["additionalProperties"] is not True for each in found)


def test_every_member_says_what_it_is_for() -> None:
    untold = [path for path in paths(ROOT_SCHEMA) if not (member(ROOT_SCHEMA, path) or {}).get("description")]
    assert untold == []
    _, vendor = members_of(ROOT_SCHEMA, ROOT_SCHEMA["properties"]["providers"])
    assert vendor is not None
    assert [name for name, each in vendor["properties"].items() if not each.get("description")] == []


@pytest.mark.parametrize("section", ["timeouts", "breaker", "fallback", "health"])
def test_members_defaults_and_ranges_are_those_of_the_dataclass(section: str) -> None:
    base: StreamTimeouts | BreakerSettings | FallbackPolicy | HealthSettings = getattr(BASE, section)
    properties = ROOT_SCHEMA["properties"][section]["properties"]
    assert list(properties) == [field.name for field in fields(base)]
    for name, option in options_of(type(base)).items():
        each = properties[name]
        assert each["default"] == getattr(base, name)
        assert each.get("exclusiveMinimum") == option.told.above
        assert each.get("minimum") == option.told.at_least
        assert each.get("maximum") == option.told.at_most


def test_dataclasses_within_dataclasses_are_mappings() -> None:
    properties = ROOT_SCHEMA["properties"]["telemetry"]["properties"]
    assert list(properties) == [field.name for field in fields(TelemetrySettings)]
    assert properties["metrics"]["properties"]["models"]["items"] == {"type": "string"}
    assert properties["metrics"]["properties"]["models"]["default"] == []


def test_every_option_of_every_dialect_is_one_of_a_vendor() -> None:
    _, vendor = members_of(ROOT_SCHEMA, ROOT_SCHEMA["properties"]["providers"])
    assert vendor is not None
    assert {name for api in DIALECTS for name in dialect_options(api)} <= vendor["properties"].keys()


REFERENCES = ("env:KEY", "env:1", "file:/a", "file:a", "exec:pass show x", "exec: ", "vault:a/b", "vault:a", "cred:x",
              "keyring:a/b c", "KEY", "", "http:x", "vault:a/b/c")  # fmt: skip


@pytest.mark.parametrize("said", REFERENCES)
def test_a_reference_is_one_by_the_schema_where_it_is_one_by_check(said: str, schema_errors: Errors) -> None:
    text = yaml.safe_dump({"providers": {"a": {"base_url": "http://h/v1", "key": said}}})
    assert (schema_errors(text) == []) == (parsed(said) is not None) == (problems_of(text, "f") == ())


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from([*SCHEMES, "x"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x85\u2028\u2029"), max_size=6),
)
def test_any_reference_that_is_one_is_one_by_the_schema_too(scheme: str, rest: str) -> None:
    pattern = ROOT_SCHEMA["$defs"]["reference"]["pattern"]
    if parsed(f"{scheme}:{rest}") is not None:
        assert re.search(pattern, f"{scheme}:{rest}")


WORDS = {
    "retry.max_attempts": "whole number of attempts from 1",
    "timeouts.idle_s": "number of seconds above 0 or null",
    "fallback.after_commit": "fail or continue or restart",
    "models.x.ask": "list, each PROVIDER/MODEL or mapping",
    "limits.users": "by name, each quota",
    "limits.users.ada": "quota",
    "providers.groq.apis": "list, each chat_completions or responses or completions",
    "providers.openai.key": "reference",
    "telemetry.metrics.models": "list, each text",
    "health.enabled": "true or false",
}


@pytest.mark.parametrize("path", WORDS)
def test_what_may_stand_somewhere_is_told_in_words(path: str) -> None:
    at = member(ROOT_SCHEMA, path)
    assert at is not None
    assert words_of(ROOT_SCHEMA, at) == WORDS[path]


@pytest.mark.parametrize("path", ["", ".", "retry.", "retry..budget", "xyzzy", "retry.budget.floor.x", "models.x.y"])
def test_nothing_stands_at_a_path_that_there_is_not(path: str) -> None:
    assert member(ROOT_SCHEMA, path) is None
