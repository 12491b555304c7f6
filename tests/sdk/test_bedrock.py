"""Our requests to AWS Bedrock beside those of AWS's own client: converse, invoke, their answers, the credentials."""

import base64
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, Image, Message, OpaquePart, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.testing.agreement import Case, Rule, rewrites
from rxlapce.testing.dummies import ENVIRONS
from rxlapce.testing.loopback import Loopback

pytestmark = pytest.mark.sdk

ENVIRON = ENVIRONS["bedrock"]
PICTURE, SEALED = b"\x89PNG\xff\xfe\xfb", b"\xfb\xff\xfe sealed"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA)
THEIR_WEATHER = {
    "toolSpec": {"name": "get_weather", "description": "The weather of a city", "inputSchema": {"json": SCHEMA}}
}
POINT = {"cachePoint": {"type": "default"}}
CHOICES: list[tuple[str, dict[str, Any]]] = [
    ("auto", {"auto": {}}),
    ("required", {"any": {}}),
    ("get_weather", {"tool": {"name": "get_weather"}}),
]
HI = (Message(role="user", content="hi"),)
USER = {"role": "user", "content": [{"text": "hi"}]}
CLAUDE = "us.anthropic.claude-sim-v1:0"

SCHEMA_AS_TEXT = Rule(
    name="the schema's text",
    reason="the schema is JSON in a text, in which blanks count nothing",
    ours=rewrites("outputConfig.textFormat.structure.jsonSchema.schema", json.loads),
    theirs=rewrites("outputConfig.textFormat.structure.jsonSchema.schema", json.loads),
)

CASES = [
    Case(name="plain", ours={"messages": HI}, theirs={"messages": [USER]}),
    Case(
        name="system and several turns",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                *HI,
                Message(role="assistant", content="Hello."),
                Message(role="user", content="Go on, 🦀"),
            )
        },
        theirs={
            "system": [{"text": "Be brief."}],
            "messages": [
                USER,
                {"role": "assistant", "content": [{"text": "Hello."}]},
                {"role": "user", "content": [{"text": "Go on, 🦀"}]},
            ],
        },
    ),
    Case(
        name="images by data and by URL",
        ours={
            "messages": (
                Message(
                    role="user",
                    parts=(
                        Part(text="What is this?"),
                        Part(image=Image(data=base64.b64encode(PICTURE).decode(), media_type="image/png")),
                        Part(image=Image(url="s3://bucket/a.jpg", media_type="image/jpeg")),
                    ),
                ),
            )
        },
        theirs={
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"text": "What is this?"},
                        {"image": {"format": "png", "source": {"bytes": PICTURE}}},
                        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
                    ],
                }
            ]
        },
    ),
    *(
        Case(
            name=f"tools, choice {choice}",
            ours={"messages": HI, "tools": (WEATHER,), "tool_choice": choice},
            theirs={"messages": [USER], "toolConfig": {"tools": [THEIR_WEATHER], "toolChoice": said}},
        )
        for choice, said in CHOICES
    ),
    Case(
        name="tools, choice none",
        ours={"messages": HI, "tools": (WEATHER,), "tool_choice": "none"},
        theirs={"messages": [USER]},
    ),
    Case(
        name="thoughts, calls and results in the history",
        ours={
            "messages": (
                *HI,
                Message(
                    role="assistant",
                    parts=(
                        Part(reasoning="Rome is a city.", signature="c2lnbmVk"),
                        Part(
                            opaque=OpaquePart(
                                kind="reasoningContent",
                                raw=json.dumps({"redactedContent": base64.b64encode(SEALED).decode()}),
                            )
                        ),
                        Part(text="Let me see."),
                        Part(tool_call=RequestedCall(id="tooluse_a", name="get_weather", arguments='{"city":"Rome"}')),
                        Part(tool_call=RequestedCall(id="tooluse_b", name="get_weather", arguments="")),
                    ),
                ),
                Message(role="tool", content="20 degrees", tool_call_id="tooluse_a"),
                Message(role="tool", content="cold", tool_call_id="tooluse_b"),
            ),
            "tools": (WEATHER,),
        },
        theirs={
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"reasoningContent": {"reasoningText": {"text": "Rome is a city.", "signature": "c2lnbmVk"}}},
                        {"reasoningContent": {"redactedContent": SEALED}},
                        {"text": "Let me see."},
                        {"toolUse": {"toolUseId": "tooluse_a", "name": "get_weather", "input": {"city": "Rome"}}},
                        {"toolUse": {"toolUseId": "tooluse_b", "name": "get_weather", "input": {}}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"toolResult": {"toolUseId": "tooluse_a", "content": [{"text": "20 degrees"}]}},
                        {"toolResult": {"toolUseId": "tooluse_b", "content": [{"text": "cold"}]}},
                    ],
                },
            ],
            "toolConfig": {"tools": [THEIR_WEATHER]},
        },
    ),
    Case(
        name="structured output and effort",
        ours={
            "messages": HI,
            "response_format": ResponseFormat(json_schema=SCHEMA, name="city"),
            "reasoning_effort": "low",
        },
        theirs={
            "messages": [USER],
            "outputConfig": {
                "effort": "low",
                "textFormat": {
                    "type": "json_schema",
                    "structure": {"jsonSchema": {"name": "city", "schema": json.dumps(SCHEMA)}},
                },
            },
        },
        rules=(SCHEMA_AS_TEXT,),
    ),
    Case(
        name="sampling, stop, length",
        ours={"messages": HI, "temperature": 0.3, "top_p": 0.9, "stop": ("END", "FIN"), "max_tokens": 50, "top_k": 5},
        theirs={
            "messages": [USER],
            "inferenceConfig": {"temperature": 0.3, "topP": 0.9, "stopSequences": ["END", "FIN"], "maxTokens": 50},
            "additionalModelRequestFields": {"top_k": 5},
        },
    ),
    Case(
        name="reasoning tokens",
        ours={"messages": HI, "reasoning_tokens": 2048, "max_tokens": 4096},
        theirs={
            "messages": [USER],
            "inferenceConfig": {"maxTokens": 4096},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        },
    ),
    Case(
        name="prompt cache",
        ours={
            "messages": (
                Message(role="system", parts=(Part(text="Be brief.", cache="1h"),)),
                Message(role="user", parts=(Part(text="A long text.", cache="5m"), Part(text="And?"))),
            ),
            "tools": (Tool(name="get_weather", description="The weather of a city", parameters=SCHEMA, cache="5m"),),
        },
        theirs={
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "messages": [{"role": "user", "content": [{"text": "A long text."}, POINT, {"text": "And?"}]}],
            "toolConfig": {"tools": [THEIR_WEATHER, POINT]},
        },
    ),
    Case(
        name="members of one's own",
        ours={"messages": HI, "extra": {"requestMetadata": {"a": "b"}, "anthropic_beta": ["x"]}},
        theirs={
            "messages": [USER],
            "requestMetadata": {"a": "b"},
            "additionalModelRequestFields": {"anthropic_beta": ["x"]},
        },
    ),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, aws: Callable[..., Any]) -> Iterator[Any]:
    client = aws("bedrock-runtime", loop.base_url)
    yield client
    client.close()


def proof(headers: dict[str, str]) -> dict[str, str]:
    """What is proved, without the time and the signature: `tests/providers` holds these to botocore's own."""
    scheme, _, rest = headers["authorization"].partition(" ")
    members = dict(member.strip().split("=", 1) for member in rest.split(","))
    key, _, scope = members["Credential"].split("/", 2)
    kept = {name: value for name, value in headers.items() if name not in ("authorization", "x-amz-date")}
    return {**kept, "scheme": scheme, "key": key, "scope": scope}


def request_of(case: Case, api: str = "converse") -> ChatRequest:
    return ChatRequest(model=f"bedrock/{CLAUDE}", api=api, **case.ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_conversation_means_what_awss_client_says(
    case: Case, stream: bool, loop: Loopback, theirs: Any
) -> None:
    provider = loop.provider("bedrock", ENVIRON)

    def ask() -> Any:
        if stream:
            return list(theirs.converse_stream(modelId=CLAUDE, **case.theirs)["stream"])
        return theirs.converse(modelId=CLAUDE, **case.theirs)

    request = request_of(case)
    found = await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, case.rules, proof=proof)
    assert found == []


@pytest.mark.parametrize("name", ["plain", "system and several turns", "thoughts, calls and results in the history"])
async def test_tokens_are_counted_as_by_awss_client(name: str, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("bedrock", ENVIRON)
    case = next(case for case in CASES if case.name == name)

    def ask() -> Any:
        return theirs.count_tokens(modelId=CLAUDE, input={"converse": dict(case.theirs)})

    assert await loop.compare(lambda: loop.our_count(provider, request_of(case)), ask, proof=proof) == []
    _, said = await loop.theirs(ask)
    _, count = await loop.our_count(provider, request_of(case))
    assert count == said["inputTokens"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("model", "body"),
    [
        (
            CLAUDE,
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 99,
                "messages": [{"role": "user", "content": "hi"}],
            },
        ),
        (
            "amazon.nova-sim-v1:0",
            {"schemaVersion": "messages-v1", "messages": [USER], "inferenceConfig": {"maxTokens": 99}},
        ),
        ("openai.gpt-sim-1:0", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 99}),
    ],
    ids=["claude", "nova", "gpt"],
)
async def test_a_model_is_invoked_as_by_awss_client(
    model: str, body: dict[str, Any], stream: bool, loop: Loopback, theirs: Any
) -> None:
    provider = loop.provider("bedrock", ENVIRON)
    request = ChatRequest(model=f"bedrock/{model}", api="invoke", messages=HI, max_tokens=99)
    asked = {"modelId": model, "body": json.dumps(body), "contentType": "application/json"}

    def ask() -> Any:
        if stream:
            return list(theirs.invoke_model_with_response_stream(**asked)["body"])
        return theirs.invoke_model(**asked)["body"].read()

    assert await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, proof=proof) == []


async def test_models_are_listed_as_by_awss_client(loop: Loopback, aws: Callable[..., Any]) -> None:
    provider = loop.provider("bedrock", ENVIRON)
    client = aws("bedrock", loop.base_url)
    try:
        found = await loop.compare(lambda: loop.our_models(provider), client.list_foundation_models, proof=proof)
        assert found == []
        _, said = await loop.theirs(client.list_foundation_models)
    finally:
        client.close()
    _, listed = await loop.our_models(provider)
    assert listed == [model["modelId"] for model in said["modelSummaries"]]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2"])
def test_the_hosts_are_those_of_awss_client(region: str, aws: Callable[..., Any]) -> None:
    provider = load_provider_configs_from_env({**ENVIRON, "AWS_REGION": region})["bedrock"]
    runtime, control = aws("bedrock-runtime", region=region), aws("bedrock", region=region)
    try:
        assert provider.base_url == runtime.meta.endpoint_url
        assert provider.listing is not None
        assert provider.listing.path == f"{control.meta.endpoint_url}/foundation-models"
    finally:
        runtime.close()
        control.close()


async def test_an_api_key_is_sent_as_by_awss_client(
    loop: Loopback, vendor: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's client sends a key by TLS alone, so that what it would send is taken out of its hands before."""
    environ = {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-dummy", "AWS_REGION": "us-east-1"}
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", environ["AWS_BEARER_TOKEN_BEDROCK"])
    prepared: list[Any] = []

    def keep(request: Any, **_: Any) -> Any:
        prepared.append(request)
        return vendor("botocore.awsrequest").AWSResponse(request.url, 200, {}, None)

    client = vendor("botocore.session").Session().create_client("bedrock-runtime", region_name="us-east-1")
    client.meta.events.register("before-send.bedrock-runtime", keep)
    try:
        with pytest.raises(AttributeError):  # the answer that was never given
            client.converse(modelId=CLAUDE, messages=[USER])
    finally:
        client.close()
    ours, _ = await loop.ours(loop.provider("bedrock", environ), ChatRequest(model=f"bedrock/{CLAUDE}", messages=HI))
    sent = prepared[0].headers["Authorization"]
    assert ours.headers["authorization"] == (sent.decode() if isinstance(sent, bytes) else sent)
