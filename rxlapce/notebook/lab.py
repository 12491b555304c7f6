"""`Lab`: where a notebook's streams come from."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from msgspec import structs
from reactivex import Observable

from rxlapce.config.env import load_provider_configs_from_env, proxy_for
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ConfigError, ProviderError
from rxlapce.flow import Exchange, Tasks
from rxlapce.notebook.ask import Ask, OnBytes, when_ready
from rxlapce.notebook.probes import Probes
from rxlapce.notebook.who import SIMULATED_MODEL, SIMULATOR, Who, model_of, who_answers
from rxlapce.operators.recording import RecordingReader
from rxlapce.operators.replay import replay
from rxlapce.providers.apis import api_name
from rxlapce.providers.discovery import list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.inlet import Inlet
from rxlapce.providers.provider import Api, Provider, by_content, chat_stream
from rxlapce.providers.recorded import format_of
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.router import Route, Router
from rxlapce.simulator.options import Options, parse
from rxlapce.tokens import StreamToken

if TYPE_CHECKING:
    from rxlapce.notebook.piped import Piped  # with YAML's reader and what all stages need
    from rxlapce.simulator import Simulator

#: How the simulator behaves where nobody says otherwise: like a hosted model, and soon at its end.
DEFAULTS: Final = "tps=25,ttft=0.4,jitter=0.6,tokens=70"
#: What a sender's kernel holds of a stream: little, so that the simulator soon feels a reader who does not read.
SEND_BUFFER_BYTES: Final = 16 * 1024
#: The value of an option of the simulator (`rxlapce.simulator.options`).
Value = str | float


class Lab:
    """Asks whoever the environment has a key for; without one, a simulator that runs in this process on loopback.

        lab = Lab()
        await lab.open()                        # or leave it to the first question
        view = show(lab.ask("Why is the sky blue?"))

    Making one opens nothing, and reads no more than the environment. With `simulator` no key is used, whatever is set;
    a question that has options of the simulator's, or is for a provider that is not configured, is answered by the
    simulator too, in that provider's own dialect and framing: `Ask.who` says so. All runs on the loop of the first
    question, a notebook's own. `aclose` (or leaving `async with`) ends what runs; a kernel that stops takes all along.

    Raises `ConfigError` for an environment in which something is wrong.
    """

    def __init__(self, *, simulator: bool = False, environ: Mapping[str, str] | None = None, seed: int = 1) -> None:
        self._environ: Mapping[str, str] = {} if simulator else dict(os.environ if environ is None else environ)
        self._who = who_answers(self._environ, simulator=simulator)
        self._seed = seed
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._tasks = Tasks()
        self._client: HttpClient | None = None
        self._simulator: Simulator | None = None
        self._asked = 0
        self._closed = False

    @property
    def who(self) -> Who:
        """Who answers a question that names nobody, and why."""
        return self._who

    @property
    def simulator(self) -> "Simulator":
        """The simulator, which counts what it sends. Raises `RuntimeError` before it runs."""
        if self._simulator is None:
            raise RuntimeError("the simulator runs from its first question on, or after `await lab.open()`")
        return self._simulator

    async def open(self) -> Who:
        """Open now what the first question would, so that its time is not counted; and say who answers.

        Raises `RuntimeError` after `aclose`, and `ProviderError` for a server that does not tell its models.
        """
        client = await self.client()
        await self.simulated()
        if not self._who.model:
            provider = load_provider_configs_from_env(self._environ)[self._who.provider]
            models = await list_models(client, provider)
            if not models:
                raise ConfigError(f"{provider.base_url} lists no model: name one, model=...")
            self._who = replace(self._who, model=models[0])
        return self._who

    async def aclose(self) -> None:
        """End all streams, the simulator and the connections; without effect after the first call."""
        self._closed = True
        await self._tasks.aclose()
        async with self._lock:
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Lab: {self._who}>"

    # -- streams ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        prompt: str | ChatRequest,
        *,
        model: str | None = None,
        provider: str | None = None,
        api: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        **options: Value,
    ) -> Ask:
        """A question to one model, by no pipeline: its lanes are `bytes`, `events` and `tokens`.

        `model` is a name of the provider's own; `provider` as in `rxlapce providers`, `api` one of its APIs
        (`responses`). `options` are the simulator's, by their names: `tps=20, fault="cut", after=40`.

        Raises `ValueError` for an option that the simulator does not have.
        """
        request, simulated = self.request(
            prompt, model=model, provider=provider, api=api, system=system, max_tokens=max_tokens, options=options
        )
        exchange = self.exchange()

        def make(probes: Probes, on_bytes: tuple[OnBytes, ...]) -> Observable[StreamToken]:
            bytes_, events = probes.lane("bytes", "bytes"), probes.lane("events", "events")
            tokens = probes.lane("tokens", "tokens")

            def answer(client: HttpClient, route: Route) -> Observable[StreamToken]:
                secrets, name = route.provider.auth.secrets, name_of_api(route.provider, request, route.model)
                recorders = tuple(make_tap(secrets, name) for make_tap in on_bytes)
                inlet = Inlet(on_bytes=(*recorders, bytes_), on_events=(events,))
                return tokens(chat_stream(client, route.provider, request, route.model, exchange, inlet))

            async def ready() -> tuple[HttpClient, Route]:
                providers = await self.providers(simulated=simulated)
                return await self.client(), Router(providers).route(request.model)

            return when_ready(ready, lambda found: answer(*found), self._tasks)

        return Ask(make, exchange=exchange, request=request, who=self.told(request, simulated=simulated))

    def pipeline(self, source: str | Path, name: str | None = None) -> "Piped":
        """The pipeline `name` of a configuration: of YAML text, or of a file (a `Path`, or a name that ends so).

        Without a name it is the only one, else `default`. Raises `ConfigError` with all that is wrong, and where, as
        `rxlapce check` tells it.
        """
        from rxlapce.notebook.piped import Piped

        return Piped(self, source, name)

    def record(self, ask: Ask, path: str | Path) -> Ask:
        """`ask`, whose answer is recorded too: see `Ask.recorded`."""
        return ask.recorded(Path(path))

    def replay(self, path: str | Path, speed: float = 1.0, *, api: str | None = None) -> Ask:
        """A recording, played at `speed` (2: twice as fast; 0: at once), as if its provider said it again.

        `api` is a name of `rxlapce.providers.apis.APIS`, for a recording that does not tell. Raises `OSError` for a
        file that cannot be read, and `ValueError` for one that is no recording, or says nothing of its dialect.
        """
        file = Path(path)
        reader = RecordingReader(file)
        reader.close()
        found = format_of(reader.header if api is None else structs.replace(reader.header, api=api))
        spoken = Api(dialect=found.dialect(), path="", framing=found.framing)
        exchange = self.exchange()

        def make(probes: Probes, on_bytes: tuple[OnBytes, ...]) -> Observable[StreamToken]:
            bytes_, events = probes.lane("bytes", "bytes"), probes.lane("events", "events")
            tokens = probes.lane("tokens", "tokens")
            recorders = tuple(make_tap((), api_name(spoken.dialect.name, spoken.framing.name)) for make_tap in on_bytes)
            inlet = Inlet(on_bytes=(*recorders, bytes_), on_events=(events,))
            played = inlet.read(replay(file, speed=speed, exchange=exchange))
            return tokens(by_content(spoken, exchange, inlet)(played))

        return Ask(make, exchange=exchange, request=None, who=f"{file.name} at speed {speed:g}")

    # -- for `Piped` --------------------------------------------------------------------------------------------------

    def request(
        self,
        prompt: str | ChatRequest,
        *,
        model: str | None,
        provider: str | None,
        api: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        options: Mapping[str, Value],
    ) -> tuple[ChatRequest, bool]:
        """What is asked, with whom in its model's name; and whether a simulator answers."""
        said = ",".join(f"{name}={value}" for name, value in options.items())
        parse(said)  # here, where the mistake is
        if isinstance(prompt, ChatRequest):
            request = prompt if model is None and provider is None else replace(prompt, model=f"{provider}/{model}")
            return request, bool(said) or self.simulates(request.model.partition("/")[0])
        asked = provider or self._who.provider
        simulated = bool(said) or self.simulates(asked)
        if model is None:
            model = self._model(asked, simulated=simulated, named=provider is not None)
        if said:
            model = f"{model}{',' if '=' in model.partition(':')[2] else ':'}{said}"
        turns: tuple[Message, ...] = (Message(role="user", content=prompt),)
        if system is not None:
            turns = (Message(role="system", content=system), *turns)
        name = f"{asked}/{model.removeprefix(f'{asked}/')}"
        return ChatRequest(model=name, messages=turns, api=api, max_tokens=max_tokens), simulated

    def _model(self, provider: str, *, simulated: bool, named: bool) -> str:
        """The model of `provider` for a question that names none."""
        if simulated:
            return SIMULATED_MODEL
        model = model_of(provider, self._environ) if named else self._who.model
        if not model:
            raise RuntimeError(f"which models {self._who.provider} has is known after `await lab.open()`")
        return model

    def simulates(self, provider: str) -> bool:
        """Whether a simulator plays `provider`, as nobody else does here."""
        return provider == SIMULATOR or provider not in load_provider_configs_from_env(self._environ)

    def told(self, request: ChatRequest, *, simulated: bool) -> str:
        """Who answers `request`, in words."""
        provider = request.model.partition("/")[0]
        if not simulated:
            return request.model
        return f"the simulator: {request.model}" if provider == SIMULATOR else f"the simulator as {request.model}"

    def exchange(self) -> Exchange:
        """That of the next question."""
        self._asked += 1
        return Exchange(request_id=f"lab {self._asked}", client="rxlapce lab")

    @property
    def tasks(self) -> Tasks:
        """Those of the streams that run."""
        return self._tasks

    @property
    def environ(self) -> Mapping[str, str]:
        """What is configured; nothing, where a simulator was asked for."""
        return self._environ

    async def client(self) -> HttpClient:
        """The connections."""
        async with self._lock:
            self._may_open()
            if self._client is None:
                self._client = await self._stack.enter_async_context(HttpClient(proxy_for=proxy_for))
            return self._client

    async def simulated(self) -> dict[str, Provider]:
        """All providers as the simulator plays them, and the one that it is itself."""
        async with self._lock:
            self._may_open()
            if self._simulator is None:
                from rxlapce.simulator import Simulator  # with a web server

                simulator = Simulator(
                    seed=self._seed, defaults=parse(DEFAULTS, Options()), send_buffer_bytes=SEND_BUFFER_BYTES
                )
                self._simulator = await self._stack.enter_async_context(simulator)
            found = load_provider_configs_from_env(simulated_environ(self._simulator.base_url))
        return {**found, SIMULATOR: replace(found["local"], name=SIMULATOR, origin="a lab's simulator")}

    async def providers(self, *, simulated: bool) -> dict[str, Provider]:
        """Who can be asked: those that are configured, or as the simulator plays them."""
        return await self.simulated() if simulated else load_provider_configs_from_env(self._environ)

    def closing(self, end: Callable[[], Awaitable[object]]) -> None:
        """Have `end` called when the lab closes."""
        self._stack.push_async_callback(end)

    def _may_open(self) -> None:
        if self._closed:
            raise RuntimeError("the lab is closed: make another one")


def name_of_api(provider: Provider, request: ChatRequest, model: str) -> str:
    """The name in `APIS` of the API by which `request` is asked; "" for one that has none."""
    try:
        asked = provider.api(request, model)
    except ProviderError:
        return ""  # the asking tells it
    return api_name(asked.dialect.name, asked.framing.name)
