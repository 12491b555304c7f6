"""Any OpenAI-compatible server by its base URL: Ollama, llama.cpp, vLLM, LM Studio, a gateway of one's own."""

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.compatible import compatible

SPEC = compatible(
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
build = SPEC.build
