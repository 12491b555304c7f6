"""What a pipeline can be made of: the stages and the sinks, each as a `registry.Kind` beside its options.

The tables are all that is built in; installed packages add theirs by the entry points `rxlapce.stages` and
`rxlapce.sinks`.
"""

from typing import Any, Final

from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE, EDITOR
from rxlapce.pipeline.kinds.copies import MEMORY, RECORD_ANSWER, UNIX
from rxlapce.pipeline.kinds.framing import (
    DECODE,
    EVENTSTREAM_DECODE,
    GOOGLE_SSE_DECODE,
    JSON_ARRAY_DECODE,
    NDJSON_DECODE,
    SSE_DECODE,
    TOKEN_MAP,
)
from rxlapce.pipeline.kinds.lifecycle import (
    CIRCUIT_BREAK,
    CONCURRENCY_GATE,
    FALLBACK,
    METRICS_TAP,
    RATE_LIMIT_GATE,
    RETRY_STREAM,
    STREAM_TIMEOUTS,
)
from rxlapce.pipeline.kinds.recording import RECORD_BYTES
from rxlapce.pipeline.kinds.taps import LOG_TAP
from rxlapce.pipeline.kinds.text import COALESCE_TEXT, REDACT
from rxlapce.registry import Kind, with_plugins

#: In the order in which they are best written.
STAGES: Final[dict[str, Kind[Any]]] = {
    kind.name: kind
    for kind in (
        RECORD_BYTES,
        DECODE,
        SSE_DECODE,
        GOOGLE_SSE_DECODE,
        JSON_ARRAY_DECODE,
        NDJSON_DECODE,
        EVENTSTREAM_DECODE,
        TOKEN_MAP,
        STREAM_TIMEOUTS,
        METRICS_TAP,
        CIRCUIT_BREAK,
        RATE_LIMIT_GATE,
        CONCURRENCY_GATE,
        RETRY_STREAM,
        FALLBACK,
        REDACT,
        COALESCE_TEXT,
        LOG_TAP,
        BUFFER_WITH_BACKPRESSURE,
    )
}
SINKS: Final[dict[str, Kind[Any]]] = {kind.name: kind for kind in (EDITOR, RECORD_ANSWER, UNIX, MEMORY)}


def stages() -> dict[str, Kind[Any]]:
    """The stages by name, those of installed packages last. Raises `ConfigError` for one that cannot be loaded."""
    return with_plugins(STAGES, "rxlapce.stages")


def sinks() -> dict[str, Kind[Any]]:
    """The sinks by name, those of installed packages last. Raises `ConfigError` for one that cannot be loaded."""
    return with_plugins(SINKS, "rxlapce.sinks")
