"""A provider is four choices: endpoint, auth, framing, dialect; and how they make a stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, connect
from rxlapce.messages import ChatRequest
from rxlapce.operators.decode import sse_decode
from rxlapce.operators.token_map import token_map
from rxlapce.providers.auth import Auth, NoAuth
from rxlapce.providers.call import MAX_ANSWER_BYTES, HttpCall, HttpSource, told_by
from rxlapce.tokens import StreamToken
from rxlapce.typing import Dialect

Framing = Callable[[Observable[bytes]], Observable[Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where, as whom, in which framing and dialect. `origin` says which setting it came from, for people.

    `framing` makes the operator that turns bytes into events; `headers` are not secret.
    """

    name: str
    base_url: str
    chat_path: str
    models_path: str = "/models"
    dialect: Dialect[Event]
    framing: Callable[[], Framing] = sse_decode
    auth: Auth = field(default_factory=NoAuth)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    origin: str = ""

    def call(self, request: ChatRequest, model: str, *, stream: bool) -> HttpCall:
        """The HTTP request for `request`. Raises `ProviderError` (bad_request) for what the dialect cannot say."""
        return HttpCall(
            provider=self.name,
            url=self.base_url.rstrip("/") + self.chat_path,
            body=self.dialect.chat_body(request, model, stream=stream),
            auth=self.auth,
            read_error=self.dialect.read_error,
            headers=self.headers,
            accept="text/event-stream" if stream else "application/json",
        )


def chat_stream(
    client: HttpSource, provider: Provider, request: ChatRequest, model: str, exchange: Exchange
) -> Observable[StreamToken]:
    """The answer to `request` as a cold Observable of tokens: subscribing sends it, disposing cancels it.

        --text--text--text-----usage-finish-|

    Ends in `Finish` and completion, or in `on_error(ProviderError)`; a provider that stops without its terminal event
    is an error of kind `truncated`. Runs on the loop that `client` was entered on.
    """

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        exchange.provider, exchange.model = provider.name, model
        try:
            call = provider.call(request, model, stream=True)
        except ProviderError as error:
            error.provider, error.phase = provider.name, Phase.ADMIT
            receiver.on_error(error)
            return Disposable()

        def on_error(error: Exception) -> None:
            receiver.on_error(told_by(error, call, exchange) if isinstance(error, ProviderError) else error)

        decoded = by_content_type(provider, exchange)(client.stream(call, exchange))
        return connect(decoded, Receiver(receiver.on_next, on_error, receiver.on_completed), scheduler)

    return Stage(on_subscribe)


def by_content_type(provider: Provider, exchange: Exchange) -> Callable[[Observable[bytes]], Observable[StreamToken]]:
    """Decode as the response's content type says: a stream by framing and dialect, a JSON body as a unary answer.

    Providers do answer a request for a stream with plain JSON: an error with status 200 (xAI, OpenRouter), or the whole
    answer (servers that cannot stream). The choice is made once, at the first bytes.
    """

    def decode(source: Observable[bytes]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            chosen: Receiver[bytes] | None = None
            upstream, decoding = SingleAssignmentDisposable(), SingleAssignmentDisposable()

            def choose() -> Receiver[bytes]:
                nonlocal chosen
                if chosen is None:
                    if exchange.content_type == "application/json":
                        chosen = _unary(provider, receiver)
                    else:
                        chosen = _streamed(provider, receiver, scheduler, upstream, decoding)
                return chosen

            def on_next(data: bytes) -> None:
                (chosen or choose()).on_next(data)

            def on_error(error: Exception) -> None:
                choose().on_error(error)

            def on_completed() -> None:
                choose().on_completed()

            upstream.disposable = connect(source, Receiver(on_next, on_error, on_completed), scheduler)
            return CompositeDisposable(upstream, decoding)

        return Stage(on_subscribe)

    return decode


def _streamed(
    provider: Provider,
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

    stages = Stage(relay).pipe(provider.framing(), token_map(provider.dialect))
    decoding.disposable = connect(stages, receiver, scheduler)
    return heads[0]


def _unary(provider: Provider, receiver: Receiver[StreamToken]) -> Receiver[bytes]:
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
            tokens = provider.dialect.read_answer(bytes(body))
        except ProviderError as error:
            fail(error)
            return
        for token in tokens:
            receiver.on_next(token)
        receiver.on_completed()

    return Receiver(on_next, fail, on_completed)


async def chat(
    client: HttpSource, provider: Provider, request: ChatRequest, model: str, exchange: Exchange
) -> list[StreamToken]:
    """The answer to `request` in one piece, as tokens with `Finish` last. Raises `ProviderError`."""
    exchange.provider, exchange.model = provider.name, model
    try:
        call = provider.call(request, model, stream=False)
    except ProviderError as error:
        error.provider, error.phase = provider.name, Phase.ADMIT
        raise
    body = await client.fetch(call, exchange)
    try:
        return provider.dialect.read_answer(body)
    except ProviderError as error:
        raise told_by(error, call, exchange) from None


class _ListedModel(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ListedModel]


async def list_models(client: HttpSource, provider: Provider) -> list[str]:
    """The models that the provider lists, by its own names. Costs nothing. Raises `ProviderError`."""
    exchange = Exchange(provider=provider.name)
    call = HttpCall(
        provider=provider.name,
        url=provider.base_url.rstrip("/") + provider.models_path,
        body=b"",
        auth=provider.auth,
        read_error=provider.dialect.read_error,
        headers=provider.headers,
        method="GET",
    )
    body = await client.fetch(call, exchange)
    try:
        return [model.id for model in msgspec.json.decode(body, type=_ModelList).data]
    except msgspec.DecodeError as error:
        raise ProviderError(
            ErrorKind.PROTOCOL, f"the list of models is none: {error}", provider=provider.name
        ) from None
