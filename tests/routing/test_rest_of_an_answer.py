"""What a second model is asked for when the first one's answer breaks off, as the request and its API have it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pytest
import reactivex
from reactivex import Observable

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.providers import openai
from rxlapce.providers.call import HttpCall
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, CompletionRequest, Message, ResponseFormat
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.secret import Secret
from rxlapce.testing.interleaving import VirtualTime
from rxlapce.tokens import Seam, SeamWord, StreamToken, Text

CUT = ProviderError(ErrorKind.NETWORK, "the connection broke")


@dataclass
class Spoken:
    """An `HttpSource` that answers each request by the next of `answers`, in chunks of text; the first one is cut."""

    answers: list[list[dict[str, Any]]]
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        choices = self.answers[len(self.bodies)]
        self.bodies.append(msgspec.json.decode(call.body))
        exchange.status, exchange.content_type = 200, "text/event-stream"
        events = [b"data: " + msgspec.json.encode({"choices": [choice]}) + b"\n\n" for choice in choices]
        if len(self.bodies) == 1:
            return reactivex.concat(reactivex.from_iterable(events), reactivex.throw(CUT))
        return reactivex.from_iterable([*events, b"data: [DONE]\n\n"])

    def whole(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        raise NotImplementedError

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        raise NotImplementedError


def read(
    http: Spoken, request: ChatRequest | CompletionRequest, *, prefill: bool | None = None
) -> tuple[list[StreamToken], list[Exception]]:
    """The tokens and the error of an answer that two models of the same API give, under `continue`."""
    targets = (Target(model="openai/one", prefill=prefill), Target(model="openai/two", prefill=prefill))
    alias = Alias(name="any", targets=targets, fallback=FallbackPolicy(after_commit=AfterCommit.CONTINUE))
    provider = openai.SPEC.build(Settings(key=Secret("k"), base_url="http://openai.test", extra={}))
    manager = ProviderManager(http, Router({"openai": provider}, aliases=[alias]))
    exchange, clock = Exchange(), VirtualTime()
    tokens: list[StreamToken] = []
    errors: list[Exception] = []
    if isinstance(request, ChatRequest):
        stream = manager.chat_stream(request, exchange)
    else:
        stream = manager.complete_stream(request, exchange)
    stream.subscribe(tokens.append, errors.append, scheduler=clock)
    clock.advance_to(100)
    return tokens, errors


def said(tokens: Iterable[StreamToken]) -> str:
    return "".join(token.text for token in tokens if isinstance(token, Text))


def deltas(*texts: str) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]


END: Final[list[dict[str, Any]]] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
ASKED = (Message(role="user", content="?"),)


# -- completions ------------------------------------------------------------------------------------------------------


def texts(*pieces: str) -> list[dict[str, Any]]:
    return [{"index": 0, "text": text, "finish_reason": None} for text in pieces]


@pytest.mark.parametrize("prefill", [None, True, False])
def test_a_completion_goes_on_from_its_very_last_character(prefill: bool | None) -> None:
    rest = [*texts("\n", "y = 2\n"), {"index": 0, "text": "", "finish_reason": "stop"}]
    http = Spoken([texts("x = 1", "\n"), rest])
    request = CompletionRequest(model="any", prompt="# code\n", api="completions")
    tokens, errors = read(http, request, prefill=prefill)
    assert http.bodies[1]["prompt"] == "# code\nx = 1\n"
    assert (said(tokens), errors) == ("x = 1\n\ny = 2\n", [])


# -- chat -------------------------------------------------------------------------------------------------------------


def test_json_that_broke_off_is_not_continued_but_said_anew() -> None:
    http = Spoken([deltas('{"a": ', "1, "), [*deltas('{"a": 1, "b": 2}'), *END]])
    request = ChatRequest(model="any", messages=ASKED, response_format=ResponseFormat())
    tokens, errors = read(http, request)
    assert errors == []
    assert [message["content"] for message in http.bodies[1]["messages"]] == ["?"]
    seam = next(place for place, token in enumerate(tokens) if isinstance(token, Seam))
    token = tokens[seam]
    assert isinstance(token, Seam)
    assert token.word is SeamWord.RESTART
    assert said(tokens[seam:]) == '{"a": 1, "b": 2}'


def test_of_several_answers_none_is_continued_even_if_only_the_first_has_begun() -> None:
    http = Spoken([deltas("one"), [*deltas(" more"), *END]])
    tokens, errors = read(http, ChatRequest(model="any", messages=ASKED, n=2))
    assert len(http.bodies) == 1
    assert said(tokens) == "one"
    (error,) = errors
    assert isinstance(error, ProviderError)
    assert (error.kind, error.delivered_chars) == (ErrorKind.NETWORK, 3)
