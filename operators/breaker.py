"""A circuit breaker: the state machine that keeps requests away from who cannot answer them.

    closed --tripped--> open --elapsed--> half-open --asked--> probing --committed--> trial
      ^                  ^ ^                  ^                 | | |                  | |
      |                  | +------------------+-- abandoned ----+ | |                  | |
      |                  +----- cooled (from everywhere), failed -+ | ---- failed -----+ |
      +------------------- succeeded -------------------------------+ -- succeeded ------+

What the drawing leaves out is in `TRANSITIONS`, which is all that there is: code only counts, and reads the clock.

A stream's end says more than its status, so a ticket is settled by how the stream ends. An answer may take minutes,
though, and a provider that is visibly answering is not down: from the probe's first visible token on (*trial*) others
are admitted again, while the probe's end still decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.operators.verdict import Verdict, verdict_of
from rxlapce.registry import SECONDS, check_ranges, option
from rxlapce.typing import Clock


class State(StrEnum):
    """Where a breaker stands. The last three are what is known as half-open."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """The next request is the probe."""
    PROBING = "probing"
    """The probe is under way, and nobody else is admitted."""
    TRIAL = "trial"
    """The probe's answer flows, and others are admitted; if it breaks off the breaker opens again."""


class Event(StrEnum):
    """What happens to a breaker. Outcomes are of requests that were admitted since it last opened, but for `COOLED`."""

    ASKED = "asked"
    ELAPSED = "elapsed"
    """The time to stay open is over."""
    TRIPPED = "tripped"
    """A request failed, and with it there are too many."""
    COOLED = "cooled"
    """The provider said how long to stay away, or refused the key; also from a request of an earlier time."""
    COMMITTED = "committed"
    """The probe's first visible token."""
    SUCCEEDED = "succeeded"
    """The probe's, like the two below."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """It ended by no doing of the provider's: cancelled, or a request that nobody could answer."""


class Action(StrEnum):
    """What is done on the way to the next state."""

    NOTHING = "nothing"
    ADMIT = "admit"
    PROBE = "probe"
    REFUSE = "refuse"
    OPEN = "open"
    """Open for longer than the last time."""
    COOL = "cool"
    """Open until the time that was told; never for less than is left."""
    CLOSE = "close"
    """Forget the failures, but not yet how often it opened."""


#: Every pair that can happen. Requests other than the probe change nothing by their ends, but for `TRIPPED`.
TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Action]]] = {
    (State.CLOSED, Event.ASKED): (State.CLOSED, Action.ADMIT),
    (State.CLOSED, Event.TRIPPED): (State.OPEN, Action.OPEN),
    (State.CLOSED, Event.COOLED): (State.OPEN, Action.COOL),
    (State.OPEN, Event.ASKED): (State.OPEN, Action.REFUSE),
    (State.OPEN, Event.ELAPSED): (State.HALF_OPEN, Action.NOTHING),
    (State.OPEN, Event.COOLED): (State.OPEN, Action.COOL),
    (State.HALF_OPEN, Event.ASKED): (State.PROBING, Action.PROBE),
    (State.HALF_OPEN, Event.COOLED): (State.OPEN, Action.COOL),
    (State.PROBING, Event.ASKED): (State.PROBING, Action.REFUSE),
    (State.PROBING, Event.COMMITTED): (State.TRIAL, Action.NOTHING),
    (State.PROBING, Event.SUCCEEDED): (State.CLOSED, Action.CLOSE),
    (State.PROBING, Event.FAILED): (State.OPEN, Action.OPEN),
    (State.PROBING, Event.ABANDONED): (State.HALF_OPEN, Action.NOTHING),
    (State.PROBING, Event.COOLED): (State.OPEN, Action.COOL),
    (State.TRIAL, Event.ASKED): (State.TRIAL, Action.ADMIT),
    (State.TRIAL, Event.TRIPPED): (State.OPEN, Action.OPEN),
    (State.TRIAL, Event.SUCCEEDED): (State.CLOSED, Action.CLOSE),
    (State.TRIAL, Event.FAILED): (State.OPEN, Action.OPEN),
    (State.TRIAL, Event.ABANDONED): (State.CLOSED, Action.CLOSE),
    (State.TRIAL, Event.COOLED): (State.OPEN, Action.COOL),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens, and for how long. Times are in seconds, above 0.

    It opens after `consecutive` failures in a row, which finds an outage soon; or when `failure_percent` of the last
    `window` outcomes are failures and there are `min_outcomes`, which finds a provider that fails every other time.
    Outcomes are forgotten after `forget_s` without a new one: the failures of an hour ago say nothing.

    It stays open for `open_s`, and twice as long each further time, up to `max_open_s`, until it was closed for
    `forget_s`. With 20 s a provider that comes back is found within 20 s and the time to the next request: under half a
    minute for one request every few seconds. `key_s` is for a refused key, `max_cooldown_s` the most that a provider
    may ask for. `window` is at most 1024.

    Raises `ValueError` for numbers out of range.
    """

    consecutive: int = option(
        5, help="it opens at so many failures in a row; at most `window`", unit="failures", at_least=1
    )
    window: int = option(20, help="how many outcomes are looked at", unit="outcomes", at_least=1, at_most=1024)
    min_outcomes: int = option(
        10, help="so many there must be for the share to count; at most `window`", unit="outcomes", at_least=1
    )
    failure_percent: int = option(
        50, help="it opens at this share of failures among them", unit="percent", at_least=1, at_most=100
    )
    forget_s: float = option(
        60.0,
        help="outcomes are forgotten after so long without one; how often it opened, after being closed as long",
        unit=SECONDS,
        above=0,
    )
    open_s: float = option(
        5.0, help="open for so long at first, and twice as long each further time", unit=SECONDS, above=0
    )
    max_open_s: float = option(20.0, help="but no longer; not below `open_s`", unit=SECONDS, above=0)
    key_s: float = option(60.0, help="how long a refused key rests", unit=SECONDS, above=0)
    max_cooldown_s: float = option(3600.0, help="the longest rest that a provider may ask for", unit=SECONDS, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, number in (("consecutive", self.consecutive), ("min_outcomes", self.min_outcomes)):
            if number > self.window:
                raise ValueError(f"{name} must be at most window, which is {self.window}, not {number}")
        if not self.open_s <= self.max_open_s:
            raise ValueError(f"open_s must be at most max_open_s, which is {self.max_open_s:g}, not {self.open_s:g}")


@dataclass(slots=True)
class BreakerGauges:
    """What a breaker did, for a collector to read at any time; `active` goes back to zero."""

    active: int = 0
    """Tickets given out and not yet settled."""
    admitted: int = 0
    """Probes too."""
    probes: int = 0
    refused: int = 0
    opened: int = 0
    """By failures and by cooldowns."""
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker went from one state to another; `cause` says why it opened last."""

    name: str
    before: State
    after: State
    cause: str


class CircuitOpen(ProviderError):
    """A breaker's refusal: nothing was sent.

    `cools`: the provider itself asked for time, which is not over, or over and the first request after it is under way.
    The kind is then the one that the provider told, else `overloaded`.
    """

    def __init__(self, kind: ErrorKind, message: str, *, retry: Retry, retry_after_s: float, cools: bool) -> None:
        super().__init__(kind, message, retry=retry, phase=Phase.ADMIT, retry_after_s=retry_after_s)
        self.cools = cools


class Ticket:
    """The leave to send one request; its first end counts, any further one does nothing."""

    __slots__ = ("breaker", "is_probe", "opened", "settled")

    def __init__(self, breaker: "Breaker", opened: int, *, is_probe: bool) -> None:
        self.breaker = breaker
        self.opened = opened
        """How often the breaker had opened; if it did since, this request's end is old news."""
        self.is_probe = is_probe
        self.settled = False

    def commit(self) -> None:
        """The answer has begun; of meaning for a probe."""
        if self.is_probe and not self.settled:
            self.breaker.committed(self)

    def succeed(self) -> None:
        """The answer has come whole."""
        self._settle(Verdict.SUCCESS, None)

    def fail(self, error: Exception, *, paused: bool = False) -> None:
        """The stream has failed; `paused` if its reader held it up meanwhile."""
        self._settle(verdict_of(error, keyed=self.breaker.keyed, paused=paused), error)

    def release(self) -> None:
        """Nobody listens any more."""
        self._settle(Verdict.NEITHER, None)

    def _settle(self, verdict: Verdict, error: Exception | None) -> None:
        if not self.settled:
            self.settled = True
            self.breaker.settled(self, verdict, error)


class Breaker:
    """Admits requests to one provider and model while it can be hoped that they are answered.

    `keyed` says that it is of one key among several. `on_change` is called after each change of state. It holds a few
    integers: the outcomes are the bits of one. It has no timer: time passes when somebody asks or looks.
    """

    def __init__(
        self,
        clock: Clock,
        settings: BreakerSettings | None = None,
        *,
        name: str = "",
        keyed: bool = False,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings or BreakerSettings()
        self.name = name
        self.keyed = keyed
        self.on_change = on_change
        self.gauges = BreakerGauges()
        self.cause = ""
        """Why it opened last."""
        self._state = State.CLOSED
        self._open_until_s = 0.0
        self._growth = 0
        self._closed_s = clock()
        self._outcomes, self._seen, self._last_outcome_s = 0, 0, self._closed_s
        self._retry = Retry.OTHER_PROVIDER
        self._cooling: ErrorKind | None = None
        """What the provider asked for time with, if it is a cooldown for which it opened last."""

    @property
    def state(self) -> State:
        """Where it stands now."""
        if self._state is State.OPEN and self.clock() >= self._open_until_s:
            self._take(Event.ELAPSED)
        return self._state

    @property
    def usable(self) -> bool:
        """Whether a request would be admitted now."""
        return TRANSITIONS[self.state, Event.ASKED][1] is not Action.REFUSE

    def ask(self) -> Ticket:
        """Leave to send one request. Raises `CircuitOpen` while it is refused."""
        before = self.state
        try:
            action = self._take(Event.ASKED)
        except BaseException:  # the hook's: nobody has the ticket of the probe, so that its place must be free
            self._state = before
            raise
        if action is Action.REFUSE:
            self.gauges.refused += 1
            raise self._refusal(before)
        probe = action is Action.PROBE
        self.gauges.active += 1
        self.gauges.admitted += 1
        self.gauges.probes += probe
        return Ticket(self, self.gauges.opened, is_probe=probe)

    def committed(self, ticket: Ticket) -> None:
        """The probe of `ticket` has its first visible token; called once, by the ticket."""
        if ticket.opened == self.gauges.opened and self._state is State.PROBING:
            self._take(Event.COMMITTED)

    def settled(self, ticket: Ticket, verdict: Verdict, error: Exception | None) -> None:
        """The request of `ticket` has ended; called once, by the ticket."""
        self.gauges.active -= 1
        self.gauges.successes += verdict is Verdict.SUCCESS
        self.gauges.failures += verdict is Verdict.FAILURE
        if verdict is Verdict.COOLDOWN and isinstance(error, ProviderError):
            self._cool(error)
        elif ticket.opened != self.gauges.opened:
            pass  # it was sent before the breaker opened, and says nothing of now
        elif ticket.is_probe:
            self._settle_probe(verdict, error)
        elif verdict is not Verdict.NEITHER:
            self._count(failed=verdict is Verdict.FAILURE)
            if verdict is Verdict.FAILURE and self._too_many():
                self._open(Event.TRIPPED, error)

    def _settle_probe(self, verdict: Verdict, error: Exception | None) -> None:
        if verdict is Verdict.FAILURE:
            self._open(Event.FAILED, error)
        else:
            self._take(Event.SUCCEEDED if verdict is Verdict.SUCCESS else Event.ABANDONED)

    def _count(self, *, failed: bool) -> None:
        now_s, settings = self.clock(), self.settings
        if now_s - self._last_outcome_s > settings.forget_s:
            self._outcomes = self._seen = 0
        self._last_outcome_s = now_s
        self._outcomes = (self._outcomes << 1 | failed) & ((1 << settings.window) - 1)
        self._seen = min(self._seen + 1, settings.window)

    def _too_many(self) -> bool:
        settings, outcomes = self.settings, self._outcomes
        row = (1 << settings.consecutive) - 1
        if outcomes & row == row:
            return True
        failures = outcomes.bit_count()
        return self._seen >= settings.min_outcomes and failures * 100 >= settings.failure_percent * self._seen

    def _open(self, event: Event, error: Exception | None) -> None:
        failures = f"{self._outcomes.bit_count()} of {self._seen} requests failed, the last"
        self.cause = f"{failures if event is Event.TRIPPED else 'the probe failed'}: {_short(error)}"
        self._retry, self._cooling = Retry.OTHER_PROVIDER, None
        # In a trial it is not closed: when it was says nothing of how it went since.
        if self._state is State.CLOSED and self.clock() - self._closed_s > self.settings.forget_s:
            self._growth = 0
        self._take(event)

    def _cool(self, error: ProviderError) -> None:
        self.cause = _short(error)
        self._retry, self._cooling = Retry.OTHER_KEY if self.keyed else Retry.SAME, error.kind
        left_s = self._open_until_s if self._state is State.OPEN else 0.0
        cool_s = min(error.retry_after_s or self.settings.key_s, self.settings.max_cooldown_s)
        self._open_until_s = max(left_s, self.clock() + cool_s)
        self._take(Event.COOLED)

    def _take(self, event: Event) -> Action:
        before = self._state
        self._state, action = TRANSITIONS[before, event]
        match action:
            case Action.OPEN:
                self._open_until_s = self.clock() + min(
                    self.settings.open_s * (1 << self._growth), self.settings.max_open_s
                )
                self._growth = min(self._growth + 1, 16)
                self._forget()
            case Action.COOL:
                self._forget()
            case Action.CLOSE:
                self._closed_s = self.clock()
            case Action.NOTHING | Action.ADMIT | Action.PROBE | Action.REFUSE:
                pass
        if self._state is not before and self.on_change is not None:
            self.on_change(Change(self.name, before, self._state, self.cause))
        return action

    def _forget(self) -> None:
        """It has opened: all that was sent before is old news."""
        self.gauges.opened += 1
        self._outcomes = self._seen = 0

    def _refusal(self, state: State) -> CircuitOpen:
        wait_s = self._open_until_s - self.clock() if state is State.OPEN else self.settings.open_s
        what = "a probe is under way" if state is State.PROBING else f"for {wait_s:.3g} s more"
        who = f" to {self.name}" if self.name else ""
        # The probe after a cooldown tells nothing bad of the provider: who meets it may ask again, as during the rest.
        cooling = self._cooling
        return CircuitOpen(
            cooling or ErrorKind.OVERLOADED,
            f"the circuit{who} is open ({what}); {self.cause}",
            retry=self._retry if cooling is not None else Retry.OTHER_PROVIDER,
            retry_after_s=wait_s,
            cools=cooling is not None,
        )


def _short(error: Exception | None) -> str:
    """What went wrong in a few words of ours: the provider's may be long."""
    if not isinstance(error, ProviderError):
        return type(error).__name__
    status = f", HTTP {error.status}" if error.status is not None else ""
    return f"{error.kind} in phase {error.phase}{status}"
