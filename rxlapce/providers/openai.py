"""OpenAI: chat completions with a bearer key (https://platform.openai.com/docs/api-reference/chat)."""

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.providers.auth import Bearer
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret

HEADERS = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}


def build(settings: Settings) -> Provider:
    """The provider with the user's settings."""
    return Provider(
        name="openai",
        base_url=settings.base_url or "https://api.openai.com/v1",
        chat_path="/chat/completions",
        dialect=ChatCompletions(),
        auth=Bearer(settings.key or Secret("")),
        headers={HEADERS[name]: value for name, value in settings.extra.items()},
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="openai",
    summary="OpenAI, chat completions",
    key_env="OPENAI_API_KEY",
    base_url_env="OPENAI_BASE_URL",
    needs=("OPENAI_API_KEY",),
    build=build,
    extra_env={"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"},
)
