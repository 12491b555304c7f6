"""`ProviderManager`: the four calls, and what is free to learn, as a thin face over router, ways, gates and client.

The way of one request, from the outside in; each line is a stage, and holds something until it ends. What stands
between the lines in capitals is the pipeline's (`routing.way`); the names are those of the pipeline `default`.

    settled                       tells how it ended, once
    user's and client's gates     a slot, a place within a quota
    REQUEST                         nothing, but what a pipeline says
    copies                          a place in the line of each sink besides the client
    fallback                      the models of the plan, in order; each of them is
      counted                       one that is under way there
    MODEL
      retry_stream                  attempts, within the daemon's budget; each of them is
        concurrency_gate              a slot
        rate_limit_gate               a place within the model's quota
        circuit_break                 a ticket
        metrics_tap                   a place among the streams that run
        stream_timeouts               a timer
    BYTES
        the provider                  a connection
"""

import random
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Final, Self

from reactivex import Observable
from reactivex import throw as rx_throw
from reactivex.abc import SchedulerBase

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, iterate
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.copies import copy_to
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import FallbackPolicy, Leg
from rxlapce.providers.call import HttpSource
from rxlapce.providers.discovery import by_any_key, check_health, count_tokens, list_models
from rxlapce.providers.inlet import PLAIN_INLET, Inlet, plain_map
from rxlapce.providers.provider import Provider, chat_whole
from rxlapce.providers.provider import chat_stream as provider_chat_stream
from rxlapce.requests import ChatRequest, CompletionRequest
from rxlapce.routing.asking import Ask, Asked
from rxlapce.routing.health import HealthMonitor, OnHealth
from rxlapce.routing.needs import needs_of
from rxlapce.routing.router import Plan, Router
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.settling import settling
from rxlapce.routing.stages import default_way
from rxlapce.routing.traffic import SeenApart, Traffic, deferred
from rxlapce.routing.way import Outlet, Site, Transport, Way
from rxlapce.routing.ways import Asks, Ways
from rxlapce.telemetry.hooks import OnSettled
from rxlapce.tokens import StreamToken


class ProviderManager:
    """Asks whoever the request's model names, and the next one if that fails, as `settings` say.

    Between `start` and `stop` (or in `async with`) it looks after the providers' health; without, all count as usable.
    Each request goes one of `ways`; without them all go that of `settings`. `on_settled` is told of each request when
    it has ended, `on_health` of each change of a provider's usability. `traffic` has the counts of all.
    """

    def __init__(
        self,
        client: HttpSource,
        router: Router,
        settings: RoutingSettings | None = None,
        *,
        ways: Ways | None = None,
        traffic: Traffic | None = None,
        on_settled: OnSettled | None = None,
        on_health: OnHealth | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.client = client
        self.router = router
        self.settings = settings or RoutingSettings()
        self.ways = ways or Ways(default_way(self.settings))
        self.traffic = traffic or Traffic(self.settings)
        self.on_settled = on_settled
        self.on_health = on_health
        self._chance = chance

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()
        await self.traffic.aclose()

    def start(self) -> None:
        """Begin to look after the providers' health, unless the settings say not to.

        Raises `RuntimeError` if it has begun.
        """
        if self.traffic.health is not None:
            raise RuntimeError("the manager looks after the providers already")
        health = self.settings.health
        if health.enabled:
            self.traffic.health = HealthMonitor(
                self.router.providers,
                self.check_health,
                every_s=health.every_s,
                unusable_every_s=health.unusable_every_s,
                timeout_s=health.timeout_s,
                on_change=self.on_health,
                speaking=self.traffic.totals.speaking,
            )
            self.traffic.health.start()

    async def stop(self) -> None:
        """End the checks under way."""
        health, self.traffic.health = self.traffic.health, None
        if health is not None:
            await health.stop()

    def chat_stream(self, request: ChatRequest, exchange: Exchange) -> Observable[StreamToken]:
        """The answer as a cold Observable of tokens: subscribing asks, disposing cancels.

            --text--text--text-----usage-finish-|

        Ends in `Finish` and completion, or in `on_error(ProviderError)`; what comes before that is in
        `operators.fallback`. `exchange.attempts` tells who was asked, and what came of it. Takes the scheduler from
        subscribe; runs on the loop that `client` was entered on.
        """
        return self._answer(request, exchange, provider_chat_stream)

    def complete_stream(self, request: CompletionRequest, exchange: Exchange) -> Observable[StreamToken]:
        """The completion as a cold Observable of tokens; as one user message where the model only chats."""
        return self._answer(request.as_chat(), exchange, provider_chat_stream, completion=True)

    def chat_whole(self, request: ChatRequest, exchange: Exchange) -> Observable[StreamToken]:
        """The answer, asked for in one piece, as a cold Observable of its tokens; in all else as `chat_stream`.

        --------------text-usage-finish-|
        """
        return self._answer(request, exchange, chat_whole)

    async def chat(self, request: ChatRequest, exchange: Exchange) -> Answer:
        """The answer in one piece, by the same way. Raises `ProviderError`."""
        return await _whole(self.chat_whole(request, exchange))

    async def complete(self, request: CompletionRequest, exchange: Exchange) -> Answer:
        """The completion in one piece; as one user message where the model only chats. Raises `ProviderError`."""
        return await _whole(self._answer(request.as_chat(), exchange, chat_whole, completion=True))

    def plan(self, request: ChatRequest) -> Plan:
        """Who would be asked for `request` now, in order, and why. Raises `ProviderError`."""
        return self.router.plan(request.model, needs_of(request), self.traffic)

    async def list_models(self, provider: str) -> list[str]:
        """The models that `provider` lists, by its own names. Never billed. Raises `ProviderError`."""
        return await by_any_key(self.router.provider(provider), partial(list_models, self.client))

    async def count_tokens(self, request: ChatRequest) -> int:
        """The input tokens of `request` as its provider counts them. Never billed. Raises `ProviderError`."""
        route = self.router.route(request.model)

        async def count(account: Provider) -> int:
            return await count_tokens(self.client, account, request, route.model)

        return await by_any_key(route.provider, count)

    async def check_health(self, provider: str) -> None:
        """Return if `provider` answers and takes a key of ours. Never billed. Raises `ProviderError`."""
        await by_any_key(self.router.provider(provider), partial(check_health, self.client))

    # -- the way of a request -----------------------------------------------------------------------------------------

    def way(self, name: str, exchange: Exchange, asks: Asks = Asks.CHAT) -> Way:
        """The way of a request for the model or alias `name`."""
        if not self.ways.rules:
            return self.ways.default
        return self.ways.of(self.router.names_of(name), exchange, asks)

    def _answer(
        self, request: ChatRequest, exchange: Exchange, ask: Ask, *, completion: bool = False
    ) -> Observable[StreamToken]:
        asked = Asked(request, exchange, ask, completion, needs_of(request))
        way = self.way(request.model, exchange, Asks.COMPLETE if completion else Asks.CHAT)

        def planned(_: SchedulerBase | None) -> Observable[StreamToken]:
            try:
                _check_transport(way.outlet, exchange)
                state = SeenApart(self.traffic, way.breaker) if way.breaker else self.traffic
                plan = self.router.plan(request.model, asked.needs, state)
            except ProviderError as error:
                return rx_throw(error)
            return self._planned(plan, way, asked)

        admission, wait_s = self.settings.admission, self.settings.admission.wait_s
        admit = self.traffic.admit
        return deferred(planned).pipe(
            admit(f"client {exchange.client}", admission.client, asked.needs, wait_s, exchange, local=True),
            admit(f"user {exchange.user}", admission.of_user(exchange.user), asked.needs, wait_s, exchange, local=True),
            settling(request.model, exchange, way.outlet, self.traffic.clock, self.on_settled),
        )

    def _planned(self, plan: Plan, way: Way, asked: Asked) -> Observable[StreamToken]:
        """The models of `plan`, and what stands behind them."""
        site = self._site(plan, asked)
        if way.fallback is None:
            legs, policy = [self._leg(plan, 0, way, asked, alone=True)], FallbackPolicy()
        else:
            legs = [self._leg(plan, place, way, asked) for place in range(len(plan.routes))]
            policy = asked.possible(way.fallback(site))
        source = fallback(legs, policy=policy, exchange=asked.exchange)
        for make in way.request:
            source = make(site)(source)
        return source.pipe(copy_to([sink.copy(site) for sink in way.copies])) if way.copies else source

    def _leg(self, plan: Plan, place: int, way: Way, asked: Asked, *, alone: bool = False) -> Leg:
        planned = plan.routes[place]
        route, target, exchange = planned.route, planned.target, asked.exchange
        # Another vendor's model does not understand the thoughts of the first one's.
        foreign = route.provider.name != plan.routes[0].route.provider.name

        def open_leg(continuation: Continuation | None) -> Observable[StreamToken]:
            request = asked.said(route.provider, route.model, continuation, plain=foreign)
            site = self._site(plan, asked, None if alone else place)
            site.route = route
            inlet = _inlet(way, site)
            source = asked.ask(self.client, route.provider, request, route.model, exchange, inlet)
            for make in way.model:
                source = make(site)(source)
            return self.traffic.counted(route, others=plan.has_others and not alone)(source)

        return Leg(
            provider=route.provider.name,
            model=route.model,
            open=open_leg,
            accepts_prefill=asked.prefills(route.provider, route.model, target),
            key=route.key or "",
        )

    def _site(self, plan: Plan, asked: Asked, place: int | None = None) -> Site:
        """What stages are told of a request; of its model at `place`, what is left behind that."""
        others_left, keys_left = (False, False) if place is None else plan.left_after(place)
        return Site(
            exchange=asked.exchange,
            request=asked.request,
            needs=asked.needs,
            traffic=self.traffic,
            settings=self.settings,
            chance=self._chance,
            providers=self.router.providers,
            whole=asked.whole,
            alias=plan.alias,
            others_left=others_left,
            keys_left=keys_left,
        )


def _inlet(way: Way, site: Site) -> Inlet:
    """What the way has between the bytes of the site's model and its tokens."""
    if not (way.on_bytes or way.decoding or way.on_events or way.to_tokens):
        return PLAIN_INLET
    decoding, to_tokens = way.decoding, way.to_tokens
    return Inlet(
        on_bytes=tuple(make(site) for make in way.on_bytes),
        decode=None if decoding is None else decoding.make(site),
        framing="" if decoding is None else decoding.framing,
        on_events=tuple(make(site) for make in way.on_events),
        to_tokens=plain_map if to_tokens is None else partial(to_tokens, site),
    )


_WAYS_OUT: Final = {Transport.SHM: "shared memory", Transport.SOCKET: "the socket"}


def _check_transport(outlet: Outlet, exchange: Exchange) -> None:
    """Raise `ProviderError` (bad_request) for a client that takes its frames by another way than `outlet` says.

    Who asks within this process has none.
    """
    if outlet.transport is not Transport.ANY and exchange.transport not in ("", outlet.transport.value):
        raise ProviderError(
            ErrorKind.BAD_REQUEST,
            f"this pipeline answers clients that take their frames by {_WAYS_OUT[outlet.transport]}, "
            f"and this one asked for {_WAYS_OUT[Transport(exchange.transport)]}",
            phase=Phase.ADMIT,
        )


async def _whole(source: Observable[StreamToken]) -> Answer:
    """What the tokens of `source` make. Raises what it fails with."""
    builder = AnswerBuilder()
    async with aclosing(iterate(source)) as tokens:
        async for token in tokens:
            builder.add(token)
    return builder.answer()
