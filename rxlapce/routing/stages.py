"""The stages of a way that need what requests share: each makes of its options what makes it for a request.

The options are those of the file's sections, so that a pipeline says of them only what is different in it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from reactivex import Observable
from reactivex.abc import SchedulerBase

from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.legs import FallbackPolicy, may_ask_other_key
from rxlapce.operators.retry import RetryPolicy, may_ask_again, retry_stream
from rxlapce.operators.timeouts import stream_timeouts
from rxlapce.registry import SECONDS, check_ranges, option
from rxlapce.routing.settings import Quota, RoutingSettings, StreamTimeouts
from rxlapce.routing.traffic import Operator, deferred
from rxlapce.routing.way import MakePolicy, MakeTokens, Setup, Site, Way
from rxlapce.tokens import StreamToken


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    """A stage about which there is nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitOptions:
    """What a model may be asked a minute by way of this pipeline, counted apart from all other requests."""

    requests: int | None = option(
        None, help="so many requests a minute for each model; null: as `limits` says", unit="requests", at_least=1
    )
    tokens: int | None = option(
        None, help="so many tokens a minute for each model; null: as `limits` says", unit="tokens", at_least=1
    )
    max_wait_s: float | None = option(
        None, help="how long a request waits for its turn; null: `limits.wait_s`", unit=SECONDS, at_least=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions:
    """How many answers of a model may run at once by way of this pipeline, counted apart from all others."""

    streams: int | None = option(
        None, help="so many answers of each model at once; null: as `limits` says", unit="answers", at_least=1
    )
    max_wait_s: float | None = option(
        None, help="how long a request waits for its turn; null: `limits.wait_s`", unit=SECONDS, at_least=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)


def timeouts(options: StreamTimeouts, setup: Setup) -> MakeTokens:
    """`stream_timeouts`: the alias's, else the file's, with what the pipeline says laid over."""
    said = {name: getattr(options, name) for name in setup.said}

    def make(site: Site) -> Operator:
        own = site.alias.timeouts if site.alias is not None else None
        limits = options if own is None else replace(own, **said) if said else own
        if site.whole:  # nothing of it comes before the end
            limits = replace(limits, headers_s=None, first_token_s=None, idle_s=None, min_tokens_per_s=None)
        return stream_timeouts(
            connect_s=limits.connect_s,
            headers_s=limits.headers_s,
            first_token_s=limits.first_token_s,
            idle_s=limits.idle_s,
            min_tokens_per_s=limits.min_tokens_per_s,
            rate_window_s=limits.rate_window_s,
            total_s=limits.total_s,
            exchange=site.exchange,
        )

    return make


def metrics(_: NoOptions, __: Setup) -> MakeTokens:
    """`StreamTotals.tap`: what all streams count."""

    def make(site: Site) -> Operator:
        model = site.model
        return site.traffic.totals.tap(model.provider.name, model.model, exchange=site.exchange)

    return make


def circuit(options: BreakerSettings, setup: Setup) -> MakeTokens:
    """`circuit_break`: by the breakers that all share, or by those of these settings."""
    apart = setup.apart
    settings = options if apart else None

    def make(site: Site) -> Operator:
        asked = site.model
        breaker = site.traffic.breakers.get(asked.provider.name, asked.model, asked.key, apart=apart, settings=settings)
        return circuit_break(breaker, exchange=site.exchange)

    return make


def rate_limit(options: RateLimitOptions, setup: Setup) -> MakeTokens:
    """`rate_limit_gate`: by the model's quota, or by one of the pipeline's own."""
    said = {name: getattr(options, name) for name in ("requests", "tokens") if getattr(options, name) is not None}

    def make(site: Site) -> Operator:
        key, quota = _quota(site, setup, said)
        if quota.requests is None and quota.tokens is None:
            return _as_it_is

        def gate(wait_s: float) -> Operator:
            return site.traffic.rate_gate(key, quota, site.needs, wait_s, site.exchange)

        return _in_turn(site, options.max_wait_s, gate)

    return make


def concurrency(options: ConcurrencyOptions, setup: Setup) -> MakeTokens:
    """`concurrency_gate`: by the model's quota, or by one of the pipeline's own."""
    said = {} if options.streams is None else {"streams": options.streams}

    def make(site: Site) -> Operator:
        key, quota = _quota(site, setup, said)
        streams = quota.streams
        if streams is None:
            return _as_it_is

        def gate(wait_s: float) -> Operator:
            return site.traffic.slot_gate(key, streams, wait_s)

        return _in_turn(site, options.max_wait_s, gate)

    return make


def retry(options: RetryPolicy, _: Setup) -> MakeTokens:
    """`retry_stream`, within the budget of all, and with less patience while another model or key is left to ask."""

    def make(site: Site) -> Operator:
        policy, patience_s = options, site.settings.patience_s
        if site.others_left:
            if not patience_s:
                policy = replace(policy, max_attempts=1)
            elif policy.deadline_s is None or policy.deadline_s > patience_s:
                policy = replace(policy, deadline_s=patience_s)
        again = may_ask_same_key if site.keys_left else may_ask_again
        return retry_stream(policy, budget=site.traffic.budget, random=site.chance, exchange=site.exchange, again=again)

    return make


def may_ask_same_key(error: Exception) -> bool:
    """Whether the same key is asked again while another is left: not where the other may answer at once."""
    return may_ask_again(error) and not may_ask_other_key(error)


def new_attempt(site: Site) -> Operator:
    """What stands directly before `retry_stream`: each attempt waits for its turn anew."""

    def attempting(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def begin(_: SchedulerBase | None) -> Observable[StreamToken]:
            site.admitted_by_s = None
            return source

        return deferred(begin)

    return attempting


def policy_of(options: FallbackPolicy, setup: Setup) -> MakePolicy:
    """What `fallback` does: the alias's, else the file's, with what the pipeline says laid over."""
    said = {name: getattr(options, name) for name in setup.said}

    def policy(site: Site) -> FallbackPolicy:
        own = site.alias.fallback if site.alias is not None else None
        return options if own is None else replace(own, **said) if said else own

    return policy


def _quota(site: Site, setup: Setup, said: dict[str, Any]) -> tuple[str, Quota]:
    """The quota of the site's model and the name under which it is counted, with what the pipeline says laid over."""
    model = site.model
    key, quota = site.settings.admission.of(model.provider.name, model.model, model.provider.key)
    return (f"{key} in pipeline {setup.pipeline}", replace(quota, **said)) if said else (key, quota)


def _in_turn(site: Site, own_wait_s: float | None, gate: Callable[[float], Operator]) -> Operator:
    """`gate` with how long it may wait: all gates of an attempt together no longer than the one that is asked first."""

    def waiting(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def enter(_: SchedulerBase | None) -> Observable[StreamToken]:
            wait_s = site.settings.admission.wait_s if own_wait_s is None else own_wait_s
            if site.keys_left:
                wait_s = 0.0  # another key may have room at once
            elif site.others_left:
                wait_s = min(wait_s, site.settings.patience_s)
            now_s = site.traffic.clock()
            if site.admitted_by_s is None:
                site.admitted_by_s = now_s + wait_s
            else:
                wait_s = min(wait_s, max(0.0, site.admitted_by_s - now_s))
            return source.pipe(gate(wait_s))

        return deferred(enter)

    return waiting


def _as_it_is(source: Observable[StreamToken]) -> Observable[StreamToken]:
    return source


def default_way(settings: RoutingSettings) -> Way:
    """The way of a request where nobody says otherwise: that of the pipeline `default`."""
    setup = Setup(settings=settings)
    return Way(
        name=setup.pipeline,
        model=(
            timeouts(settings.timeouts, setup),
            metrics(NoOptions(), setup),
            circuit(settings.breaker, setup),
            rate_limit(RateLimitOptions(), setup),
            concurrency(ConcurrencyOptions(), setup),
            new_attempt,
            retry(settings.retry, setup),
        ),
        fallback=policy_of(settings.fallback, setup),
    )
