"""Fitting JSON into TypedDicts."""

from collections.abc import Iterable
from typing import Any, Literal, Required, TypedDict

import pytest

from rxlapce.testing.typed_dicts import misfits


class Text(TypedDict, total=False):
    type: Required[Literal["text"]]
    text: Required[str]


class Picture(TypedDict, total=False):
    type: Required[Literal["picture"]]
    size: float | None


class Body(TypedDict, total=False):
    content: Required[str | Iterable[Text | Picture]]
    labels: dict[str, str]
    stream: bool
    free: object


@pytest.mark.parametrize(
    "body",
    [
        {"content": "hi"},
        {"content": [{"type": "text", "text": "hi"}, {"type": "picture", "size": 1}], "stream": True},
        {"content": [{"type": "picture", "size": None}], "labels": {"a": "b"}, "free": {"any": [1, "x"]}},
    ],
)
def test_what_fits_has_no_misfits(body: Any) -> None:
    assert misfits(body, Body) == []


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["$: Body needs content"]),
        ({"content": "hi", "n": 1}, ["$.n: no member of Body"]),
        ({"content": "hi", "stream": 1}, ["$.stream: 1 is no bool"]),
        ({"content": "hi", "labels": {"a": 1}}, ["$.labels.a: 1 is no str"]),
        ({"content": [{"type": "text", "text": "hi", "detail": 1}]}, ["$.content[0].detail: no member of Text"]),
        ({"content": [{"type": "picture", "size": True}]}, ["$.content[0].size: True is no float"]),
        ({"content": [{"type": "text"}]}, ["$.content[0]: Text needs text"]),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(body: Any, wrong: list[str]) -> None:
    assert misfits(body, Body) == wrong
