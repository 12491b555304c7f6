"""Stages of a stream, each usable alone: `source.pipe(sse_decode(), token_map(dialect), ...)`."""

if __name__ != "rxlapce.operators":  # pragma: no cover - tests/packaging runs it in a subprocess
    raise ImportError("import rxlapce.operators, not the top-level folder")

from rxlapce.operators.backpressure import BufferStats, Policy, buffer_with_backpressure
from rxlapce.operators.breaker import Breaker, BreakerSettings
from rxlapce.operators.breakers import Breakers
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.coalesce import coalesce_text
from rxlapce.operators.concurrency import Slots, concurrency_gate
from rxlapce.operators.copies import Copy, copy_to
from rxlapce.operators.decode import (
    eventstream_decode,
    google_sse_decode,
    json_array_decode,
    ndjson_decode,
    sse_decode,
)
from rxlapce.operators.fallback import fallback
from rxlapce.operators.ledger import Limit, MemoryLedger, Unit
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg, SeamWord
from rxlapce.operators.limiter import RateLimiter
from rxlapce.operators.log_tap import audit_tap, log_tap
from rxlapce.operators.rate_limit import rate_limit_gate
from rxlapce.operators.record import SecretScrubber, record
from rxlapce.operators.redact import RedactStats, redact
from rxlapce.operators.replay import replay
from rxlapce.operators.retry import RetryPolicy, retry_stream
from rxlapce.operators.retry_budget import RetryBudget
from rxlapce.operators.stages import StageGauges, StageReading
from rxlapce.operators.tap import StreamStats, metrics_tap
from rxlapce.operators.timeouts import StreamTimeout, stream_timeouts
from rxlapce.operators.token_map import token_map
from rxlapce.operators.totals import ModelTotals, StreamTotals

__all__ = [
    "AfterCommit",
    "Breaker",
    "BreakerSettings",
    "Breakers",
    "BufferStats",
    "Copy",
    "FallbackPolicy",
    "Leg",
    "Limit",
    "MemoryLedger",
    "ModelTotals",
    "Policy",
    "RateLimiter",
    "RedactStats",
    "RetryBudget",
    "RetryPolicy",
    "SeamWord",
    "SecretScrubber",
    "Slots",
    "StageGauges",
    "StageReading",
    "StreamStats",
    "StreamTimeout",
    "StreamTotals",
    "Unit",
    "audit_tap",
    "buffer_with_backpressure",
    "circuit_break",
    "coalesce_text",
    "concurrency_gate",
    "copy_to",
    "eventstream_decode",
    "fallback",
    "google_sse_decode",
    "json_array_decode",
    "log_tap",
    "metrics_tap",
    "ndjson_decode",
    "rate_limit_gate",
    "record",
    "redact",
    "replay",
    "retry_stream",
    "sse_decode",
    "stream_timeouts",
    "token_map",
]
