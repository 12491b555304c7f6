"""Who has a label of their own: clients invent names of models and users, and none of them may fill a Prometheus."""

from collections.abc import Sequence
from typing import Final

from rxlapce.telemetry.settings import MetricsSettings

#: Stands for all who have none.
OTHER: Final = "other"
#: A configuration has a handful.
MAX_PROVIDERS: Final = 256
#: A name's first characters.
MAX_CHARS: Final = 128


class FirstCome:
    """The names that came first, at most `most` of them (from 0), are their own labels; the next ones are `OTHER`.

    Once given, a label stays: a count that moved from one series to another would fall.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """The label of `name`."""
        if name not in self._known:
            if len(self._known) >= self.most:
                return OTHER
            self._known.add(name)
        return name


class ModelLabels:
    """The labels of models, which are their provider and their name.

    With `patterns` (`PROVIDER/MODEL`, a `*` at the end stands for anything) only models that one of them fits have
    labels of their own, else any; at most `max_models`, first come. The others of a provider are its `other`.
    """

    def __init__(self, patterns: Sequence[str], max_models: int) -> None:
        self._exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
        self._any = not patterns
        self._models = FirstCome(max_models)
        self._providers = FirstCome(MAX_PROVIDERS)
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def of(self, provider: str, model: str) -> tuple[str, str]:
        """The two labels of a model."""
        provider, model = provider[:MAX_CHARS], model[:MAX_CHARS]
        known = self._known.get((provider, model))
        if known is not None:
            return known
        of_provider = self._providers.label(provider)
        name = f"{provider}/{model}"
        if model == OTHER or of_provider != provider or not (self._any or self.is_listed(provider, model)):
            return of_provider, OTHER
        if self._models.label(name) == OTHER:
            return of_provider, OTHER
        labels = self._known[provider, model] = (of_provider, model)
        return labels

    def is_listed(self, provider: str, model: str) -> bool:
        """Whether one of the patterns fits."""
        name = f"{provider}/{model}"
        return name in self._exact or name.startswith(self._prefixes)


def model_labels(settings: MetricsSettings) -> ModelLabels:
    """Those that the settings ask for."""
    return ModelLabels(settings.models, settings.max_models)
