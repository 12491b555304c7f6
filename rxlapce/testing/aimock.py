"""Asking aimock, a mock server by others that speaks many vendors' formats, through our own providers.

What it is told to answer are its *fixtures*: https://aimock.copilotkit.dev. Whoever wrote it read the vendors'
documentation without knowing us; `tests/aimock` has what both must agree on, and where it is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from rxlapce.answer import AnswerBuilder, TurnBuilder
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.auth import NoAuth
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.requests import ChatRequest, Message
from rxlapce.testing.asking import Collected
from rxlapce.tokens import StreamToken

#: What is asked where the question does not matter.
QUESTION: Final = "What is backpressure?"


def mocked_environ(base_url: str) -> dict[str, str]:
    """The variables that point our providers at the mock, which has every vendor's paths at one root."""
    return {
        **simulated_environ(base_url),
        "XAI_BASE_URL": f"{base_url}/v1",
        "OPENROUTER_BASE_URL": f"{base_url}/api/v1",
    }


@dataclass(frozen=True, slots=True)
class Format:
    """One way to ask: a provider by one of its APIs, for a model that thinks as the mock sees it.

    `environ` are variables besides those of `mocked_environ`.
    """

    provider: str
    api: str
    model: str
    environ: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        return "-".join((self.provider, self.api, *self.environ.values()))

    def request(self, *messages: Message, **settings: Any) -> ChatRequest:
        """A request in this format; without messages it is the usual question."""
        asked = messages or (Message(role="user", content=QUESTION),)
        return ChatRequest(model=f"{self.provider}/{self.model}", api=self.api, messages=asked, **settings)


OLLAMA: Final = Format("local", "ollama", "qwen3")
INVOKE: Final = Format("bedrock", "invoke", "anthropic.claude-opus-4-1")
GEMINI_ARRAY: Final = Format("gemini", "generate_content_array", "gemini-2.5-pro")
VERTEX_ARRAY: Final = Format("vertex", "generate_content_array", "gemini-2.5-pro")
#: What aimock streams as the vendors do, or nearly so.
STREAMED: Final = (
    Format("openai", "chat_completions", "o3"),
    Format("openai", "responses", "o3"),
    Format("anthropic", "messages", "claude-opus-4-1"),
    Format("gemini", "generate_content", "gemini-2.5-pro"),
    Format("vertex", "generate_content", "gemini-2.5-pro"),
    Format("azure", "chat_completions", "o3"),
    Format("azure", "chat_completions", "o3", {"AZURE_OPENAI_API_VERSION": "2024-10-21"}),
    Format("azure", "responses", "o3"),
    Format("bedrock", "converse", "anthropic.claude-opus-4-1"),
    OLLAMA,
    Format("local", "chat_completions", "qwen3"),
    Format("openrouter", "chat_completions", "deepseek/deepseek-r1"),
    Format("openrouter", "responses", "deepseek/deepseek-r1"),
    Format("xai", "chat_completions", "grok-4"),
    Format("xai", "responses", "grok-4"),
)
#: What it answers in one piece: the streams of the last three are not their vendors'.
WHOLE: Final = (*STREAMED, INVOKE, GEMINI_ARRAY, VERTEX_ARRAY)


@dataclass(slots=True)
class Heard:
    """What came of a stream or of an answer in one piece: all tokens, and the error if it failed."""

    tokens: list[StreamToken]
    error: ProviderError | None = None
    builder: AnswerBuilder = field(default_factory=AnswerBuilder)

    def __post_init__(self) -> None:
        for token in self.tokens:
            self.builder.add(token)

    @property
    def text(self) -> str:
        """All of the visible answer."""
        return self.builder.answer().text

    @property
    def calls(self) -> list[tuple[str | None, Any]]:
        """The tool calls: name and arguments."""
        choice = self.builder.answer().choices[0]
        return [(call.name, msgspec.json.decode(call.arguments)) for call in choice.tool_calls]

    def turn(self) -> Message:
        """The answer as a turn to send back."""
        turn = TurnBuilder()
        for token in self.tokens:
            turn.add(token)
        return turn.message()


class Mock:
    """A running mock at `url`, asked by `http`."""

    def __init__(self, url: str, http: HttpClient) -> None:
        self.url = url
        self.http = http

    async def forget(self) -> None:
        """Drop all answers, and the count of how often each was given."""
        await self._control("/reset", {})

    async def teach(self, response: Mapping[str, Any], **fixture: Any) -> None:
        """Answer the usual question so from now on; of several answers that match, the first that was taught holds.

        `match` adds conditions; the rest of `fixture` are the mock's own settings (`latency` in ms, ...).
        """
        match = {"userMessage": QUESTION, **fixture.pop("match", {})}
        await self._control("/fixtures", {"fixtures": [{"match": match, "response": response, **fixture}]})

    def provider(self, asked: Format) -> Provider:
        """Who answers in this format."""
        return load_provider_configs_from_env({**mocked_environ(self.url), **asked.environ})[asked.provider]

    async def streamed(self, asked: Format, request: ChatRequest | None = None) -> Heard:
        """A stream to its one end. Raises what ended it, if that is no `ProviderError`."""
        got = Collected(
            chat_stream(self.http, self.provider(asked), request or asked.request(), asked.model, Exchange())
        )
        error = await got.end()
        if error is not None and not isinstance(error, ProviderError):
            raise error
        if got.ends != 1:
            raise RuntimeError(f"the stream of {asked} ended {got.ends} times")
        return Heard(got.items, error)

    async def whole(self, asked: Format, request: ChatRequest | None = None) -> Heard:
        """An answer in one piece."""
        try:
            return Heard(
                await chat(self.http, self.provider(asked), request or asked.request(), asked.model, Exchange())
            )
        except ProviderError as error:
            return Heard([], error)

    async def answer(self, asked: Format, request: ChatRequest | None = None, *, stream: bool) -> Heard:
        """Either of the two."""
        return await (self.streamed if stream else self.whole)(asked, request)

    async def said(self, asked: Format, *, stream: bool) -> str:
        """The body of the mock's answer as it is, or of its error; "" where the connection was cut before it."""
        provider, request = self.provider(asked), asked.request()
        call = provider.call(provider.api(request, asked.model), request, asked.model, stream=stream)
        got = Collected(self.http.stream(call, Exchange()))
        error = await got.end()
        told = error.raw if isinstance(error, ProviderError) else None
        return told or b"".join(got.items).decode("utf-8", "replace")

    async def _control(self, path: str, body: Mapping[str, Any]) -> None:
        def refused(status: int, headers: Mapping[str, str], said: bytes) -> ProviderError:
            raise ValueError(f"aimock refuses {body} with {status}: {said.decode()}")

        call = HttpCall(
            provider="aimock",
            url=f"{self.url}/__aimock{path}",
            body=msgspec.json.encode(body),
            auth=NoAuth(),
            read_error=refused,
            headers={},
        )
        await self.http.fetch(call, Exchange())
