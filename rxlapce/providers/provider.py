"""A provider is four choices: endpoint, auth, framing, dialect; and how they make a stream.

A provider may offer several APIs (OpenAI has chat completions, responses and completions): each is an `Api`, which is a
dialect in a framing at a path.
"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, Phase, ProviderError, writable
from rxlapce.flow import Exchange, Receiver, Stage, connect, iterate
from rxlapce.providers.apis import SSE, Framing, api_name
from rxlapce.providers.auth import Auth, NoAuth
from rxlapce.providers.call import MAX_ANSWER_BYTES, HttpCall, HttpSource, told_by
from rxlapce.providers.inlet import PLAIN_INLET, Inlet
from rxlapce.providers.listing import Listing, openai_models
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken
from rxlapce.typing import Dialect, TokenCounter


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One way to ask a provider: what is said, in which framing the stream comes, and where.

    Paths follow the provider's base URL, or are URLs of their own; `{model}` in one stands for the model as the
    provider's `model_in_url` says it. `stream_path` is the path of a streamed request where it is another. `count_path`
    with `counter` is where tokens are counted.

    How an answer that broke off can be asked on: `accepts_prefill` says whether a model, by its name here, goes on with
    an assistant's turn that ends the conversation; a thinking one may refuse it all the same. `continues_prompt` says
    that the API goes on from one text and knows no turns, so that the rest is had by the prompt with the answer's
    beginning behind it.
    """

    dialect: Dialect[Event]
    path: str
    stream_path: str | None = None
    framing: Framing = SSE
    counter: TokenCounter | None = None
    count_path: str = ""
    accepts_prefill: Callable[[str], bool] = lambda model: False
    continues_prompt: bool = False


def percent_encoded(model: str) -> str:
    """`model` with every reserved character encoded: one segment of a path."""
    return quote(model, safe="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where and as whom to ask, and by which APIs. `origin` says which setting it came from, for people.

    `apis`, by the names that a request's `api` may have; the first is the one for a request that names none, unless
    `api_of` names another for its model. `completion_api_of` names the API for a `CompletionRequest`, None for the one
    that chats. `model_in_url` is what stands for a model in a path, encoded; Google's are names of resources.
    `listing` is None where the provider lists no models. `health_path` is asked by GET to check the credential where
    the list of models is open to everybody. `headers` are not secret. `key` is the name of the key in `auth`, "" where
    it has none; `accounts` are the same provider by each of its keys, this one first, and empty if there is only one.
    """

    name: str
    base_url: str
    apis: Mapping[str, Api]
    api_of: Callable[[str], str | None] = lambda model: None
    completion_api_of: Callable[[str], str | None] = lambda model: None
    model_in_url: Callable[[str], str] = percent_encoded
    default_model: str | None = None
    listing: Listing | None = field(default_factory=lambda: Listing(path="/models", read=openai_models))
    health_path: str | None = None
    auth: Auth = field(default_factory=NoAuth)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    origin: str = ""
    key: str = ""
    accounts: tuple["Provider", ...] = ()

    def api(self, request: ChatRequest, model: str) -> Api:
        """The API for `request`. Raises `ProviderError` (bad_request) for one that the provider does not have."""
        name = request.api or self.api_of(model) or next(iter(self.apis))
        api = self.apis.get(name)
        if api is None:
            raise ProviderError(
                ErrorKind.BAD_REQUEST,
                f"{self.name} has no API {name!r}; it has {', '.join(self.apis)}",
                phase=Phase.ADMIT,
                provider=self.name,
            )
        return api

    def url(self, path: str, model: str = "") -> str:
        """The URL of `path`, which follows the base URL or is one of its own, with `model` in its place.

        Raises `ProviderError` (bad_request) for a name that no segment of a path can be: one that UTF-8 cannot hold, or
        of which whoever normalizes the path on the way (RFC 3986 section 5.2.4) would make another endpoint, however it
        is encoded.
        """
        if "{model}" in path and (model in ("", ".", "..") or writable(model, len(model)) != model):
            raise ProviderError(
                ErrorKind.BAD_REQUEST,
                f"{self.name} cannot be asked for a model named {model!r}",
                phase=Phase.ADMIT,
                provider=self.name,
            )
        base_url = "" if "://" in path else self.base_url.rstrip("/")
        return base_url + path.replace("{model}", self.model_in_url(model))

    def call(self, api: Api, request: ChatRequest, model: str, *, stream: bool) -> HttpCall:
        """The HTTP request for `request`. Raises `ProviderError` (bad_request) for what the dialect cannot say."""
        return HttpCall(
            provider=self.name,
            url=self.url(api.stream_path if stream and api.stream_path is not None else api.path, model),
            body=api.dialect.chat_body(request, model, stream=stream),
            auth=self.auth,
            read_error=api.dialect.read_error,
            headers=self.headers,
            accept=api.framing.media_type if stream else JSON,
        )


JSON: Final = "application/json"


def chat_stream(
    client: HttpSource,
    provider: Provider,
    request: ChatRequest,
    model: str,
    exchange: Exchange,
    inlet: Inlet = PLAIN_INLET,
) -> Observable[StreamToken]:
    """The answer to `request` as a cold Observable of tokens: subscribing sends it, disposing cancels it.

        --text--text--text-----usage-finish-|

    Ends in `Finish` and completion, or in `on_error(ProviderError)`; a provider that stops without its terminal event
    is an error of kind `truncated`. `inlet` stands between the bytes and the tokens. Runs on the loop that `client` was
    entered on.
    """

    def source(api: Api, call: HttpCall) -> Observable[StreamToken]:
        inlet.check(api.framing)
        return by_content(api, exchange, inlet)(inlet.read(client.stream(call, exchange)))

    return _asked(provider, request, model, exchange, source, stream=True)


def chat_whole(
    client: HttpSource,
    provider: Provider,
    request: ChatRequest,
    model: str,
    exchange: Exchange,
    inlet: Inlet = PLAIN_INLET,
) -> Observable[StreamToken]:
    """The answer to `request`, asked for in one piece, as a cold Observable of its tokens: all at its end.

        --------------text-usage-finish-|

    Errors, disposal and loop are as those of `chat_stream`. Of the `inlet` what sees bytes sees the whole body.
    """

    def source(api: Api, call: HttpCall) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            return connect(inlet.read(client.whole(call, exchange)), _unary(api, receiver), scheduler)

        return Stage(on_subscribe)

    return _asked(provider, request, model, exchange, source, stream=False)


async def chat(
    client: HttpSource, provider: Provider, request: ChatRequest, model: str, exchange: Exchange
) -> list[StreamToken]:
    """The tokens of `chat_whole`, with `Finish` last. Raises `ProviderError`; a cancel cancels the request."""
    async with aclosing(iterate(chat_whole(client, provider, request, model, exchange))) as tokens:
        return [token async for token in tokens]


def _asked(
    provider: Provider,
    request: ChatRequest,
    model: str,
    exchange: Exchange,
    source: Callable[[Api, HttpCall], Observable[StreamToken]],
    *,
    stream: bool,
) -> Observable[StreamToken]:
    """`source` of the call for `request`, made when it is subscribed to; its errors with the exchange's facts."""

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        exchange.provider, exchange.model, exchange.key = provider.name, model, provider.key
        try:
            api = provider.api(request, model)
            exchange.framing = api.framing.name
            exchange.api = api_name(api.dialect.name, exchange.framing)
            call = provider.call(api, request, model, stream=stream)
            asked = source(api, call)
        except ProviderError as error:
            error.provider, error.phase = provider.name, Phase.ADMIT
            receiver.on_error(error)
            return Disposable()

        def on_error(error: Exception) -> None:
            receiver.on_error(told_by(error, call, exchange) if isinstance(error, ProviderError) else error)

        return connect(asked, Receiver(receiver.on_next, on_error, receiver.on_completed), scheduler)

    return Stage(on_subscribe)


def by_content(
    api: Api, exchange: Exchange, inlet: Inlet = PLAIN_INLET
) -> Callable[[Observable[bytes]], Observable[StreamToken]]:
    """Decode as the response's content type and beginning say: as a stream by framing and dialect, or as one document.

    Providers do answer a request for a stream with plain JSON: an error with status 200 (xAI, OpenRouter), or the whole
    answer (servers that cannot stream). The choice is made once, at the first bytes.
    """

    def decode(source: Observable[bytes]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            chosen: Receiver[bytes] | None = None
            upstream, decoding = SingleAssignmentDisposable(), SingleAssignmentDisposable()

            def choose(data: bytes = b"") -> Receiver[bytes]:
                nonlocal chosen
                if chosen is None:
                    if _is_whole(api.framing, exchange.content_type, data):
                        chosen = _unary(api, receiver)
                    else:
                        chosen = _streamed(api, inlet, receiver, scheduler, upstream, decoding)
                return chosen

            def on_next(data: bytes) -> None:
                (chosen or choose(data)).on_next(data)

            def on_error(error: Exception) -> None:
                choose().on_error(error)

            def on_completed() -> None:
                choose().on_completed()

            upstream.disposable = connect(source, Receiver(on_next, on_error, on_completed), scheduler)
            return CompositeDisposable(upstream, decoding)

        return Stage(on_subscribe)

    return decode


def _is_whole(framing: Framing, content_type: str | None, data: bytes) -> bool:
    """Whether a body that begins with `data` is one document: a unary answer, an error, a web page.

    Gateways send errors without a content type, or with the stream's. No field of an SSE body begins with a brace or an
    angle bracket, and no message of an event stream is as long as these would say. Where JSON is the framing itself, as
    in Gemini's array, a stream is all that there is.
    """
    if content_type == JSON:
        return framing.media_type != JSON
    start = data.lstrip()[:1]
    return start == b"<" or (start == b"{" and not framing.bare_objects)


def _streamed(
    api: Api,
    inlet: Inlet,
    receiver: Receiver[StreamToken],
    scheduler: SchedulerBase | None,
    upstream: DisposableBase,
    decoding: SingleAssignmentDisposable,
) -> Receiver[bytes]:
    """The head of framing and token map, subscribed by `receiver`: what they dispose is `upstream`, the bytes' source.

    `decoding` becomes what ends the stages, and their timers with them.
    """
    heads: list[Receiver[bytes]] = []

    def relay(head: Receiver[bytes], scheduler: SchedulerBase | None) -> DisposableBase:
        heads.append(head)
        return upstream

    stages = inlet.tokens(Stage(relay), api.framing, api.dialect)
    decoding.disposable = connect(stages, receiver, scheduler)
    return heads[0]


def _unary(api: Api, receiver: Receiver[StreamToken]) -> Receiver[bytes]:
    """Gathers a JSON body, at most `MAX_ANSWER_BYTES`, and emits its tokens at its end."""
    body = bytearray()
    failed = False

    def fail(error: Exception) -> None:
        nonlocal failed
        if not failed:
            failed = True
            receiver.on_error(error)

    def on_next(data: bytes) -> None:
        body.extend(data)
        if len(body) > MAX_ANSWER_BYTES:
            body.clear()
            fail(ProviderError(ErrorKind.PROTOCOL, f"the answer is larger than {MAX_ANSWER_BYTES} bytes"))

    def on_completed() -> None:
        if failed:
            return
        try:
            tokens = api.dialect.read_answer(bytes(body))
        except ProviderError as error:
            fail(error)
            return
        for token in tokens:
            receiver.on_next(token)
        receiver.on_completed()

    return Receiver(on_next, fail, on_completed)
