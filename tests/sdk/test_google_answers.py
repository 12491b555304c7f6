"""What Google's own client and we make of the same answers of Gemini, on the Gemini API and on Vertex AI."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.asking import Said
from rxlapce.testing.dummies import ENVIRONS
from rxlapce.testing.loopback import Loopback, parsed

pytestmark = pytest.mark.sdk

NAMES = ["gemini", "vertex"]
HI = (Message(role="user", content="hi"),)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DECLARED = {"name": "get_weather", "description": "The weather of a city", "parameters_json_schema": SCHEMA}
THEIR_WEATHER = {"tools": [{"function_declarations": [DECLARED]}]}
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ":tokens=90", {}),
    ("tools", ":tools=2", {"config": THEIR_WEATHER}),
    ("thinking", ":reasoning=20", {"config": {"thinking_config": {"include_thoughts": True}}}),
    ("cut short", ":finish=length,tokens=9", {}),
    ("filtered", ":finish=content_filter", {}),
]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The provider."""
    return str(request.param)


@pytest.fixture(scope="module")
def theirs(name: str, loop: Loopback, google: Callable[..., Any]) -> Iterator[Any]:
    with google(name, loop.base_url, {"gemini": "v1beta", "vertex": "v1"}[name]) as client_here:
        yield client_here


def said_by(pieces: list[Any]) -> Said:
    """What the client made of an answer, whole or in pieces, which it leaves to its user to put together."""
    parts = [
        part
        for piece in pieces
        for candidate in piece.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
    ]
    ends = [candidate.finish_reason for piece in pieces for candidate in piece.candidates or ()]
    usage = [piece.usage_metadata for piece in pieces if piece.usage_metadata][-1]
    calls: Any = tuple(
        (part.function_call.id, part.function_call.name, part.function_call.args)
        for part in parts
        if part.function_call
    )
    return Said(
        text="".join(part.text for part in parts if part.text and not part.thought),
        reasoning="".join(part.text for part in parts if part.text and part.thought),
        calls=calls,
        finish_raw=next(end.value for end in ends if end is not None),
        model=pieces[0].model_version,
        # Thoughts are output that the client's count of candidates leaves out.
        usage=(usage.prompt_token_count, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)),
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("options", "more"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
async def test_an_answer_is_read_as_by_googles_client(
    options: str,
    more: dict[str, Any],
    stream: bool,
    name: str,
    loop: Loopback,
    theirs: Any,
) -> None:

    def ask() -> list[Any]:
        asked = {"model": f"sim{options}", "contents": "hi", **more}
        if stream:
            return list(theirs.models.generate_content_stream(**asked))
        return [theirs.models.generate_content(**asked)]

    _, pieces = await loop.theirs(ask)
    provider = loop.provider(name, ENVIRONS[name])
    read = await loop.reads(provider, ChatRequest(model=f"{name}/sim", messages=HI), stream=stream)
    assert parsed(read) == said_by(pieces)
    assert len(read.calls) == (2 if options == ":tools=2" else 0)
    assert bool(read.reasoning) is ("reasoning" in options)
