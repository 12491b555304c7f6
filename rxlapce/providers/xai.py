"""xAI: chat completions, responses and legacy completions with a bearer key (https://docs.x.ai/docs/api-reference).

Its pages promise no going on with an assistant's turn; legacy completions go on from a text.
"""

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.compatible import compatible

SPEC = compatible(
    "xai",
    "xAI: chat completions, responses, completions",
    "https://api.x.ai/v1",
    apis={
        "chat_completions": ChatCompletions(reasoning_back="reasoning_content"),
        "responses": Responses(),
        "completions": Completions(),
    },
)
