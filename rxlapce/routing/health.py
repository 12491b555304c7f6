"""Which providers can be asked now: each is looked at every half minute, unless a request has just told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.typing import Clock

Check = Callable[[str], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


class Usability(StrEnum):
    """Whether a provider can be asked. What is not known counts as usable."""

    UNKNOWN = "unknown"
    USABLE = "usable"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one provider. `since_s`, on the monitor's clock, is when it came to stand so.

    `reason` says why it is unusable, or why it is not known; None while it is usable or was not looked at yet.
    """

    usability: Usability
    reason: str | None
    since_s: float

    @property
    def usable(self) -> bool:
        """Whether it may be asked."""
        return self.usability is not Usability.UNUSABLE


#: Is told a provider's name, how it stood, and how it stands now. Must not raise.
OnHealth = Callable[[str, Health, Health], None]

#: What a check's error says, by its kind. The rest say that the provider answers, but not whether requests will pass.
UNUSABLE: Final = frozenset(
    {
        ErrorKind.AUTH,
        ErrorKind.BILLING,
        ErrorKind.QUOTA,
        ErrorKind.OVERLOADED,
        ErrorKind.TIMEOUT,
        ErrorKind.NETWORK,
        ErrorKind.TRUNCATED,
        ErrorKind.PROTOCOL,
    }
)


class HealthMonitor:
    """Looks at `providers` by `check` every `every_s` seconds, all that are due at once, and knows what came of it.

    `check(name)` returns if the provider is well and raises `ProviderError` if not; it should cost nothing
    (`providers.discovery.check_health`). It has `timeout_s`. A provider that is unusable is looked at every
    `unusable_every_s`, so that one which is back is not left alone for long. One that has `served` a request since it
    was last due is well, and is not looked at. Times are in seconds, above 0.

    `speaking(name)` says that an answer of the provider's flows just now: it is as well as one that has served, and a
    server that is busy with it may be too slow for a check. `on_change` is called whenever a provider's usability has
    become another.

    Between `start` and `stop` (or in `async with`) it owns one task. A round begins when the one before it has ended.
    Everything else may be called at any time on the loop, and waits for nothing but `look`. Memory: one record and
    two numbers a provider.

    Raises `ValueError` for times that are not above 0.
    """

    def __init__(
        self,
        providers: Iterable[str],
        check: Check,
        *,
        every_s: float = 30.0,
        unusable_every_s: float = 10.0,
        timeout_s: float = 10.0,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        on_change: OnHealth | None = None,
        speaking: Callable[[str], bool] = lambda name: False,
    ) -> None:
        if not (every_s > 0 and unusable_every_s > 0 and timeout_s > 0):
            raise ValueError(f"times must be above 0 seconds, not {every_s}, {unusable_every_s} and {timeout_s}")
        self.check = check
        self.every_s = every_s
        self.unusable_every_s = unusable_every_s
        self.timeout_s = timeout_s
        self.clock = clock
        self.rounds = 0
        """Rounds that have ended."""
        self.checks = 0
        """Checks that have begun."""
        self.on_change = on_change
        self.speaking = speaking
        self._sleep = sleep
        now_s = clock()
        self._health = {name: Health(Usability.UNKNOWN, None, now_s) for name in providers}
        self._due_s = dict.fromkeys(self._health, now_s)
        self._served: set[str] = set()
        self._one_round = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __getitem__(self, name: str) -> Health:
        """What is known of the provider. Raises `KeyError` for one that is not looked after."""
        return self._health[name]

    def all(self) -> dict[str, Health]:
        """What is known now, by provider."""
        return dict(self._health)

    def usable(self, name: str) -> bool:
        """Whether the provider may be asked; one that is not looked after may."""
        health = self._health.get(name)
        return health is None or health.usable

    def served(self, name: str) -> None:
        """The provider has just answered a request, whole."""
        if name in self._health:
            self._served.add(name)
            self._note(name, Usability.USABLE, None)

    def start(self) -> None:
        """Begin: everybody is looked at at once. Raises `RuntimeError` if it has begun."""
        if self._task is not None:
            raise RuntimeError("the health monitor runs already")
        self._task = asyncio.get_running_loop().create_task(self._run(), name="health monitor")

    async def stop(self) -> None:
        """End the checks under way, and return when they have ended; what is known stays."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self) -> None:
        """Look at all that are due, once the round under way has ended; return when it is known how they are."""
        async with self._one_round:
            now_s = self.clock()
            due = [name for name, due_s in self._due_s.items() if due_s <= now_s]
            async with asyncio.TaskGroup() as checks:
                for name in due:
                    if self.speaking(name):
                        self.served(name)
                    if name in self._served:
                        self._served.discard(name)
                        self._due_s[name] = now_s + self.every_s
                    else:
                        checks.create_task(self._look_at(name), name=f"health of {name}")
            self.rounds += 1

    async def _run(self) -> None:
        while self._due_s:
            await self.look()
            await self._sleep(max(0.0, min(self._due_s.values()) - self.clock()))

    async def _look_at(self, name: str) -> None:
        self.checks += 1
        usability, reason = await self._found(name)
        if name not in self._served:  # what it served meanwhile is newer
            self._note(name, usability, reason)
        well = self._health[name].usable
        self._due_s[name] = self.clock() + (self.every_s if well else self.unusable_every_s)

    async def _found(self, name: str) -> tuple[Usability, str | None]:
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                await self.check(name)
        except ProviderError as error:
            # In phase `admit` nothing was sent: it has nothing to be checked by.
            known = error.kind in UNUSABLE and error.phase is not Phase.ADMIT
            return Usability.UNUSABLE if known else Usability.UNKNOWN, str(error)
        except Exception as error:  # noqa: BLE001 - a check with a fault must not end those of the others; it is told
            if deadline.expired():
                return Usability.UNUSABLE, f"no answer within {self.timeout_s:g} s"
            return Usability.UNKNOWN, f"the check itself failed: {type(error).__name__}: {error}"
        return Usability.USABLE, None

    def _note(self, name: str, usability: Usability, reason: str | None) -> None:
        before = self._health[name]
        changed = before.usability is not usability
        after = self._health[name] = Health(usability, reason, self.clock() if changed else before.since_s)
        if changed and self.on_change is not None:
            self.on_change(name, before, after)
