"""Gemini, Vertex AI and Bedrock through the whole simulator, over a socket, read by the project's own decoders."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import aiohttp
import pytest
import reactivex
from msgspec.structs import replace

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import CodecError, ErrorKind, ProviderError
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS
from rxlapce.simulator import Outcome, Simulator, parse
from rxlapce.simulator.asked import Where
from rxlapce.simulator.reply import Reply, compose
from rxlapce.simulator.routes import ROUTES
from rxlapce.simulator.tokenizer import seeded
from rxlapce.tokens import FinishKind, Reasoning, StreamToken, Usage, UsageReport

SEED = 7
HEADERS = {"authorization": "Bearer any"}
TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


class Spoken(NamedTuple):
    """A way to ask: the API that reads the answer, the paths for streams and whole answers, and the body."""

    api: str
    stream: str
    unary: str
    query: dict[str, str]
    body: dict[str, Any]
    tools: dict[str, Any] | None = None
    reasons: bool = True


GEMINI_BODY = {"contents": [{"role": "user", "parts": [{"text": "What is the weather in Paris?"}]}]}
GEMINI_TOOLS = {"tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": TOOL_SCHEMA}]}]}
MESSAGES = [{"role": "user", "content": "What is the weather in Paris?"}]
CLAUDE_TOOLS = {"tools": [{"name": "get_weather", "input_schema": TOOL_SCHEMA}]}
CHAT_TOOLS = {"tools": [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL_SCHEMA}}]}
CONVERSE_BODY = {"messages": [{"role": "user", "content": [{"text": "What is the weather in Paris?"}]}]}
CONVERSE_TOOLS = {
    "toolConfig": {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": TOOL_SCHEMA}}}]}
}
SSE = {"alt": "sse"}
VERTEX = "/v1/projects/p/locations/us-central1/publishers"


def _gemini(root: str, query: dict[str, str]) -> Spoken:
    api = "gemini.streamGenerateContent" + ("?alt=sse" if query else " (JSON array)")
    return Spoken(api, f"{root}:streamGenerateContent", f"{root}:generateContent", query, GEMINI_BODY, GEMINI_TOOLS)


def _invoke(model: str, body: dict[str, Any], tools: dict[str, Any] | None = None, *, reasons: bool = True) -> Spoken:
    root = f"/model/{model}"
    return Spoken(
        "bedrock.invoke-with-response-stream",
        f"{root}/invoke-with-response-stream",
        f"{root}/invoke",
        {},
        body,
        tools,
        reasons,
    )


CLAUDE_BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 10_000, "messages": MESSAGES}
SPOKEN = {
    "gemini sse": _gemini("/v1beta/models/sim", SSE),
    "gemini array": _gemini("/v1beta/models/sim", {}),
    "vertex sse": _gemini(f"{VERTEX}/google/models/sim", SSE),
    "vertex array": _gemini(f"{VERTEX}/google/models/sim", {}),
    "vertex claude": Spoken(
        "anthropic.messages",
        f"{VERTEX}/anthropic/models/sim:streamRawPredict",
        f"{VERTEX}/anthropic/models/sim:rawPredict",
        {},
        {**CLAUDE_BODY, "anthropic_version": "vertex-2023-10-16"},
        CLAUDE_TOOLS,
    ),
    "converse": Spoken(
        "bedrock.converse-stream",
        "/model/sim/converse-stream",
        "/model/sim/converse",
        {},
        CONVERSE_BODY,
        CONVERSE_TOOLS,
    ),
    "invoke claude": _invoke("anthropic.claude-sonnet-4-20250514-v1:0", CLAUDE_BODY, CLAUDE_TOOLS),
    "invoke sim": _invoke("sim", CLAUDE_BODY, CLAUDE_TOOLS),
    "invoke nova": _invoke(
        "us.amazon.nova-lite-v1:0", {"schemaVersion": "messages-v1", **CONVERSE_BODY}, CONVERSE_TOOLS
    ),
    "invoke jamba": _invoke("ai21.jamba-1-5-large-v1:0", {"messages": MESSAGES}, CHAT_TOOLS),
    "invoke titan": _invoke("amazon.titan-text-lite-v1", {"inputText": "What is a stream?"}, reasons=False),
    "invoke llama": _invoke("meta.llama3-8b-instruct-v1:0", {"prompt": "What is a stream?"}, reasons=False),
    "invoke mistral": _invoke("mistral.mistral-7b-instruct-v0:2", {"prompt": "What is a stream?"}, reasons=False),
    "invoke command": _invoke("cohere.command-text-v14", {"prompt": "What is a stream?"}, reasons=False),
    "invoke command r": _invoke("cohere.command-r-v1:0", {"message": "What is a stream?"}, reasons=False),
}
WITH_TOOLS = {name: spoken for name, spoken in SPOKEN.items() if spoken.tools}
#: No vendor among these counts nothing but Mistral, for which Bedrock counts; its unary answer has no count at all.
UNCOUNTED_WHOLE = {"invoke mistral", "invoke command", "invoke command r"}
REASONLESS = {(name, "no_finish") for name in ("vertex claude", "invoke claude", "invoke sim")}
each = pytest.mark.parametrize("name", SPOKEN)
each_with_tools = pytest.mark.parametrize("name", WITH_TOOLS)


class Heard(NamedTuple):
    answer: Answer
    tokens: list[StreamToken]
    error: Exception | None


def decoded(api: str, pieces: Sequence[bytes]) -> Heard:
    """What the project's own decoders make of a body."""
    tokens: list[StreamToken] = []
    errors: list[Exception] = []
    stream = reactivex.from_iterable(pieces).pipe(APIS[api].framing.decode(), token_map(APIS[api].dialect()))
    stream.subscribe(tokens.append, errors.append)
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return Heard(builder.answer(), tokens, errors[0] if errors else None)


def streamed_body(spoken: Spoken, **more: Any) -> dict[str, Any]:
    return {**spoken.body, **more, **({"stream": True} if "RawPredict" in spoken.stream else {})}


async def stream(client: aiohttp.ClientSession, spoken: Spoken, options: str = "", **more: Any) -> Heard:
    """Ask for a stream and decode what comes, even if the connection breaks."""
    pieces: list[bytes] = []
    headers = {**HEADERS, "X-Simulate": options}
    body = streamed_body(spoken, **more)
    async with client.post(spoken.stream, params=spoken.query, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == APIS[spoken.api].framing.media_type
        try:
            async for piece in response.content.iter_any():
                pieces.append(piece)  # noqa: PERF401 - what came before a cut is kept
        except (aiohttp.ClientPayloadError, aiohttp.ClientOSError):
            pass
    return decoded(spoken.api, pieces)


async def whole(client: aiohttp.ClientSession, spoken: Spoken, options: str = "", **more: Any) -> Answer:
    headers = {**HEADERS, "X-Simulate": options}
    async with client.post(spoken.unary, json={**spoken.body, **more}, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "application/json"), await response.text()
        body = await response.read()
    builder = AnswerBuilder()
    for token in APIS[spoken.api].dialect().read_answer(body):
        builder.add(token)
    return builder.answer()


def replies(spoken: Spoken, options: str, **more: Any) -> tuple[Reply, ...]:
    """What the simulator decided to say, made again from the same seed."""
    path, model = spoken.stream, spoken.stream.split("/")[-1].partition(":")[0]
    if path.startswith("/model/"):
        model = path.split("/")[2]
    tail = path.rpartition(":")[2] if ":" in path.rpartition("/")[2] else path.rpartition("/")[2]
    root = path[: path.index("/", 1)] if "publishers" not in path else path[path.index("publishers") :].split("/")[1]
    route = next(route for route in ROUTES if route.path.endswith(tail) and root in route.path)
    body = json.dumps(streamed_body(spoken, **more)).encode()
    asked = route.read(body, Where(path=path, query=spoken.query, model=model))
    chance = seeded(SEED, path, body, options)
    route.wire(asked, chance)
    return compose(asked, parse(options), chance)


def usage_of(tokens: Sequence[StreamToken]) -> Usage:
    return next(token.usage for token in reversed(tokens) if isinstance(token, UsageReport))


# -- what is said ---------------------------------------------------------------------------------------------------


@each
async def test_a_stream_gives_exactly_the_reply(client: aiohttp.ClientSession, name: str) -> None:
    spoken = SPOKEN[name]
    options = "tokens=60,tools=0,reasoning=12" if spoken.reasons else "tokens=60"
    heard = await stream(client, spoken, options)
    reply = replies(spoken, options)[0]
    assert heard.error is None
    choice = heard.answer.choices[0]
    assert (choice.text, choice.finish_kind) == ("".join(reply.text_pieces()), FinishKind.STOP)
    assert choice.reasoning == ("".join(reply.reasoning_pieces()) if spoken.reasons else "")
    usage = usage_of(heard.tokens)
    assert usage.output == reply.output_tokens
    assert usage.input is not None
    assert usage.input > 0
    assert usage.total == usage.input + reply.output_tokens


@each_with_tools
async def test_tool_calls_arrive_whole_with_their_finish(client: aiohttp.ClientSession, name: str) -> None:
    spoken = SPOKEN[name]
    tools = spoken.tools or {}
    heard = await stream(client, spoken, "tools=2,reasoning=3", **tools)
    reply = replies(spoken, "tools=2,reasoning=3", **tools)[0]
    calls = heard.answer.choices[0].tool_calls
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        (call.name, json.loads(call.arguments)) for call in reply.calls
    ]
    assert len(calls) == 2
    assert json.loads(calls[0].arguments)["city"] == "Paris"
    assert len({call.id for call in calls}) == 2
    assert heard.answer.choices[0].finish_kind is FinishKind.TOOL_CALLS


@each
async def test_a_whole_answer_says_what_the_stream_says(client: aiohttp.ClientSession, name: str) -> None:
    spoken = SPOKEN[name]
    options = "tokens=40,tools=0,reasoning=5,finish=length" if spoken.reasons else "tokens=40,finish=length"
    streamed = (await stream(client, spoken, options)).answer
    answer = await whole(client, spoken, options)
    ours, theirs = answer.choices[0], streamed.choices[0]
    # The path is part of the seed, and so the answer's opening may differ.
    assert len(ours.text) > 50
    assert (ours.reasoning, ours.finish_kind) == (theirs.reasoning, theirs.finish_kind)
    assert ours.finish_kind is FinishKind.LENGTH
    if name not in UNCOUNTED_WHOLE:
        assert answer.usage is not None
        assert streamed.usage is not None
        # Anthropic counts the thinking in streams alone.
        assert replace(answer.usage, reasoning=streamed.usage.reasoning) == streamed.usage


@each_with_tools
async def test_a_whole_answer_has_the_tool_calls_too(client: aiohttp.ClientSession, name: str) -> None:
    spoken = SPOKEN[name]
    choice = (await whole(client, spoken, "tools=2", **(spoken.tools or {}))).choices[0]
    assert [call.name for call in choice.tool_calls] == ["get_weather", "get_weather"]
    assert {json.loads(call.arguments)["city"] for call in choice.tool_calls} == {"Paris"}
    assert choice.finish_kind is FinishKind.TOOL_CALLS


@pytest.mark.heavy
@each
async def test_byte_by_byte_is_the_same_answer(client: aiohttp.ClientSession, name: str) -> None:
    spoken = SPOKEN[name]
    tools = spoken.tools or {}
    options = "tokens=2,reasoning=1,tools=1" if tools else "tokens=3"
    split = await stream(client, spoken, f"{options},split=1", **tools)
    reply = replies(spoken, f"{options},split=1", **tools)[0]
    assert split.error is None
    assert split.answer.text == "".join(reply.text_pieces())
    assert [json.loads(call.arguments) for call in split.answer.choices[0].tool_calls] == [
        json.loads(call.arguments) for call in reply.calls
    ]


@pytest.mark.parametrize(
    "name", ["gemini sse", "gemini array", "vertex sse", "vertex claude", "converse", "invoke claude"]
)
async def test_reasoning_is_signed(client: aiohttp.ClientSession, name: str) -> None:
    heard = await stream(client, SPOKEN[name], "reasoning=4,tokens=4")
    reasoning = [token for token in heard.tokens if isinstance(token, Reasoning) and token.signature]
    signatures = [token.raw for token in heard.answer.opaque if token.kind == "thought_signature"]
    assert len(reasoning) + len(signatures) == 1


@each
async def test_crlf_leaves_framings_that_are_no_lines_alone(client: aiohttp.ClientSession, name: str) -> None:
    heard = await stream(client, SPOKEN[name], "tokens=5,crlf=1")
    assert heard.error is None
    assert heard.answer.choices[0].finish_kind is FinishKind.STOP


@each
async def test_a_keepalive_never_breaks_a_stream(client: aiohttp.ClientSession, name: str) -> None:
    heard = await stream(client, SPOKEN[name], "tokens=3,ttft=0.02,keepalive=0.005")
    assert heard.error is None
    assert heard.answer.choices[0].finish_kind is FinishKind.STOP


# -- what goes wrong ------------------------------------------------------------------------------------------------


def kind_of(error: Exception | None) -> ErrorKind | None:
    """The kind of an error; what a codec refuses is a breach of the protocol."""
    if isinstance(error, ProviderError):
        return error.kind
    return ErrorKind.PROTOCOL if isinstance(error, CodecError) else None


@pytest.mark.parametrize(
    ("name", "fault"),
    # message_stop ends Anthropic's answers, with a reason or without.
    [(name, fault) for name in SPOKEN for fault in ("cut", "end", "no_finish") if (name, fault) not in REASONLESS],
)
async def test_an_answer_that_is_not_whole_is_truncated(client: aiohttp.ClientSession, name: str, fault: str) -> None:
    spoken = SPOKEN[name]
    heard = await stream(client, spoken, f"tokens=20,fault={fault},after=7")
    assert kind_of(heard.error) is ErrorKind.TRUNCATED
    said = "".join(list(replies(spoken, f"tokens=20,fault={fault},after=7")[0].text_pieces()))
    assert said.startswith(heard.answer.text)
    assert heard.answer.text


@each
@pytest.mark.parametrize("after", [0, 5, 99])
async def test_an_error_in_the_stream_is_told_after_what_was_said(
    client: aiohttp.ClientSession, name: str, after: int
) -> None:
    spoken = SPOKEN[name]
    options = f"tokens=20,fault=error,after={after}"
    heard = await stream(client, spoken, options)
    assert kind_of(heard.error) in {ErrorKind.OVERLOADED, ErrorKind.RATE_LIMIT, ErrorKind.CANCELLED}
    assert heard.answer.text == "".join(list(replies(spoken, options)[0].text_pieces())[:after])


@each
@pytest.mark.parametrize("after", [0, 5])
async def test_a_malformed_event_is_a_breach_of_the_protocol(
    client: aiohttp.ClientSession, name: str, after: int
) -> None:
    heard = await stream(client, SPOKEN[name], f"tokens=20,fault=malformed,after={after}")
    assert kind_of(heard.error) is ErrorKind.PROTOCOL


@each
@pytest.mark.parametrize("after", [0, 5])
async def test_a_huge_event_is_one_piece_of_the_answer(client: aiohttp.ClientSession, name: str, after: int) -> None:
    options = f"tokens=20,fault=huge,size=200000,after={after}"
    heard = await stream(client, SPOKEN[name], options)
    pieces = list(replies(SPOKEN[name], options)[0].text_pieces())
    assert heard.error is None
    assert heard.answer.text == "".join(pieces[:after]) + "x" * 200_000 + "".join(pieces[after:])


async def test_a_stream_is_whole_without_what_follows_its_finish(client: aiohttp.ClientSession) -> None:
    errors = {name: kind_of((await stream(client, SPOKEN[name], "tokens=3,fault=no_done")).error) for name in SPOKEN}
    # What these say last are the counts; the others' last event has the finish, or closes the array.
    counts_last = {"converse", "invoke nova", "invoke jamba"}
    assert errors == {name: None if name in counts_last else ErrorKind.TRUNCATED for name in SPOKEN}


@each
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("auth", ErrorKind.AUTH),
        ("quota", ErrorKind.QUOTA),
        ("rate_limit", ErrorKind.RATE_LIMIT),
        ("overloaded", ErrorKind.OVERLOADED),
        ("context_length", ErrorKind.CONTEXT_LENGTH),
    ],
)
async def test_each_refusal_is_read_as_what_it_is(
    client: aiohttp.ClientSession, name: str, fault: str, kind: ErrorKind
) -> None:
    spoken = SPOKEN[name]
    headers = {**HEADERS, "X-Simulate": f"fault={fault},retry_after=2"}
    async with client.post(spoken.stream, json=streamed_body(spoken), params=spoken.query, headers=headers) as response:
        told = {key.lower(): value for key, value in response.headers.items()}
        error = APIS[spoken.api].dialect().read_error(response.status, told, await response.read())
    assert error.kind is kind
    if fault == "rate_limit":
        assert error.retry_after_s == 2


@each
async def test_a_finish_by_filter_is_said(client: aiohttp.ClientSession, name: str) -> None:
    heard = await stream(client, SPOKEN[name], "finish=content_filter")
    assert heard.error is None
    says = "llama" not in name and "mistral" not in name  # they have no word for it
    if says:
        assert heard.answer.choices[0].finish_kind in (FinishKind.CONTENT_FILTER, FinishKind.REFUSAL)
    else:
        assert heard.answer.choices[0].finish_kind is FinishKind.STOP


async def test_options_stand_in_the_models_name_too(client: aiohttp.ClientSession, simulator: Simulator) -> None:
    for path, body in (
        ("/v1beta/models/sim%3Atokens%3D4,fault%3Dcut,after%3D2:streamGenerateContent?alt=sse", GEMINI_BODY),
        ("/model/anthropic.claude-v2%3A0%3Atokens%3D4,fault%3Dcut,after%3D2/converse-stream", CONVERSE_BODY),
        (f"{VERTEX}/google/models/sim:tokens=4,fault=cut,after=2:streamGenerateContent", GEMINI_BODY),
    ):
        async with client.post(path, json=body, headers=HEADERS) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CUT] * 3)
    assert [served.tokens for served in simulator.served] == [2, 2, 2]
