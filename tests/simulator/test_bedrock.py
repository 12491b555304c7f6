"""What is Bedrock's alone: frames as recorded, refusals in its own words, its credentials, counts and list."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rxlapce.codec.eventstream import EventStreamDecoder, Message
from rxlapce.secret import Secret
from rxlapce.simulator import BadOption, Simulator, parse
from rxlapce.simulator.asked import BadBody, Where
from rxlapce.simulator.bedrock.asked import model_of, read_converse, read_invoke
from rxlapce.simulator.bedrock.converse import ConverseAnswer
from rxlapce.simulator.bedrock.invoke import InvokeAnswer
from rxlapce.simulator.reply import compose
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.wire import Wire

BEARER = {"authorization": "Bearer any"}
SIGNED = {
    "authorization": "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=00"
}
HELLO = {"role": "user", "content": [{"text": "Hello"}]}
CALL: dict[str, Any] = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "42"}]}}
TOOLS = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
HERE = Where(path="/model/sim/converse-stream", model="sim")


def messages_of(wire: Wire, asked: Any, options: str = "") -> list[Message]:
    chosen = parse(options)
    body = b"".join(event for _, event in wire.events(compose(asked, chosen, seeded(1))))
    return EventStreamDecoder().feed(body)


def converse(body: Mapping[str, Any], options: str = "") -> list[Message]:
    asked = read_converse(json.dumps(body).encode(), HERE)
    return messages_of(ConverseAnswer(asked, seeded(1)), asked, options)


def invoke(model: str, body: Mapping[str, Any], options: str) -> list[dict[str, Any]]:
    """The vendor's payloads inside the chunks."""
    where = Where(path=f"/model/{model}/invoke-with-response-stream", model=model)
    asked = read_invoke(json.dumps(body).encode(), where)
    messages = messages_of(InvokeAnswer(asked, seeded(1)), asked, options)
    assert {message.text_header(":event-type") for message in messages} == {"chunk"}
    return [json.loads(base64.b64decode(json.loads(message.payload)["bytes"])) for message in messages]


# -- as recorded ----------------------------------------------------------------------------------------------------


def shape(message: Message) -> tuple[str | None, tuple[str, ...]]:
    """An event's type, and its members in their order without the padding's place."""
    return message.text_header(":event-type"), tuple(json.loads(message.payload))


@pytest.mark.parametrize(
    ("recording", "options"),
    [
        ("converse-text-amazon-nova-micro-v1-0", "tokens=5"),
        ("converse-reasoning-anthropic-claude-sonnet-4", "tokens=5,reasoning=5"),
        ("converse-tool-amazon-nova-2-lite-v1-0", "tools=1"),
    ],
)
def test_events_and_headers_are_in_the_shapes_of_recorded_ones(recordings: Path, recording: str, options: str) -> None:
    recorded = EventStreamDecoder().feed((recordings / "bedrock" / f"{recording}.eventstream").read_bytes())
    mine = converse({"messages": [HELLO], "toolConfig": TOOLS}, options)
    assert {shape(message) for message in mine} == {shape(message) for message in recorded}
    assert [list(message.headers) for message in mine[:1]] == [list(message.headers) for message in recorded[:1]]


def test_paddings_are_the_beginning_of_the_alphabet_in_many_lengths() -> None:
    paddings = [json.loads(message.payload)["p"] for message in converse({"messages": [HELLO]}, "tokens=200")]
    assert all("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".startswith(said) for said in paddings)
    assert len({len(said) for said in paddings}) > 30


def test_block_indexes_count_all_blocks() -> None:
    said = converse({"messages": [HELLO], "toolConfig": TOOLS}, "tools=2,reasoning=1")
    starts = [
        json.loads(message.payload) for message in said if message.text_header(":event-type") == "contentBlockStart"
    ]
    assert [start["contentBlockIndex"] for start in starts] == [1, 2]


def test_some_answers_have_an_empty_piece_of_text() -> None:
    asked = read_converse(json.dumps({"messages": [HELLO]}).encode(), HERE)
    empty = [
        any(b'"delta":{"text":""}' in event for _, event in ConverseAnswer(asked, seeded(seed)).events(replies))
        for seed in range(20)
        for replies in [compose(asked, parse("tokens=2"), seeded(seed))]
    ]
    assert 0 < sum(empty) < len(empty)


def test_a_filter_and_a_guardrail_have_their_own_reasons() -> None:
    for finish, reason in (("content_filter", "content_filtered"), ("refusal", "guardrail_intervened")):
        stop = next(
            message
            for message in converse({"messages": [HELLO]}, f"finish={finish}")
            if message.text_header(":event-type") == "messageStop"
        )
        assert json.loads(stop.payload)["stopReason"] == reason


def test_thinking_and_a_schema_for_the_answer_are_heard() -> None:
    asked = read_converse(
        json.dumps(
            {
                "messages": [HELLO],
                "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
                "outputConfig": {
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {"jsonSchema": {"schema": '{"type":"object","properties":{"n":{"const":7}}}'}},
                    }
                },
            }
        ).encode(),
        HERE,
    )
    reply = compose(asked, parse(""), seeded(1))[0]
    assert json.loads("".join(reply.text_pieces())) == {"n": 7}
    assert reply.reasoning_tokens > 0


INVOKED: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic.claude-3-sonnet-v1:0", {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99}, "message_stop"),
    ("amazon.nova-micro-v1:0", {}, "metadata"),
    ("amazon.titan-text-lite-v1", {"inputText": "hi"}, "FINISH"),
    ("meta.llama3-8b-instruct-v1:0", {"prompt": "hi"}, "generation"),
    ("mistral.mistral-7b-instruct-v0:2", {"prompt": "hi"}, "outputs"),
    ("cohere.command-text-v14", {"prompt": "hi"}, "COMPLETE"),
    ("cohere.command-r-v1:0", {"message": "hi"}, "stream-end"),
    ("ai21.jamba-1-5-mini-v1:0", {}, "usage"),
]


@pytest.mark.parametrize(("model", "body", "word"), INVOKED)
def test_bedrocks_count_stands_in_the_last_chunk_of_each_vendor(model: str, body: dict[str, Any], word: str) -> None:
    turns: Any = {"ai21": [{"role": "user", "content": "hi"}], "anthropic": [{"role": "user", "content": "hi"}]}
    if "inputText" not in body and "prompt" not in body and "message" not in body:
        body = {**body, "messages": turns.get(model.partition(".")[0], [HELLO])}
    payloads = invoke(model, body, "tokens=4")
    assert ["amazon-bedrock-invocationMetrics" in payload for payload in payloads].count(True) == 1
    assert payloads[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 4
    assert word in json.dumps(payloads[-1])


@pytest.mark.parametrize(
    ("model", "recording"),
    [
        ("amazon.nova-micro-v1:0", "invoke-text-amazon-nova-micro-v1-0"),
        ("mistral.mistral-7b-instruct-v0:2", "invoke-text-mistral-mistral-7b-instruct"),
        ("cohere.command-r-v1:0", "invoke-text-cohere-command-r-v1-0"),
    ],
)
def test_payloads_have_the_members_of_recorded_ones(recordings: Path, model: str, recording: str) -> None:
    recorded = EventStreamDecoder().feed((recordings / "bedrock" / f"{recording}.eventstream").read_bytes())
    theirs = {tuple(json.loads(base64.b64decode(json.loads(said.payload)["bytes"]))) for said in recorded}
    body: dict[str, Any] = {"prompt": "hi", "message": "hi", "messages": [HELLO]}
    assert {tuple(payload) for payload in invoke(model, body, "tokens=3")} == theirs


# -- what is refused ------------------------------------------------------------------------------------------------


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "must start with a user message"),
    ({"messages": [{"role": "assistant", "content": [{"text": "Hi"}]}]}, "must start with a user message"),
    ({"messages": [HELLO, HELLO]}, "must alternate"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0 is empty"),
    ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "messages.0.content.0 is blank"),
    (
        {"messages": [HELLO, {"role": "assistant", "content": [CALL]}, HELLO], "toolConfig": TOOLS},
        "messages.2.content for the following Ids: t1",
    ),
    ({"messages": [{"role": "user", "content": [RESULT]}], "toolConfig": TOOLS}, "exceeds the number of toolUse"),
    (
        {"messages": [HELLO, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]},
        "toolConfig field must be defined",
    ),
    ({"messages": "Hello"}, "malformed"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_a_conversation_that_bedrock_refuses_is_refused_in_its_words(body: dict[str, Any], words: str) -> None:
    with pytest.raises(BadBody, match=words):
        read_converse(json.dumps(body).encode(), HERE)


def test_a_tools_result_is_heard_and_answered() -> None:
    turns = [HELLO, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]
    asked = read_converse(json.dumps({"messages": turns, "toolConfig": TOOLS}).encode(), HERE)
    assert asked.tool_results == ("42",)
    assert asked.prompt == "Hello"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "anthropic_version: Field required"),
        ({"anthropic_version": "2023-06-01"}, "bedrock-2023-05-31"),
        ({"anthropic_version": "bedrock-2023-05-31", "model": "m"}, "model: Extra inputs"),
        ({"anthropic_version": "bedrock-2023-05-31", "stream": True}, "stream: Extra inputs"),
    ],
)
def test_claudes_body_has_a_version_and_neither_model_nor_stream(members: dict[str, Any], words: str) -> None:
    body = {"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **members}
    with pytest.raises(BadBody, match=words):
        read_invoke(json.dumps(body).encode(), Where(path="/model/sim/invoke", model="sim"))


@pytest.mark.parametrize(
    ("model", "name", "options"),
    [
        ("anthropic.claude-v2:0", "anthropic.claude-v2:0", ""),
        ("anthropic.claude-v2:0:tps=20,fault=cut", "anthropic.claude-v2:0", "tps=20,fault=cut"),
        ("sim:tokens=3", "sim", "tokens=3"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", "arn:aws:bedrock:us-east-1:1:inference-profile/x", ""),
    ],
)
def test_options_follow_the_last_colon_of_an_id(model: str, name: str, options: str) -> None:
    assert model_of(Where(path="", model=model)) == (name, options)
    assert model_of(Where(path="")) == ("", "")
    with pytest.raises(BadOption):
        parse("0:tps=3")


# -- over HTTP ------------------------------------------------------------------------------------------------------


async def ask(client: aiohttp.ClientSession, headers: Mapping[str, str], model: str = "sim") -> tuple[int, str, str]:
    async with client.post(f"/model/{model}/converse", json={"messages": [HELLO]}, headers=headers) as response:
        return response.status, response.headers.get("x-amzn-errortype", ""), await response.text()


async def test_credentials_are_demanded_and_a_signature_is_taken_as_it_is(client: aiohttp.ClientSession) -> None:
    status, kind, body = await ask(client, {})
    assert (status, kind.partition(":")[0]) == (403, "UnrecognizedClientException")
    assert json.loads(body) == {"message": "The security token included in the request is invalid."}
    assert (await ask(client, {"authorization": "AWS4-HMAC-SHA256 Credential=x"}))[0] == 403
    assert (await ask(client, SIGNED))[0] == 200
    assert (await ask(client, BEARER))[0] == 200


async def test_a_demanded_key_is_the_bearer_token() -> None:
    async with (
        Simulator(api_key=Secret("bedrock-api-key")) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        assert (await ask(client, BEARER))[0] == 403
        assert (await ask(client, {"authorization": "Bearer bedrock-api-key"}))[0] == 200
        assert (await ask(client, SIGNED))[0] == 200


async def test_an_error_is_named_in_a_header(simulator: Simulator) -> None:
    async with aiohttp.ClientSession(simulator.base_url) as client:
        status, kind, _ = await ask(client, BEARER, "sim:status=424")
        assert (status, kind) == (424, "ModelErrorException:http://internal.amazon.com/coral/com.amazon.bedrock/")
        response = await client.post("/model/sim/unknown", headers=BEARER)
        assert response.headers["x-amzn-errortype"].startswith("UnknownOperationException")
        assert len(response.headers["x-amzn-requestid"]) == 36


async def test_tokens_are_counted_for_either_kind_of_request(client: aiohttp.ClientSession) -> None:
    claude = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    encoded = base64.b64encode(json.dumps(claude).encode()).decode()
    for kind, asked, given in (
        ("converse", {"messages": [HELLO]}, {"messages": [HELLO]}),
        ("invokeModel", claude, {"body": encoded}),
    ):
        body = {"input": {kind: given}}
        async with client.post("/model/sim/count-tokens", json=body, headers=BEARER) as response:
            count = (await response.json())["inputTokens"]
        path = "/model/sim/converse" if kind == "converse" else "/model/sim/invoke"
        async with client.post(path, json=asked, headers=BEARER) as response:
            usage = (await response.json())["usage"]
        assert count == usage.get("inputTokens", usage.get("input_tokens")) > 0
    async with client.post("/model/sim/count-tokens", json={"input": {}}, headers=BEARER) as response:
        assert response.status == 400
        assert "one of converse, invokeModel" in (await response.json())["message"]


async def test_models_are_listed_with_their_providers(client: aiohttp.ClientSession) -> None:
    async with client.get("/foundation-models", headers=BEARER) as response:
        models = (await response.json())["modelSummaries"]
    assert {"sim", "anthropic.claude.sim-v1:0"} <= {model["modelId"] for model in models}
    async with client.get("/foundation-models", params={"byProvider": "meta"}, headers=BEARER) as response:
        assert {model["providerName"] for model in (await response.json())["modelSummaries"]} == {"meta"}
