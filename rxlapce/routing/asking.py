"""What a model is asked: the request as it can be said to it, from the beginning or for the rest of an answer."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from reactivex import Observable

from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.providers.call import HttpSource
from rxlapce.providers.inlet import Inlet
from rxlapce.providers.provider import Provider, chat_whole
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.alias import Target
from rxlapce.routing.needs import Needs
from rxlapce.tokens import StreamToken

#: Asks a provider for an answer: in pieces, or whole.
Ask = Callable[[HttpSource, Provider, ChatRequest, str, Exchange, Inlet], Observable[StreamToken]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what is asked, how, and what it needs."""

    request: ChatRequest
    exchange: Exchange
    ask: Ask
    completion: bool
    needs: Needs

    @property
    def whole(self) -> bool:
        """Whether the answer is asked for in one piece."""
        return self.ask is chat_whole

    def of(self, provider: Provider, model: str) -> ChatRequest:
        """The request by the API for it: a completion goes to the one that completes, where there is one."""
        request = self.request
        if request.api is None and self.completion:
            return replace(request, api=provider.completion_api_of(model))
        return request

    def said(self, provider: Provider, model: str, continuation: Continuation | None, *, plain: bool) -> ChatRequest:
        """The request as this model is asked: from the beginning, or for the rest of an answer.

        It is `plain` for another vendor's model than the first: that does not understand the thoughts of this one's.
        """
        request = self.of(provider, model)
        if plain and any(message.parts for message in request.messages):
            request = replace(request, messages=tuple(message.plain() for message in request.messages))
        if continuation is None:
            return request
        with suppress(ProviderError):  # told by the asking
            if provider.api(request, model).continues_prompt:
                *before, last = request.messages
                prompt = Message(role=last.role, content=last.text + continuation.text)
                return replace(request, messages=(*before, prompt))
        return continuation.request(request)

    def prefills(self, provider: Provider, model: str, target: Target) -> bool:
        """Whether the model goes on with an assistant's turn: as its target says, else as its provider's page has it.

        An API that goes on from one text takes no turns. It gets the beginning to its last character, white space too,
        none of which it therefore says again, as one does that was asked by a turn.
        """
        try:
            api = provider.api(self.of(provider, model), model)
        except ProviderError:
            return False
        if api.continues_prompt:
            return False
        return api.accepts_prefill(model) if target.prefill is None else target.prefill

    def possible(self, policy: FallbackPolicy) -> FallbackPolicy:
        """The policy as far as it can be had for what is asked.

        Of several choices none can be continued alone, also while only the first of them has begun. JSON that a model
        is held to begins anew with each answer, so that the rest of one cannot be had.
        """
        if policy.after_commit is not AfterCommit.CONTINUE:
            return policy
        if (self.request.n or 1) > 1:
            return replace(policy, after_commit=AfterCommit.FAIL)
        if self.request.response_format is not None:
            return replace(policy, after_commit=AfterCommit.RESTART)
        return policy
