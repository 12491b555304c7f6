"""The stages that decide who is asked, when, for how long and how often."""

from typing import Final

from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.legs import FallbackPolicy
from rxlapce.operators.retry import RetryPolicy
from rxlapce.registry import Kind, Scope, Shape
from rxlapce.routing import stages
from rxlapce.routing.settings import StreamTimeouts
from rxlapce.routing.stages import ConcurrencyOptions, NoOptions, RateLimitOptions

STREAM_TIMEOUTS: Final = Kind(
    name="stream_timeouts",
    summary="Ends a stream in an error that is late, silent, slow or long",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=StreamTimeouts,
    make=stages.timeouts,
    example="stream_timeouts: {first_token_s: 20, idle_s: 30}",
)
METRICS_TAP: Final = Kind(
    name="metrics_tap",
    summary="Counts an attempt and its tokens, by provider and model",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=NoOptions,
    make=stages.metrics,
    scope=Scope.LEG,
    once=True,
    bound="three histograms of integers a stream; 256 models have counts of their own, the rest are `other`",
    example="metrics_tap",
)
CIRCUIT_BREAK: Final = Kind(
    name="circuit_break",
    summary="Refuses a model at once that has just failed often, and probes it after a rest",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=BreakerSettings,
    make=stages.circuit,
    scope=Scope.LEG,
    once=True,
    bound="1,024 breakers; for a new one the least lately used that is closed is forgotten",
    example="circuit_break: {consecutive: 3, open_s: 10}",
)
RATE_LIMIT_GATE: Final = Kind(
    name="rate_limit_gate",
    summary="Lets a request wait until its model's limits a minute allow it",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=RateLimitOptions,
    make=stages.rate_limit,
    scope=Scope.LEG,
    once=True,
    bound="1,000 requests wait for a model; the next one is refused",
    example="rate_limit_gate: {requests: 30}",
)
CONCURRENCY_GATE: Final = Kind(
    name="concurrency_gate",
    summary="Lets a request wait until fewer answers of its model run",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=ConcurrencyOptions,
    make=stages.concurrency,
    scope=Scope.LEG,
    once=True,
    bound="1,000 requests wait for a model; the next one is refused",
    example="concurrency_gate: {streams: 4}",
)
RETRY_STREAM: Final = Kind(
    name="retry_stream",
    summary="Asks the same model once more, while nobody has seen anything of its answer",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=RetryPolicy,
    make=stages.retry,
    scope=Scope.LEG,
    once=True,
    bound="one usage report, thrown away if the attempt fails",
    example="retry_stream: {max_attempts: 2}",
)
FALLBACK: Final = Kind(
    name="fallback",
    summary="Asks the next model when one fails, and decides about an answer that breaks off",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=FallbackPolicy,
    make=stages.policy_of,
    scope=Scope.REQUEST,
    once=True,
    bound="one usage report; under `continue` the text up to `max_kept_chars`: a longer answer is not continued",
    example="fallback: {after_commit: continue}",
)
