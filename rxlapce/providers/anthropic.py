"""Anthropic: messages with a key in `x-api-key` (https://docs.anthropic.com/en/api/messages).

A conversation may end in an assistant's turn, which models before 4.6 go on with (`prefill`).
"""

from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.providers.auth import HeaderKey
from rxlapce.providers.listing import Listing, anthropic_models
from rxlapce.providers.prefill import claude_accepts_prefill
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret


def build(settings: Settings) -> Provider:
    """The provider with the user's settings."""
    messages = AnthropicMessages()
    return Provider(
        name="anthropic",
        base_url=settings.base_url or "https://api.anthropic.com",
        apis={
            "messages": Api(
                dialect=messages,
                path="/v1/messages",
                counter=messages,
                count_path="/v1/messages/count_tokens",
                accepts_prefill=claude_accepts_prefill,
            )
        },
        listing=Listing(path="/v1/models", read=anthropic_models),
        auth=HeaderKey("x-api-key", settings.key or Secret("")),
        headers={"anthropic-version": "2023-06-01"},
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="anthropic",
    summary="Anthropic: messages",
    key_env="ANTHROPIC_API_KEY",
    base_url_env="ANTHROPIC_BASE_URL",
    needs=("ANTHROPIC_API_KEY",),
    build=build,
)
