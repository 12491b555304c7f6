from dataclasses import fields

import pytest

from rxlapce.simulator.options import (
    FAULTS,
    SHOWCASE,
    BadOption,
    Ending,
    Fault,
    Options,
    describe,
    parse,
    split_model,
)


def test_model_suffix_and_header_have_the_same_syntax() -> None:
    expected = Options(tps=20.0, fault=Fault.CUT, after=40, finish=Ending.LENGTH)
    assert parse("tps=20,fault=cut,after=40,finish=length") == expected
    assert parse("tps=20; fault=cut;  after=40; finish=length;") == expected


def test_pairs_are_put_over_the_base() -> None:
    base = parse("tps=5,ttft=1")
    assert parse("tps=9", base) == Options(tps=9.0, ttft=1.0)
    assert parse("", base) is not None
    assert parse("", base) == base


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tsp=5", "'tsp=5' is no option: expected key=value with a key of tps, ttft, "),
        ("fault", "'fault' is no option"),
        ("fault=cuts", "fault=cuts: expected one of none, hang, reset, "),
        ("tps=fast", "tps=fast: expected a number from 0 to 1e\\+06"),
        ("tps=nan", "tps=nan: expected a number"),
        ("tokens=1.5", "tokens=1.5: expected a whole number from 0"),
        ("status=200", "status=200: expected a whole number from 400 to 599"),
        ("steady=2", "steady=2: expected a whole number from 0 to 1"),
        ("prefill=yes", "prefill=yes: expected a whole number from 0 to 1"),
        ("overlap=-1", "overlap=-1: expected a whole number from 0 to 1.04858e\\+06"),
        ("jitter=2", "jitter=2: expected a number from 0 to 1"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        parse(text)


def test_only_a_suffix_with_an_equals_sign_is_options() -> None:
    assert split_model("sim:tps=5,after=1") == ("sim", "tps=5,after=1")
    assert split_model("llama3:8b") == ("llama3:8b", "")
    assert split_model("gpt-4o") == ("gpt-4o", "")


def test_description_names_every_option_and_every_fault() -> None:
    text = describe()
    assert all(f"  {option.name} " in text for option in fields(Options))
    assert all(f"  {fault} " in text for fault in Fault)
    assert set(FAULTS) == set(Fault)


@pytest.mark.parametrize("model", SHOWCASE)
def test_every_model_of_the_showcase_can_be_asked(model: str) -> None:
    name, suffix = split_model(model)
    assert name == "sim"
    parse(suffix)
