"""`Piped`: a pipeline of a configuration, asked from a notebook by the daemon's own code."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactivex import Observable

from rxlapce.config.charts import Charted, charts_of
from rxlapce.config.document import Problems
from rxlapce.config.file import FileText, read_sections
from rxlapce.config.overrides import without_default_limit
from rxlapce.config.sources import Config, load_config, read_config
from rxlapce.crashtest.setup import redirected
from rxlapce.errors import ConfigError
from rxlapce.flow import Exchange, FlowControl
from rxlapce.notebook.ask import Ask, OnBytes, when_ready
from rxlapce.notebook.lab import Value, name_of_api
from rxlapce.notebook.probes import Probes
from rxlapce.operators.backpressure import buffer_with_backpressure
from rxlapce.pipeline.build import way_of
from rxlapce.pipeline.kinds.client import BUFFER_WITH_BACKPRESSURE
from rxlapce.pipeline.spec import DEFAULT, Pipeline, pipelines_of
from rxlapce.pipeline.svg import svg
from rxlapce.providers.inlet import BytesOperator
from rxlapce.registry import Shape
from rxlapce.requests import ChatRequest
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.routing.traffic import Traffic
from rxlapce.routing.way import CopySink, MakeBytes, Site, outlet_of
from rxlapce.routing.ways import Ways
from rxlapce.tokens import StreamToken

if TYPE_CHECKING:
    from rxlapce.notebook.lab import Lab

Tap = Callable[[Observable[Any]], Observable[Any]]


class Running:
    """A configuration that answers: quotas, breakers and sinks of all that is asked of one pipeline."""

    def __init__(self, lab: "Lab", config: Config, pipeline: Pipeline) -> None:
        self._lab = lab
        self._config = config
        self.pipeline = pipeline
        self.traffic = Traffic(config.settings)
        self.copies: tuple[CopySink, ...] = way_of(pipeline, config.settings).copies

    async def answer(
        self, request: ChatRequest, exchange: Exchange, look: Callable[[str, Shape], Tap], on_bytes: tuple[OnBytes, ...]
    ) -> Observable[StreamToken]:
        """The answer by the pipeline, seen by `look` behind each stage but the client's buffer."""
        way = way_of(self.pipeline, self._config.settings, look)
        recorders = tuple(_recorder(make, request) for make in on_bytes)
        way = replace(way, on_bytes=(*recorders, *way.on_bytes), copies=self.copies)
        router = Router(self._config.providers, aliases=self._config.aliases)
        client = await self._lab.client()
        manager = ProviderManager(client, router, self._config.settings, ways=Ways(way), traffic=self.traffic)
        return manager.chat_stream(request, exchange)


class Piped:
    """One pipeline of a configuration. Quotas and breakers go on from one question to the next, as in a daemon.

    A provider that is not configured is played by the lab's simulator. `name`, `stages` (with those that nobody names),
    `yaml` say what it is; `graph` draws it.
    """

    def __init__(self, lab: "Lab", source: str | Path, name: str | None = None) -> None:
        self._lab = lab
        self._file = _text(source)
        config = _read(self._file, {})
        found = pipelines_of(config.pipelines, config.settings)
        self.name = _chosen(config, found, name)
        self.yaml = self._file.text
        self._usual = next((alias.name for alias in config.aliases), None)
        self._whole = found[self.name].whole(config.settings)
        self._running: dict[bool, Running] = {}
        self._lock = asyncio.Lock()

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of its stages, in the order in which an answer passes them."""
        return tuple(step.name for step in self._whole.stages)

    def ask(
        self,
        prompt: str | ChatRequest,
        *,
        model: str | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        reader: FlowControl | None = None,
        **options: Value,
    ) -> Ask:
        """A question by this pipeline. Its lanes are `bytes`, as the provider sent them, and one for each stage.

        `model` is an alias of the file, or PROVIDER/MODEL; without it the file's first alias, else who answers in the
        lab. `reader` is the gate that a slow reader closes: the last stage, `buffer_with_backpressure`, holds for it.
        `options` are the simulator's (`Lab.ask`), and make it the one that answers; not with an alias.
        """
        request, simulated = self._request(prompt, model, system, max_tokens, options)
        exchange = self._lab.exchange()
        gate = FlowControl() if reader is None else reader

        def make(probes: Probes, on_bytes: tuple[OnBytes, ...]) -> Observable[StreamToken]:
            taps = self._taps(probes)
            named = iter(taps[:-1])

            async def ready() -> Observable[StreamToken]:
                running = await self._answering(simulated=simulated)
                return await running.answer(request, exchange, lambda _, __: next(named), on_bytes)

            def buffered(source: Observable[StreamToken]) -> Observable[StreamToken]:
                outlet = outlet_of(source)
                buffer = buffer_with_backpressure(
                    upstream=exchange.flow,
                    downstream=gate,
                    high_water=outlet.high_water,
                    low_water=outlet.low_water,
                    policy=outlet.policy,
                    capacity=outlet.capacity,
                    merge_chars=outlet.merge_chars,
                )
                return taps[-1](source.pipe(buffer))

            return when_ready(ready, buffered, self._lab.tasks)

        return Ask(make, exchange=exchange, request=request, who=f"{request.model} by the pipeline {self.name}")

    def graph(self) -> "Diagram":
        """Its picture, as `rxlapce graph --svg` draws it."""
        return Diagram(charts_of(self._file)[self.name])

    def __repr__(self) -> str:
        return f"<Piped {self.name}: {' | '.join(self.stages)}>"

    def _request(
        self,
        prompt: str | ChatRequest,
        model: str | None,
        system: str | None,
        max_tokens: int | None,
        options: dict[str, Value],
    ) -> tuple[ChatRequest, bool]:
        name = model if model is not None or isinstance(prompt, ChatRequest) or options else self._usual
        if name is None:
            return self._lab.request(
                prompt, model=None, provider=None, system=system, max_tokens=max_tokens, options=options
            )
        provider, _, rest = name.partition("/")
        if options and not rest:
            raise ValueError(f"options of the simulator go with PROVIDER/MODEL, and {name} is an alias")
        request, simulated = self._lab.request(
            prompt, model=rest or provider, provider=provider, system=system, max_tokens=max_tokens, options=options
        )
        return (request, simulated) if rest else (replace(request, model=name), self._lab.who.simulated)

    def _taps(self, probes: Probes) -> list[Tap]:
        """One for the provider's bytes and one for each stage, the last of which is the buffer before the client."""
        taps = [probes.lane("bytes", Shape.BYTES)]
        met: dict[str, int] = {}
        for step in self._whole.stages:
            met[step.name] = met.get(step.name, 0) + 1
            name = step.name if met[step.name] == 1 else f"{step.name} {met[step.name]}"
            shape = Shape.TOKENS if step.kind is BUFFER_WITH_BACKPRESSURE else step.kind.gives
            taps.append(probes.lane(name, "any" if shape is None else shape))
        return taps

    async def _answering(self, *, simulated: bool) -> Running:
        async with self._lock:
            if simulated not in self._running:
                config = await self._config(simulated=simulated)
                pipeline = pipelines_of(config.pipelines, config.settings)[self.name]
                self._running[simulated] = running = Running(self._lab, config, pipeline)
                self._lab.closing(running.traffic.aclose)
            return self._running[simulated]

    async def _config(self, *, simulated: bool) -> Config:
        """The configuration, with everybody who can be asked; none but the simulator, if it is `simulated`."""
        played = await self._lab.simulated()
        if simulated:
            config = _read(self._file, played)
            url = self._lab.simulator.base_url
            providers = {name: played.get(name) or redirected(one, url) for name, one in config.providers.items()}
            config = replace(config, providers=providers)
        else:
            played = {name: one for name, one in played.items() if self._lab.simulates(name)}
            # A key may be fetched by a command: that blocks.
            config = await asyncio.to_thread(load_config, self._lab.environ, self._file, played=played)
        return replace(config, settings=without_default_limit(config.settings, played))


class Diagram:
    """The picture of one pipeline; a notebook draws it."""

    def __init__(self, charted: Charted) -> None:
        self._charted = charted

    def svg(self) -> str:
        """One SVG document, which needs nothing else."""
        return svg([self._charted.chart])

    def html(self) -> str:
        """The same within a page, where the document's style would hold for all drawings: nested, it is this one's."""
        scoped = self.svg().replace("<style>", "<style>.rxlapce-graph {").replace("</style>", "}</style>")
        return f'<div class="rxlapce-graph">{scoped}</div>'

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return " -> ".join(node.name for node in self._charted.chart.stages)


def _text(source: str | Path) -> FileText:
    """The text, or what is in the file that `source` names."""
    if isinstance(source, Path) or ("\n" not in source and source.endswith((".yaml", ".yml"))):
        return FileText.read(Path(source))
    return FileText("pipeline.yaml", source)


def _read(file: FileText, providers: dict[str, Any]) -> Config:
    """What the file says, with no key fetched; without `providers` everybody counts as configured."""
    from rxlapce.config.check import ELSEWHERE

    problems = Problems()
    config = read_config(read_sections(file, problems), None, providers, () if providers else ELSEWHERE)
    problems.raise_any()
    return config


def _chosen(config: Config, found: dict[str, Pipeline], name: str | None) -> str:
    """The pipeline that is asked by: `name`, else the only one that was said, else `default`. Raises `ConfigError`."""
    if name is None:
        name = next(iter(config.pipelines)) if len(config.pipelines) == 1 else DEFAULT
    if name not in found:
        raise ConfigError(f"there is no pipeline {name!r}; there are {', '.join(found)}")
    return name


def _recorder(make: OnBytes, request: ChatRequest) -> MakeBytes:
    def made(site: Site) -> BytesOperator:
        return make(site.secrets, name_of_api(site.model.provider, request, site.model.model))

    return made
