"""The comparison of two clients' requests: what it finds, what a rule explains, and that no rule is idle."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.dialects.json_values import is_array, is_object
from rxlapce.testing.agreement import Rule, both, differences, disagreements, drops, headers_of, only_text, rewrites
from rxlapce.testing.recorder import Asked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_only_equal_values_are_without_differences(ours: Any, theirs: Any) -> None:
    assert list(differences(ours, ours)) == []
    assert bool(list(differences(ours, theirs))) is not same(ours, theirs)


def same(ours: Any, theirs: Any) -> bool:
    """Equal, but for the order of members, where true is not 1."""
    if is_object(ours) and is_object(theirs):
        return ours.keys() == theirs.keys() and all(same(value, theirs[name]) for name, value in ours.items())
    if is_array(ours) and is_array(theirs):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def test_a_member_that_one_side_lacks_is_told_with_its_path_and_its_side() -> None:
    ours = {"messages": [{"role": "user", "name": "a"}], "stream": True}
    theirs = {"messages": [{"role": "user"}], "stream": 1, "store": None}
    assert sorted(disagreements(ours, theirs)) == [
        "$.messages[0].name: only we send it: 'a'",
        "$.store: only they send it: None",
        "$.stream: we send True, they 1",
    ]


def test_a_rule_explains_what_it_names_and_nothing_else() -> None:
    rule = Rule(name="default", reason="false goes without saying", theirs=drops("options.*.strict", False))
    ours = {"options": [{"a": 1}, {"a": 2}]}
    assert disagreements(ours, {"options": [{"a": 1, "strict": False}, {"a": 2}]}, [rule]) == []
    (left,) = disagreements(ours, {"options": [{"a": 1, "strict": False}, {"a": 2, "strict": True}]}, [rule])
    assert left == "$.options[1].strict: only they send it: True"


def test_a_rule_that_is_not_needed_is_told() -> None:
    rule = Rule(name="default", reason="false goes without saying", theirs=drops("strict", False))
    assert disagreements({"a": 1}, {"a": 1}, [rule]) == ["the rule 'default' explains nothing here: leave it out"]


def test_rules_leave_the_bodies_as_they_came() -> None:
    ours = {"content": [{"type": "text", "text": "hi"}]}
    rule = both("one text", "a string is short for a list of one", rewrites("content", only_text()))
    assert disagreements(ours, {"content": "hi"}, [rule]) == []
    assert ours == {"content": [{"type": "text", "text": "hi"}]}


@pytest.mark.parametrize(
    "content",
    [
        "hi",
        [],
        [{"type": "text", "text": "hi"}, {"type": "text", "text": "you"}],
        [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
        [{"type": "image", "text": "hi"}],
    ],
)
def test_only_a_list_of_one_text_and_no_more_is_that_text(content: Any) -> None:
    assert only_text()(content) == content


def test_headers_mean_credentials_versions_and_the_media_type() -> None:
    headers = {
        "host": "127.0.0.1:1",
        "user-agent": "x",
        "x-stainless-lang": "python",
        "authorization": "Bearer k",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json; charset=utf-8",
        "x-new": "1",
    }
    asked = Asked("POST", "/", headers, b"{}")
    kept = {"authorization": "Bearer k", "anthropic-version": "2023-06-01", "x-new": "1"}
    assert headers_of(asked) == {**kept, "content-type": "application/json"}
    assert headers_of(Asked("GET", "/", headers, b"")) == kept
