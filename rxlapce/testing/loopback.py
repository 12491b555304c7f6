"""The same question asked twice at one loopback server: by us, and by a vendor's own client."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import count_tokens, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.listing import Listing
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.requests import ChatRequest
from rxlapce.simulator import Simulator
from rxlapce.testing.agreement import Rule, differences, disagreements, headers_of
from rxlapce.testing.asking import Collected, Said
from rxlapce.testing.recorder import Asked
from rxlapce.testing.relay import Relay

T = TypeVar("T")
Ask = Callable[[], Awaitable[tuple[Asked, Any]]]
Headers = Callable[[dict[str, str]], dict[str, str]]


def as_they_are(headers: dict[str, str]) -> dict[str, str]:
    """For the clients whose headers mean what ours do."""
    return headers


@dataclass(frozen=True, slots=True)
class Loopback:
    """A simulator behind a relay, our HTTP client, and the relay's address for the vendors' clients."""

    relay: Relay
    client: HttpClient

    @property
    def base_url(self) -> str:
        """Where to ask, without a path."""
        return self.relay.base_url

    def provider(self, name: str, environ: Mapping[str, str]) -> Provider:
        """The provider that `environ` configures, asked here: all of it but its hosts is as if at the vendor's."""
        provider = load_provider_configs_from_env(environ)[name]
        listing = provider.listing and Listing(path=self._here(provider.listing.path), read=provider.listing.read)
        return replace(provider, base_url=self._here(provider.base_url), listing=listing)

    def _here(self, url: str) -> str:
        return self.base_url + urlsplit(url).path if "://" in url else url

    async def ours(self, provider: Provider, request: ChatRequest, *, stream: bool = False) -> tuple[Asked, Answer]:
        """`request` as we ask it, and what we make of the answer. Raises `ProviderError`."""
        builder = AnswerBuilder()
        model, exchange = request.model.partition("/")[2], Exchange()
        if stream:
            collected = Collected(chat_stream(self.client, provider, request, model, exchange))
            error = await collected.end()
            if error is not None:
                raise error
            tokens = collected.items
        else:
            tokens = await chat(self.client, provider, request, model, exchange)
        for token in tokens:
            builder.add(token)
        return self.relay.asked[-1], builder.answer()

    async def reads(self, provider: Provider, request: ChatRequest, *, stream: bool) -> Said:
        """What we make of the very bytes that the last answer was."""
        with self.relay.repeating():
            _, answer = await self.ours(provider, request, stream=stream)
        choice, usage = answer.choices[0], answer.usage
        return Said(
            text=choice.text,
            reasoning=choice.reasoning,
            calls=tuple((call.id, call.name, call.arguments) for call in choice.tool_calls),
            finish_raw=choice.finish_raw,
            model=answer.model,
            usage=None if usage is None else (usage.input, usage.output),
        )

    async def our_count(self, provider: Provider, request: ChatRequest) -> tuple[Asked, int]:
        """`request` as we have its tokens counted, and the count."""
        count = await count_tokens(self.client, provider, request, request.model.partition("/")[2])
        return self.relay.asked[-1], count

    async def our_models(self, provider: Provider) -> tuple[Asked, list[str]]:
        """The list of models as we ask for it, and the list."""
        models = await list_models(self.client, provider)
        return self.relay.asked[-1], models

    async def theirs(self, ask: Callable[[], T]) -> tuple[Asked, T]:
        """What `ask` asks by a vendor's blocking client, on a thread of its own, and what it returns."""
        before = len(self.relay.asked)
        said = await asyncio.to_thread(ask)
        asked = self.relay.asked[before:]
        if not asked:
            raise AssertionError("the vendor's client sent nothing here")
        return asked[-1], said

    async def compare(
        self,
        ours: Ask,
        theirs: Callable[[], Any],
        rules: Iterable[Rule] = (),
        *,
        says: Headers = as_they_are,
        proof: Headers = as_they_are,
    ) -> list[str]:
        """Ask twice, and return what differs: method, path and query, headers, body.

        `says` puts the vendor's headers into our words, where another version or way of authentication is meant;
        `proof` takes from both sides' what cannot be the same twice, such as a signature.
        """
        own, _ = await ours()
        other, _ = await self.theirs(theirs)
        return [
            *differences(f"{own.method} {own.target}", f"{other.method} {other.target}", "request"),
            *differences(proof(headers_of(own)), proof(says(headers_of(other))), "headers"),
            *disagreements(body_of(own), body_of(other), rules),
        ]


def parsed(said: Said) -> Said:
    """`said` with its calls' arguments as JSON values: some vendors' clients know them only so."""
    calls: Any = tuple((call_id, name, json.loads(arguments)) for call_id, name, arguments in said.calls)
    return Said(said.text, said.reasoning, calls, said.finish_raw, said.model, said.usage)


def body_of(asked: Asked) -> dict[str, Any]:
    """The body's members; none of a request without a body."""
    return asked.json() if asked.body else {}


@asynccontextmanager
async def loopback(**settings: Any) -> AsyncGenerator[Loopback]:
    """A `Loopback` whose simulator has these `settings`."""
    async with (
        Simulator(**settings) as simulator,
        Relay(simulator.base_url).running() as relay,
        HttpClient() as client,
    ):
        yield Loopback(relay, client)
