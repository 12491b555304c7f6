"""What Prometheus is told of a daemon: read from what it counts anyway, and only when somebody asks."""

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from prometheus_client import ProcessCollector

import rxlapce
from rxlapce.daemon.server import Daemon
from rxlapce.errors import ErrorKind
from rxlapce.operators.admission import Gauges, Waits
from rxlapce.operators.breaker import State
from rxlapce.operators.tap import Durations, Outcome
from rxlapce.operators.totals import ModelTotals, Sizes
from rxlapce.routing.health import Usability
from rxlapce.routing.traffic import Traffic
from rxlapce.telemetry import metrics_families as told
from rxlapce.telemetry.metrics_families import Buckets, Family, Reading
from rxlapce.telemetry.metrics_labels import OTHER, FirstCome
from rxlapce.telemetry.metrics_requests import RequestCounts, cumulative
from rxlapce.telemetry.settings import MetricsSettings

T = TypeVar("T")
#: A provider's and a model's label.
Labels = tuple[str, str]
#: What turns requests, connections and handshakes away; the daemon's own bounds have `daemon_` before their name.
BOUNDS: Final = (
    "max_connections",
    "max_handshakes",
    "max_requests",
    "max_request_bytes",
    "daemon_max_requests",
    "daemon_max_request_bytes",
)
#: The states of a breaker as they are told, the worst one last; whoever probes is half-open.
BREAKER_STATES: Final = (State.CLOSED.value, State.HALF_OPEN.value, State.OPEN.value)
#: Whose quotas there are. A model's are counted by its name; those of users and clients have these words before theirs.
SCOPES: Final = ("user", "client")
#: A configuration has a handful.
MAX_KEYS: Final = 64
#: Breakers, limits or sessions between two places where a reading can be left for something else.
BREATH: Final = 64

_KINDS: Final = tuple(kind.value for kind in ErrorKind)
_PROCESS: Final = {
    family.name: family for family in (told.CPU, told.MEMORY, told.OPEN_FILES, told.MAX_FILES, told.STARTED)
}


class DaemonMetrics:
    """Reads what a daemon and its traffic count. `settled` is for whoever tells of requests that have ended.

    `traffics` gives the traffic of now and, after a change of configuration, those before it whose counts it did not
    take over: what they counted stays told. Whatever they share is told once.

    `steps` costs some 100 us a model and 10 us a stream, in pieces of at most a millisecond (2026-11-23); nothing is
    done for it in between but by `settled`. On the daemon's loop.
    """

    def __init__(
        self, daemon: Daemon, traffics: Callable[[], Iterable[Traffic]], settings: MetricsSettings | None = None
    ) -> None:
        self.requests = RequestCounts(settings or MetricsSettings())
        self.models = self.requests.models
        self.settled = self.requests.settled
        self._daemon = daemon
        self._traffics = traffics
        self._keys = FirstCome(MAX_KEYS)
        self._process = ProcessCollector(registry=None)
        self._known()

    def read(self) -> Reading:
        """All of it, as it stands now."""
        reading = Reading()
        for _ in self.steps(reading):
            pass
        return reading

    def steps(self, reading: Reading) -> Iterator[None]:
        """Fill `reading`; between two steps the loop can do something else, and the counts go on."""
        traffics = self._known()
        self._read_daemon(reading)
        self.requests.read_into(reading)
        yield
        self._read_process(reading)
        yield
        yield from self._read_stages(reading)
        yield from self._read_clients(reading)
        yield from self._read_models(reading, traffics)
        yield from self._read_breakers(reading, traffics)
        yield from self._read_limits(reading, traffics)
        self._read_budget(reading, traffics)
        self._read_health(reading, traffics)

    def _known(self) -> tuple[Traffic, ...]:
        """The traffics of now; models that are listed have places that those which clients invent cannot take."""
        traffics = tuple(self._traffics())
        for traffic in traffics:
            traffic.totals.reserved = self.models.is_listed
        return traffics

    # -- the daemon ---------------------------------------------------------------------------------------------------

    def _read_daemon(self, reading: Reading) -> None:
        daemon = self._daemon
        reading.add(told.BUILD, 1, rxlapce.__version__, platform.python_version())
        reading.add(told.DRAINING, int(daemon.draining))
        reading.add(told.CONNECTIONS_LIMIT, daemon.max_connections)
        reading.add(told.REQUESTS_ACTIVE, daemon.held.requests)
        reading.add(told.REQUESTS_LIMIT, daemon.max_requests)
        reading.add(told.HELD_BYTES, daemon.held.bytes)
        reading.add(told.HELD_LIMIT, daemon.held.limits.max_request_bytes)
        for bound in BOUNDS:
            reading.add(told.REFUSALS, daemon.refused[bound], bound)

    def _read_stages(self, reading: Reading) -> Iterator[None]:
        for readings in self._daemon.stages.gather():
            yield
            for stage, found in (readings or {}).items():
                for family, value in (
                    (told.STAGE_STREAMS, found.streams),
                    (told.QUEUED, found.queued),
                    (told.MOST_QUEUED, found.most_queued),
                    (told.CREDIT, found.credit),
                    (told.GATES_CLOSED, found.gates_closed),
                    (told.GATE_CLOSINGS, found.closings),
                    (told.PAUSES, found.pauses),
                    (told.DROPPED, found.dropped),
                    (told.COALESCED, found.coalesced),
                ):
                    reading.add(family, value, stage)

    def _read_process(self, reading: Reading) -> None:
        for metric in self._process.collect():
            family = _PROCESS.get(metric.name)
            if family is not None:
                reading.add(family, metric.samples[0].value)

    def _read_clients(self, reading: Reading) -> Iterator[None]:
        connections, sent, unread = Counter(socket=0, shm=0), Counter(self._daemon.sent_bytes), Counter[str]()
        fill = capacity = 0
        fullest = 0.0
        for number, session in enumerate(tuple(self._daemon.sessions), 1):
            status = session.status()
            connections[status.transport] += 1
            sent[status.transport] += session.sent_bytes
            unread[status.transport] += status.unread_bytes
            if session.shm is not None:
                fill += status.ring_bytes
                capacity += session.shm.capacity
                fullest = max(fullest, status.ring_bytes / session.shm.capacity)
            if number % BREATH == 0:
                yield
        for transport, count in connections.items():
            reading.add(told.CONNECTIONS, count, transport)
            reading.add(told.SENT, sent[transport], transport)
            reading.add(told.UNREAD, unread[transport], transport)
        reading.add(told.RING_FILL, fill)
        reading.add(told.RING_CAPACITY, capacity)
        reading.add(told.RING_FULLEST, fullest)

    # -- models -------------------------------------------------------------------------------------------------------

    def _read_models(self, reading: Reading, traffics: Sequence[Traffic]) -> Iterator[None]:
        found: dict[Labels, ModelTotals] = {}
        for streams in _each(traffic.totals for traffic in traffics):
            for step in streams.gather():
                if step is not None:
                    (provider, model), counted = step
                    labels = self.models.of(provider, model)
                    if labels in found:
                        found[labels].merge(counted)
                    else:
                        found[labels] = counted
                yield
        under_way = Counter[Labels]()
        for traffic in traffics:
            for name, requests in traffic.under_way().items():
                provider, _, model = name.partition("/")
                under_way[self.models.of(provider, model)] += requests
        yield
        for labels, totals in found.items():
            _tell_model(reading, labels, totals)
            tried = self.requests.tried(*labels)
            reading.add(told.RETRIES, tried.retries, *labels)
            reading.add(told.KEY_SWITCHES, tried.key_switches, *labels)
            reading.add(told.FALLBACKS, tried.fallbacks, *labels)
            reading.add(told.REQUESTS_WAITING, max(0, under_way[labels] - totals.running), *labels)
            yield

    def _read_breakers(self, reading: Reading, traffics: Sequence[Traffic]) -> Iterator[None]:
        states: dict[tuple[str, str, str], int] = {}
        openings, refusals = Counter[Labels](), Counter[Labels]()
        for breakers in _each(traffic.breakers for traffic in traffics):
            for number, ((provider, model, key), breaker) in enumerate(breakers, 1):
                labels = (*self.models.of(provider, model), "" if key is None else self._keys.label(key))
                states[labels] = max(states.get(labels, 0), _badness(breaker.state))
                if number % BREATH == 0:
                    yield
            for (provider, model), counted in breakers.openings().items():
                of_model = self.models.of(provider, model)
                openings[of_model] += counted.opened
                refusals[of_model] += counted.refused
            yield
        for number, (labels, worst) in enumerate(states.items(), 1):
            for badness, state in enumerate(BREAKER_STATES):
                reading.add(told.BREAKER_STATE, int(worst == badness), *labels, state)
            if number % BREATH == 0:
                yield
        for of_model, opened in openings.items():
            reading.add(told.BREAKER_OPENINGS, opened, *of_model)
            reading.add(told.BREAKER_REFUSALS, refusals[of_model], *of_model)

    # -- limits, budget, health ---------------------------------------------------------------------------------------

    def _read_limits(self, reading: Reading, traffics: Sequence[Traffic]) -> Iterator[None]:
        waiting = Counter(rate=0, streams=0)
        found: defaultdict[tuple[str, str, str, str], Waits] = defaultdict(Waits)
        for gate, gauges, waits in _gates(traffics):
            waiting[gate] += gauges.waiting
            for key, counted in waits.items():
                place = found[(gate, *self._whose(key))]
                place.waits += counted.waits
                place.waited_us += counted.waited_us
                place.refused += counted.refused
            yield
        for gate in waiting:
            for scope in SCOPES:
                found[gate, scope, "", ""] = found[gate, scope, "", ""]  # told from the beginning, though nobody waited
        for labels, counted in found.items():
            reading.add(told.LIMIT_WAITS, counted.waits, *labels)
            reading.add(told.LIMIT_WAIT_TIME, counted.waited_us / 1e6, *labels)
            reading.add(told.LIMIT_REFUSALS, counted.refused, *labels)
        for gate, count in waiting.items():
            reading.add(told.LIMIT_WAITING, count, gate)

    def _whose(self, key: str) -> tuple[str, str, str]:
        """The scope of a quota's key, and the labels of the model that it is for, if it is one's."""
        scope, space, _ = key.partition(" ")
        if space and scope in SCOPES:
            return scope, "", ""
        provider, slash, model = key.partition(" by key ")[0].partition("/")
        if not slash:  # the models of a provider share it, or it is where the gate counts the rest
            return "model", "" if key == OTHER else self.models.of(provider, OTHER)[0], ""
        return ("model", *self.models.of(provider, model))

    def _read_budget(self, reading: Reading, traffics: Sequence[Traffic]) -> None:
        if traffics:
            now = traffics[-1]
            reading.add(told.RETRIES_LEFT, now.budget.left(now.clock()))
        refused = sum(budget.refused for budget in _each(traffic.budget for traffic in traffics))
        reading.add(told.RETRIES_REFUSED, refused)

    def _read_health(self, reading: Reading, traffics: Sequence[Traffic]) -> None:
        health = next((traffic.health for traffic in reversed(traffics) if traffic.health is not None), None)
        if health is not None:
            for provider, known in health.all().items():
                for state in Usability:
                    reading.add(told.PROVIDER_HEALTH, int(known.usability is state), provider, state.value)


def _tell_model(reading: Reading, labels: Labels, totals: ModelTotals) -> None:
    failed = sum(totals.outcomes[kind] for kind in _KINDS)
    ended = totals.outcomes
    reading.add(told.STREAMS, ended[Outcome.COMPLETED.value], *labels, Outcome.COMPLETED.value)
    reading.add(told.STREAMS, failed, *labels, Outcome.FAILED.value)
    reading.add(told.STREAMS, ended[Outcome.DISPOSED.value], *labels, Outcome.DISPOSED.value)
    reading.add(told.STREAMS_ACTIVE, totals.running, *labels)
    for kind in _KINDS:
        reading.add(told.ERRORS, ended[kind], *labels, kind)
    for kind, count in totals.tokens.items():
        reading.add(told.TOKENS, count, *labels, kind)
    for kind, count in totals.usage.items():
        reading.add(told.USAGE, count, *labels, kind)
    reading.add(told.COST, totals.cost_usd, *labels)
    reading.add(told.RECEIVED, totals.bytes_read, *labels)
    reading.add(told.STALLS, totals.stalls, *labels)
    reading.add(told.PAUSED_GAPS, totals.paused_gaps, *labels)
    for family, durations in (
        (told.STREAM_DURATION, totals.duration),
        (told.FIRST_TOKEN, totals.first_token),
        (told.TOKEN_GAP, totals.gaps),
    ):
        up_to = _within(family, Durations.BOUNDS_S, durations.buckets)
        reading.add(family, Buckets(up_to, durations.sum_us / 1e6), *labels)
    sizes = _within(told.STREAM_TOKENS, Sizes.BOUNDS, totals.sizes.buckets)
    reading.add(told.STREAM_TOKENS, Buckets(sizes, totals.sizes.sum), *labels)


def _within(family: Family, bounds: Sequence[float], counts: list[int]) -> list[int]:
    """The cumulative counts at the family's bounds, which are some of `bounds` in a row, and at last of all."""
    up_to = cumulative(counts)
    first = bounds.index(family.bounds[0])
    return [*up_to[first : first + len(family.bounds)], up_to[-1]]


def _gates(traffics: Sequence[Traffic]) -> Iterator[tuple[str, Gauges, dict[str, Waits]]]:
    limiters = _each(
        limiter
        for traffic in traffics
        for limiters in (traffic.limiters, traffic.local_limiters)
        for limiter in tuple(limiters.values())
    )
    for limiter in limiters:
        yield "rate", limiter.gauges, limiter.waits
    for slots in _each(slots for traffic in traffics for slots in tuple(traffic.slots.values())):
        yield "streams", slots.gauges, slots.waits


def _badness(state: State) -> int:
    return 2 if state is State.OPEN else 0 if state is State.CLOSED else 1


def _each(things: Iterable[T]) -> Iterator[T]:
    """Each thing once, whoever shares it."""
    return iter({id(thing): thing for thing in things}.values())
