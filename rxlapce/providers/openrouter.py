"""OpenRouter: chat completions and responses of many vendors' models with one bearer key.

Models are named `VENDOR/MODEL`, so a request's model is `openrouter/VENDOR/MODEL`. Which vendors may serve it is asked
for by `extra`: `{"models": [...]}` for fallbacks, `{"provider": {"order": [...], "zdr": true}}`. The list of models is
open to everybody, so that the key is checked at `/key`. An assistant's turn at the end is passed on to the vendor;
whether it is gone on with is up to who serves the model, which is not known before.

Source: https://openrouter.ai/docs/api-reference/overview, "Provider Routing", "App Attribution".
"""

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.compatible import compatible

SPEC = compatible(
    "openrouter",
    "OpenRouter: chat completions, responses",
    "https://openrouter.ai/api/v1",
    apis={
        "chat_completions": ChatCompletions(
            reasoning="openrouter", reasoning_back="reasoning_details", top_k=True, cache_control=True
        ),
        "responses": Responses(),
    },
    headers={"X-Title": "rxlapce"},
    header_env={"OPENROUTER_REFERER": "HTTP-Referer", "OPENROUTER_TITLE": "X-Title"},
    health_path="/key",
)
