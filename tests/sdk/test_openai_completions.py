"""Our legacy completions beside those of OpenAI's own client: the requests, and what each reads in the answers."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.requests import ChatRequest, CompletionRequest
from rxlapce.testing.agreement import Case, Rule, drops
from rxlapce.testing.asking import Said
from rxlapce.testing.loopback import Loopback
from rxlapce.testing.typed_dicts import misfits

pytestmark = pytest.mark.sdk

ENVIRON = {"OPENAI_API_KEY": "sk-dummy"}
USAGE_IN_STREAMS = Rule(
    name="usage in streams",
    reason="we ask each stream for its usage; the client leaves that to its user",
    ours=drops("stream_options", {"include_usage": True}),
)
CASES = [
    Case(name="plain", ours={"prompt": "Once"}, theirs={"prompt": "Once"}),
    Case(
        name="sampling, stop, seed, length",
        ours={"prompt": "Once", "temperature": 0.1, "top_p": 0.5, "stop": ("END",), "seed": 3, "max_tokens": 20},
        theirs={"prompt": "Once", "temperature": 0.1, "top_p": 0.5, "stop": ["END"], "seed": 3, "max_tokens": 20},
    ),
    Case(
        name="members of one's own",
        ours={"prompt": "Once", "extra": {"echo": True, "suffix": "end"}},
        theirs={"prompt": "Once", "echo": True, "suffix": "end"},
    ),
]


@pytest.fixture(scope="module")
def theirs(loop: Loopback, vendor: Callable[[str], ModuleType]) -> Iterator[Any]:
    with vendor("openai").OpenAI(api_key="sk-dummy", base_url=f"{loop.base_url}/v1", max_retries=0) as client:
        yield client


def request_of(ours: Any) -> ChatRequest:
    return CompletionRequest(model="openai/sim", api="completions", **ours).as_chat()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_request_means_what_openais_client_says(case: Case, stream: bool, loop: Loopback, theirs: Any) -> None:
    provider = loop.provider("openai", ENVIRON)

    def ask() -> Any:
        if stream:
            return list(theirs.completions.create(model="sim", stream=True, **case.theirs))
        return theirs.completions.create(model="sim", **case.theirs)

    rules = (USAGE_IN_STREAMS,) if stream else ()
    found = await loop.compare(lambda: loop.ours(provider, request_of(case.ours), stream=stream), ask, rules)
    assert found == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_body_fits_the_types_of_openais_client(
    case: Case, stream: bool, vendor: Callable[[str], ModuleType]
) -> None:
    types = vendor("openai.types.completion_create_params")
    request = request_of(case.ours)
    provider = load_provider_configs_from_env(ENVIRON)["openai"]
    body = provider.api(request, "sim").dialect.chat_body(request, "sim", stream=stream)
    hint = types.CompletionCreateParamsStreaming if stream else types.CompletionCreateParamsNonStreaming
    assert misfits(msgspec.json.decode(body), hint) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_an_answer_is_read_as_by_openais_client(stream: bool, loop: Loopback, theirs: Any) -> None:

    def ask() -> list[Any]:
        if stream:
            more = {"stream": True, "stream_options": {"include_usage": True}}
            return list(theirs.completions.create(model="sim:tokens=30", prompt="Once", **more))
        return [theirs.completions.create(model="sim:tokens=30", prompt="Once")]

    _, pieces = await loop.theirs(ask)
    read = await loop.reads(loop.provider("openai", ENVIRON), request_of({"prompt": "Once"}), stream=stream)
    choices = [choice for piece in pieces for choice in piece.choices]
    usage = pieces[-1].usage
    assert read == Said(
        text="".join(choice.text for choice in choices),
        reasoning="",
        calls=(),
        finish_raw=next(choice.finish_reason for choice in choices if choice.finish_reason),
        model=pieces[0].model,
        usage=(usage.prompt_tokens, usage.completion_tokens),
    )
