"""Claude on Vertex AI and on AWS Bedrock: our requests beside those of Anthropic's own clients for these."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, Image, Message, Part, RequestedCall, Tool
from rxlapce.testing.agreement import Case, Rule, drops
from rxlapce.testing.loopback import Loopback

pytestmark = pytest.mark.sdk

VERTEX = {"VERTEX_PROJECT_ID": "my-project", "VERTEX_LOCATION": "us-east5", "VERTEX_ACCESS_TOKEN": "ya29.dummy"}
BEDROCK = {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-dummy"}
PIXEL = "iVBORw0KGgo+/w=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HI = (Message(role="user", content="hi"),)
USER = {"role": "user", "content": "hi"}

CASES = [
    Case(name="plain", ours={"messages": HI, "max_tokens": 99}, theirs={"messages": [USER], "max_tokens": 99}),
    Case(
        name="system, image, tools and their results",
        ours={
            "messages": (
                Message(role="system", content="Be brief."),
                Message(
                    role="user",
                    parts=(Part(text="See:"), Part(image=Image(data=PIXEL, media_type="image/png"))),
                ),
                Message(
                    role="assistant",
                    parts=(
                        Part(reasoning="Rome is a city.", signature="c2lnbmVk"),
                        Part(tool_call=RequestedCall(id="toolu_a", name="get_weather", arguments='{"city":"Rome"}')),
                    ),
                ),
                Message(role="tool", content="20 degrees", tool_call_id="toolu_a"),
            ),
            "tools": (Tool(name="get_weather", parameters=SCHEMA, cache="5m"),),
            "tool_choice": "auto",
            "reasoning_tokens": 2048,
            "max_tokens": 4096,
            "stop": ("END",),
        },
        theirs={
            "system": "Be brief.",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "See:"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Rome is a city.", "signature": "c2lnbmVk"},
                        {"type": "tool_use", "id": "toolu_a", "name": "get_weather", "input": {"city": "Rome"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_a", "content": "20 degrees"}],
                },
            ],
            "tools": [{"name": "get_weather", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": {"type": "auto"},
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "max_tokens": 4096,
            "stop_sequences": ["END"],
        },
    ),
]


def version(ours: str) -> Rule:
    """The version that each asks for, and no other."""
    return Rule(
        name="version",
        reason="we ask for the version that still has a temperature, in the word that each cloud has for it",
        ours=drops("anthropic_version", ours),
        theirs=drops("anthropic_version", "2026-10-21"),
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_claude_on_vertex_is_asked_as_by_anthropics_client(
    case: Case, stream: bool, loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    provider = loop.provider("vertex", VERTEX)
    request = ChatRequest(model="vertex/claude-sim@20260101", **case.ours)
    with vendor("anthropic").AnthropicVertex(
        project_id="my-project",
        region="us-east5",
        access_token="ya29.dummy",
        base_url=f"{loop.base_url}/v1",
        max_retries=0,
    ) as theirs:

        def ask() -> Any:
            if stream:
                return list(theirs.messages.create(model="claude-sim@20260101", stream=True, **case.theirs))
            return theirs.messages.create(model="claude-sim@20260101", **case.theirs)

        rules = (version("vertex-2023-10-16"),)
        found = await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, rules)
    assert found == []


async def test_tokens_of_claude_on_vertex_are_counted_as_by_anthropics_client(
    loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    provider = loop.provider("vertex", VERTEX)
    case = CASES[0]
    request = ChatRequest(model="vertex/claude-sim", **case.ours)
    with vendor("anthropic").AnthropicVertex(
        project_id="my-project",
        region="us-east5",
        access_token="ya29.dummy",
        base_url=f"{loop.base_url}/v1",
        max_retries=0,
    ) as theirs:

        def ask() -> Any:
            return theirs.messages.count_tokens(model="claude-sim", messages=case.theirs["messages"])

        rules = (version("vertex-2023-10-16"),)
        assert await loop.compare(lambda: loop.our_count(provider, request), ask, rules) == []


@pytest.mark.parametrize("location", ["us-east5", "europe-west1", "global", "us", "eu"])
def test_claudes_host_on_vertex_is_that_of_anthropics_client(
    location: str, vendor: Callable[[str], ModuleType]
) -> None:
    provider = load_provider_configs_from_env({**VERTEX, "VERTEX_LOCATION": location})["vertex"]
    with vendor("anthropic").AnthropicVertex(project_id="p", region=location, access_token="t") as theirs:
        assert str(theirs.base_url).rstrip("/") == f"{provider.base_url}/v1"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_claude_on_bedrock_is_invoked_as_by_anthropics_client(
    case: Case, stream: bool, loop: Loopback, vendor: Callable[[str], ModuleType]
) -> None:
    provider = loop.provider("bedrock", BEDROCK)
    model = "us.anthropic.claude-sim-v1"
    request = ChatRequest(model=f"bedrock/{model}", api="invoke", **case.ours)
    with vendor("anthropic").AnthropicBedrock(
        api_key="bedrock-api-key-dummy", aws_region="us-east-1", base_url=loop.base_url, max_retries=0
    ) as theirs:

        def ask() -> Any:
            if stream:
                return list(theirs.messages.create(model=model, stream=True, **case.theirs))
            return theirs.messages.create(model=model, **case.theirs)

        rules = (version("bedrock-2023-05-31"),)
        found = await loop.compare(lambda: loop.ours(provider, request, stream=stream), ask, rules)
    assert found == []
