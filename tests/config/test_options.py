"""Settings are read from what their dataclass says of itself: types, units, ranges, lists, and dataclasses in it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import pytest

from rxlapce.config.document import Place, Problems, read_document
from rxlapce.config.options import options_of, read_options, read_settings, required_of
from rxlapce.errors import ConfigError
from rxlapce.registry import check_ranges, option, required
from rxlapce.telemetry.settings import LogSettings, MetricsSettings, TelemetrySettings


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    from_s: float = option(1.0, help="", unit="seconds", at_least=0)
    to_s: float = option(5.0, help="", unit="seconds", above=0, at_most=60)

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.from_s > self.to_s:
            raise ValueError(f"from_s must be at most to_s, which is {self.to_s:g}, not {self.from_s:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str = required(help="what it is called")
    count: int | None = option(None, help="", at_least=1, at_most=9)
    share: float = option(0.5, help="", at_most=1)
    sizes: tuple[Size, ...] = option((), help="")
    words: tuple[str, ...] = option(("a",), help="")
    numbers: tuple[int, ...] | None = option(None, help="", at_least=0)
    ways: tuple[Literal["in", "out"], ...] = option((), help="")
    inner: Inner = field(default_factory=Inner)
    mapping: dict[str, str] = field(default_factory=dict[str, str])


def at(text: str, problems: Problems | None = None) -> Place:
    return read_document(text, "f", problems)


def told(text: str) -> list[str]:
    """All that is said to an `Outer` of this text."""
    problems = Problems()
    place = at(text, problems)
    with place.collect():
        read_options(place, Outer)
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    assert [str(problem) for problem in caught.value.problems] == str(caught.value).splitlines()
    return str(caught.value).splitlines()


def test_every_kind_of_field_is_read() -> None:
    text = (
        "{name: n, count: 9, share: -3, sizes: [small, large], words: [], numbers: [0, 7], ways: [in, in], "
        "inner: {from_s: 0, to_s: 60}}"
    )
    assert read_options(at(text), Outer) == Outer(
        name="n",
        count=9,
        share=-3.0,
        sizes=(Size.SMALL, Size.LARGE),
        words=(),
        numbers=(0, 7),
        ways=("in", "in"),
        inner=Inner(from_s=0, to_s=60),
    )


def test_what_is_left_out_has_the_default_or_what_the_base_has() -> None:
    assert read_options(at("name: n"), Outer) == Outer(name="n")
    base = Outer(name="b", count=3, inner=Inner(to_s=9))
    assert read_settings(at("inner: {from_s: 8}"), base) == Outer(name="b", count=3, inner=Inner(from_s=8, to_s=9))
    assert read_settings(at("{count: null, numbers: null}"), base) == Outer(name="b", inner=Inner(to_s=9))


def test_a_field_that_no_yaml_can_say_is_unknown() -> None:
    assert "mapping" not in options_of(Outer)
    assert told("{name: n, mapping: {}}") == [
        "f:1:11: unknown name 'mapping'; known: name, count, share, sizes, words, numbers, ways, inner"
    ]


def test_what_has_no_default_must_be_said() -> None:
    assert required_of(Outer) == {"name"}
    assert told("count: 3") == ["f:1:1: name is missing: what it is called"]
    assert len(told("{count: 3, other: 4}")) == 2


def test_what_is_nearly_said_is_not_told_as_missing_too() -> None:
    assert told("nam: n") == [
        "f:1:1: unknown name 'nam'; known: name, count, share, sizes, words, numbers, ways, inner; did you mean name?"
    ]


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        "count: 10\nsizes: [small, big, no]\ninner:\n  to_s: 61\n  from_s: x\nnumbers: [1, -1, 1.5]\nwords: a\nnme: b\n"
    )
    assert told(text) == [
        "f:1:8: count: expected a whole number from 1 to 9 or null, got 10",
        "f:2:16: sizes[1]: expected small or large, got 'big'",
        (
            "f:2:21: sizes[2]: expected small or large, got no, which YAML reads as true or false: put it in quotes "
            "if it is a text"
        ),
        "f:4:9: inner.to_s: expected a number of seconds above 0 up to 60, got 61",
        "f:5:11: inner.from_s: expected a number of seconds from 0, got 'x'",
        "f:6:14: numbers[1]: expected a whole number from 0, got -1",
        "f:6:18: numbers[2]: expected a whole number from 0, got 1.5",
        "f:7:8: words: expected a list of texts, got 'a'",
        "f:8:1: unknown name 'nme'; known: name, count, share, sizes, words, numbers, ways, inner; did you mean name?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{name: n, inner: {from_s: 7, to_s: 6}}",
            "f:1:27: inner.from_s: from_s must be at most to_s, which is 6, not 7",
        ),
        ("{name: n, inner: {to_s: 0.5}}", "f:1:25: inner.to_s: from_s must be at most to_s, which is 0.5, not 1"),
    ],
)
def test_what_values_must_be_together_is_told_at_the_first_that_was_said(text: str, expected: str) -> None:
    assert told(text) == [expected]


@pytest.mark.parametrize(
    "wrong", ["inner: {from_s: 7, to_s: x}", "inner: {from_s: 7, tos: 9}", "inner: {from_s: 7, to_s: 0}"]
)
def test_what_follows_from_a_wrong_value_is_not_told_besides(wrong: str) -> None:
    said = told(f"{{name: n, {wrong}}}")
    assert len(said) == 1
    assert "from_s must" not in said[0]


def test_without_a_gatherer_the_first_wrong_name_ends_the_reading() -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(at("{nam: 1, cnt: 2}"), Outer)
    assert str(caught.value).startswith("f:1:2: unknown name 'nam'")
    assert len(caught.value.problems) == 1


def test_wrong_values_are_all_told_even_without_a_gatherer() -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(at("{name: n, count: 0, share: 2}"), Outer)
    assert [problem.path for problem in caught.value.problems] == ["count", "share"]


def test_a_section_of_sections_is_read_by_its_type_alone() -> None:
    text = "logs: {level: debug, mib: 1}\nmetrics: {models: [openai/a, 'b/*'], listen: null}\n"
    assert read_settings(at(text), TelemetrySettings()) == TelemetrySettings(
        logs=LogSettings(level="debug", mib=1), metrics=MetricsSettings(models=("openai/a", "b/*"))
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -0.5])
def test_what_code_sets_is_held_to_the_same_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"^from_s must be from 0, not "):
        Inner(from_s=value)
    with pytest.raises(ValueError, match=r"^to_s must be above 0 up to 60, not "):
        Inner(to_s=61)
