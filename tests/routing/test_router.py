import pytest

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.provider import Api, Provider
from rxlapce.routing.router import Router


def provider(name: str) -> Provider:
    return Provider(
        name=name, base_url="http://127.0.0.1:1", apis={"chat_completions": Api(dialect=ChatCompletions(), path="/x")}
    )


PROVIDERS = {name: provider(name) for name in ("openai", "local")}


def test_prefix_names_the_provider_and_is_stripped() -> None:
    route = Router(PROVIDERS).route("openai/gpt-x")
    assert (route.provider.name, route.model) == ("openai", "gpt-x")


def test_only_the_first_slash_divides_since_models_have_slashes_too() -> None:
    assert Router(PROVIDERS).route("local/meta-llama/Llama-3-8B").model == "meta-llama/Llama-3-8B"


def test_name_without_prefix_goes_to_the_default() -> None:
    route = Router(PROVIDERS, default="local").route("gpt-x")
    assert (route.provider.name, route.model) == ("local", "gpt-x")


@pytest.mark.parametrize("default", [None, "local"])
@pytest.mark.parametrize("name", ["mistral/large", "openai/", "/x"])
def test_what_cannot_be_resolved_is_an_error_that_lists_the_configured(name: str, default: str | None) -> None:
    with pytest.raises(ProviderError, match="configured providers: local, openai") as caught:
        Router(PROVIDERS, default).route(name)
    error = caught.value
    assert (error.kind, error.retry, error.phase) == (ErrorKind.BAD_REQUEST, Retry.NEVER, Phase.ADMIT)


def test_name_without_prefix_and_without_default_says_what_was_expected() -> None:
    with pytest.raises(ProviderError, match="expected PROVIDER/MODEL"):
        Router(PROVIDERS).route("gpt-x")


def test_default_that_is_not_configured_is_refused() -> None:
    with pytest.raises(ValueError, match="'mistral' is not configured"):
        Router(PROVIDERS, default="mistral")
