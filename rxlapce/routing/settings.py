"""What requests may take, and what is done when a provider fails: every number of it, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.ledger import DEFAULT_LIMIT
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.operators.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimeouts:
    """Limits of an attempt in seconds above 0, None for none; see `operators.timeouts`.

    `connect_s` and `headers_s` make those of the HTTP client (5 and 120) stricter. `first_token_s` is longer than both,
    so that a provider which says nothing at all is told from one that has begun.

    Raises `ValueError` for a limit that is not above 0.
    """

    connect_s: float | None = None
    headers_s: float | None = None
    first_token_s: float | None = 180.0
    idle_s: float | None = 60.0
    min_tokens_per_s: float | None = None
    rate_window_s: float = 10.0
    total_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit: float | None = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, not {limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most so many `requests` and `tokens` a minute, and `streams` at once, each from 1; None is no limit.

    `shared` is of a provider's quota: its models have one together, instead of one each.

    Raises `ValueError` for a number below 1.
    """

    requests: int | None = None
    tokens: int | None = None
    streams: int | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        for name in ("requests", "tokens", "streams"):
            number: int | None = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, not {number}")


#: What each model of a provider is asked at most, where nobody said otherwise.
DEFAULT_QUOTA = Quota(requests=DEFAULT_LIMIT.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The quotas. A model has that of its own name (`provider/model`), else that of its provider, else `default`.

    A user has, for everything they ask, that of `users` by their name, else `user`; `client` holds for each program of
    theirs by the name it gave. Who cannot be let through at once waits in order, at most `wait_s` seconds (from 0).

    Raises `ValueError` for a wait that is negative or has no end.
    """

    default: Quota = DEFAULT_QUOTA
    providers: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    models: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    user: Quota = Quota()
    users: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    client: Quota = Quota()
    wait_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.wait_s < float("inf"):
            raise ValueError(f"wait_s must be from 0 to a finite number of seconds, not {self.wait_s}")

    def of(self, provider: str, model: str) -> tuple[str, Quota]:
        """The quota of the model, and the name under which it is counted."""
        name = f"{provider}/{model}"
        quota = self.models.get(name) or self.providers.get(provider, self.default)
        return (provider if quota.shared and name not in self.models else name), quota

    def of_user(self, user: str) -> Quota:
        """The quota of all that `user` asks."""
        return self.users.get(user, self.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """The daemon's retries within `window_s` seconds: a `fraction` of its requests, and `floor` besides.

    See `operators.retry_budget`. `fraction` is from 0 to 1, `floor` from 0, `window_s` above 0.

    Raises `ValueError` for numbers out of range.
    """

    fraction: float = 0.2
    floor: int = 10
    window_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction must be from 0 to 1, not {self.fraction}")
        if self.floor < 0:
            raise ValueError(f"floor must be at least 0, not {self.floor}")
        if not self.window_s > 0:
            raise ValueError(f"window_s must be above 0, not {self.window_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How often the providers are looked at, in seconds above 0; see `routing.health`.

    Raises `ValueError` for a time that is not above 0.
    """

    enabled: bool = True
    every_s: float = 30.0
    unusable_every_s: float = 10.0
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("every_s", "unusable_every_s", "timeout_s"):
            time_s: float = getattr(self, name)
            if not time_s > 0:
                raise ValueError(f"{name} must be above 0, not {time_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """All of it. `patience_s` (from 0) is how long a request waits for a model while there is another one to ask.

    It bounds the wait for admission and the retries of every model in a row but the last, which has the whole time of
    `admission.wait_s` and `retry.deadline_s`.
    """

    timeouts: StreamTimeouts = field(default_factory=StreamTimeouts)
    admission: Admission = field(default_factory=Admission)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    patience_s: float = 2.0
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
    health: HealthSettings = field(default_factory=HealthSettings)

    def __post_init__(self) -> None:
        if not 0 <= self.patience_s < float("inf"):
            raise ValueError(f"patience_s must be from 0 to a finite number of seconds, not {self.patience_s}")
