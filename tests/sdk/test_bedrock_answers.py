"""What AWS's own client and we make of the same answers of AWS Bedrock, whole and streamed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.asking import Said
from rxlapce.testing.dummies import ENVIRONS
from rxlapce.testing.loopback import Loopback, parsed

pytestmark = pytest.mark.sdk

HI = (Message(role="user", content="hi"),)
USER = {"role": "user", "content": [{"text": "hi"}]}
WEATHER = {
    "toolSpec": {
        "name": "get_weather",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ":tokens=90", {}),
    ("tools", ":tools=2", {"toolConfig": {"tools": [WEATHER]}}),
    ("thinking", ":reasoning=20", {}),
    ("cut short", ":finish=length,tokens=9", {}),
    ("filtered", ":finish=content_filter", {}),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, aws: Callable[..., Any]) -> Iterator[Any]:
    client = aws("bedrock-runtime", loop.base_url)
    yield client
    client.close()


def said_by(blocks: list[dict[str, Any]], stop_reason: str, usage: dict[str, int]) -> Said:
    """What the client's blocks say; Bedrock does not name the model."""
    calls: Any = tuple(
        (block["toolUse"]["toolUseId"], block["toolUse"]["name"], block["toolUse"]["input"])
        for block in blocks
        if "toolUse" in block
    )
    thoughts = [block["reasoningContent"].get("reasoningText", {}) for block in blocks if "reasoningContent" in block]
    return Said(
        text="".join(block.get("text", "") for block in blocks),
        reasoning="".join(thought.get("text", "") for thought in thoughts),
        calls=calls,
        finish_raw=stop_reason,
        model=None,
        usage=(
            usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0),
            usage["outputTokens"],
        ),
    )


def gathered(events: list[dict[str, Any]]) -> Said:
    """A stream of the client's, put together as its user must."""
    blocks: dict[int, dict[str, Any]] = {}
    arguments: dict[int, str] = {}
    stop_reason = ""
    usage: dict[str, int] = {}
    for event in events:
        for kind, said in event.items():
            number = said.get("contentBlockIndex", 0)
            if kind == "contentBlockStart":
                blocks[number] = {name: dict(start) for name, start in said["start"].items()}
            elif kind == "contentBlockDelta":
                _add(blocks.setdefault(number, {}), said["delta"])
                arguments[number] = arguments.get(number, "") + said["delta"].get("toolUse", {}).get("input", "")
            elif kind == "messageStop":
                stop_reason = said["stopReason"]
            elif kind == "metadata":
                usage = said["usage"]
    for number, block in blocks.items():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(arguments[number])
    return said_by([block for _, block in sorted(blocks.items())], stop_reason, usage)


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if "text" in delta.get("reasoningContent", {}):
        thought = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        thought["text"] += delta["reasoningContent"]["text"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("options", "more"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
async def test_an_answer_is_read_as_by_awss_client(
    options: str, more: dict[str, Any], stream: bool, loop: Loopback, theirs: Any
) -> None:
    def ask() -> Said:
        asked = {"modelId": f"sim{options}", "messages": [USER], **more}
        if stream:
            return gathered(list(theirs.converse_stream(**asked)["stream"]))
        said = theirs.converse(**asked)
        return said_by(said["output"]["message"]["content"], said["stopReason"], said["usage"])

    _, said = await loop.theirs(ask)
    provider = loop.provider("bedrock", ENVIRONS["bedrock"])
    read = await loop.reads(provider, ChatRequest(model="bedrock/sim", messages=HI), stream=stream)
    assert msgspec.structs.replace(parsed(read), model=None) == said
    assert len(read.calls) == (2 if "toolConfig" in more else 0)
    assert bool(read.reasoning) is ("reasoning" in options)
