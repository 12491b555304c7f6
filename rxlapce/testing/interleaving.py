"""Requests of several readers through one `ProviderManager` to scripted providers in virtual time; what was seen."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, cycle
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable

from rxlapce.answer import AnswerBuilder
from rxlapce.flow import Exchange, FlowControl, Receiver, Stage, connect
from rxlapce.operators.backpressure import buffer_with_backpressure
from rxlapce.operators.breaker import State
from rxlapce.providers import anthropic, openai
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, Message, Tool
from rxlapce.routing.alias import Alias
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.traffic import Traffic
from rxlapce.secret import Secret
from rxlapce.telemetry.hooks import Settled
from rxlapce.testing.clocked import Clocked
from rxlapce.testing.scripted_http import Script, ScriptedHttp, Sent
from rxlapce.testing.spoken import CALL
from rxlapce.tokens import Finish, StreamToken

#: The name under which all requests ask, but for those that name a model themselves.
ALIAS: Final = "any"
#: When all is over, in seconds.
END_S: Final = 100_000.0


class VirtualTime(Clocked):
    """A virtual clock that knows what it still has to do."""

    @property
    def pending(self) -> int:
        """Actions that are scheduled, and neither done nor cancelled."""
        return sum(not item.is_cancelled() for item, _ in self._queue.items)

    def after(self, delay_s: float, do: Callable[[], object]) -> DisposableBase:
        """Call `do` in `delay_s` seconds, unless disposed."""

        def action(_: SchedulerBase, __: object = None) -> None:
            do()

        return self.schedule_relative(delay_s, action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one reader asks and does. Times are in seconds.

    It asks at `at_s`. Its gate is closed and opened in turns, after each of `turns_s`. It leaves `leaves_s` after it
    asked, or as soon as it has `leaves_after` tokens. `bounded`: it says how long the answer may be.
    """

    at_s: float = 0.0
    model: str = ALIAS
    whole: bool = False
    tools: bool = False
    bounded: bool = False
    user: str = "ann"
    client: str = "editor"
    turns_s: tuple[float, ...] = ()
    leaves_s: float | None = None
    leaves_after: int | None = None
    high_water: int = 2

    def request(self, number: int) -> ChatRequest:
        """What the reader with that number asks."""
        return ChatRequest(
            model=self.model,
            messages=(Message(role="user", content=question_of(number)),),
            max_tokens=30 if self.bounded else None,
            tools=(Tool(name=CALL[1]),) if self.tools else (),
        )


def question_of(number: int) -> str:
    """The first turn of the reader with that number: it tells the requests of one from those of others."""
    return f"question {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that is given: models, what becomes of the requests to each, settings, readers; and what chance says."""

    alias: Alias
    scripts: dict[str, list[Script]]
    settings: RoutingSettings
    readings: list[Reading]
    chances: tuple[float, ...] = (0.5,)


class Reader:
    """One request with the sink's buffer behind it, and what came of it.

    `tokens` and `ends` are what the reader got: an end is an error, or None for completion. `raw` is what the pipeline
    gave to the buffer, ends and all, without RxPY's auto-detach in between.
    """

    def __init__(self, world: "World", number: int, reading: Reading) -> None:
        self.world = world
        self.number = number
        self.reading = reading
        self.exchange = Exchange(request_id=str(number), user=reading.user, client=reading.client)
        self.demand = FlowControl()
        self.tokens: list[StreamToken] = []
        self.ends: list[Exception | None] = []
        self.raw: list[StreamToken | Exception | None] = []
        self.builder = AnswerBuilder()
        self.settled: list[Settled] = []
        self.started = False
        self.left = False
        self.raw_when_left = 0
        self.subscription = SerialDisposable()
        self.habits = CompositeDisposable()

    @property
    def over(self) -> bool:
        """It has its end, or has left."""
        return self.left or bool(self.ends)

    @property
    def sent(self) -> list[Sent]:
        """The requests that providers have seen of it."""
        return [sent for sent in self.world.http.sent if sent.exchange is self.exchange]

    def start(self) -> None:
        """Ask."""
        self.started = True
        reading, manager = self.reading, self.world.manager
        ask = manager.chat_whole if reading.whole else manager.chat_stream
        buffer = buffer_with_backpressure(
            upstream=self.exchange.flow, downstream=self.demand, high_water=reading.high_water, low_water=0
        )
        stream = ask(reading.request(self.number), self.exchange).pipe(self._noted, buffer)
        self.subscription.disposable = stream.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=self.world.clock
        )
        if not self.over:
            self._take_up_habits()

    def _take_up_habits(self) -> None:
        for place, at_s in enumerate(accumulate(self.reading.turns_s)):
            turn = self.demand.open if place % 2 else self.demand.close
            self.habits.add(self.world.clock.after(at_s, partial(turn, "reader")))
        if self.reading.leaves_s is not None:
            self.habits.add(self.world.clock.after(self.reading.leaves_s, self.leave))

    def leave(self) -> None:
        """Dispose."""
        if not self.over:
            self.left = True
            self.raw_when_left = len(self.raw)
            self.subscription.dispose()
            self._end()

    def _noted(self, source: Observable[StreamToken]) -> Observable[StreamToken]:
        raw = self.raw

        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            def on_next(token: StreamToken) -> None:
                raw.append(token)
                receiver.on_next(token)

            def on_error(error: Exception) -> None:
                raw.append(error)
                receiver.on_error(error)

            def on_completed() -> None:
                raw.append(None)
                receiver.on_completed()

            return connect(source, Receiver(on_next, on_error, on_completed), scheduler)

        return Stage(on_subscribe)

    def _on_next(self, token: StreamToken) -> None:
        self.tokens.append(token)
        self.builder.add(token)
        if len(self.tokens) == self.reading.leaves_after:
            self.leave()

    def _on_error(self, error: Exception) -> None:
        self.ends.append(error)
        self._end()

    def _on_completed(self) -> None:
        self.ends.append(None)
        self._end()

    def _end(self) -> None:
        self.habits.dispose()
        self.world.reader_is_over()

    @property
    def finish(self) -> Finish | None:
        """The `Finish` that it got."""
        return next((token for token in self.tokens if isinstance(token, Finish)), None)


@dataclass
class World:
    """A scenario as it runs: `run` it, then look."""

    scenario: Scenario
    clock: VirtualTime = field(default_factory=VirtualTime)
    most_at_once: Counter[str] = field(default_factory=Counter[str])
    """The most streams at once that a provider's model saw, and that it saw of a user and of a client."""
    left_behind: list[str] = field(default_factory=list[str])
    """What was still held when nobody asked for anything."""

    def __post_init__(self) -> None:
        settings = self.scenario.settings
        self.http = ScriptedHttp(self.scenario.scripts, self._on_sent)
        self.traffic = Traffic(settings, clock=lambda: self.clock.now_s)
        chances = cycle(self.scenario.chances)
        providers = {
            spec.name: spec.build(Settings(key=Secret("k"), base_url=f"http://{spec.name}.test", extra={}))
            for spec in (openai.SPEC, anthropic.SPEC)
        }
        self.manager = ProviderManager(
            self.http,
            Router(providers, aliases=[self.scenario.alias], chance=lambda: next(chances)),
            settings,
            traffic=self.traffic,
            on_settled=lambda settled: self.readers[int(settled.request_id)].settled.append(settled),
            chance=lambda: next(chances),
        )
        self.readers = [Reader(self, number, reading) for number, reading in enumerate(self.scenario.readings)]
        self._looking = SerialDisposable()

    def run(self) -> "World":
        """Let all time go by: no request may take longer than `END_S`."""
        for reader in self.readers:
            self.clock.at(reader.reading.at_s, reader.start)
        self.clock.advance_to(END_S)
        return self

    def keys_of(self, sent: Sent) -> Iterable[str]:
        """Under which names a request counts against a quota."""
        name, _ = self.scenario.settings.admission.of(*sent.model.split("/", 1))
        return f"route {name}", f"user {sent.exchange.user}", f"client {sent.exchange.client}"

    def _on_sent(self, sent: Sent) -> None:
        for key in self.keys_of(sent):
            running = sum(other.ended_s is None and key in self.keys_of(other) for other in self.http.sent)
            self.most_at_once[key] = max(self.most_at_once[key], running)

    def reader_is_over(self) -> None:
        """Look, when this turn is over, whether the last one has left anything."""
        if not any(reader.started and not reader.over for reader in self.readers):
            self._looking.disposable = self.clock.after(0.0, self._look)

    def _look(self) -> None:
        if any(reader.started and not reader.over for reader in self.readers):
            return  # somebody asked at the same time
        self.left_behind.extend(self.held())

    def held(self) -> list[str]:
        """What is held now, in words."""
        traffic, held = self.traffic, dict[str, object]()
        for limits, limiter in traffic.limiters.items():
            name = f"limiter of {', '.join(map(str, limits))}"
            held |= {
                f"{name}: active": limiter.gauges.active,
                f"{name}: waiting": limiter.gauges.waiting,
                f"{name}: lines": len(limiter),
            }
        for amount, slots in traffic.slots.items():
            keys = [f"{who} {name}" for who in ("user", "client") for name in self._asking(who)]
            in_use = sum(slots.in_use(key) for key in [*keys, *self.scenario.scripts, "openai", "anthropic"])
            held |= {
                f"{amount} slots: active": slots.gauges.active,
                f"{amount} slots: waiting": slots.gauges.waiting,
                f"{amount} slots: in use": in_use,
            }
        for (provider, model, _), breaker in traffic.breakers:
            held[f"breaker of {provider}/{model}: active"] = breaker.gauges.active
            held[f"breaker of {provider}/{model}: a probe"] = breaker.state in (State.PROBING, State.TRIAL)
        held["running by the totals"] = sum(totals.running for totals in traffic.totals.collect().values())
        held["running by the routes"] = traffic.all_running
        held["actions"] = self.clock.pending - sum(not reader.started for reader in self.readers)
        held["open connections"] = self.http.open_connections
        for reader in self.readers:
            listeners = len(reader.exchange.flow._listeners)  # pyright: ignore[reportPrivateUsage] - nothing public tells
            held[f"listeners of reader {reader.number}"] = listeners + len(reader.demand._listeners)  # pyright: ignore[reportPrivateUsage] - as above
            held[f"gate of reader {reader.number}"] = not reader.exchange.flow.is_open
            held[f"connect_s of reader {reader.number}"] = reader.exchange.connect_s
        return [f"{name}: {count}" for name, count in held.items() if count]

    def _asking(self, who: str) -> set[str]:
        return {reader.reading.user if who == "user" else reader.reading.client for reader in self.readers}
