"""What can be learned of a provider without a billed call: its models, a prompt's tokens, whether it answers."""

from typing import Final

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.call import HttpCall, HttpSource, told_by
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest

#: A list of models has at most this many pages; a provider that always names a next one is not followed forever.
MAX_PAGES: Final = 64


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
        exchange = Exchange(provider=provider.name)
        body = await client.fetch(call, exchange)
        try:
            page = listing.read(body)
        except ProviderError as error:
            raise told_by(error, call, exchange) from None
        models += page.models
        query = page.next
        if query is None:
            return models
    raise ProviderError(
        ErrorKind.PROTOCOL, f"the list of models has more than {MAX_PAGES} pages", provider=provider.name
    )


async def check_health(client: HttpSource, provider: Provider) -> None:
    """Return if the provider answers and takes the credential, asked at its `health_path` or for its list of models.

    Never a billed call. Raises the `ProviderError` that says what is wrong.
    """
    path = provider.health_path or (provider.listing and provider.listing.path)
    if not path:
        raise _has_none(provider, "has no endpoint that is free of charge to check by")
    await client.fetch(_get(provider, provider.url(path)), Exchange(provider=provider.name))


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
    exchange = Exchange(provider=provider.name, model=model)
    body = await client.fetch(call, exchange)
    try:
        return api.counter.read_count(body)
    except ProviderError as error:
        raise told_by(error, call, exchange) from None


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
