"""What is told to Prometheus: every metric by its name, with its labels, its unit and what it says.

The one place for names. Whoever counts fills a `Reading`, whoever writes goes through `FAMILIES`; the table of the
documents is made of it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What a metric is: the types of OpenMetrics that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """One metric and its series.

    `name` is without the `_total` of counters and the `_info` of infos, as OpenMetrics has it. `labels` are in the
    order in which their values stand in a `Reading`. `bounds` are those of a histogram's buckets, without the last.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    bounds: tuple[float, ...] = ()

    @property
    def series(self) -> str:
        """The name as it stands in a query; a histogram's has a suffix there."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")


class Buckets(NamedTuple):
    """The value of a histogram: how many are at most each of its bounds, then how many there are, and their sum."""

    up_to: Sequence[int]
    sum: float


Labels = tuple[str, ...]
Value = float | Buckets


class Reading:
    """The values of all series at one time, by family."""

    def __init__(self) -> None:
        self.rows: dict[Family, list[tuple[Labels, Value]]] = {family: [] for family in FAMILIES}

    def add(self, family: Family, value: Value, *labels: str) -> None:
        """Tell a series. Raises `ValueError` for labels that are not the family's: one for each, and no more."""
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} has the labels {family.labels}, not {labels}")
        self.rows[family].append((labels, value))


#: 10 ms to 82 s, as OpenTelemetry recommends for the operations of language models.
FIRST_TOKEN_BOUNDS: Final = tuple(0.01 * 2**place for place in range(14))
#: 1.25 ms to 10 s: a fast model says 200 tokens a second, and a second without one is a stall.
GAP_BOUNDS: Final = tuple(0.00125 * 2**place for place in range(14))
#: 80 ms to 11 minutes.
DURATION_BOUNDS: Final = tuple(0.08 * 2**place for place in range(14))
#: 8 to 32,768.
SIZE_BOUNDS: Final = tuple(float(8 << place) for place in range(13))

_MODEL: Final = ("provider", "model")
_LIMIT: Final = ("gate", "scope", *_MODEL)
_STAGE: Final = ("stage",)


def _counter(name: str, text: str, *labels: str, unit: str = "") -> Family:
    return Family(name=f"rxlapce_{name}", kind=Kind.COUNTER, help=text, labels=labels, unit=unit)


def _gauge(name: str, text: str, *labels: str, unit: str = "") -> Family:
    return Family(name=f"rxlapce_{name}", kind=Kind.GAUGE, help=text, labels=labels, unit=unit)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str, unit: str = "") -> Family:
    return Family(name=f"rxlapce_{name}", kind=Kind.HISTOGRAM, help=text, labels=labels, unit=unit, bounds=bounds)


# -- the streams of providers: one for each attempt --------------------------------------------------------------------

STREAMS: Final = _counter("streams", "Attempts at a model that ended, by how.", *_MODEL, "outcome")
STREAMS_ACTIVE: Final = _gauge("streams_active", "Attempts at a model that are under way.", *_MODEL)
STREAM_DURATION: Final = _histogram(
    "stream_duration_seconds", "How long an attempt took, to its end.", DURATION_BOUNDS, *_MODEL, unit="seconds"
)
STREAM_TOKENS: Final = _histogram(
    "stream_tokens", "Tokens that an attempt brought, of all kinds.", SIZE_BOUNDS, *_MODEL, unit="tokens"
)
FIRST_TOKEN: Final = _histogram(
    "time_to_first_token_seconds",
    "From the beginning of an attempt to its first token that a user would see.",
    FIRST_TOKEN_BOUNDS,
    *_MODEL,
    unit="seconds",
)
TOKEN_GAP: Final = _histogram(
    "inter_token_gap_seconds",
    "From a token to the next; 0 for those of one read. Gaps in which the reader held the stream up are left out.",
    GAP_BOUNDS,
    *_MODEL,
    unit="seconds",
)
STALLS: Final = _counter("stalls", "Gaps between tokens of more than a second.", *_MODEL)
PAUSED_GAPS: Final = _counter("paused_gaps", "Gaps between tokens in which the reader held the stream up.", *_MODEL)
TOKENS: Final = _counter("tokens", "Tokens as they came from a model, by kind.", *_MODEL, "kind")
USAGE: Final = _counter(
    "usage_tokens", "Tokens as providers report them at the end of a stream, by kind.", *_MODEL, "kind", unit="tokens"
)
COST: Final = _counter("cost_dollars", "What streams cost, where providers report it.", *_MODEL, unit="dollars")
RECEIVED: Final = _counter("provider_received_bytes", "Bytes of answers read from providers.", *_MODEL, unit="bytes")
ERRORS: Final = _counter("errors", "Attempts at a model that failed, by the kind of the error.", *_MODEL, "kind")

# -- what is done when a provider fails --------------------------------------------------------------------------------

RETRIES: Final = _counter(
    "retries", "Attempts at the model and by the key that were asked before, of requests that ended.", *_MODEL
)
FALLBACKS: Final = _counter("fallbacks", "Requests that left a model for the next one of their plan.", *_MODEL)
RETRIES_LEFT: Final = _gauge("retry_budget_left", "Retries that the daemon's budget has left now.")
RETRIES_REFUSED: Final = _counter("retry_budget_refusals", "Retries that the daemon's budget did not have.")
KEY_SWITCHES: Final = _counter(
    "key_switches", "Attempts at the model that was asked before, by another key of its provider's.", *_MODEL
)
BREAKER_STATE: Final = _gauge(
    "breaker_state", "1 for the state that a model's circuit breaker is in, 0 for the others.", *_MODEL, "key", "state"
)
BREAKER_OPENINGS: Final = _counter("breaker_openings", "How often a model's circuit breaker opened.", *_MODEL)
BREAKER_REFUSALS: Final = _counter("breaker_refusals", "Attempts that an open circuit breaker kept back.", *_MODEL)
PROVIDER_HEALTH: Final = _gauge(
    "provider_health", "1 for the state of a provider's health, 0 for the others.", "provider", "state"
)

# -- limits ------------------------------------------------------------------------------------------------------------

LIMIT_WAITS: Final = _counter("limit_waits", "Streams that waited for a limit, whatever became of them.", *_LIMIT)
LIMIT_WAIT_TIME: Final = _counter("limit_wait_seconds", "How long they waited in all.", *_LIMIT, unit="seconds")
LIMIT_REFUSALS: Final = _counter("limit_refusals", "Streams that a limit refused.", *_LIMIT)
LIMIT_WAITING: Final = _gauge("limit_waiting", "Streams that wait for a limit now.", "gate")
REFUSALS: Final = _counter("refusals", "What the daemon turned away, by the bound that it would have broken.", "bound")

# -- requests, as users ask them ---------------------------------------------------------------------------------------

REQUESTS: Final = _counter("requests", "Requests that ended, by who asked and how they ended.", "user", "outcome")
REQUEST_ERRORS: Final = _counter("request_errors", "Requests that ended in an error, by its kind.", "kind")
REQUEST_DURATION: Final = _histogram(
    "request_duration_seconds", "How long a request took, with all that was tried.", DURATION_BOUNDS, unit="seconds"
)
USER_TOKENS: Final = _counter(
    "user_tokens", "Tokens as providers report them, by who asked and kind.", "user", "kind", unit="tokens"
)
REQUESTS_ACTIVE: Final = _gauge("requests_active", "Requests under way.")
REQUESTS_LIMIT: Final = _gauge("requests_limit", "Requests that may be under way.")
REQUESTS_WAITING: Final = _gauge(
    "requests_waiting", "Requests that wait for a place in a model's quota, or for their next attempt at it.", *_MODEL
)
HELD_BYTES: Final = _gauge("requests_held_bytes", "Bytes of the requests under way, as they came.", unit="bytes")
HELD_LIMIT: Final = _gauge("requests_held_limit_bytes", "Bytes of requests that may be under way.", unit="bytes")

# -- clients and backpressure ------------------------------------------------------------------------------------------

CONNECTIONS: Final = _gauge("connections", "Connected clients, by how their streams travel.", "transport")
CONNECTIONS_LIMIT: Final = _gauge("connections_limit", "Clients that may be connected.")
SENT: Final = _counter("client_sent_bytes", "Bytes of frames written to clients.", "transport", unit="bytes")
UNREAD: Final = _gauge(
    "client_unread_bytes", "Bytes that wait in the daemon for clients to read.", "transport", unit="bytes"
)
RING_FILL: Final = _gauge("ring_fill_bytes", "Bytes in all shared rings that clients have not read.", unit="bytes")
RING_CAPACITY: Final = _gauge("ring_capacity_bytes", "Bytes that all shared rings hold.", unit="bytes")
RING_FULLEST: Final = _gauge("ring_fill_ratio", "How full the fullest shared ring is, from 0 to 1.", unit="ratio")
STAGE_STREAMS: Final = _gauge("stage_streams", "Streams that have such a stage.", *_STAGE)
QUEUED: Final = _gauge("queued_tokens", "Tokens that wait in such stages.", *_STAGE, unit="tokens")
MOST_QUEUED: Final = _gauge("queue_longest_tokens", "Tokens in the longest of their queues.", *_STAGE, unit="tokens")
CREDIT: Final = _gauge("credit_frames", "Frames that readers will still take, of those who count.", *_STAGE)
GATES_CLOSED: Final = _gauge("gates_closed", "Streams that are held up: their gate is closed.", *_STAGE)
GATE_CLOSINGS: Final = _counter("gate_closings", "How often a gate was closed.", *_STAGE)
PAUSES: Final = _counter("buffer_pauses", "How often a buffer was full and held its source up.", *_STAGE)
DROPPED: Final = _counter("dropped_tokens", "Tokens that a full buffer dropped, as its policy says.", *_STAGE)
COALESCED: Final = _counter("coalesced_tokens", "Tokens that a buffer merged into others.", *_STAGE)

# -- the daemon --------------------------------------------------------------------------------------------------------

BUILD: Final = Family(name="rxlapce_build", kind=Kind.INFO, help="What runs.", labels=("version", "python"))
DRAINING: Final = _gauge("draining", "1 while the daemon stops, 0 otherwise.")
#: The names that every Prometheus client gives these, so that dashboards of others find them.
CPU: Final = Family(
    name="process_cpu_seconds", kind=Kind.COUNTER, help="User and system CPU time of the process.", unit="seconds"
)
MEMORY: Final = Family(
    name="process_resident_memory_bytes", kind=Kind.GAUGE, help="Memory that the process has resident.", unit="bytes"
)
OPEN_FILES: Final = Family(name="process_open_fds", kind=Kind.GAUGE, help="Open descriptors of the process.")
MAX_FILES: Final = Family(name="process_max_fds", kind=Kind.GAUGE, help="Descriptors that it may open.")
STARTED: Final = Family(
    name="process_start_time_seconds", kind=Kind.GAUGE, help="When it started, in Unix time.", unit="seconds"
)

FAMILIES: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Family))
