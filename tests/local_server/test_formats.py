"""One real model server asked in every format that it speaks: chat completions, responses, messages, completions."""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.bridge import Client, connect
from rxlapce.cli.child import running_daemon
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers import anthropic
from rxlapce.providers.discovery import count_tokens, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import chat
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, CompletionRequest, Message, ResponseFormat
from rxlapce.secret import Secret
from rxlapce.tokens import FinishKind, Text

pytestmark = pytest.mark.local_server

KEY = Secret("sk-any-0123456789abcdef")
#: provider and API: llama.cpp speaks Anthropic's messages beside OpenAI's three.
FORMATS = (
    ("local", "chat_completions"),
    ("local", "responses"),
    ("local", "completions"),
    ("anthropic", "messages"),
)
CHATTING = [(provider, api) for provider, api in FORMATS if api != "completions"]
every_format = pytest.mark.parametrize(("provider", "api"), FORMATS)
every_chat = pytest.mark.parametrize(("provider", "api"), CHATTING)


@pytest.fixture
async def client(model_server: str) -> AsyncIterator[Client]:
    root = model_server.removesuffix("/v1")
    environ = {
        **os.environ,
        "LOCAL_BASE_URL": model_server,
        "ANTHROPIC_BASE_URL": root,
        "ANTHROPIC_API_KEY": KEY.reveal(),
    }
    async with running_daemon(environ=environ) as path, await connect(path, transport="shm") as connected:
        yield connected


def ask(provider: str, api: str, text: str = "hi", **settings: Any) -> ChatRequest:
    settings = {"max_tokens": 48, "temperature": 0, "extra": {"ignore_eos": True, "cache_prompt": False}, **settings}
    return ChatRequest(model=f"{provider}/tiny", api=api, messages=(Message(role="user", content=text),), **settings)


async def streamed(client: Client, request: ChatRequest) -> tuple[Answer, int]:
    """The answer, and the number of its text tokens."""
    builder, texts = AnswerBuilder(), 0
    async for token in client.chat_stream(request):
        builder.add(token)
        texts += isinstance(token, Text)
    return builder.answer(), texts


@every_format
async def test_stream_and_whole_answer_say_the_same(client: Client, provider: str, api: str) -> None:
    answer, texts = await streamed(client, ask(provider, api))
    unary = await client.chat(ask(provider, api))
    assert answer.text == unary.text
    assert texts > 10, "it came token by token"
    # llama.cpp calls a response "completed" however it ended.
    kind = FinishKind.STOP if api == "responses" else FinishKind.LENGTH
    assert answer.choices[0].finish_kind is unary.finish is kind
    assert answer.usage is not None
    assert unary.usage is not None
    assert (answer.usage.output, unary.usage.output) == (48, 48)
    assert answer.usage.input == unary.usage.input


@every_chat
async def test_overlong_prompt_is_told_as_one(client: Client, provider: str, api: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await streamed(client, ask(provider, api, "a" * 40_000))
    assert caught.value.kind is ErrorKind.CONTEXT_LENGTH


async def test_an_answer_that_must_fit_a_schema_does(client: Client) -> None:
    """A grammar in the server makes even a model of random weights say JSON that fits."""
    schema = {"type": "object", "properties": {"unit": {"type": "string", "enum": ["c", "f"]}}, "required": ["unit"]}
    form = ResponseFormat(json_schema=schema)
    request = ask("local", "chat_completions", response_format=form, extra={"cache_prompt": False}, max_tokens=200)
    answer, _ = await streamed(client, request)
    assert "".join(answer.text.split()) in ('{"unit":"c"}', '{"unit":"f"}')
    assert answer.choices[0].finish_kind is FinishKind.STOP


async def test_a_completion_goes_on_from_the_text_itself(client: Client) -> None:
    """Without a chat template around it, which the count of input tokens tells."""
    request = CompletionRequest(model="local/tiny", prompt="ab", max_tokens=8, extra={"ignore_eos": True})
    completed = await client.complete(request)
    chatted = await client.chat(ask("local", "chat_completions", "ab"))
    assert completed.usage is not None
    assert chatted.usage is not None
    assert completed.usage.input is not None
    assert chatted.usage.input is not None
    assert completed.usage.input < chatted.usage.input


async def test_tokens_are_counted_as_the_answer_counts_them(model_server: str) -> None:
    provider = anthropic.build(Settings(key=KEY, base_url=model_server.removesuffix("/v1")))
    request = ask("anthropic", "messages", "how long is this?", max_tokens=1)
    async with HttpClient() as http:
        counted = await count_tokens(http, provider, request, "tiny")
        assert await list_models(http, provider)
        tokens = await chat(http, provider, request, "tiny", Exchange())
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    usage = builder.answer().usage
    assert usage is not None
    assert usage.input == counted
