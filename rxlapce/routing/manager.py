"""`ProviderManager`: the four calls, and what is free to learn, as a thin face over router, gates, breakers and client.

The way of one request, from the outside in; each line is an operator or a stage, and holds something until it ends:

    settled                       tells how it ended, once
    user's and client's gates     a slot, a place within a quota
    fallback                      the models of the plan, in order; each of them is
      counted                       one that is under way there
      retry_stream                  attempts, within the daemon's budget; each of them is
        the model's gates             a slot, a place within its quota
        circuit_break                 a ticket
        totals.tap                    a place among the streams that run
        stream_timeouts               a timer
        the provider                  a connection
"""

import random
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Self

from reactivex import Observable
from reactivex import throw as rx_throw
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, connect, iterate
from rxlapce.happenings import Answered, Happening
from rxlapce.operators.circuit import circuit_break
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.fallback import fallback
from rxlapce.operators.legs import AfterCommit, FallbackPolicy, Leg
from rxlapce.operators.retry import retry_stream
from rxlapce.operators.timeouts import stream_timeouts
from rxlapce.providers.call import HttpSource
from rxlapce.providers.discovery import check_health, count_tokens, list_models
from rxlapce.providers.provider import Provider, chat_whole
from rxlapce.providers.provider import chat_stream as provider_chat_stream
from rxlapce.requests import ChatRequest, CompletionRequest, Message
from rxlapce.routing.alias import Target
from rxlapce.routing.health import HealthMonitor, OnHealth
from rxlapce.routing.needs import Needs, needs_of
from rxlapce.routing.router import Plan, Router
from rxlapce.routing.settings import RoutingSettings, StreamTimeouts
from rxlapce.routing.traffic import Operator, Traffic, deferred
from rxlapce.telemetry.hooks import OnSettled, Settled
from rxlapce.tokens import StreamToken

#: Asks a provider for an answer: in pieces, or whole.
Ask = Callable[[HttpSource, Provider, ChatRequest, str, Exchange], Observable[StreamToken]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: what is asked, how, and what it needs."""

    request: ChatRequest
    exchange: Exchange
    ask: Ask
    completion: bool
    needs: Needs

    def of(self, provider: Provider, model: str) -> ChatRequest:
        """The request by the API for it: a completion goes to the one that completes, where there is one."""
        request = self.request
        if request.api is None and self.completion:
            return replace(request, api=provider.completion_api_of(model))
        return request


class ProviderManager:
    """Asks whoever the request's model names, and the next one if that fails, as `settings` say.

    Between `start` and `stop` (or in `async with`) it looks after the providers' health; without, all count as usable.
    `on_settled` is told of each request when it has ended, `on_health` of each change of a provider's usability.
    `traffic` has the counts of all.
    """

    def __init__(
        self,
        client: HttpSource,
        router: Router,
        settings: RoutingSettings | None = None,
        *,
        traffic: Traffic | None = None,
        on_settled: OnSettled | None = None,
        on_health: OnHealth | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.client = client
        self.router = router
        self.settings = settings or RoutingSettings()
        self.traffic = traffic or Traffic(self.settings)
        self.on_settled = on_settled
        self.on_health = on_health
        self._chance = chance

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

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
        return await list_models(self.client, self.router.provider(provider))

    async def count_tokens(self, request: ChatRequest) -> int:
        """The input tokens of `request` as its provider counts them. Never billed. Raises `ProviderError`."""
        route = self.router.route(request.model)
        return await count_tokens(self.client, route.provider, request, route.model)

    async def check_health(self, provider: str) -> None:
        """Return if `provider` answers and takes the credential. Never billed. Raises `ProviderError`."""
        await check_health(self.client, self.router.provider(provider))

    # -- the way of a request -----------------------------------------------------------------------------------------

    def _answer(
        self, request: ChatRequest, exchange: Exchange, ask: Ask, *, completion: bool = False
    ) -> Observable[StreamToken]:
        asked = _Asked(request, exchange, ask, completion, needs_of(request))

        def planned(_: SchedulerBase | None) -> Observable[StreamToken]:
            try:
                plan = self.router.plan(request.model, asked.needs, self.traffic)
            except ProviderError as error:
                return rx_throw(error)
            return self._legs(plan, asked)

        admission, wait_s = self.settings.admission, self.settings.admission.wait_s
        admit = self.traffic.admit
        return deferred(planned).pipe(
            admit(f"client {exchange.client}", admission.client, asked.needs, wait_s, exchange, local=True),
            admit(f"user {exchange.user}", admission.of_user(exchange.user), asked.needs, wait_s, exchange, local=True),
            self._settling(asked),
        )

    def _legs(self, plan: Plan, asked: _Asked) -> Observable[StreamToken]:
        legs = [self._leg(plan, place, asked) for place in range(len(plan.routes))]
        own = plan.alias.fallback if plan.alias is not None else None
        policy = _policy_for(asked.request, own or self.settings.fallback)
        return fallback(legs, policy=policy, exchange=asked.exchange)

    def _leg(self, plan: Plan, place: int, asked: _Asked) -> Leg:
        planned = plan.routes[place]
        route, target, exchange = planned.route, planned.target, asked.exchange
        last = place == len(plan.routes) - 1
        own = plan.alias.timeouts if plan.alias is not None else None
        timeouts = own or self.settings.timeouts
        # Another vendor's model does not understand the thoughts of the first one's.
        foreign = route.provider.name != plan.routes[0].route.provider.name

        def open_leg(continuation: Continuation | None) -> Observable[StreamToken]:
            request = _asking(asked, route.provider, route.model, continuation, plain=foreign)
            source = asked.ask(self.client, route.provider, request, route.model, exchange)
            return source.pipe(
                _within(_whole_only(timeouts) if asked.ask is chat_whole else timeouts, exchange),
                self.traffic.totals.tap(route.provider.name, route.model, exchange=exchange),
                circuit_break(self.traffic.breakers.get(route.provider.name, route.model), exchange=exchange),
                self._gates(route.provider.name, route.model, asked, last=last),
                self._retrying(exchange, last=last),
                self.traffic.counted(route, others=len(plan.routes) > 1),
            )

        return Leg(
            provider=route.provider.name,
            model=route.model,
            open=open_leg,
            accepts_prefill=_prefill(asked, route.provider, route.model, target),
        )

    def _gates(self, provider: str, model: str, asked: _Asked, *, last: bool) -> Operator:
        admission = self.settings.admission
        wait_s = admission.wait_s if last else min(admission.wait_s, self.settings.patience_s)
        key, quota = admission.of(provider, model)
        return self.traffic.admit(key, quota, asked.needs, wait_s, asked.exchange)

    def _retrying(self, exchange: Exchange, *, last: bool) -> Operator:
        policy, patience_s = self.settings.retry, self.settings.patience_s
        if not last:
            if not patience_s:
                policy = replace(policy, max_attempts=1)
            elif policy.deadline_s is None or policy.deadline_s > patience_s:
                policy = replace(policy, deadline_s=patience_s)
        return retry_stream(policy, budget=self.traffic.budget, random=self._chance, exchange=exchange)

    def _settling(self, asked: _Asked) -> Operator:
        """Tell of the request when it has ended: by its whole answer, error or disposal, whichever is first.

        Before its reader knows: what is written down of it then outlives this process.
        """

        def settling(source: Observable[StreamToken]) -> Observable[StreamToken]:
            def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
                started_s, exchange = self.traffic.clock(), asked.exchange
                before = len(exchange.attempts)
                told = False

                def tell(error: Exception | None, *, finished: bool = False) -> None:
                    nonlocal told
                    if not told:
                        told = True
                        exchange.watchers.remove(hear)
                        self._tell(asked, before, started_s, error, finished=finished)

                def hear(happening: Happening) -> None:
                    if isinstance(happening, Answered):
                        tell(None, finished=True)

                def on_error(error: Exception) -> None:
                    try:
                        tell(error)
                    finally:  # a hook that fails must not keep the end from the reader
                        receiver.on_error(error)

                def on_completed() -> None:
                    try:
                        tell(None, finished=True)
                    finally:
                        receiver.on_completed()

                exchange.watchers.append(hear)
                upstream = connect(source, Receiver(receiver.on_next, on_error, on_completed), scheduler)
                return CompositeDisposable(upstream, Disposable(lambda: tell(None)))

            return Stage(on_subscribe)

        return settling

    def _tell(self, asked: _Asked, before: int, started_s: float, error: Exception | None, *, finished: bool) -> None:
        if self.on_settled is None:
            return
        exchange = asked.exchange
        kind = error.kind if isinstance(error, ProviderError) else None if error is None else ErrorKind.INTERNAL
        attempts = tuple(exchange.attempts[before:])
        self.on_settled(
            Settled(
                request_id=exchange.request_id,
                user=exchange.user,
                client=exchange.client,
                name=asked.request.model,
                provider=exchange.provider,
                model=exchange.model,
                # Who disposes after the `Finish` has the whole answer.
                finished=finished or (error is None and bool(attempts) and attempts[-1].finished),
                error_kind=kind,
                attempts=attempts,
                took_s=self.traffic.clock() - started_s,
            )
        )


def _within(timeouts: StreamTimeouts, exchange: Exchange) -> Operator:
    return stream_timeouts(
        connect_s=timeouts.connect_s,
        headers_s=timeouts.headers_s,
        first_token_s=timeouts.first_token_s,
        idle_s=timeouts.idle_s,
        min_tokens_per_s=timeouts.min_tokens_per_s,
        rate_window_s=timeouts.rate_window_s,
        total_s=timeouts.total_s,
        exchange=exchange,
    )


def _whole_only(timeouts: StreamTimeouts) -> StreamTimeouts:
    """The limits of an answer in one piece: nothing of it comes before the end."""
    return replace(timeouts, headers_s=None, first_token_s=None, idle_s=None, min_tokens_per_s=None)


def _asking(
    asked: _Asked, provider: Provider, model: str, continuation: Continuation | None, *, plain: bool
) -> ChatRequest:
    """The request as this model is asked: from the beginning, or for the rest of an answer."""
    request = asked.of(provider, model)
    if plain and any(message.parts for message in request.messages):
        request = replace(request, messages=tuple(message.plain() for message in request.messages))
    if continuation is None:
        return request
    with suppress(ProviderError):  # told by the asking
        if provider.api(request, model).continues_prompt:
            *before, last = request.messages
            prompt = Message(role=last.role, content=last.text + continuation.text)
            return replace(request, messages=(*before, prompt))
    return continuation.request(request)


def _prefill(asked: _Asked, provider: Provider, model: str, target: Target) -> bool:
    """Whether the model goes on with an assistant's turn: as its target says, else as its provider's page has it.

    An API that goes on from one text takes no turns. It gets the beginning to its last character, white space too,
    none of which it therefore says again, as one does that was asked by a turn.
    """
    try:
        api = provider.api(asked.of(provider, model), model)
    except ProviderError:
        return False
    if api.continues_prompt:
        return False
    return api.accepts_prefill(model) if target.prefill is None else target.prefill


def _policy_for(request: ChatRequest, policy: FallbackPolicy) -> FallbackPolicy:
    """The policy as far as it can be had for what is asked.

    Of several choices none can be continued alone, also while only the first of them has begun. JSON that a model is
    held to begins anew with each answer, so that the rest of one cannot be had.
    """
    if policy.after_commit is not AfterCommit.CONTINUE:
        return policy
    if (request.n or 1) > 1:
        return replace(policy, after_commit=AfterCommit.FAIL)
    if request.response_format is not None:
        return replace(policy, after_commit=AfterCommit.RESTART)
    return policy


async def _whole(source: Observable[StreamToken]) -> Answer:
    """What the tokens of `source` make. Raises what it fails with."""
    builder = AnswerBuilder()
    async with aclosing(iterate(source)) as tokens:
        async for token in tokens:
            builder.add(token)
    return builder.answer()
