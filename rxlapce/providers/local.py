"""Any OpenAI-compatible server by its base URL: Ollama, llama.cpp, vLLM, LM Studio, a gateway of one's own.

A completion goes on from its text itself, as these servers all can; whether a chat goes on with an assistant's turn
depends on the server and on the model's template, and is not known here. Ollama's own API stands beside `/v1`, at
`/api`; it is asked by `api="ollama"`.
"""

from dataclasses import replace

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.ollama import Ollama
from rxlapce.dialects.responses import Responses
from rxlapce.providers.apis import NDJSON
from rxlapce.providers.compatible import compatible
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import Settings

COMPATIBLE = compatible(
    "local",
    "any OpenAI-compatible server (Ollama, llama.cpp, vLLM, ...)",
    "http://127.0.0.1:8080/v1",
    apis={
        # The servers know the older name of the limit; not all of them know `max_completion_tokens`.
        "chat_completions": ChatCompletions(
            max_tokens_field="max_tokens", reasoning_back="reasoning_content", top_k=True
        ),
        "completions": Completions(),
        "responses": Responses(store=None),
    },
    needs=("LOCAL_BASE_URL",),
)


def completion_api_of(model: str) -> str:
    """The API that goes on from a text: that of every model."""
    return "completions"


def build(settings: Settings) -> Provider:
    """The provider with the user's settings; the base URL ends where `/chat/completions` begins."""
    provider = COMPATIBLE.build(settings)
    root = provider.base_url.rstrip("/").removesuffix("/v1")
    ollama = Api(dialect=Ollama(), path=f"{root}/api/chat", framing=NDJSON)
    return replace(provider, apis={**provider.apis, "ollama": ollama}, completion_api_of=completion_api_of)


SPEC = replace(COMPATIBLE, build=build)
