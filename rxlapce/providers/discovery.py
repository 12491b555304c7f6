"""What can be learned of a provider without a billed call: its models, a prompt's tokens, whether it answers."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.legs import may_ask_other_key
from rxlapce.providers.call import HttpCall, HttpSource, told_by
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest

T = TypeVar("T")

#: A list of models has at most this many pages; a provider that always names a next one is not followed forever.
MAX_PAGES: Final = 64


async def by_any_key(provider: Provider, ask: Callable[[Provider], Awaitable[T]]) -> T:
    """What `ask` says of the provider by the first of its keys that it takes. Raises what the last one gets."""
    *others, last = provider.accounts or (provider,)
    for account in others:
        try:
            return await ask(account)
        except ProviderError as error:
            if not may_ask_other_key(error):
                raise
    return await ask(last)


async def list_models(client: HttpSource, provider: Provider) -> list[str]:
    """The models that the provider lists, by its own names. Costs nothing. Raises `ProviderError`."""
    listing = provider.listing
    if listing is None:
        raise _has_none(provider, "lists no models")
    url = provider.url(listing.path)
    models: list[str] = []
    query: str | None = ""
    for _ in range(MAX_PAGES):
        call = _get(provider, f"{url}{'&' if '?' in url else '?'}{query}" if query else url)
        page = await _fetch(client, call, Exchange(provider=provider.name), listing.read)
        models += page.models
        query = page.next
        if query is None:
            return models
    raise ProviderError(
        ErrorKind.PROTOCOL, f"the list of models has more than {MAX_PAGES} pages", provider=provider.name
    )


async def check_health(client: HttpSource, provider: Provider) -> None:
    """Return if the provider answers and takes the credential, asked at its `health_path` or for its list of models.

    What answers must be the API: a web page with status 200, as of a login or of a base URL that lacks its `/v1`, is
    no health. Never a billed call. Raises the `ProviderError` that says what is wrong.
    """
    listing = provider.listing
    exchange = Exchange(provider=provider.name)
    if provider.health_path is not None:
        await _fetch(client, _get(provider, provider.url(provider.health_path)), exchange, _read_object)
    elif listing is not None:
        await _fetch(client, _get(provider, provider.url(listing.path)), exchange, listing.read)
    else:
        raise _has_none(provider, "has no endpoint that is free of charge to check by")


async def count_tokens(client: HttpSource, provider: Provider, request: ChatRequest, model: str) -> int:
    """The number of input tokens of `request` as the provider counts them. Costs nothing.

    Raises `ProviderError`: of kind `bad_request` where the provider has no endpoint for it.
    """
    api = provider.api(request, model)
    if api.counter is None:
        raise _has_none(provider, "has no endpoint that counts tokens")
    call = HttpCall(
        provider=provider.name,
        url=provider.url(api.count_path, model),
        body=api.counter.count_body(request, model),
        auth=provider.auth,
        read_error=api.dialect.read_error,
        headers=provider.headers,
    )
    return await _fetch(client, call, Exchange(provider=provider.name, model=model), api.counter.read_count)


async def _fetch(client: HttpSource, call: HttpCall, exchange: Exchange, read: Callable[[bytes], T]) -> T:
    """What `read` makes of the answer to `call`. Raises `ProviderError`."""
    body = await client.fetch(call, exchange)
    try:
        return read(body)
    except ProviderError as error:
        raise told_by(error, call, exchange) from None


def _read_object(body: bytes) -> None:
    """Nothing, if `body` is a JSON object. Raises `ProviderError` (protocol) if it is none."""
    try:
        msgspec.json.decode(body, type=_AnyObject)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, f"the answer is none of an API: {error}") from None


class _AnyObject(msgspec.Struct):
    pass


def _get(provider: Provider, url: str) -> HttpCall:
    api = next(iter(provider.apis.values()))
    return HttpCall(
        provider=provider.name,
        url=url,
        body=b"",
        auth=provider.auth,
        read_error=api.dialect.read_error,
        headers=provider.headers,
        method="GET",
    )


def _has_none(provider: Provider, what: str) -> ProviderError:
    return ProviderError(ErrorKind.BAD_REQUEST, f"{provider.name} {what}", phase=Phase.ADMIT, provider=provider.name)
