"""Ollama's own API: lines of JSON."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from rxlapce.codec.ndjson import NDJSONDecoder
from rxlapce.simulator import Simulator

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}}]


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.base_url) as session:
        yield session


def chat(prompt: str = "hi", **members: Any) -> dict[str, Any]:
    return {"model": "sim", "messages": [{"role": "user", "content": prompt}]} | members


async def lines(
    client: aiohttp.ClientSession, sent: dict[str, Any], options: str = "", path: str = "/api/chat"
) -> list[Any]:
    async with client.post(path, json=sent, headers={"X-Simulate": options}) as response:
        assert (response.status, response.headers["content-type"]) == (200, "application/x-ndjson")
        decoder = NDJSONDecoder()
        events = [*decoder.feed(await response.read()), *decoder.close()]
    return [msgspec.json.decode(event.data) for event in events]


async def test_it_streams_unless_told_not_to(client: aiohttp.ClientSession) -> None:
    said = await lines(client, chat(), "tokens=9")
    assert [line["done"] for line in said] == [False] * 9 + [True]
    assert all(list(line) == ["model", "created_at", "message", "done"] for line in said[:-1])
    assert list(said[-1])[:5] == ["model", "created_at", "message", "done", "done_reason"]
    assert said[-1]["eval_count"] == 9
    async with client.post("/api/chat", json=chat(stream=False), headers={"X-Simulate": "tokens=9"}) as response:
        whole = await response.json()
    assert (whole["done"], whole["eval_count"], list(whole)) == (True, 9, list(said[-1]))


async def test_the_last_line_tells_why_how_much_and_how_long(client: aiohttp.ClientSession) -> None:
    (*_, last) = await lines(client, chat(options={"num_predict": 5}))
    assert (last["done_reason"], last["eval_count"], last["message"]["content"]) == ("length", 5, "")
    parts = last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"]
    assert last["total_duration"] == parts
    assert last["prompt_eval_count"] > 0
    (*_, endless) = await lines(client, chat(options={"num_predict": -1}), "tokens=3")
    assert endless["done_reason"] == "stop"


async def test_a_tool_call_comes_whole_with_an_object_of_arguments(client: aiohttp.ClientSession) -> None:
    for stream in (True, False):
        sent = chat("look at Paris", tools=TOOLS, stream=stream)
        if stream:
            message = (await lines(client, sent))[0]["message"]
        else:
            async with client.post("/api/chat", json=sent) as response:
                message = (await response.json())["message"]
        assert message["tool_calls"] == [{"function": {"name": "look", "arguments": {"at": "Paris"}}}]


async def test_thoughts_stand_apart_and_can_be_turned_off(client: aiohttp.ClientSession) -> None:
    said = await lines(client, chat(think=True), "tokens=2")
    thoughts = [line["message"]["thinking"] for line in said if "thinking" in line["message"]]
    assert len(thoughts) == 48
    assert said[-1]["eval_count"] == 50
    silent = await lines(client, chat(think=False), "tokens=2")
    assert len(silent) == 3


async def test_generate_says_its_text_in_response(client: aiohttp.ClientSession) -> None:
    sent = {"model": "sim", "prompt": "What is a stream?", "system": "Be brief."}
    said = await lines(client, sent, "tokens=40", "/api/generate")
    text = "".join(line["response"] for line in said)
    assert "What is a stream?" in text
    assert said[-1]["done"]
    assert not any("message" in line for line in said)


async def test_a_schema_or_the_word_json_makes_the_answer_json(client: aiohttp.ClientSession) -> None:
    schema = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 3, "maximum": 3}}}
    said = await lines(client, chat(format=schema))
    assert msgspec.json.decode("".join(line["message"]["content"] for line in said)) == {"days": 3}
    free = await lines(client, chat(format="json"))
    assert "answer" in msgspec.json.decode("".join(line["message"]["content"] for line in free))


async def test_an_error_in_the_stream_is_a_line_with_nothing_else(client: aiohttp.ClientSession) -> None:
    said = await lines(client, chat(), "fault=error,after=4")
    assert [list(line) for line in said[4:]] == [["error"]]


async def test_pictures_are_counted(client: aiohttp.ClientSession) -> None:
    turn = [{"role": "user", "content": "hi", "images": ["iVBORw0KGgo="]}]
    (*_, plain), (*_, seen) = await lines(client, chat()), await lines(client, chat(messages=turn))
    assert seen["prompt_eval_count"] == plain["prompt_eval_count"] + 85


async def test_models_are_tags_and_errors_are_words(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/tags") as response:
        models = (await response.json())["models"]
    assert {"sim", "sim:fault=hang"} <= {model["name"] for model in models}
    async with client.post("/api/chat", json={"messages": []}) as response:
        assert (response.status, await response.json()) == (400, {"error": "model is required"})
    async with client.post("/api/chat", json=chat(), headers={"X-Simulate": "status=404"}) as response:
        assert await response.json() == {"error": "model 'sim' not found"}
