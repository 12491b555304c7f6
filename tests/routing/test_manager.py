"""`ProviderManager` against a simulator: the four calls, and the limits that it puts on a stream."""

from collections.abc import AsyncIterator

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.http import HttpClient
from rxlapce.requests import CompletionRequest
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.settings import StreamTimeouts
from rxlapce.simulator import Outcome, Simulator
from rxlapce.testing.asking import Collected, ask, heard, simulated, truth
from rxlapce.testing.daemons import bare
from rxlapce.tokens import Finish


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(seed=5) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


def manager_of(simulator: Simulator, http: HttpClient, timeouts: StreamTimeouts | None = None) -> ProviderManager:
    providers = {provider.name: provider for provider in simulated(simulator.base_url)}
    return ProviderManager(http, Router(providers, default="openai"), bare(timeouts))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_the_four_calls_say_what_the_provider_says(simulator: Simulator, http: HttpClient, provider: str) -> None:
    manager, exchange = manager_of(simulator, http), Exchange()
    got = Collected(manager.chat_stream(ask(provider=provider), exchange))
    assert await got.end() is None
    assert heard(got.items) == await truth(simulator)
    assert (exchange.provider, exchange.model, exchange.status) == (provider, "sim", 200)
    answer = await manager.chat(ask(provider=provider), Exchange())
    assert answer.text == (await truth(simulator)).text
    completion = CompletionRequest(model=f"{provider}/sim", prompt="Once upon")
    completed = Collected(manager.complete_stream(completion, Exchange()))
    assert await completed.end() is None
    assert heard(completed.items) == await truth(simulator)
    assert (await manager.complete(completion, Exchange())).text == (await truth(simulator)).text


async def test_a_stream_is_cold_and_each_subscription_asks_anew(simulator: Simulator, http: HttpClient) -> None:
    stream = manager_of(simulator, http).chat_stream(ask("tokens=3", provider="openai"), Exchange())
    assert simulator.requests == []
    for number in (1, 2):
        got = Collected(stream)
        assert await got.end() is None
        assert isinstance(got.items[-1], Finish)
        assert len(simulator.requests) == number


async def test_a_name_that_nobody_has_is_an_error_of_the_stream_and_of_the_call(
    simulator: Simulator, http: HttpClient
) -> None:
    manager = manager_of(simulator, http)
    ended = await Collected(manager.chat_stream(ask(provider="nobody"), Exchange())).end()
    assert isinstance(ended, ProviderError)
    assert (ended.kind, ended.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    with pytest.raises(ProviderError, match="no provider 'nobody'"):
        await manager.chat(ask(provider="nobody"), Exchange())


@pytest.mark.parametrize(
    ("limits", "options", "phase", "words"),
    [
        (StreamTimeouts(first_token_s=0.1), "fault=stall,after=0", Phase.FIRST_TOKEN, "no token within 0.1 s"),
        (StreamTimeouts(idle_s=0.1), "fault=stall,after=3", Phase.FLOW, "nothing arrived for 0.1 s"),
        (StreamTimeouts(total_s=0.2), "tokens=100000,tps=200", Phase.FLOW, "did not end within 0.2 s"),
    ],
)
async def test_each_limit_ends_the_stream_and_the_request(
    simulator: Simulator, http: HttpClient, limits: StreamTimeouts, options: str, phase: Phase, words: str
) -> None:
    got = Collected(manager_of(simulator, http, limits).chat_stream(ask(options, provider="openai"), Exchange()))
    ended = await got.end()
    assert isinstance(ended, ProviderError)
    assert (ended.kind, ended.phase, ended.provider) == (ErrorKind.TIMEOUT, phase, "openai")
    assert words in ended.message
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])


async def test_a_provider_that_is_silent_but_sends_keep_alives_is_not_idle(
    simulator: Simulator, http: HttpClient
) -> None:
    manager = manager_of(simulator, http, StreamTimeouts(idle_s=0.15))
    got = Collected(manager.chat_stream(ask("tokens=3,ttft=0.4,keepalive=0.03", provider="openai"), Exchange()))
    assert await got.end() is None
