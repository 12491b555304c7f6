"""Asking the simulator through rxlapce, and reading plainly what it said: what the two have in common must agree."""

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
from reactivex import Observable

from rxlapce.answer import AnswerBuilder
from rxlapce.messages import ChatResponse
from rxlapce.providers import anthropic, openai
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, Message
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.tokens import StreamToken

T = TypeVar("T")

KEY = Secret("sk-test-0123456789abcdef")


def simulated(base_url: str, key: Secret = KEY) -> tuple[Provider, Provider]:
    """`openai` and `anthropic`, each in its own dialect, asked at a simulator's address."""
    return (
        openai.build(Settings(key=key, base_url=f"{base_url}/v1", extra={})),
        anthropic.build(Settings(key=key, base_url=base_url, extra={})),
    )


def ask(options: str = "", *, provider: str = "local", prompt: str = "hello", **settings: Any) -> ChatRequest:
    """A request to a simulator that is `provider`; `options` are the simulator's."""
    model = f"{provider}/sim:{options}" if options else f"{provider}/sim"
    return ChatRequest(model=model, messages=(Message(role="user", content=prompt),), **settings)


class Collected(Generic[T]):
    """Subscribes at once and keeps what comes: `items`, then one of `error` and `completed`; `ends` counts ends."""

    def __init__(self, source: Observable[T]) -> None:
        self.items: list[T] = []
        self.error: Exception | None = None
        self.completed = False
        self.ends = 0
        self._news = asyncio.Event()
        self._subscription = source.subscribe(self._on_next, self._on_error, self._on_completed)

    def dispose(self) -> None:
        """Unsubscribe."""
        self._subscription.dispose()

    async def until(self, count: int) -> list[T]:
        """Wait for `count` items. Raises what ends the stream before."""
        while len(self.items) < count:
            if self.ends:
                raise self.error or EOFError(f"completed after {len(self.items)} items of {count}")
            await self._wait()
        return self.items

    async def end(self) -> Exception | None:
        """Wait for the end, and return the error if it was one."""
        while not self.ends:
            await self._wait()
        return self.error

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _on_next(self, item: T) -> None:
        self.items.append(item)
        self._news.set()

    def _on_error(self, error: Exception) -> None:
        self.error = error
        self.ends += 1
        self._news.set()

    def _on_completed(self) -> None:
        self.completed = True
        self.ends += 1
        self._news.set()


class Said(msgspec.Struct, frozen=True):
    """One answer by its content, however it came."""

    text: str
    reasoning: str
    calls: tuple[tuple[str | None, str | None, str], ...]
    finish_raw: str | None
    model: str | None
    usage: tuple[int | None, int | None] | None
    """Input and output tokens."""


def heard(tokens: Sequence[StreamToken]) -> Said:
    """What a stream of ours said."""
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    answer = builder.answer()
    choice, usage = answer.choices[0], answer.usage
    return Said(
        text=choice.text,
        reasoning=choice.reasoning,
        calls=tuple((call.id, call.name, call.arguments) for call in choice.tool_calls),
        finish_raw=choice.finish_raw,
        model=answer.model,
        usage=None if usage is None else (usage.input, usage.output),
    )


def told(response: ChatResponse) -> Said:
    """What an answer in one piece said."""
    return Said(
        text=response.text,
        reasoning=response.reasoning,
        calls=tuple((call.id, call.name, call.arguments) for call in response.tool_calls),
        finish_raw=response.finish_raw,
        model=response.model,
        usage=None if response.usage is None else (response.usage.input, response.usage.output),
    )


async def truth(simulator: Simulator, number: int = -1) -> Said:
    """What the simulator answers to its request `number`: asked again with the same body, it says the same.

    Read event by event with a JSON parser and nothing of rxlapce's.
    """
    request = simulator.requests[number]
    headers = {name: value for name, value in request.headers.items() if name in ("x-api-key", "anthropic-version")}
    if "authorization" in request.headers:
        headers["authorization"] = request.headers["authorization"]
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(simulator.base_url + request.path, data=request.body) as response,
    ):
        body = await response.read()
        streamed = response.content_type == "text/event-stream"
    chat = request.path.endswith("/chat/completions")
    if not streamed:
        return _whole_chat(msgspec.json.decode(body)) if chat else _whole_message(msgspec.json.decode(body))
    events = [msgspec.json.decode(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    return _chat(events) if chat else _message(events)


def _chat(events: list[dict[str, Any]]) -> Said:
    text, reasoning, finish, usage = "", "", None, None
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for event in events:
        if event.get("usage"):
            usage = (event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"])
        for choice in event["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            reasoning += delta.get("reasoning_content") or ""
            finish = choice["finish_reason"] or finish
            for call in delta.get("tool_calls") or ():
                before = calls.get(call["index"], (None, None, ""))
                function = call["function"]
                calls[call["index"]] = (
                    before[0] or call.get("id"),
                    before[1] or function.get("name"),
                    before[2] + function.get("arguments", ""),
                )
    return Said(text, reasoning, tuple(call for _, call in sorted(calls.items())), finish, events[0]["model"], usage)


def _whole_chat(body: dict[str, Any]) -> Said:
    choice = body["choices"][0]
    message = choice["message"]
    return Said(
        message["content"] or "",
        message.get("reasoning_content") or "",
        tuple(
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ),
        choice["finish_reason"],
        body["model"],
        (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]),
    )


def _message(events: list[dict[str, Any]]) -> Said:
    text, reasoning, finish, model = "", "", None, None
    incoming = outgoing = None
    calls: list[tuple[str | None, str | None, str]] = []
    for event in events:
        match event["type"]:
            case "message_start":
                model, incoming = event["message"]["model"], event["message"]["usage"]["input_tokens"]
            case "content_block_start" if event["content_block"]["type"] == "tool_use":
                calls.append((event["content_block"]["id"], event["content_block"]["name"], ""))
            case "content_block_delta":
                delta = event["delta"]
                text += delta.get("text", "")
                reasoning += delta.get("thinking", "")
                if "partial_json" in delta:
                    calls[-1] = (*calls[-1][:2], calls[-1][2] + delta["partial_json"])
            case "message_delta":
                finish, outgoing = event["delta"]["stop_reason"], event["usage"]["output_tokens"]
            case _:
                pass
    return Said(text, reasoning, tuple(calls), finish, model, (incoming, outgoing))


def _whole_message(body: dict[str, Any]) -> Said:
    blocks = body["content"]
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        tuple(
            (block["id"], block["name"], msgspec.json.encode(block["input"]).decode())
            for block in blocks
            if block["type"] == "tool_use"
        ),
        body["stop_reason"],
        body["model"],
        (body["usage"]["input_tokens"], body["usage"]["output_tokens"]),
    )
