"""Numbers and flags of the file: what is plainly written is read, and YAML's other ways are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.config.document import Place, read_document
from rxlapce.errors import ConfigError


def at(said: str) -> Place:
    return read_document(f"x: {said}\n", "f").members()["x"]


@pytest.mark.parametrize(("said", "value"), [("0", 0), ("5", 5), ("-5", -5), ("+5", 5), ("9" * 15, 10**15 - 1)])
def test_whole_numbers_are_read(said: str, value: int) -> None:
    assert at(said).integer() == value
    assert at(said).number() == value
    assert isinstance(at(said).number(), float)


@pytest.mark.parametrize(("said", "value"), [("0.5", 0.5), (".5", 0.5), ("5.0", 5), ("1.5e+3", 1500), ("-0.25", -0.25)])
def test_numbers_are_read(said: str, value: float) -> None:
    assert at(said).number() == value


#: What stands there -> what is said to have come, where a number is expected.
NO_NUMBERS = {
    "1_000": "1_000, which YAML reads as 1000: write that if it is meant",
    "010": "010, which YAML reads as 8: write that if it is meant",
    "0x10": "0x10, which YAML reads as 16: write that if it is meant",
    "0b11": "0b11, which YAML reads as 3: write that if it is meant",
    "1:30": "1:30, which YAML reads as 90: write that if it is meant",
    "1:30.5": "1:30.5, which YAML reads as 90.5: write that if it is meant",
    "09.5": "09.5, which YAML reads as 9.5: write that if it is meant",
    "1_0.5": "1_0.5, which YAML reads as 10.5: write that if it is meant",
    "1e3": "'1e3', which YAML reads as a text: write 1000",
    "'5'": "'5'",
    "'1e3'": "'1e3'",
    "08": "'08'",
    "٣": "'٣'",
    "inf": "'inf'",
    ".inf": ".inf",
    "-.INF": "-.INF",
    ".nan": ".nan",
    "1.0e+999": "1.0e+999",
    "yes": "yes",
    "2026-11-22": "2026-11-22",
    "null": "null",
    "": "nothing",
    "[1]": "a list",
    "{}": "a mapping",
    "!!int abc": "abc",
    "!x 5": "a value with the tag '!x'",
}


@pytest.mark.parametrize("said", NO_NUMBERS)
def test_what_is_not_plainly_a_number_is_told_as_yaml_reads_it(said: str) -> None:
    for read, expected in ((Place.integer, "a whole number"), (Place.number, "a number")):
        with pytest.raises(ConfigError) as caught:
            read(at(said))
        assert str(caught.value).endswith(f": x: expected {expected}, got {NO_NUMBERS[said]}")


@pytest.mark.parametrize("said", ["5.0", "0.5", "1.5e+3"])
def test_a_fraction_is_no_whole_number(said: str) -> None:
    with pytest.raises(ConfigError, match=rf"f:1:4: x: expected a whole number or null, got {said[:3]}"):
        at(said).integer(also="null")


def test_a_number_of_thousands_of_digits_is_refused_in_short() -> None:
    with pytest.raises(ConfigError, match=r"expected a number, of at most 15 digits, got 9{60}\.\.\.$"):
        at("9" * 5000).number()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_can_be_written_and_is_read_exactly(value: float) -> None:
    assert at(f"{value:.17e}").number() == value  # YAML 1.1 takes an exponent only after a dot and with a sign


@pytest.mark.parametrize("said", ["yes", "on", "True", "1", "'true'", "~"])
def test_only_two_words_are_flags(said: str) -> None:
    with pytest.raises(ConfigError, match="expected true or false or null, got "):
        at(said).flag(also="null")
