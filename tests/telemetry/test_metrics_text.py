from collections.abc import Callable, Iterable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as read_text

from rxlapce.telemetry import metrics_families as told
from rxlapce.telemetry.metrics import MetricsCollector
from rxlapce.telemetry.metrics_families import FAMILIES, Buckets, Family, Kind, Reading
from rxlapce.telemetry.metrics_text import OPENMETRICS, ROWS_A_PIECE, TEXT, content_type, pieces

#: prometheus-client does not say what it takes and gives.
_read_openmetrics = cast(
    "Callable[[str], Iterable[Metric]]",
    openmetrics_parser.text_string_to_metric_families,  # pyright: ignore[reportUnknownMemberType] # as above
)
Sample = tuple[str, tuple[tuple[str, str], ...], float]


def full(models: int = 3) -> Reading:
    """Every family with some series: as many as `models` where there are labels."""
    reading = Reading()
    for number, family in enumerate(FAMILIES):
        for series in range(models if family.labels else 1):
            value = Buckets(range(len(family.bounds) + 1), 1.5) if family.bounds else number + series / 4
            if family.kind is Kind.INFO:
                value = 1
            reading.add(family, value, *(f"{label} {series}" for label in family.labels))
    return reading


def written(reading: Reading, content: str) -> str:
    return "".join(pieces(reading, content))


def samples(text: str, *, openmetrics: bool) -> set[Sample]:
    read = _read_openmetrics(text) if openmetrics else read_text(text)
    found = [sample for family in read for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items())), sample.value) for sample in found}


@pytest.mark.parametrize("content", [TEXT, OPENMETRICS])
def test_prometheus_client_reads_what_it_would_have_written(content: str) -> None:
    reading, openmetrics = full(), content == OPENMETRICS
    registry = CollectorRegistry()
    registry.register(MetricsCollector(lambda: reading))
    encode, _ = choose_encoder(content)
    theirs = encode(registry).decode()
    ours = written(reading, content)
    assert samples(ours, openmetrics=openmetrics) == samples(theirs, openmetrics=openmetrics)
    # And the same names, types, units and help.
    comments = {line for line in theirs.splitlines() if line.startswith("#")}
    assert {line for line in ours.splitlines() if line.startswith("#")} == comments


def test_a_registry_with_the_process_in_it_takes_the_rest() -> None:
    collector = MetricsCollector(full, process=False)
    assert not [metric for metric in collector.collect() if metric.name.startswith("process_")]
    assert len(list(collector.describe())) == len(FAMILIES) - 5


@pytest.mark.parametrize("content", [TEXT, OPENMETRICS])
def test_all_series_of_a_metric_stand_together_and_none_is_torn(content: str) -> None:
    reading = full(models=3 * ROWS_A_PIECE)
    lines: list[str] = []
    for piece in pieces(reading, content):
        assert piece.endswith("\n")
        assert piece.count("\n") <= max(ROWS_A_PIECE, 16 * 17)
        lines += piece.splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(described) == len(set(described)) == len(FAMILIES)


def test_nothing_is_written_of_a_metric_without_a_series() -> None:
    assert written(Reading(), TEXT) == ""
    assert written(Reading(), OPENMETRICS) == "# EOF\n"


@given(st.text(min_size=1))
def test_any_label_is_read_back_as_it_was(label: str) -> None:
    reading = Reading()
    reading.add(told.STREAMS_ACTIVE, 1, "p", label)
    for content in (TEXT, OPENMETRICS):
        text = written(reading, content)
        # A line of the format ends at a line feed, and nowhere else: not at what Python also takes for a line's end.
        (line,) = [line for line in text.split("\n") if line and not line.startswith("#")]
        said = line.removeprefix('rxlapce_streams_active{provider="p",model="').removesuffix('"} 1')
        unescaped = said.replace(r"\\", "\0\0").replace(r"\n", "\n").replace(r"\"", '"').replace("\0\0", "\\")
        if "\0" not in label:
            assert unescaped == label.encode(errors="replace").decode()


def test_half_a_surrogate_pair_does_not_break_the_answer() -> None:
    reading = Reading()
    reading.add(told.STREAMS_ACTIVE, 1, "p", "a\udc80b")
    assert 'model="a?b"' in written(reading, TEXT).encode().decode()


def test_an_empty_label_is_left_out() -> None:
    reading = Reading()
    reading.add(told.LIMIT_WAITS, 2, "rate", "user", "", "")
    assert 'rxlapce_limit_waits_total{gate="rate",scope="user"} 2\n' in written(reading, TEXT)


def test_wrong_labels_and_values_are_refused() -> None:
    reading = Reading()
    with pytest.raises(ValueError, match=r"rxlapce_streams_active has the labels"):
        reading.add(told.STREAMS_ACTIVE, 1, "p")
    reading.add(told.REQUEST_DURATION, 1.0)
    with pytest.raises(TypeError, match="is a histogram"):
        written(reading, TEXT)


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        (" Application/OpenMetrics-Text ; version=1.0.0; escaping=allow-utf-8 ", OPENMETRICS),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=x", TEXT),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0", OPENMETRICS),
        (";;;,,,=;q", TEXT),
    ],
)
def test_who_names_openmetrics_gets_it_and_all_others_get_text(accept: str, expected: str) -> None:
    assert content_type(accept) == expected


# -- the names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_the_conventions(family: Family) -> None:
    """Prometheus, "Metric and label naming"; OpenMetrics, "Metric naming"."""
    assert family.name.startswith(("rxlapce_", "process_"))
    assert family.help.endswith(".")
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
    assert not family.unit or family.name.endswith(f"_{family.unit}")
    assert (family.kind is Kind.HISTOGRAM) == bool(family.bounds)
    assert list(family.bounds) == sorted(family.bounds)
    assert "le" not in family.labels


def test_no_two_metrics_share_a_name() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) > 50
