"""What the simulator says, over a real socket, as our own framings and dialects understand it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest
import reactivex

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.operators.token_map import token_map
from rxlapce.providers.apis import APIS
from rxlapce.simulator import Simulator
from rxlapce.simulator.asked import Asked, Where
from rxlapce.simulator.options import parse
from rxlapce.simulator.reply import Reply, compose
from rxlapce.simulator.routes import ROUTES
from rxlapce.simulator.tokenizer import seeded
from rxlapce.tokens import FinishKind, StreamToken

CHAT, RESPONSES, COMPLETIONS, MESSAGES = (
    "openai.chat.completions",
    "openai.responses",
    "openai.completions",
    "anthropic.messages",
)
VERSION = "?api-version=2024-10-21"

#: path -> the API that is spoken there.
PLACES = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/completions": COMPLETIONS,
    "/v1/messages": MESSAGES,
    "/openai/v1/chat/completions": CHAT,
    "/openai/v1/responses": RESPONSES,
    "/openai/v1/completions": COMPLETIONS,
    f"/openai/deployments/sim/chat/completions{VERSION}": CHAT,
    f"/openai/deployments/sim/completions{VERSION}": COMPLETIONS,
    f"/openai/responses{VERSION}": RESPONSES,
    "/xai/v1/chat/completions": CHAT,
    "/xai/v1/responses": RESPONSES,
    "/openrouter/api/v1/chat/completions": CHAT,
    "/openrouter/api/v1/responses": RESPONSES,
    "/openrouter/api/v1/messages": MESSAGES,
}
TALKING = [place for place, api in PLACES.items() if api != COMPLETIONS]
HEADERS = {"anthropic-version": "2023-06-01"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


def body(place: str, *, stream: bool = True, prompt: str = "What is backpressure?", **members: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}]
    said: dict[str, Any] = {"model": "sim", "stream": stream} | members
    match PLACES[place]:
        case "openai.responses":
            return {"input": turns} | said
        case "openai.completions":
            return {"prompt": prompt} | ({"stream_options": {"include_usage": True}} if stream else {}) | said
        case "anthropic.messages":
            return {"messages": turns, "max_tokens": 100_000} | said
        case _:
            return {"messages": turns, "stream_options": {"include_usage": True}} | said


def tools(place: str) -> list[dict[str, Any]]:
    match PLACES[place]:
        case "openai.responses":
            return [{"type": "function", "name": "look", "parameters": SCHEMA}]
        case "anthropic.messages":
            return [{"name": "look", "input_schema": SCHEMA}]
        case _:
            return [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}]


@dataclass
class Heard:
    """A stream as our decoders understand it."""

    tokens: list[StreamToken]
    answer: Answer
    error: Exception | None

    @property
    def failure(self) -> ProviderError:
        assert isinstance(self.error, ProviderError)
        return self.error


def fold(tokens: list[StreamToken]) -> Answer:
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return builder.answer()


def decode(place: str, pieces: list[bytes]) -> Heard:
    api = APIS[PLACES[place]]
    tokens: list[StreamToken] = []
    errors: list[Exception] = []
    stream = reactivex.from_iterable(pieces).pipe(api.framing.decode(), token_map(api.dialect()))
    stream.subscribe(tokens.append, errors.append)
    return Heard(tokens, fold(tokens), errors[0] if errors else None)


def asked_at(place: str, sent: dict[str, Any]) -> Asked:
    """What the simulator reads of a request."""
    path = place.partition("?")[0].replace("/deployments/sim/", "/deployments/{model}/")
    route = next(route for route in ROUTES if route.path == path)
    return route.read(msgspec.json.encode(sent), _where(place))


def _where(place: str) -> Where:
    query = {"api-version": "2024-10-21"} if "?" in place else {}
    return Where(path=place, query=query, model="sim" if "deployments" in place else None)


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.base_url, headers=HEADERS) as session:
        yield session


async def hear(
    client: aiohttp.ClientSession, place: str, options: str = "", *, step: int = 1 << 20, **members: Any
) -> Heard:
    async with client.post(place, json=body(place, **members), headers={"X-Simulate": options}) as response:
        assert response.status == 200, await response.text()
        data = await response.read()
    return decode(place, [data[at : at + step] for at in range(0, len(data), step)])


async def hear_whole(client: aiohttp.ClientSession, place: str, options: str = "", **members: Any) -> Answer:
    sent = body(place, stream=False, **members)
    async with client.post(place, json=sent, headers={"X-Simulate": options}) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        return fold(APIS[PLACES[place]].dialect().read_answer(await response.read()))


def replies(place: str, options: str = "", **members: Any) -> Iterator[Reply]:
    """The answers whose words must arrive, whatever the seed."""
    yield from compose(asked_at(place, body(place, **members)), parse(options), seeded(0))


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
async def test_a_stream_gives_exactly_the_reply(client: aiohttp.ClientSession, place: str) -> None:
    (reply,) = replies(place, "tokens=320")
    heard = await hear(client, place, "tokens=320")
    assert heard.error is None
    # The opening is the seed's choice; what follows is not.
    assert heard.answer.text.splitlines()[2:-3] == "".join(reply.text_pieces()).splitlines()[2:-3]
    assert "high-water mark" in heard.answer.text
    assert heard.answer.choices[0].finish_kind is FinishKind.STOP
    assert heard.answer.usage is not None
    assert heard.answer.usage.output == 320


@pytest.mark.parametrize("place", PLACES)
async def test_an_answer_in_one_piece_says_the_same_as_a_stream(client: aiohttp.ClientSession, place: str) -> None:
    streamed, whole = (await hear(client, place)).answer, await hear_whole(client, place)
    assert whole.text.splitlines()[1:] == streamed.text.splitlines()[1:]
    assert whole.usage is not None
    assert whole.choices[0].finish_raw == streamed.choices[0].finish_raw
    assert whole.choices[0].finish_kind is streamed.choices[0].finish_kind is FinishKind.STOP


@pytest.mark.parametrize("place", PLACES)
async def test_splits_and_line_ends_make_no_difference(client: aiohttp.ClientSession, place: str) -> None:
    plain = await hear(client, place, "reasoning=5,tokens=50")
    again = await hear(client, place, "reasoning=5,tokens=50", step=3)
    crlf = await hear(client, place, "reasoning=5,tokens=50,crlf=1,split=0", step=1)
    assert again.tokens == plain.tokens
    assert crlf.error is None
    # The opening is the seed's choice, and the header is part of the seed.
    body = crlf.answer.text.splitlines()[2]
    assert len(body) > 100
    assert plain.answer.text.splitlines()[2][:100] == body[:100]


@pytest.mark.parametrize("place", TALKING)
async def test_tool_calls_arrive_with_names_ids_and_whole_arguments(client: aiohttp.ClientSession, place: str) -> None:
    heard = await hear(client, place, "tools=2", prompt="Please look at Paris", tools=tools(place))
    whole = await hear_whole(client, place, "tools=2", prompt="Please look at Paris", tools=tools(place))
    for answer in (heard.answer, whole):
        calls = answer.choices[0].tool_calls
        assert [call.name for call in calls] == ["look", "look"]
        assert len({call.id for call in calls}) == 2
        assert [msgspec.json.decode(call.arguments)["city"] for call in calls] == ["Paris", "Paris"]
        assert answer.choices[0].finish_kind is FinishKind.TOOL_CALLS


@pytest.mark.parametrize("place", TALKING)
async def test_reasoning_arrives_apart_and_is_counted(client: aiohttp.ClientSession, place: str) -> None:
    (reply,) = replies(place, "reasoning=30,tokens=8")
    heard = await hear(client, place, "reasoning=30,tokens=8")
    whole = await hear_whole(client, place, "reasoning=30,tokens=8")
    for answer in (heard.answer, whole):
        assert answer.choices[0].reasoning == "".join(reply.reasoning_pieces())
        assert answer.usage is not None
        assert answer.usage.output == 38
    usage = heard.answer.usage
    assert usage is not None
    assert usage.reasoning == 30
    assert usage.total is None or usage.input is None or usage.total == usage.input + 38


@pytest.mark.parametrize("place", TALKING)
@pytest.mark.parametrize(
    ("finish", "kinds"),
    [
        ("length", {FinishKind.LENGTH}),
        ("content_filter", {FinishKind.CONTENT_FILTER, FinishKind.REFUSAL}),
    ],
)
async def test_each_ending_has_its_kind(
    client: aiohttp.ClientSession, place: str, finish: str, kinds: set[FinishKind]
) -> None:
    heard = await hear(client, place, f"finish={finish}")
    assert heard.answer.choices[0].finish_kind in kinds
    whole = await hear_whole(client, place, f"finish={finish}")
    assert whole.choices[0].finish_kind is heard.answer.choices[0].finish_kind


@pytest.mark.parametrize("place", [place for place in TALKING if PLACES[place] != MESSAGES and "xai" not in place])
async def test_a_refusal_is_told_as_one(client: aiohttp.ClientSession, place: str) -> None:
    heard, whole = await hear(client, place, "finish=refusal"), await hear_whole(client, place, "finish=refusal")
    assert heard.answer.choices[0].refusal == whole.choices[0].refusal
    assert whole.choices[0].refusal == "I'm sorry, but I can't help with that request."
    assert (heard.answer.text, whole.text) == ("", "")


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", ["end", "malformed", "error"])
async def test_a_fault_in_the_stream_is_an_error_after_what_came_before(
    client: aiohttp.ClientSession, place: str, fault: str
) -> None:
    heard = await hear(client, place, f"fault={fault},after=20")
    kinds = {
        "end": {ErrorKind.TRUNCATED},
        "malformed": {ErrorKind.PROTOCOL},
        "error": {ErrorKind.OVERLOADED, ErrorKind.INTERNAL},
    }
    assert heard.failure.kind in kinds[fault], heard.failure
    assert len(heard.answer.text) > 20


@pytest.mark.parametrize("place", PLACES)
async def test_a_huge_event_is_text_like_any_other(client: aiohttp.ClientSession, place: str) -> None:
    heard = await hear(client, place, "fault=huge,after=3,size=100000,tokens=6")
    assert "x" * 100_000 in heard.answer.text
    assert heard.error is None


# Where another mark of the end is left (a finish reason, a completed response before `[DONE]`), the answer is whole.
ENDED_ONCE = [place for place, api in PLACES.items() if api in (RESPONSES, MESSAGES) and "router" not in place]


@pytest.mark.parametrize("place", ENDED_ONCE)
async def test_without_the_last_event_the_answer_is_cut(client: aiohttp.ClientSession, place: str) -> None:
    heard = await hear(client, place, "fault=no_done,tokens=5")
    assert heard.failure.kind is ErrorKind.TRUNCATED


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("fault", "kind", "retry"),
    [
        ("auth", {ErrorKind.AUTH}, {Retry.NEVER, Retry.OTHER_KEY}),
        ("quota", {ErrorKind.BILLING, ErrorKind.QUOTA}, {Retry.NEVER, Retry.OTHER_KEY, Retry.OTHER_PROVIDER}),
        ("rate_limit", {ErrorKind.RATE_LIMIT}, {Retry.SAME}),
        ("overloaded", {ErrorKind.OVERLOADED}, {Retry.SAME}),
        ("context_length", {ErrorKind.CONTEXT_LENGTH}, {Retry.NEVER, Retry.OTHER_PROVIDER}),
        ("blocked", {ErrorKind.CONTENT_FILTER, ErrorKind.BAD_REQUEST, ErrorKind.AUTH}, set(Retry)),
    ],
)
async def test_each_refusal_has_its_meaning(
    client: aiohttp.ClientSession, place: str, fault: str, kind: set[ErrorKind], retry: set[Retry]
) -> None:
    async with client.post(place, json=body(place), headers={"X-Simulate": f"fault={fault},retry_after=3"}) as response:
        told = {name.lower(): value for name, value in response.headers.items()}
        error = APIS[PLACES[place]].dialect().read_error(response.status, told, await response.read())
    assert error.kind in kind, error
    assert error.retry in retry, error
    assert error.message
    if fault in ("rate_limit", "overloaded"):
        assert error.retry_after_s == 3


# -- requests -------------------------------------------------------------------------------------------------------

FORMATS: dict[str, dict[str, Any]] = {
    CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA}}},
    RESPONSES: {"text": {"format": {"type": "json_schema", "name": "trip", "schema": SCHEMA}}},
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}


@pytest.mark.parametrize("place", TALKING)
async def test_an_answer_fits_the_schema_that_was_asked_for(client: aiohttp.ClientSession, place: str) -> None:
    heard = await hear(client, place, prompt="A trip to Oslo", **FORMATS[PLACES[place]])
    value = msgspec.json.decode(heard.answer.text)
    assert (list(value), value["city"], type(value["days"])) == (["city", "days"], "Oslo", int)


@pytest.mark.parametrize("place", TALKING)
async def test_a_picture_is_counted_and_not_heard(client: aiohttp.ClientSession, place: str) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    picture: dict[str, Any] = {"type": "image_url", "image_url": {"url": url}}
    kind = "text"
    if PLACES[place] == RESPONSES:
        picture, kind = {"type": "input_image", "image_url": url}, "input_text"
    elif PLACES[place] == MESSAGES:
        source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        picture = {"type": "image", "source": source}
    turn: Any = [{"role": "user", "content": [{"type": kind, "text": "hi"}, picture]}]
    turns: dict[str, Any] = {"input" if PLACES[place] == RESPONSES else "messages": turn}
    plain, seen = await hear(client, place, prompt="hi"), await hear(client, place, **turns)
    assert plain.answer.usage is not None
    assert seen.answer.usage is not None
    assert seen.answer.usage.input == (plain.answer.usage.input or 0) + 85


EFFORTS: dict[str, dict[str, Any]] = {
    CHAT: {"reasoning_effort": "low"},
    RESPONSES: {"reasoning": {"effort": "low", "summary": "auto"}},
    MESSAGES: {"thinking": {"type": "adaptive"}},
}


@pytest.mark.parametrize("place", TALKING)
async def test_an_effort_makes_it_reason(client: aiohttp.ClientSession, place: str) -> None:
    heard = await hear(client, place, **EFFORTS[PLACES[place]])
    assert len(heard.answer.choices[0].reasoning) > 50
