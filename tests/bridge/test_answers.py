"""Whole answers from simulator to editor: everything that was said, in order, by both ways and in both dialects."""

import asyncio

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.messages import TransportName
from rxlapce.requests import CompletionRequest, Tool
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard, told, truth
from rxlapce.testing.daemons import DaemonProcess, EmbeddedDaemon
from rxlapce.tokens import Finish, FinishKind, StreamToken, Text

TRANSPORTS: tuple[TransportName, ...] = ("shm", "socket")
WEATHER = Tool(name="get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})
PROVIDERS = ("openai", "anthropic")

both_ways = pytest.mark.parametrize("transport", TRANSPORTS)
both_dialects = pytest.mark.parametrize("provider", PROVIDERS)


async def iterated(client: Client, options: str, **settings: str) -> list[StreamToken]:
    return [token async for token in client.chat_stream(ask(options, **settings))]


@both_ways
@both_dialects
async def test_a_stream_says_what_the_provider_said(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName, provider: str
) -> None:
    async with await connect(embedded.path, transport=transport) as client:
        assert client.transport == transport
        tokens = await iterated(client, "reasoning=20,split=0", provider=provider, prompt="Why streams? 🦀")
        assert heard(tokens) == await truth(simulator)
        assert heard(tokens).reasoning
        assert "🦀" in heard(tokens).text
        assert [type(token) for token in tokens].count(Finish) == 1
        assert isinstance(tokens[-1], Finish)
        assert (client.sequence_gaps, client.open_requests) == (0, 0)


@both_ways
@both_dialects
async def test_tool_calls_arrive_whole(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName, provider: str
) -> None:
    request = ask("tools=3", provider=provider, prompt="The weather in Rome, Oslo", tools=(WEATHER,))
    async with await connect(embedded.path, transport=transport) as client:
        tokens = [token async for token in client.chat_stream(request)]
        streamed = await truth(simulator)
        response = await client.chat(request)
    assert len(streamed.calls) == 3
    assert heard(tokens) == streamed
    assert told(response) == await truth(simulator)
    assert response.finish is FinishKind.TOOL_CALLS


@both_ways
@both_dialects
async def test_an_answer_in_one_piece_says_what_the_provider_said(
    embedded: EmbeddedDaemon, simulator: Simulator, transport: TransportName, provider: str
) -> None:
    async with await connect(embedded.path, transport=transport) as client:
        response = await client.chat(ask("reasoning=9", provider=provider))
        assert told(response) == await truth(simulator)
        assert response.finish is FinishKind.STOP
        completion = await client.complete(CompletionRequest(model=f"{provider}/sim:tokens=7", prompt="Once"))
        said = await truth(simulator)
    assert (completion.text, completion.finish_raw, completion.model) == (said.text, said.finish_raw, said.model)
    assert completion.usage is not None
    assert (completion.usage.input, completion.usage.output) == said.usage


@both_dialects
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("tokens=5,finish=length", FinishKind.LENGTH),
        ("finish=content_filter", FinishKind.CONTENT_FILTER),
        ("finish=refusal", FinishKind.REFUSAL),
        ("tokens=0", FinishKind.STOP),
    ],
)
async def test_every_finish_keeps_its_kind_and_the_providers_word(
    embedded: EmbeddedDaemon, simulator: Simulator, provider: str, options: str, kind: FinishKind
) -> None:
    if (provider, kind) == ("anthropic", FinishKind.CONTENT_FILTER):
        kind = FinishKind.REFUSAL  # Anthropic has one word for both
    async with await connect(embedded.path) as client:
        tokens = await iterated(client, options, provider=provider)
        finish = tokens[-1]
        assert isinstance(finish, Finish)
        said = await truth(simulator)
        if not (provider == "openai" and kind is FinishKind.REFUSAL):  # there a refusal finishes with `stop`
            assert finish.kind is kind
        assert finish.raw == said.finish_raw


@both_ways
async def test_as_an_observable_it_says_the_same_as_iterated(
    embedded: EmbeddedDaemon, transport: TransportName
) -> None:
    request = CompletionRequest(model="openai/sim:tokens=300", prompt="Tell me of rings")
    async with await connect(embedded.path, transport=transport) as client:
        stream = client.complete_stream(request)
        first, second = Collected(stream), Collected(stream)
        assert await first.end() is None
        assert await second.end() is None
        assert first.completed
        assert first.ends == second.ends == 1
        assert first.items == second.items == [token async for token in stream]


async def test_a_window_of_one_delivers_everything(embedded: EmbeddedDaemon, simulator: Simulator) -> None:
    async with await connect(embedded.path) as client:
        pushed = Collected(client.chat_stream(ask("tokens=200", provider="openai"), window=1))
        pulled = [token async for token in client.chat_stream(ask("tokens=200", provider="openai"), window=1)]
        assert await pushed.end() is None
        assert heard(pushed.items) == heard(pulled) == await truth(simulator)
    with pytest.raises(ValueError, match="window must be at least 1"):
        client.chat_stream(ask(), window=0)


@pytest.mark.heavy
@pytest.mark.asyncio(loop_factories=["asyncio"])
@both_ways
async def test_fifty_streams_at_once_are_each_whole_and_answers_come_in_between(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    async with (
        await connect(daemon.path, transport=transport) as one,
        await connect(daemon.path, transport=transport) as two,
        await connect(daemon.path, transport="socket") as three,
    ):
        # 30 share one connection, 20 have others; a slow few stay open while the fast ones pass them.
        clients = [one] * 30 + [two, three] * 10
        paces = [f"tokens={100 + index},tps={0 if index % 5 else 2000}" for index in range(len(clients))]
        prompts = [f"number {index}" for index in range(len(clients))]
        async with asyncio.TaskGroup() as group:
            streams = [
                group.create_task(iterated(client, options, prompt=prompt))
                for client, options, prompt in zip(clients, paces, prompts, strict=True)
            ]
            answers = [
                group.create_task(client.chat(ask("tokens=3", prompt=f"u{index}")))
                for index, client in enumerate(clients)
            ]
            pings = [group.create_task(client.ping()) for client in (one, two, three)]
        assert all(ping.done() for ping in pings)
        by_prompt = {request.json()["messages"][0]["content"]: n for n, request in enumerate(simulator.requests)}
        for index, prompt in enumerate(prompts):
            tokens = streams[index].result()
            assert sum(isinstance(token, Text) for token in tokens) == 100 + index
            assert heard(tokens) == await truth(simulator, by_prompt[prompt])
            assert told(answers[index].result()) == await truth(simulator, by_prompt[f"u{index}"])
        assert {client.sequence_gaps for client in clients} == {0}


@pytest.mark.heavy
@pytest.mark.asyncio(loop_factories=["asyncio"])
@both_ways
async def test_twenty_thousand_tokens_arrive_in_order(
    daemon: DaemonProcess, simulator: Simulator, transport: TransportName
) -> None:
    async with await connect(daemon.path, transport=transport) as client:
        tokens = await iterated(client, "tokens=20000")
        assert heard(tokens) == await truth(simulator)
