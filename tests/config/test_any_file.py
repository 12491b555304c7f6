"""Whatever stands in a file, it is read or told; and what is right is right by the schema too."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.config.check import problems_of
from rxlapce.config.schema import Schema, schema
from rxlapce.config.schema_paths import resolved
from rxlapce.testing.thoroughness import examples

Errors = Callable[[str], list[str]]
ROOT = schema()
#: Names of the user's own, and values, of which some are right somewhere.
NAMES = ("fast", "groq", "openai", "openai/m", "editor", "default")
VALUES = st.sampled_from(
    [*NAMES, "openai/*", "env:A", "exec:'", "vault:a/b", "no", "", "x: y", "\u2028", "(", "/x", "http://h/v1",
     0, -1, 5.5, 1e300, True, None]
)  # fmt: skip
ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
)


@st.composite
def near(draw: st.DrawFn, at: Schema) -> Any:
    """Something that the schema `at` nearly takes: one value in ten is any other."""
    at = resolved(ROOT, at)
    if draw(st.integers(0, 9)) == 0:
        return draw(ANYTHING)
    for word in ("anyOf", "oneOf"):
        if word in at:
            return draw(near(draw(st.sampled_from(at[word]))))
    if "enum" in at or "const" in at:
        return draw(st.sampled_from(at.get("enum") or [at["const"]]))
    kinds: list[str] = [at["type"]] if isinstance(at["type"], str) else at["type"]
    match draw(st.sampled_from(kinds)):
        case "object":
            return draw(mapping(at))
        case "array":
            return draw(st.lists(near(at["items"]), max_size=3))
        case "integer":
            return draw(st.sampled_from([0, 1, 2, 5, 100, 4096]))
        case "number":
            return draw(st.sampled_from([0, 0.5, 1, 10]))
        case "boolean":
            return draw(st.booleans())
        case _:
            return draw(VALUES)


@st.composite
def mapping(draw: st.DrawFn, at: Schema) -> dict[str, Any]:
    properties: dict[str, Schema] = at.get("properties", {})
    most = at.get("maxProperties", 3)
    chosen = draw(st.lists(st.sampled_from(sorted(properties)), unique=True, max_size=most)) if properties else []
    found = {name: draw(near(properties[name])) for name in (*chosen, *at.get("required", ()))}
    each = at["additionalProperties"]
    own = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2)) if each else []
    return found | {name: draw(near(each)) for name in own}


@pytest.mark.heavy
@settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(near(ROOT), st.booleans())
def test_any_file_is_right_by_check_and_schema_or_has_problems_with_places(
    schema_errors: Errors, document: Any, flow: bool
) -> None:
    text = yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow)
    problems = problems_of(text, "f.yaml")
    lines = len(text.splitlines()) + 1
    assert all(1 <= problem.line <= lines and problem.column >= 1 and problem.message for problem in problems)
    assert len({str(problem) for problem in problems}) == len(problems), "told twice"
    if not problems:
        assert schema_errors(text) == []
