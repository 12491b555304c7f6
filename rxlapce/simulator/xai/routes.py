"""xAI's paths, under `/xai`."""

from typing import Final

from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import Completion, read_completions
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.openai.routes import listing
from rxlapce.simulator.route import PlainRoute, Route
from rxlapce.simulator.xai.chat import XaiChatCompletion
from rxlapce.simulator.xai.responses import XaiResponsesAnswer
from rxlapce.simulator.xai.vendor import XAI

ROUTES: Final = (
    Route("/xai/v1/chat/completions", XAI, read_chat, XaiChatCompletion),
    Route("/xai/v1/responses", XAI, read_responses, XaiResponsesAnswer),
    Route("/xai/v1/completions", XAI, read_completions, Completion),
)
PLAIN_ROUTES: Final = (PlainRoute("GET", "/xai/v1/models", XAI, listing),)
