"""The colours are held to what their module says of them, for four kinds of eyes."""

import math
from collections.abc import Sequence
from itertools import combinations

import pytest

from rxlapce.notebook.marks import MarkKind
from rxlapce.notebook.palette import GROUND, KINDS, OUTCOMES, SPANS, as_json, tints

Matrix = tuple[tuple[float, float, float], ...]

#: Machado, Oliveira, Fernandes (2009), severity 1.0, on linear RGB.
SIGHTS: dict[str, Matrix] = {
    "common": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
#: Ottosson's Oklab: linear RGB to cone responses, and these (their cube roots) to lightness and two opponent axes.
TO_CONES: Matrix = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB: Matrix = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
#: Kinds that come in one lane; bytes, events and values each have lanes of their own.
TOKENS = [kind for kind in MarkKind if kind not in (MarkKind.BYTES, MarkKind.EVENT, MarkKind.VALUE)]
THEMES = ("light", "dark")


def times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def seen(colour: str, sight: str) -> list[float]:
    cones = times(TO_CONES, [min(1.0, max(0.0, part)) for part in times(SIGHTS[sight], linear(colour))])
    return times(TO_LAB, [max(0.0, cone) ** (1 / 3) for cone in cones])


def apart(one: str, other: str, sight: str) -> float:
    pairs = zip(seen(one, sight), seen(other, sight), strict=True)
    return math.sqrt(sum((a - b) ** 2 for a, b in pairs))


def contrast(one: str, other: str) -> float:
    low, high = sorted(
        sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other)
    )
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("sight", SIGHTS)
def test_the_kinds_of_one_lane_stay_apart_for_every_sight(sight: str, theme: str) -> None:
    near = {
        (one.value, other.value): distance
        for one, other in combinations(TOKENS, 2)
        if (distance := apart(getattr(KINDS[one], theme), getattr(KINDS[other], theme), sight)) < 0.07
    }
    assert near == {}


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_stands_out_from_its_ground(theme: str) -> None:
    ground = getattr(GROUND["ground"], theme)
    marks = {name: tint for name, tint in tints().items() if name not in GROUND}
    assert [name for name, tint in marks.items() if contrast(getattr(tint, theme), ground) < 3] == []
    written = (GROUND["ink"], GROUND["muted"])
    assert min(contrast(getattr(tint, theme), ground) for tint in written) >= 4.5


def test_every_kind_has_a_colour_and_no_two_names_are_the_same() -> None:
    assert set(KINDS) == set(MarkKind)
    assert len(tints()) == len(KINDS) + len(SPANS) + len(OUTCOMES) + len(GROUND)
    assert as_json()["text"] == {"light": KINDS[MarkKind.TEXT].light, "dark": KINDS[MarkKind.TEXT].dark}
