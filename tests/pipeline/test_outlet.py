"""How a pipeline has its client's answer wait, over a socket; and what goes on when the next file is loaded."""

from pathlib import Path

import pytest

from rxlapce.bridge import connect
from rxlapce.config.assembled import manager_of
from rxlapce.config.sources import load_config
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.manager import ProviderManager
from rxlapce.simulator import Simulator
from rxlapce.testing.examples import Configured, configured_daemon, environ
from rxlapce.tokens import Finish, StreamToken, Text


def chat(model: str) -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content="hello"),))


async def read_with_one_credit(running: Configured, model: str) -> list[StreamToken]:
    async with await connect(running.path, transport="socket") as client:
        return [token async for token in client.chat_stream(chat(model), window=1)]


@pytest.mark.parametrize(
    "said",
    [
        "stages: [buffer_with_backpressure: {policy: error, capacity: 3, high_water: 2, low_water: 0}]",
        "sinks: [editor: {policy: error, capacity: 3, high_water: 2, low_water: 0}]",
    ],
)
async def test_the_clients_buffer_is_as_the_pipeline_says(said: str, simulator: Simulator, tmp_path: Path) -> None:
    text = f"pipelines: {{narrow: {{{said}}}}}\nroutes: [{{models: [openai/a*], pipeline: narrow}}]"
    async with configured_daemon(text, simulator.base_url, tmp_path) as running:
        with pytest.raises(ProviderError, match="3 tokens wait, which is the bound") as slow:
            await read_with_one_credit(running, "openai/a:tokens=40")
        assert slow.value.kind is ErrorKind.INTERNAL
        assert isinstance((await read_with_one_credit(running, "openai/b:tokens=40"))[-1], Finish)


async def test_pieces_that_had_to_wait_go_on_as_the_pipeline_says(simulator: Simulator, tmp_path: Path) -> None:
    text = """
pipelines: {pieces: {sinks: [editor: {merge_chars: 0}]}}
routes: [{models: [openai/a*], pipeline: pieces}]
"""
    async with configured_daemon(text, simulator.base_url, tmp_path) as running:
        each = await read_with_one_credit(running, "openai/a:tokens=40;steady=1")
        merged = await read_with_one_credit(running, "openai/b:tokens=40;steady=1")
    texts = [[token.text for token in tokens if isinstance(token, Text)] for tokens in (each, merged)]
    assert "".join(texts[0]) == "".join(texts[1])
    assert len(texts[0]) == 40 > len(texts[1])


async def test_the_next_file_is_for_new_streams_and_counts_go_on(simulator: Simulator, tmp_path: Path) -> None:
    first = "limits: {default: {requests: 2}, wait_s: 0}\nbreaker: {open_s: 5}\n"
    async with configured_daemon(first, simulator.base_url, tmp_path) as running, await connect(running.path) as client:

        async def said(model: str) -> str:
            return "".join([token.text async for token in client.chat_stream(chat(model)) if isinstance(token, Text)])

        under_way = client.chat_stream(chat("openai/a:tokens=40;steady=1"), window=1)
        iterator = aiter(under_way)
        begun = await anext(iterator)
        before = running.manager
        text = first.replace("open_s: 5", "open_s: 9") + (
            "retry: {budget: {window_s: 30}}\n"
            "pipelines: {default: {stages: [metrics_tap, rate_limit_gate, fallback, redact: {patterns: [e]}]}}\n"
        )
        swap(running, text, simulator, tmp_path)
        await before.stop()
        running.routes.manager.start()
        assert "[redacted]" in await said("openai/a:tokens=40;steady=1")
        with pytest.raises(ProviderError, match="limit") as refused:
            await said("openai/a:tokens=40;steady=1")  # the one under way counts
        assert refused.value.kind is ErrorKind.RATE_LIMIT
        rest = [begun, *[token async for token in iterator]]
        assert "e" in "".join(token.text for token in rest if isinstance(token, Text))
        assert isinstance(rest[-1], Finish)
        traffic = running.routes.manager.traffic
        assert traffic is before.traffic
        assert traffic.totals.collect()["openai", "a:tokens=40;steady=1"].attempts == 2
        assert (traffic.breakers.settings.open_s, traffic.budget.window_s) == (9, 30)
        assert {breaker.settings.open_s for _, breaker in traffic.breakers} == {9}
        await running.routes.manager.stop()


def swap(running: Configured, text: str, simulator: Simulator, folder: Path) -> ProviderManager:
    (folder / "next.yaml").write_text(text)
    config = load_config(environ(simulator.base_url), folder / "next.yaml")
    following = manager_of(config, running.http, traffic=running.manager.traffic)
    running.routes.swap(following)
    return following
