"""What a crash test plays with: options by model that change, an outage, a provider that goes and comes back."""

import asyncio
import time

import aiohttp
import pytest

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.operators.continuation import continued
from rxlapce.providers.http import HttpClient
from rxlapce.requests import Message
from rxlapce.secret import Secret
from rxlapce.simulator import Options, Outcome, Simulator
from rxlapce.testing.askers import Asker, everyone

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
TURN = {"role": "user", "content": "hi"}


async def status_of(
    client: aiohttp.ClientSession, model: str, *, path: str = CHAT, headers: dict[str, str] | None = None
) -> int:
    body = {"model": model, "max_tokens": 100, "messages": [TURN], "stream": True}
    async with client.post(path, json=body, headers=VERSION | (headers or {})) as response:
        await response.read()
        return response.status


# -- options by model -----------------------------------------------------------------------------------------------


async def test_a_model_behaves_as_it_is_told_at_each_request() -> None:
    now = {"one": Options(status=503), "other": Options(tokens=3)}
    names: list[str] = []

    def by_model(model: str) -> Options | None:
        names.append(model)
        return now.get(model)

    async with (
        Simulator(by_model=by_model, defaults=Options(tokens=7)) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        assert [await status_of(client, model) for model in ("one", "other", "third")] == [503, 200, 200]
        now["one"] = Options(tokens=1)
        assert await status_of(client, "one") == 200
        assert [served.tokens for served in simulator.served] == [0, 3, 7, 1]
        assert [served.model for served in simulator.served] == names == ["one", "other", "third", "one"]
        assert [served.options for served in simulator.served] == [
            Options(status=503),
            Options(tokens=3),
            Options(tokens=7),
            Options(tokens=1),
        ]


async def test_the_name_and_the_header_win_over_what_the_model_was_told() -> None:
    async with (
        Simulator(by_model=lambda _: Options(status=500, tokens=4), defaults=Options(reasoning=9)) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        assert await status_of(client, "a:status=429") == 429
        assert await status_of(client, "a:status=429", headers={"X-Simulate": "status=503"}) == 503
        assert {served.model for served in simulator.served} == {"a"}
        assert [served.options for served in simulator.served] == [
            Options(status=429, tokens=4),
            Options(status=503, tokens=4),
        ]


async def test_only_requests_to_a_model_are_asked_about() -> None:
    names: list[str] = []

    def by_model(model: str) -> Options:
        names.append(model)
        return Options(status=500)

    async with Simulator(by_model=by_model) as simulator, aiohttp.ClientSession(simulator.base_url) as client:
        for path in ("/v1/models", "/health", "/foundation-models"):
            async with client.get(path, headers={"authorization": "Bearer key"}) as response:
                assert response.status == 200
        counted = {"model": "sim", "messages": [TURN]}
        async with client.post("/v1/messages/count_tokens", json=counted, headers=VERSION) as response:
            assert response.status == 200
        async with client.post(CHAT, data=b"{") as response:
            assert response.status == 400
        assert names == []
        assert (simulator.served[0].model, simulator.served[0].options) == (None, None)


async def test_times_counts_by_model_and_path_and_anew_for_other_options() -> None:
    now = Options(status=429, times=1, tokens=1)
    async with Simulator(by_model=lambda _: now) as simulator, aiohttp.ClientSession(simulator.base_url) as client:
        assert [await status_of(client, "a") for _ in range(3)] == [429, 200, 200]
        assert [await status_of(client, "b") for _ in range(2)] == [429, 200]
        assert [await status_of(client, "a", path=MESSAGES) for _ in range(2)] == [429, 200]
        now = Options(status=500, times=2, tokens=1)
        assert [await status_of(client, "a") for _ in range(3)] == [500, 500, 200]
        now = Options(status=429, times=1, tokens=1)
        assert await status_of(client, "a") == 200


async def test_everyone_is_told_apart_by_the_plain_name_of_the_model(http: HttpClient) -> None:
    async with Simulator(by_model=lambda _: Options(tokens=2)) as simulator:
        for asker in everyone(http, simulator):
            for options in ("", "tokens=3"):
                assert await asker.ask(options=options).end() is None, str(asker)
                served = simulator.served[-1]
                assert (served.model, served.tokens) == (asker.model, 3 if options else 2), str(asker)
                assert time.monotonic() - 30 < served.request.at_s <= (served.ended_at_s or 0), str(asker)


# -- an outage ------------------------------------------------------------------------------------------------------


async def test_in_an_outage_everything_is_refused_in_the_vendors_words(http: HttpClient) -> None:
    async with Simulator(defaults=Options(tokens=1)) as simulator:
        askers = everyone(http, simulator)
        simulator.outage = 503
        for asker in askers:
            error = await asker.ask().end()
            assert isinstance(error, ProviderError), str(asker)
            assert (error.kind, error.status) == (ErrorKind.OVERLOADED, 503), str(asker)
        assert simulator.outcomes == [Outcome.REFUSED] * len(askers)
        simulator.outage = None
        for asker in askers:
            assert await asker.ask().end() is None, str(asker)


async def test_an_outage_is_over_once_it_is_taken_back(simulator: Simulator, client: aiohttp.ClientSession) -> None:
    paths = ("/v1/models", "/health", "/v1/nothing", "/api/tags", "/v1beta/models", "/xai/v1/models", "/")
    before = [(await client.get(path)).status for path in paths]
    simulator.outage = 500
    for path in paths:
        async with client.get(path) as response:
            assert response.status == 500
            assert response.headers["server"] == "rxlapce-simulator"
    async with client.get("/v1/models") as response:
        assert (await response.json())["error"]["type"] == "api_error"
    simulator.outage = None
    assert [(await client.get(path)).status for path in paths] == before


async def test_a_stream_that_has_begun_outlives_an_outage(simulator: Simulator, client: aiohttp.ClientSession) -> None:
    body = {"model": "sim:tokens=20,tps=100", "messages": [TURN], "stream": True}
    async with client.post(CHAT, json=body) as response:
        await response.content.readany()
        simulator.outage = 502
        assert await status_of(client, "sim") == 502
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_an_outage_comes_before_the_key() -> None:
    async with (
        Simulator(api_key=Secret("right-key-0123456789")) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        simulator.outage = 503
        assert await status_of(client, "sim") == 503
        simulator.outage = None
        assert await status_of(client, "sim") == 401


# -- prefill --------------------------------------------------------------------------------------------------------

ANTHROPICS = "This model does not support assistant message prefill. The conversation must end with a user message."
GOOGLES = "Please ensure that multiturn requests ends with a user role or a function response."


def words_of(asker: Asker) -> str:
    if asker.provider.name == "bedrock":
        return f"The model returned the following errors: {ANTHROPICS}"
    return GOOGLES if asker.api.startswith("generate_content") else ANTHROPICS


async def test_a_model_without_prefill_refuses_it_in_the_vendors_words(http: HttpClient) -> None:
    async with Simulator(by_model=lambda _: Options(prefill=0, tokens=2)) as simulator:
        for asker in everyone(http, simulator):
            if {asker.api, asker.model} & {"completions", "meta.llama3-sim"}:
                continue
            begun = Message(role="assistant", content="Well, ")
            error = await asker.ask(continued(asker.request(), begun, prefill=True)).end()
            assert isinstance(error, ProviderError), str(asker)
            assert (error.kind, error.status) == (ErrorKind.BAD_REQUEST, 400), str(asker)
            assert words_of(asker) in error.message, str(asker)
            assert simulator.served[-1].outcome is Outcome.REFUSED, str(asker)
            assert await asker.ask(continued(asker.request(), begun, prefill=False)).end() is None, str(asker)


async def test_a_fault_before_the_headers_comes_before_the_look_at_the_turns(
    simulator: Simulator, client: aiohttp.ClientSession
) -> None:
    body = {"model": "sim:prefill=0,fault=reset", "messages": [TURN, {"role": "assistant", "content": "Well"}]}
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await client.post(CHAT, json=body)
    async with client.post(CHAT, json=body | {"model": "sim:prefill=0"}) as response:
        assert (response.status, (await response.json())["error"]["param"]) == (400, "messages")
    async with client.post(CHAT, json=body | {"model": "sim:prefill=0,status=429"}) as response:
        assert response.status == 429
    async with client.post(CHAT, json=body | {"model": "sim:prefill=1"}) as response:
        assert response.status == 200


# -- down, and back again -------------------------------------------------------------------------------------------


async def has_come_to(simulator: Simulator, *, requests: int, open_streams: int = 0, outcomes: int = 1) -> None:
    """Wait for so many of each; of outcomes, at least."""

    def is_there() -> bool:
        now = (len(simulator.requests), simulator.open_streams)
        return now == (requests, open_streams) and len(simulator.outcomes) >= outcomes

    await simulator.wait_until(is_there)


async def test_a_provider_that_was_down_listens_on_its_port_again_at_once() -> None:
    """Clients hold connections in every state to the one that goes: idle, in mid-stream, waiting for headers."""
    port = 0
    async with aiohttp.ClientSession() as client:
        for _ in range(5):
            simulator = Simulator(port=port, defaults=Options(tokens=1))
            await simulator.start()
            port = int(simulator.base_url.rpartition(":")[2])
            url = simulator.base_url + CHAT
            assert await status_of(client, "sim", path=url) == 200
            hanging = asyncio.create_task(status_of(client, "sim:fault=hang", path=url))
            stalling = asyncio.create_task(status_of(client, "sim:fault=stall,after=0", path=url))
            await has_come_to(simulator, requests=3, open_streams=1)
            async with asyncio.timeout(2):
                await simulator.stop()
            ends = await asyncio.gather(hanging, stalling, return_exceptions=True)
            assert all(isinstance(end, aiohttp.ClientError) for end in ends)
            with pytest.raises(aiohttp.ClientConnectorError):
                await status_of(client, "sim", path=url)


async def test_a_simulator_can_be_started_again_and_keeps_its_journal() -> None:
    simulator = Simulator(defaults=Options(tokens=1))
    async with aiohttp.ClientSession() as client:
        for number in (1, 2):
            async with simulator:
                assert await status_of(client, "sim", path=simulator.base_url + CHAT) == 200
                waiting = asyncio.create_task(status_of(client, "sim:fault=hang", path=simulator.base_url + CHAT))
                await has_come_to(simulator, requests=2 * number)
                waiting.cancel()
                await has_come_to(simulator, requests=2 * number, outcomes=2 * number)
        assert simulator.outcomes == [Outcome.COMPLETED, Outcome.CLIENT_GONE] * 2


async def test_a_port_that_is_taken_is_told() -> None:
    async with Simulator() as simulator:
        port = int(simulator.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await Simulator(port=port).start()
