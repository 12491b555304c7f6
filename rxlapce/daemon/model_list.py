"""The answer to `models`: the aliases, and what the providers list."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.messages import ModelEntry, ModelList, Models, Question, Unlisted
from rxlapce.routing.manager import ProviderManager
from rxlapce.typing import Clock

#: How long all the providers have together: an editor that opens a menu waits for it.
DEADLINE_S: Final = 10.0
#: How long a list is good for, and how long a provider is left alone that could not tell one.
KEEP_S: Final = 60.0
KEEP_FAILURE_S: Final = 5.0
#: Of one question, and of one provider's list: both words are somebody else's.
MAX_ASKED: Final = 256
MAX_LISTED: Final = 4096
MAX_MODEL_CHARS: Final = 256
MAX_MESSAGE_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class _Known:
    """What a provider said last: its models by its own names, or why it told none."""

    models: tuple[str, ...]
    failure: str | None
    until_s: float


class ModelLists:
    """Answers `models` for one manager. Never billed.

    The providers are asked at once, with `deadline_s` for all of them; one that fails, or is late, is `unlisted` and
    hides no other. A list is kept for `keep_s` seconds and a failure for `keep_failure_s`, so that however many clients
    ask, a provider is asked once: who comes while somebody asks waits for that answer. Cancelling the question closes
    its connections; the next one who waits asks then.

    Memory: of each provider at most 4,096 names of 256 characters; what is longer is left out, and told.
    """

    def __init__(
        self,
        manager: ProviderManager,
        *,
        deadline_s: float = DEADLINE_S,
        keep_s: float = KEEP_S,
        keep_failure_s: float = KEEP_FAILURE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._manager = manager
        self._deadline_s = deadline_s
        self._keep_s = keep_s
        self._keep_failure_s = keep_failure_s
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking = {name: asyncio.Lock() for name in manager.router.providers}

    async def answer(self, question: Question) -> ModelList:
        """The aliases, then each provider's models by name. Raises `ProviderError` for a question about too many."""
        wanted = question.providers if isinstance(question, Models) else None
        names = tuple(self._asking) if wanted is None else tuple(dict.fromkeys(wanted))
        if wanted is not None and len(names) > MAX_ASKED:
            why = f"{len(names)} providers were asked for, and one question is about {MAX_ASKED} at most"
            raise ProviderError(ErrorKind.BAD_REQUEST, why, phase=Phase.ADMIT)
        found = await asyncio.gather(*(self._of(name) for name in names))
        models = [
            ModelEntry(name=alias.name, asks=tuple(target.model for target in alias.targets))
            for alias in self._manager.router.aliases.values()
        ]
        unlisted: list[Unlisted] = []
        for name, known in zip(names, found, strict=True):
            models += (ModelEntry(name=f"{name}/{model}", provider=name) for model in known.models)
            if known.failure is not None:
                unlisted.append(Unlisted(provider=name[:MAX_MODEL_CHARS], message=known.failure[:MAX_MESSAGE_CHARS]))
        return ModelList(models=tuple(models), unlisted=tuple(unlisted))

    async def _of(self, name: str) -> _Known:
        """What the provider says, or said a short while ago."""
        try:
            self._manager.router.provider(name)
        except ProviderError as error:
            return _Known((), error.message, 0.0)
        try:
            async with asyncio.timeout(self._deadline_s), self._asking[name]:
                known = self._known.get(name)
                if known is None or known.until_s <= self._clock():
                    known = self._known[name] = await self._asked(name)
                return known
        except TimeoutError:
            late = _Known(
                (), f"{name} gave no list within {self._deadline_s:g} s", self._clock() + self._keep_failure_s
            )
            self._known[name] = late  # who asks began before all who wait for it, and so is the first to be late
            return late

    async def _asked(self, name: str) -> _Known:
        try:
            listed = await self._manager.list_models(name)
        except ProviderError as error:
            return _Known((), str(error), self._clock() + self._keep_failure_s)
        fit = [model for model in dict.fromkeys(listed) if len(model) <= MAX_MODEL_CHARS]
        models = tuple(sorted(fit)[:MAX_LISTED])
        left = len(set(listed)) - len(models)
        failure = f"{left} of its models are not told: too many, or too long a name" if left else None
        return _Known(models, failure, self._clock() + self._keep_s)
