"""Everyone who can ask a simulator: each provider by each API that it has, in this process."""

from dataclasses import dataclass
from typing import Any, Final

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.flow import Exchange
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat_stream
from rxlapce.requests import ChatRequest, Message
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected
from rxlapce.tokens import StreamToken


@dataclass(frozen=True)
class Asker:
    """One provider by one of its APIs, asking for one model of a simulator."""

    client: HttpClient
    provider: Provider
    api: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider.name} {self.api} {self.model}"

    def request(self, prompt: str = "What is backpressure? 🦀", **settings: Any) -> ChatRequest:
        """A conversation of one user's turn."""
        messages = (Message(role="user", content=prompt),)
        return ChatRequest(model=self.model, api=self.api, messages=messages, **settings)

    def ask(self, request: ChatRequest | None = None, options: str = "") -> Collected[StreamToken]:
        """The answer as it streams; the simulator's options stand behind the model's name."""
        model = f"{self.model}:{options}" if options else self.model
        return Collected(chat_stream(self.client, self.provider, request or self.request(), model, Exchange()))


#: Models whose name tells what is spoken; elsewhere any name will do.
_MODELS: Final = {
    ("bedrock", "invoke"): ("anthropic.claude-sim", "amazon.nova-sim", "ai21.jamba-sim", "meta.llama3-sim"),
    ("vertex", "messages"): ("claude-sim",),
}


def everyone(client: HttpClient, simulator: Simulator) -> list[Asker]:
    """All of them, in a fixed order."""
    return [
        Asker(client, provider, api, model)
        for name, provider in load_provider_configs_from_env(simulated_environ(simulator.base_url)).items()
        for api in provider.apis
        for model in _MODELS.get((name, api), ("sim",))
    ]
