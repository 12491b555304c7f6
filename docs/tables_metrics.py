"""The tables of metrics.md: every metric, the bounds of the histograms, and the settings."""

from collections.abc import Callable, Mapping

from tables_markdown import table

from rxlapce.registry import told_of
from rxlapce.telemetry.metrics_families import FAMILIES, Kind
from rxlapce.telemetry.settings import MetricsSettings


def metrics() -> str:
    """All of them, by the name that a query has."""
    return table(
        ("metric", "type", "labels", "meaning"),
        (
            (f"`{family.series}`", family.kind.value, ", ".join(f"`{label}`" for label in family.labels), family.help)
            for family in FAMILIES
        ),
    )


def buckets() -> str:
    """The upper bounds of the histograms' buckets."""
    return table(
        ("histogram", "upper bounds"),
        (
            (f"`{family.name}`", ", ".join(f"{bound:g}" for bound in family.bounds))
            for family in FAMILIES
            if family.kind is Kind.HISTOGRAM
        ),
    )


def settings() -> str:
    """The members of `telemetry.metrics`."""
    told, defaults = told_of(MetricsSettings), MetricsSettings()
    shown = {name: getattr(defaults, name) for name in told}
    return table(
        ("member", "default", "meaning"),
        (
            (f"`{name}`", "none" if default in (None, ()) else str(default), told[name].help)
            for name, default in shown.items()
        ),
    )


TABLES: Mapping[str, Callable[[], str]] = {"metrics": metrics, "buckets": buckets, "metrics-settings": settings}
