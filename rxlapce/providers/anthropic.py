"""Anthropic: messages with a key in `x-api-key` (https://docs.anthropic.com/en/api/messages)."""

from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.providers.auth import HeaderKey
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret


def build(settings: Settings) -> Provider:
    """The provider with the user's settings."""
    return Provider(
        name="anthropic",
        base_url=settings.base_url or "https://api.anthropic.com",
        chat_path="/v1/messages",
        models_path="/v1/models",
        dialect=AnthropicMessages(),
        auth=HeaderKey("x-api-key", settings.key or Secret("")),
        headers={"anthropic-version": "2023-06-01"},
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="anthropic",
    summary="Anthropic, messages",
    key_env="ANTHROPIC_API_KEY",
    base_url_env="ANTHROPIC_BASE_URL",
    needs=("ANTHROPIC_API_KEY",),
    build=build,
    extra_env={},
)
