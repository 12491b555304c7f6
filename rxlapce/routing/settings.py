"""What requests may take, and what is done when a provider fails: every number of it, with its default."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.ledger import DEFAULT_LIMIT
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.operators.retry import RetryPolicy
from rxlapce.registry import SECONDS, check_ranges, option


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTimeouts:
    """Limits of an attempt in seconds above 0, None for none; see `operators.timeouts`.

    `connect_s` and `headers_s` make those of the HTTP client (5 and 120) stricter. `first_token_s` is longer than both,
    so that a provider which says nothing at all is told from one that has begun.

    Raises `ValueError` for a limit that is not above 0.
    """

    connect_s: float | None = option(
        None, help="until there is a connection; besides it the HTTP client gives up after 5 s", unit=SECONDS, above=0
    )
    headers_s: float | None = option(
        None,
        help="until the response's headers; besides it the HTTP client gives up after 120 s",
        unit=SECONDS,
        above=0,
    )
    first_token_s: float | None = option(
        180.0, help="until the first token that a reader would see", unit=SECONDS, above=0
    )
    idle_s: float | None = option(60.0, help="without a byte; keep-alives count as bytes", unit=SECONDS, above=0)
    min_tokens_per_s: float | None = option(
        None,
        help="on average over `rate_window_s`; a slower answer has failed",
        unit="tokens a second",
        above=0,
    )
    rate_window_s: float = option(10.0, help="how long speed is averaged over", unit=SECONDS, above=0)
    total_s: float | None = option(None, help="until the end of the answer", unit=SECONDS, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most so many `requests` and `tokens` a minute, and `streams` at once, each from 1; None is no limit.

    `shared` is of a provider's quota: its models have one together, instead of one each.

    Raises `ValueError` for a number below 1.
    """

    requests: int | None = option(None, help="so many requests a minute", unit="requests", at_least=1)
    tokens: int | None = option(
        None,
        help="so many tokens a minute; prompt and answer, estimated first and settled by what the provider counts",
        unit="tokens",
        at_least=1,
    )
    streams: int | None = option(None, help="so many answers at once", unit="answers", at_least=1)
    shared: bool = option(
        default=False, help="of a provider's quota: its models have it together, instead of each its own"
    )

    def __post_init__(self) -> None:
        check_ranges(self)


#: What each model of a provider is asked at most, where nobody said otherwise.
DEFAULT_QUOTA = Quota(requests=DEFAULT_LIMIT.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The quotas. A model has that of its own name (`provider/model`), else that of its provider, else `default`.

    Where a provider has several keys each is an account of its own, with its quota of `keys` by provider and name, else
    with one as above.

    A user has, for everything they ask, that of `users` by their name, else `user`; `client` holds for each program of
    theirs by the name it gave. Who cannot be let through at once waits in order, at most `wait_s` seconds (from 0).

    Raises `ValueError` for a wait that is negative or has no end.
    """

    default: Quota = DEFAULT_QUOTA
    providers: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    models: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    keys: Mapping[tuple[str, str], Quota] = field(default_factory=dict[tuple[str, str], Quota])
    user: Quota = Quota()
    users: Mapping[str, Quota] = field(default_factory=dict[str, Quota])
    client: Quota = Quota()
    wait_s: float = option(30.0, help="how long who cannot be let through at once waits", unit=SECONDS, at_least=0)

    def __post_init__(self) -> None:
        check_ranges(self)

    def of(self, provider: str, model: str, key: str = "") -> tuple[str, Quota]:
        """The quota of the model, asked by `key` if it has a name, and the name under which it is counted."""
        name = f"{provider}/{model}"
        own = self.keys.get((provider, key))
        quota = own or self.models.get(name) or self.providers.get(provider, self.default)
        counted = provider if quota.shared and (own is not None or name not in self.models) else name
        return (f"{counted} by key {key}" if key else counted), quota

    def of_user(self, user: str) -> Quota:
        """The quota of all that `user` asks."""
        return self.users.get(user, self.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """The daemon's retries within `window_s` seconds: a `fraction` of its requests, and `floor` besides.

    See `operators.retry_budget`. `fraction` is from 0 to 1, `floor` from 0, `window_s` above 0.

    Raises `ValueError` for numbers out of range.
    """

    fraction: float = option(
        0.2, help="retries of all requests together, as a share of the requests of the window", at_least=0, at_most=1
    )
    floor: int = option(10, help="so many retries besides", unit="retries", at_least=0)
    window_s: float = option(60.0, help="the window", unit=SECONDS, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """How often the providers are looked at, in seconds above 0; see `routing.health`.

    Raises `ValueError` for a time that is not above 0.
    """

    enabled: bool = option(default=True, help="whether providers are looked at; without, all count as usable")
    every_s: float = option(
        30.0, help="how often; a provider that has just answered a request is not asked", unit=SECONDS, above=0
    )
    unusable_every_s: float = option(10.0, help="how often one that is not well", unit=SECONDS, above=0)
    timeout_s: float = option(10.0, help="how long a look may take", unit=SECONDS, above=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """All of it. `patience_s` (from 0) is how long a request waits for a model while there is another one to ask.

    It bounds the wait for admission and the retries of every model in a row but the last, which has the whole time of
    `admission.wait_s` and `retry.deadline_s`.
    """

    timeouts: StreamTimeouts = field(default_factory=StreamTimeouts)
    admission: Admission = field(default_factory=Admission)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    patience_s: float = option(
        2.0,
        help="as `deadline_s`, and as `limits.wait_s`, for a model after which there is another one to ask",
        unit=SECONDS,
        at_least=0,
    )
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
    health: HealthSettings = field(default_factory=HealthSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
