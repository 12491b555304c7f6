"""The metrics as a collector of prometheus-client, for a program that has a registry of its own."""

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.registry import Collector

from rxlapce.telemetry.metrics_families import FAMILIES, Buckets, Family, Labels, Reading, Value


class MetricsCollector(Collector):
    """Asks `read` for the values each time it is collected; nothing is counted for it in between.

    `REGISTRY.register(MetricsCollector(metrics.read))` adds all of a daemon's metrics to a program's own. The daemon's
    `/metrics` is written by `metrics_text` instead, which tells the same. `process` False leaves those of the process
    out, where the registry has them already, as prometheus-client's default one does. `read` is called on the thread
    that collects: that has to be the loop's.
    """

    def __init__(self, read: Callable[[], Reading], *, process: bool = True) -> None:
        self._read = read
        self._families = [family for family in FAMILIES if process or not family.name.startswith("process_")]

    def describe(self) -> Iterable[Metric]:
        """The metrics without their values: a registry asks for them to find two of one name."""
        return [_metric(family) for family in self._families]

    def collect(self) -> Iterable[Metric]:
        """The metrics with their values now; those without a series are left out."""
        rows = self._read().rows
        for family in self._families:
            if rows[family]:
                metric = _metric(family)
                for labels, value in rows[family]:
                    _add(metric, family, labels, value)
                yield metric


def _metric(family: Family) -> Metric:
    return Metric(family.name, family.help, family.kind.value, family.unit)


def _add(metric: Metric, family: Family, labels: Labels, value: Value) -> None:
    said = {name: label for name, label in zip(family.labels, labels, strict=True) if label}
    if not isinstance(value, Buckets):
        metric.add_sample(family.series, said, value)
        return
    for bound, count in zip((*family.bounds, float("inf")), value.up_to, strict=True):
        metric.add_sample(
            f"{family.name}_bucket", {**said, "le": "+Inf" if bound == float("inf") else repr(bound)}, count
        )
    metric.add_sample(f"{family.name}_sum", said, value.sum)
    metric.add_sample(f"{family.name}_count", said, value.up_to[-1])
