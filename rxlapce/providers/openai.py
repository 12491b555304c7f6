"""OpenAI: chat completions, responses and legacy completions with a bearer key.

The chatting APIs answer a conversation: an assistant's turn at its end is one that was said, and is not gone on with.
Legacy completions go on from a text.

Source: https://platform.openai.com/docs/api-reference.
"""

from typing import Final

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.auth import Bearer
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret

HEADERS: Final = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}
#: The models that still complete a text; all others only chat.
COMPLETING: Final = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")


def completion_api_of(model: str) -> str | None:
    """The API that goes on from a text with `model`, if it is one of the few that do."""
    return "completions" if model.startswith(COMPLETING) else None


def build(settings: Settings) -> Provider:
    """The provider with the user's settings."""
    responses = Responses()
    return Provider(
        name="openai",
        base_url=settings.base_url or "https://api.openai.com/v1",
        apis={
            # Only OpenAI itself knows the member that leaves its padding out; a gateway may refuse it.
            "chat_completions": Api(
                dialect=ChatCompletions(unpadded=settings.base_url is None), path="/chat/completions"
            ),
            "responses": Api(
                dialect=responses, path="/responses", counter=responses, count_path="/responses/input_tokens"
            ),
            "completions": Api(dialect=Completions(), path="/completions", continues_prompt=True),
        },
        completion_api_of=completion_api_of,
        auth=Bearer(settings.key or Secret("")),
        headers={HEADERS[name]: value for name, value in settings.extra.items()},
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="openai",
    summary="OpenAI: chat completions, responses, completions",
    key_env="OPENAI_API_KEY",
    base_url_env="OPENAI_BASE_URL",
    needs=("OPENAI_API_KEY",),
    build=build,
    extra_env={"OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"},
)
