"""Any OpenAI-compatible server by its base URL: Ollama, llama.cpp, vLLM, LM Studio, a gateway of one's own."""

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.auth import Bearer, NoAuth
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import ProviderSpec, Settings


def build(settings: Settings) -> Provider:
    """The provider with the user's settings; the base URL ends where `/chat/completions` begins."""
    return Provider(
        name="local",
        base_url=settings.base_url or "http://127.0.0.1:8080/v1",
        apis={
            # The servers know the older name of the limit; not all of them know `max_completion_tokens`.
            "chat_completions": Api(dialect=ChatCompletions(max_tokens_field="max_tokens"), path="/chat/completions"),
            "completions": Api(dialect=Completions(), path="/completions"),
            "responses": Api(dialect=Responses(store=None), path="/responses"),
        },
        auth=Bearer(settings.key) if settings.key else NoAuth(),
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="local",
    summary="any OpenAI-compatible server (Ollama, llama.cpp, vLLM, ...)",
    key_env="LOCAL_API_KEY",
    base_url_env="LOCAL_BASE_URL",
    needs=("LOCAL_BASE_URL",),
    build=build,
)
