"""`ProviderManager`: the four calls, and what is free to learn, as a thin face over router, client and operators."""

from contextlib import suppress
from dataclasses import replace

from reactivex import Observable
from reactivex import throw as rx_throw

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.timeouts import stream_timeouts
from rxlapce.providers.call import HttpSource
from rxlapce.providers.discovery import check_health, count_tokens, list_models
from rxlapce.providers.provider import chat as provider_chat
from rxlapce.providers.provider import chat_stream as provider_chat_stream
from rxlapce.requests import ChatRequest, CompletionRequest
from rxlapce.routing.router import Router
from rxlapce.routing.settings import StreamTimeouts
from rxlapce.tokens import StreamToken


class ProviderManager:
    """Asks whoever the request's model names. Holds no state of its own."""

    def __init__(self, client: HttpSource, router: Router, timeouts: StreamTimeouts | None = None) -> None:
        self.client = client
        self.router = router
        self.timeouts = timeouts or StreamTimeouts()

    def chat_stream(self, request: ChatRequest, exchange: Exchange) -> Observable[StreamToken]:
        """The answer as a cold Observable of tokens; see `providers.provider.chat_stream`."""
        try:
            route = self.router.route(request.model)
        except ProviderError as error:
            return rx_throw(error)
        limits = self.timeouts
        return provider_chat_stream(self.client, route.provider, request, route.model, exchange).pipe(
            stream_timeouts(
                first_token_s=limits.first_token_s, idle_s=limits.idle_s, total_s=limits.total_s, exchange=exchange
            )
        )

    def complete_stream(self, request: CompletionRequest, exchange: Exchange) -> Observable[StreamToken]:
        """The completion as a cold Observable of tokens; as one user message where the model only chats."""
        return self.chat_stream(self._as_chat(request), exchange)

    async def chat(self, request: ChatRequest, exchange: Exchange) -> Answer:
        """The answer in one piece. Raises `ProviderError`."""
        route = self.router.route(request.model)
        builder = AnswerBuilder()
        for token in await provider_chat(self.client, route.provider, request, route.model, exchange):
            builder.add(token)
        return builder.answer()

    async def complete(self, request: CompletionRequest, exchange: Exchange) -> Answer:
        """The completion in one piece; as one user message where the model only chats. Raises `ProviderError`."""
        return await self.chat(self._as_chat(request), exchange)

    async def list_models(self, provider: str) -> list[str]:
        """The models that `provider` lists, by its own names. Never billed. Raises `ProviderError`."""
        return await list_models(self.client, self.router.provider(provider))

    async def count_tokens(self, request: ChatRequest) -> int:
        """The input tokens of `request` as its provider counts them. Never billed. Raises `ProviderError`."""
        route = self.router.route(request.model)
        return await count_tokens(self.client, route.provider, request, route.model)

    async def check_health(self, provider: str) -> None:
        """Return if `provider` answers and takes the credential. Never billed. Raises `ProviderError`."""
        await check_health(self.client, self.router.provider(provider))

    def _as_chat(self, request: CompletionRequest) -> ChatRequest:
        """The request for the API that completes with its model, if the provider has one; else for the one that chats.

        Where there is no route the request stays as it is: asking by it tells what is wrong.
        """
        chat = request.as_chat()
        if chat.api is not None:
            return chat
        with suppress(ProviderError):
            route = self.router.route(chat.model)
            return replace(chat, api=route.provider.completion_api_of(route.model))
        return chat
