"""The soak's picture: what stands where, and that it is one."""

import re
from xml.etree import ElementTree

import pytest

from benchmarks.soak.gauges import Gauges
from benchmarks.soak.plot import GAP, LEFT, PANEL, RIGHT, TOP, WIDTH, Sample, drawn, round_up

SVG = "{http://www.w3.org/2000/svg}"


def sample(at_s: float, **known: int) -> Sample:
    return Sample(at_s, Gauges(**{**dict.fromkeys(Gauges.__struct_fields__, 0), **known}))


def points(picture: str, number: int) -> list[tuple[float, float]]:
    """Those of the line in that panel."""
    line = list(ElementTree.fromstring(picture).iter(f"{SVG}polyline"))[number]  # noqa: S314 - made by ourselves
    numbers = [float(text) for text in re.split("[ ,]", line.attrib["points"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_line_goes_from_the_left_to_the_right_and_ends_as_high_as_its_last_value() -> None:
    picture = drawn([sample(0), sample(60, descriptors=50), sample(120, descriptors=100)])
    bottom = TOP + PANEL + GAP + PANEL
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert points(picture, 1) == [(LEFT, bottom), (middle, bottom - PANEL / 2), (WIDTH - RIGHT, bottom - PANEL)]


def test_memory_is_shown_in_mib() -> None:
    picture = drawn([sample(0, private_kib=51_200), sample(60, private_kib=102_400)])
    assert points(picture, 0) == [(LEFT, TOP + PANEL / 2), (WIDTH - RIGHT, TOP)]


def test_the_scales_have_their_units() -> None:
    picture = drawn([sample(0, requests=1), sample(1800, tokens=2_500_000, ended=12_345, requests=190, tasks=210)])
    texts = [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]  # noqa: S314 - as above
    assert "30 minutes of mixed load and faults: 12,345 attempts at providers, 2.50 million tokens" in texts
    for text in ("private memory, MiB", "open descriptors", "asyncio tasks", "minutes", "30", "200", "300"):
        assert text in texts


def test_one_sample_is_no_picture() -> None:
    with pytest.raises(ValueError, match="two samples"):
        drawn([sample(0)])


@pytest.mark.parametrize(
    ("value", "high"), [(0, 1), (1, 1), (1.01, 1.5), (64, 80), (99, 100), (100, 100), (101, 150), (0.3, 0.3)]
)
def test_a_scale_ends_a_little_above_the_highest_value(value: float, high: float) -> None:
    assert round_up(value) == pytest.approx(high)
