"""What is counted of requests when they have ended: by user, and what was tried on the way."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rxlapce.errors import ErrorKind
from rxlapce.telemetry import metrics_families as told
from rxlapce.telemetry.hooks import Settled
from rxlapce.telemetry.metrics_families import Buckets, Reading
from rxlapce.telemetry.metrics_labels import MAX_CHARS, FirstCome, ModelLabels, model_labels
from rxlapce.telemetry.settings import MetricsSettings
from rxlapce.tokens import Usage

#: How a request ends: whole, with an error, or left by who asked.
OUTCOMES: Final = ("completed", "failed", "disposed")
#: The counts of a `Usage`.
USAGE: Final = ("input", "cached_input", "cache_write", "output", "reasoning")


@dataclass(slots=True)
class Tried:
    """What came after attempts at a model that gave no whole answer."""

    retries: int = 0
    """The same again."""
    key_switches: int = 0
    """The same by another key."""
    fallbacks: int = 0
    """Another model."""


class RequestCounts:
    """Counts requests as they end: `settled` is an `OnSettled`. It costs some microseconds a request, and never raises.

    What came after an attempt (see `Tried`) is counted for the model of that attempt. At most `max_users` users are
    told apart. Memory: some numbers a user and a model, within their bounds.
    """

    def __init__(self, settings: MetricsSettings, models: ModelLabels | None = None) -> None:
        self.models = models or model_labels(settings)
        self._users = FirstCome(settings.max_users)
        self._requests: dict[str, dict[str, int]] = {}
        self._usage: dict[str, dict[str, int]] = {}
        self._errors = dict.fromkeys((kind.value for kind in ErrorKind), 0)
        self._tried: defaultdict[tuple[str, str], Tried] = defaultdict(Tried)
        self._durations = [0] * (len(told.DURATION_BOUNDS) + 1)
        self._duration_sum_s = 0.0

    def settled(self, settled: Settled) -> None:
        """A request has ended."""
        user = self._users.label(settled.user[:MAX_CHARS])
        requests = self._requests.setdefault(user, dict.fromkeys(OUTCOMES, 0))
        requests["failed" if settled.error_kind is not None else settled.outcome] += 1
        if settled.error_kind is not None:
            self._errors[settled.error_kind.value] += 1
        self._took(settled.took_s)
        usage = self._usage.setdefault(user, dict.fromkeys(USAGE, 0))
        for attempt in settled.attempts:
            if attempt.usage is not None:
                _add(usage, attempt.usage)
        for before, after in pairwise(settled.attempts):
            tried = self._tried[self.models.of(before.provider, before.model)]
            if (before.provider, before.model) != (after.provider, after.model):
                tried.fallbacks += 1
            elif before.key != after.key:
                tried.key_switches += 1
            else:
                tried.retries += 1

    def _took(self, took_s: float) -> None:
        place = sum(took_s > bound for bound in told.DURATION_BOUNDS)
        self._durations[place] += 1
        self._duration_sum_s += max(took_s, 0.0)

    def read_into(self, reading: Reading) -> None:
        """Tell all of it. Linear in users and models."""
        for user, outcomes in self._requests.items():
            for outcome, count in outcomes.items():
                reading.add(told.REQUESTS, count, user, outcome)
        for user, usage in self._usage.items():
            for kind, count in usage.items():
                reading.add(told.USER_TOKENS, count, user, kind)
        for kind, count in self._errors.items():
            reading.add(told.REQUEST_ERRORS, count, kind)
        reading.add(told.REQUEST_DURATION, Buckets(cumulative(self._durations), self._duration_sum_s))

    def tried(self, provider: str, model: str) -> Tried:
        """What came after attempts at a model, by its labels."""
        return self._tried.get((provider, model), Tried())


def cumulative(counts: list[int]) -> list[int]:
    """The counts of a histogram's buckets as those of all up to each."""
    total, up_to = 0, list[int]()
    for count in counts:
        total += count
        up_to.append(total)
    return up_to


def _add(counts: dict[str, int], usage: Usage) -> None:
    for name in USAGE:
        counts[name] += getattr(usage, name) or 0
