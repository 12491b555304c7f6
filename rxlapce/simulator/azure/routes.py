"""Azure OpenAI's paths: the new ones, and those that name a deployment and the version of the API."""

from collections.abc import Callable
from typing import Final

from rxlapce.simulator.asked import Asked, BadBody, Where
from rxlapce.simulator.azure.chat import AzureChatCompletion
from rxlapce.simulator.azure.responses import AzureCompletion, AzureResponsesAnswer
from rxlapce.simulator.azure.vendor import AZURE
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import read_completions
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openai.routes import listing
from rxlapce.simulator.route import PlainRoute, Route

_Read = Callable[[bytes, Where], Asked]


def _check_version(where: Where) -> None:
    if not where.query.get("api-version"):
        raise BadBody("The api-version query parameter (?api-version=) is required for all requests.", "api-version")


def _dated(read: _Read) -> Callable[[bytes, Where], Asked]:
    """The same, with the version demanded."""

    def checked(body: bytes, where: Where) -> Asked:
        _check_version(where)
        return read(body, where)

    return checked


def _dated_listing(body: bytes, where: Where) -> bytes:
    _check_version(where)
    return listing(body, where)


_DEPLOYMENT: Final = "/openai/deployments/{model}"

ROUTES: Final = (
    Route("/openai/v1/chat/completions", AZURE, read_chat, AzureChatCompletion),
    Route("/openai/v1/completions", AZURE, read_completions, AzureCompletion),
    Route("/openai/v1/responses", AZURE, read_responses, AzureResponsesAnswer),
    Route(f"{_DEPLOYMENT}/chat/completions", AZURE, _dated(read_chat), AzureChatCompletion),
    Route(f"{_DEPLOYMENT}/completions", AZURE, _dated(read_completions), AzureCompletion),
    Route("/openai/responses", AZURE, _dated(read_responses), AzureResponsesAnswer),
)
PLAIN_ROUTES: Final = (
    PlainRoute("GET", "/openai/v1/models", AZURE, listing),
    PlainRoute("GET", "/openai/models", AZURE, _dated_listing),
)
