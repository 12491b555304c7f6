import pytest

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.provider import Api, Provider
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.router import Idle, Route, Router


def provider(name: str, default_model: str | None = None) -> Provider:
    return Provider(
        name=name,
        base_url="http://127.0.0.1:1",
        apis={"chat_completions": Api(dialect=ChatCompletions(), path="/x")},
        default_model=default_model,
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
@pytest.mark.parametrize("name", ["mistral/large", "openai/", "openai", "/x", "/", ""])
def test_what_cannot_be_resolved_is_an_error_that_lists_the_configured(name: str, default: str | None) -> None:
    with pytest.raises(ProviderError, match="configured providers: local, openai") as caught:
        Router(PROVIDERS, default).route(name)
    error = caught.value
    assert (error.kind, error.retry, error.phase) == (ErrorKind.BAD_REQUEST, Retry.NEVER, Phase.ADMIT)


def test_name_without_prefix_and_without_default_says_what_was_expected() -> None:
    with pytest.raises(ProviderError, match="expected PROVIDER/MODEL"):
        Router(PROVIDERS).route("gpt-x")


@pytest.mark.parametrize("name", ["azure", "azure/"])
def test_a_provider_s_name_alone_asks_for_the_model_that_it_is_configured_with(name: str) -> None:
    configured = {**PROVIDERS, "azure": provider("azure", "my-deployment")}
    assert Router(configured, default="local").route(name).name == "azure/my-deployment"
    assert Router(configured).plan(name).routes[0].why == "the model that azure is configured with"
    assert Router(configured).route("azure/another").name == "azure/another"


@pytest.mark.parametrize("default", [None, "local", "openai"])
@pytest.mark.parametrize("name", ["openai", "openai/"])
def test_a_provider_s_name_is_never_taken_for_a_model_of_the_default(name: str, default: str | None) -> None:
    with pytest.raises(ProviderError, match=f"'{name}' names a provider but no model: expected openai/MODEL"):
        Router(PROVIDERS, default).route(name)


def test_an_alias_goes_before_a_model_of_the_default() -> None:
    fast = Alias(name="fast", targets=(Target(model="openai/gpt-x"),))
    assert Router(PROVIDERS, "local", aliases=[fast]).route("fast").name == "openai/gpt-x"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("local/m", "named by the request"),
        ("m", "named by the request, and local is the default provider"),
        ("local/local/m", "named by the request"),
    ],
)
def test_a_plan_for_a_model_s_own_name_says_how_it_was_found(name: str, why: str) -> None:
    plan = Router(PROVIDERS, "local").plan(name)
    assert [(planned.why, planned.target) for planned in plan.routes] == [(why, Target(model=name))]
    assert (plan.alias, plan.left_out, plan.how) == (None, (), f"{name} names a model")


def test_a_model_that_the_request_names_is_asked_whatever_stands_against_it() -> None:
    class Ill(Idle):
        def obstacle(self, route: Route) -> str | None:
            return f"{route.name} is ill"

    (planned,) = Router(PROVIDERS).plan("openai/m", state=Ill()).routes
    assert (planned.route.name, planned.why) == ("openai/m", "named by the request, though openai/m is ill")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opnai/gpt-x", "openai/gpt-x"),
        ("OpenAI/gpt-x", "openai/gpt-x"),
        ("locla/a/b", "local/a/b"),
        ("opena", "openai/MODEL"),
        ("carefull", "careful"),
        ("CAREFUL", "careful"),
        ("careful/x", "careful"),
    ],
)
def test_a_mistyped_name_is_told_with_the_nearest_right_one(name: str, meant: str) -> None:
    careful = Alias(name="careful", targets=(Target(model="openai/gpt-x"),))
    with pytest.raises(ProviderError) as caught:
        Router(PROVIDERS, aliases=[careful]).route(name)
    assert f" (did you mean {meant}?); configured providers: local, openai; aliases: careful" in caught.value.message


@pytest.mark.parametrize("name", ["mistral/large", "openai/", "gpt-4.1", "/x"])
def test_nothing_is_suggested_where_nothing_is_near(name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        Router(PROVIDERS).route(name)
    assert "did you mean" not in caught.value.message


def test_the_suggestion_is_told_however_long_the_list_is() -> None:
    many = [Alias(name=f"alias-number-{n}", targets=(Target(model="local/m"),)) for n in range(300)]
    with pytest.raises(ProviderError, match=r"did you mean openai/gpt-x\?") as caught:
        Router(PROVIDERS, aliases=many).route("opnai/gpt-x")
    assert len(caught.value.message) <= ProviderError.MAX_MESSAGE_CHARS


def test_who_asks_for_a_provider_is_pointed_to_providers_alone() -> None:
    router = Router(PROVIDERS, aliases=[Alias(name="opener", targets=(Target(model="local/m"),))])
    assert router.provider("openai") is PROVIDERS["openai"]
    for said, meant in (("opnai", "openai"), ("opener", "openai")):
        with pytest.raises(ProviderError, match=rf"no provider '{said}' \(did you mean {meant}\?\)"):
            router.provider(said)


def test_without_any_provider_the_error_says_so() -> None:
    with pytest.raises(ProviderError, match="no provider 'openai'; configured providers: none"):
        Router({}).route("openai/x")


def test_default_that_is_not_configured_is_refused() -> None:
    with pytest.raises(ValueError, match="'mistral' is not configured"):
        Router(PROVIDERS, default="mistral")
