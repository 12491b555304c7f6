import copy
import json
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.secret import MASK, MIN_SCRUB_CHARS, Secret, scrub

VALUE = "sk-very-secret-0123456789"
SECRET = Secret(VALUE)


def test_the_value_leaves_only_by_reveal() -> None:
    assert SECRET.reveal() == VALUE


def in_list(secret: Secret) -> str:
    return str([secret])


def in_dict(secret: Secret) -> str:
    return str({"key": secret})


def in_json(secret: Secret) -> str:
    return json.dumps({"key": secret}, default=str)


SHOWS: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "format": "{}".format,
    "format !r": "{!r}".format,
    "format with a width": "{!s:>40}".format,
    "percent s": "%s".__mod__,
    "percent r": "%r".__mod__,
    "in a list": in_list,
    "in a dict": in_dict,
    "in JSON by str": in_json,
}


@pytest.mark.parametrize("show", SHOWS.values(), ids=SHOWS)
def test_no_text_shows_it(show: Callable[[Secret], str]) -> None:
    assert VALUE not in show(SECRET)
    assert MASK in show(SECRET)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps({"key": SECRET}, protocol)
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_it_is_not_copied_by_the_way_of_pickle(duplicate: Callable[[Secret], Secret]) -> None:
    with pytest.raises(TypeError):
        duplicate(SECRET)


def test_json_encoders_refuse_it() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"key": SECRET})
    assert VALUE not in str(caught.value)
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError) as refused:
            encode({"key": SECRET})
        assert VALUE not in str(refused.value)


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def use(key: Secret) -> None:
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError) as caught:
        use(SECRET)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "key = Secret" in shown
    assert VALUE not in shown


def test_it_has_no_dict_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(SECRET)


def test_equal_and_true_by_value() -> None:
    assert Secret(VALUE) == SECRET
    assert Secret("other") != SECRET
    assert SECRET != VALUE
    assert len({Secret(VALUE), SECRET, Secret("other")}) == 2
    assert bool(SECRET)
    assert not Secret("")


def test_scrub_masks_every_occurrence_of_every_secret() -> None:
    text = f"bad key {VALUE}, again {VALUE}; other-key"
    assert scrub(text, [SECRET, Secret("other-key")]) == f"bad key {MASK}, again {MASK}; {MASK}"


@pytest.mark.parametrize("value", ['pass"word\\1', "wJalr/XUtn+FEMI", "pässwörd", "k\U0001f511ey-zero", "tab\tbed-key"])
def test_scrub_masks_a_value_as_json_escapes_it(value: str) -> None:
    for shown in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value).replace("/", "\\/")):
        assert scrub(f'{{"key": {shown}}}', [Secret(value)]) == f'{{"key": "{MASK}"}}'
        assert scrub(f'{{"key": {shown[:-3]}', [Secret(value)]) == f'{{"key": "{MASK}'


def test_scrub_leaves_short_values_alone() -> None:
    short = "a" * (MIN_SCRUB_CHARS - 1)
    assert scrub(f"banana {short}", [Secret(short), Secret("")]) == f"banana {short}"


def test_scrub_masks_a_value_that_begins_as_another_does() -> None:
    assert scrub(f"{VALUE}-and-more", [SECRET, Secret(f"{VALUE}-and-more")]) == MASK


@pytest.mark.parametrize("kept", range(MIN_SCRUB_CHARS, len(VALUE)))
def test_scrub_masks_what_the_end_of_the_text_cuts_off(kept: int) -> None:
    assert scrub(f"bad key {VALUE[:kept]}", [Secret("other-key"), SECRET]) == f"bad key {MASK}"


@given(st.text(), st.text(), st.text(min_size=MIN_SCRUB_CHARS))
def test_scrub_leaves_nothing_of_a_secret(before: str, after: str, value: str) -> None:
    scrubbed = scrub(before + value + after, [Secret(value)])
    assert [part for part in scrubbed.split(MASK) if value in part] == []
