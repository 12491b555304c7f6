"""Converse's bodies against AWS's own model of the service, for any request at all."""

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.dialects import BedrockInvoke, Converse, GenerateContent
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import (
    ChatRequest,
    Image,
    Message,
    OpaquePart,
    Part,
    RequestedCall,
    ResponseFormat,
    Tool,
)

# -- any request ------------------------------------------------------------------------------------------------------


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # Small numbers and bounds are drawn more often than others: 7 is neither.
    return st.integers(0, 15).flatmap(lambda n: odd if n == 7 else usual)


def seldom(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(st.none(), strategy)


names = ["a", "look", "b-2"]
odd = st.sampled_from(["", "a b", "\ud800", "x" * 65])
words = mostly(st.sampled_from(names), odd)
texts = mostly(
    st.sampled_from([*names, "\U0001f600"]), st.sampled_from(["", " \n", "<s>", "[INST]", "<|eot_id|>", "\ud800"])
)
ids = mostly(st.sampled_from(["c1", "c2", "call_0", "call_1"]), odd)
lives = mostly(st.none(), st.sampled_from(["5m", "1h"]))
images = st.one_of(
    st.builds(
        Image,
        data=st.just("iVBO"),
        media_type=mostly(st.sampled_from(["image/png", "image/jpg"]), st.just("image/bmp")),
    ),
    st.builds(
        Image,
        url=mostly(st.just("s3://bucket/a"), st.sampled_from(["gs://bucket/a", "https://a.example/b", "data:,", ""])),
        media_type=mostly(st.just("image/webp"), st.none()),
        detail=st.sampled_from([None, "auto", "high"]),
    ),
)
arguments = mostly(
    st.sampled_from(["", "{}", '{"a": 1}']),
    st.sampled_from(["[1]", "{", "\ud800", "[" * 3000]),
)
calls = st.builds(RequestedCall, id=ids, name=words, arguments=arguments)
opaques = st.sampled_from(
    [
        OpaquePart(kind="reasoningContent", raw='{"redactedContent": "AAAA"}'),
        OpaquePart(kind="server_tool_use", raw='{"type": "server_tool_use", "toolUseId": "c1"}'),
        OpaquePart(kind="toolResult", raw='{"toolUseId": "c1"}'),
        OpaquePart(kind="toolResult", raw='[{"text": "a"}]'),
        OpaquePart(kind="image", raw='{"format": "png", "source": {"bytes": "iVBO"}}'),
        OpaquePart(kind="trace", raw="{}"),
        OpaquePart(kind="thought_signature", raw='{"thoughtSignature": "S", "toolCall": 0}'),
        OpaquePart(kind="thought_signature", raw='{"thoughtSignature": "S", "textLength": 1}'),
        OpaquePart(kind="thought_signature", raw='{"thoughtSignature": "S", "textLength": -1, "toolCall": null}'),
        OpaquePart(kind="thought_signature", raw='{"thoughtSignature": 1}'),
        OpaquePart(kind="thought_signature", raw='{"thoughtSignature": "S", "toolCall": []}'),
        OpaquePart(kind="inlineData", raw='{"inlineData": {}, "text": "a"}'),
        OpaquePart(kind="novelty", raw='{"novelty": 1, "functionCall": {}, "text": 7}'),
        OpaquePart(kind="part", raw="7"),
        OpaquePart(kind="inlineData", raw="{"),
        OpaquePart(kind="inlineData", raw="[" * 3000),
    ]
)


text = st.builds(Part, text=texts, cache=lives)
asked = mostly(text, st.builds(Part, image=images, cache=lives))
answered = st.one_of(
    text,
    st.builds(Part, reasoning=texts, signature=st.none() | words),
    st.builds(Part, tool_call=calls, cache=lives),
    st.builds(Part, opaque=opaques),
)
messages = st.one_of(
    st.builds(Message, role=st.just("user"), parts=st.lists(asked, max_size=3).map(tuple)),
    st.builds(Message, role=st.sampled_from(["user", "assistant", "system", "developer"]), content=texts),
    st.builds(
        Message,
        role=st.just("assistant"),
        parts=st.lists(answered, max_size=4).map(tuple),
        tool_calls=st.lists(calls, max_size=2).map(tuple),
    ),
    st.builds(
        Message,
        role=st.just("tool"),
        parts=st.lists(asked, max_size=2).map(tuple),
        tool_call_id=mostly(ids, st.none()),
    ),
    mostly(
        st.builds(Message, role=st.just("user"), content=texts),
        st.builds(Message, role=st.sampled_from(["user", "system"]), parts=st.lists(answered, max_size=2).map(tuple)),
    ),
)
schemas = mostly(st.just({"type": "object"}), st.just({"a": "\ud800"}))
requests = st.builds(
    ChatRequest,
    model=st.just("p/m"),
    messages=st.lists(messages, min_size=1, max_size=5).map(tuple),
    max_tokens=seldom(st.integers(1, 9)),
    temperature=seldom(st.sampled_from([0.0, 1.0, 1.5])),
    top_p=seldom(st.just(0.5)),
    top_k=seldom(st.just(5)),
    presence_penalty=seldom(st.just(1.0)),
    stop=mostly(st.sampled_from([(), ("x",)]), st.just(("",))),
    seed=seldom(st.sampled_from([7, 2**70])),
    n=seldom(st.integers(1, 2)),
    tools=st.lists(st.builds(Tool, name=words, description=texts, parameters=schemas, cache=lives), max_size=2).map(
        tuple
    ),
    tool_choice=seldom(st.sampled_from(["auto", "none", "required", "look", ""])),
    parallel_tool_calls=seldom(st.booleans()),
    response_format=seldom(st.builds(ResponseFormat, json_schema=st.none() | schemas)),
    reasoning_effort=seldom(st.sampled_from(["none", "minimal", "low", "high", "xhigh", "max"])),
    reasoning_tokens=seldom(st.integers(0, 1)),
    extra=mostly(st.sampled_from([{}, {"guardrailConfig": {}}]), st.sampled_from([{"x": [1]}, {"x": object()}])),
)
at_leisure = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

MODELS = [
    "anthropic.claude-x",
    "amazon.nova-lite-v1:0",
    "amazon.titan-text-express-v1",
    "meta.llama3-8b-instruct-v1:0",
    "mistral.mistral-7b-instruct-v0:2",
    "mistral.mistral-large-2407-v1:0",
    "cohere.command-r-v1:0",
    "cohere.command-text-v14",
    "ai21.j2-ultra-v1",
    "ai21.jamba-1-5-mini-v1:0",
    "openai.gpt-oss-20b-1:0",
]


def body_or_refusal(dialect: Converse | GenerateContent | BedrockInvoke, request: ChatRequest, model: str) -> Any:
    """The body, whose tokens can be asked for too; None for a refusal."""
    try:
        said = dialect.chat_body(request, model, stream=True)
        json.loads(dialect.count_body(request, model))
    except ProviderError as error:
        refusal = error
    else:
        return json.loads(said)
    assert refusal.kind is ErrorKind.BAD_REQUEST
    return None


@pytest.mark.heavy
@given(requests, st.booleans())
@at_leisure
def test_any_request_is_said_to_gemini_or_refused(request: ChatRequest, wrapped: bool) -> None:
    said = body_or_refusal(GenerateContent(count_wrapped=wrapped), request, "m")
    assert said is None or all(content["parts"] for content in said["contents"])


@pytest.mark.heavy
@given(requests, st.sampled_from(MODELS))
@at_leisure
def test_any_request_is_said_to_a_model_of_invoke_or_refused(request: ChatRequest, model: str) -> None:
    body_or_refusal(BedrockInvoke(), request, model)


# -- AWS's model ------------------------------------------------------------------------------------------------------


@cache
def shape_of(operation: str) -> Any:
    """The shape of what `operation` takes, from the model that AWS's own clients are made of."""
    session = pytest.importorskip("botocore.session").get_session()
    return session.get_service_model("bedrock-runtime").operation_model(operation).input_shape


def faults(shape: Any, value: Any, path: str = "$") -> list[str]:
    """What AWS's client finds wrong with `value`, and what only the service itself checks: enums, patterns, bounds."""
    found: list[str] = []
    match shape.type_name:
        case "structure" if not getattr(shape, "is_document_type", False):
            for name, member in value.items():
                found += faults(shape.members[name], member, f"{path}.{name}") if name in shape.members else [path]
        case "list":
            for index, member in enumerate(value):
                found += faults(shape.member, member, f"{path}[{index}]")
        case "string":
            pattern = shape.metadata.get("pattern")
            if (shape.enum and value not in shape.enum) or (pattern and re.fullmatch(pattern, value) is None):
                found.append(f"{path}: {value!r}")
            if not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", 2**31):
                found.append(f"{path}: {value!r}")
        case "integer" | "float":
            if not shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value):
                found.append(f"{path}: {value!r}")
        case _:
            pass
    return found


def check_against_aws(operation: str, members: dict[str, Any]) -> None:
    validate = pytest.importorskip("botocore.validate")
    shape = shape_of(operation)
    report = validate.ParamValidator().validate(members, shape)
    assert not report.has_errors(), report.generate_report()
    assert faults(shape, members) == []


@given(requests, st.sampled_from(["anthropic.claude-x", "amazon.nova-lite-v1:0", "m"]))
@at_leisure
def test_any_request_is_what_aws_models_or_refused(request: ChatRequest, model: str) -> None:
    said = body_or_refusal(Converse(), request, model)
    if said is not None:
        check_against_aws("ConverseStream", {"modelId": model, **said})
        counted = json.loads(Converse().count_body(request, model))
        check_against_aws("CountTokens", {"modelId": "anthropic.claude-x", **counted})


def test_a_body_that_aws_would_refuse_is_found() -> None:
    block = {"image": {"format": "bmp", "source": {"bytes": "iVBO"}}}
    with pytest.raises(AssertionError, match="bmp"):
        check_against_aws("ConverseStream", {"modelId": "m", "messages": [{"role": "user", "content": [block]}]})
    with pytest.raises(AssertionError, match="toolSpec"):
        check_against_aws("ConverseStream", {"modelId": "m", "toolConfig": {"tools": [{"toolSpec": {"name": "a"}}]}})
