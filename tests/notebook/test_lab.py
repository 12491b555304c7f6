"""A notebook's lab: who answers, what is seen of an answer, and that nothing is left behind."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from reactivex import Observable

from rxlapce.errors import ConfigError, ProviderError
from rxlapce.flow import FlowControl, iterate
from rxlapce.notebook.ask import Ask
from rxlapce.notebook.lab import Lab
from rxlapce.notebook.probes import Observed, T
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.trace import Trace
from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Finish, Seam, StreamToken, Text

KEY = "sk-" + "a1b2c3d4" * 5
PIPELINES = """
models:
  two: {ask: ["openai/sim:tps=0,ttft=0,fault=cut,after=8,steady=1", "anthropic/sim:tps=0,ttft=0,tokens=20,steady=1"]}
pipelines:
  safe:
    stages: [retry_stream, fallback: {after_commit: continue}, coalesce_text, coalesce_text: {max_chars: 8}]
    sinks: [editor]
"""


@pytest.fixture
async def lab() -> AsyncGenerator[Lab]:
    async with Lab(simulator=True) as opened:
        yield opened


async def tokens_of(source: Observable[StreamToken]) -> list[StreamToken]:
    return [token async for token in iterate(source)]


async def traced(source: Observed) -> Trace:
    """What probes saw of all of it; its error is in the trace."""
    trace = Trace()
    probes = TraceProbes(trace)
    over = asyncio.Event()
    source.observed(probes).subscribe(on_error=lambda _: over.set(), on_completed=over.set)
    await over.wait()
    probes.close()
    return trace


def names(trace: Trace) -> list[str]:
    return [lane.name for lane in trace.lanes]


class Gates:
    """Probes that note which gates they were shown."""

    def __init__(self) -> None:
        self.gates: list[FlowControl] = []

    def lane(self, name: str, shape: str = "any") -> Callable[[Observable[T]], Observable[T]]:
        del name, shape
        return lambda source: source

    def gate(self, flow: FlowControl) -> None:
        self.gates.append(flow)


# -- who answers ------------------------------------------------------------------------------------------------------


def test_a_simulator_answers_where_no_key_is_set() -> None:
    lab = Lab(environ={})
    assert str(lab.who) == "No key is set, so a simulator answers: simulator/sim"
    assert lab.ask("Why?").who == "the simulator: simulator/sim"


def test_the_first_that_has_a_key_answers() -> None:
    lab = Lab(environ={"ANTHROPIC_API_KEY": KEY, "XAI_API_KEY": KEY})
    assert (lab.who.provider, lab.who.simulated) == ("anthropic", False)
    assert lab.ask("Why?").who == f"anthropic/{lab.who.model}"


@pytest.mark.parametrize("ask", [{"provider": "openai"}, {"tps": 5}, {"provider": "anthropic", "fault": "cut"}])
def test_the_simulator_plays_who_has_no_key_and_whoever_is_to_misbehave(ask: dict[str, Any]) -> None:
    assert Lab(environ={"ANTHROPIC_API_KEY": KEY}).ask("Why?", **ask).who.startswith("the simulator as ")


def test_no_key_is_looked_at_where_a_simulator_was_asked_for() -> None:
    lab = Lab(simulator=True, environ={"OPENAI_API_KEY": KEY})
    assert lab.who.simulated
    assert lab.ask("Why?", provider="openai").who == "the simulator as openai/sim"


def test_a_key_is_in_no_repr_and_no_error() -> None:
    lab = Lab(environ={"OPENAI_API_KEY": KEY})
    told = [repr(lab), repr(lab.who), repr(lab.ask("Why?")), repr(lab.pipeline(PIPELINES))]
    assert not any(KEY in text for text in told)


def test_an_option_that_the_simulator_lacks_is_told_where_it_is_given() -> None:
    with pytest.raises(ValueError, match="'speed=3' is no option"):
        Lab(environ={}).ask("Why?", speed=3)


def test_a_server_whose_models_are_not_known_yet_is_asked_for_them_first() -> None:
    lab = Lab(environ={"LOCAL_BASE_URL": "http://127.0.0.1:1/v1"})
    with pytest.raises(RuntimeError, match=r"after `await lab.open\(\)`"):
        lab.ask("Why?")


# -- asking -----------------------------------------------------------------------------------------------------------


async def test_the_first_question_opens_the_lab() -> None:
    lab = Lab(environ={})
    with pytest.raises(RuntimeError, match="from its first question on"):
        _ = lab.simulator
    tokens = await tokens_of(lab.ask("Why?", tps=0, ttft=0, tokens=3))
    assert isinstance(tokens[-1], Finish)
    assert len(lab.simulator.served) == 1
    await lab.aclose()


async def test_each_subscription_asks_anew_and_the_options_are_said(lab: Lab) -> None:
    ask = lab.ask("Why?", system="Be brief.", tps=0, ttft=0, tokens=4, max_tokens=100)
    first, second = await tokens_of(ask), await tokens_of(ask)
    assert first == second
    bodies = [json.loads(served.request.body) for served in lab.simulator.served]
    assert [body["model"] for body in bodies] == ["sim:tps=0,ttft=0,tokens=4"] * 2
    assert [turn["role"] for turn in bodies[0]["messages"]] == ["system", "user"]


async def test_options_go_behind_those_that_a_model_has(lab: Lab) -> None:
    ask = lab.ask("Why?", model="sim:tps=0,ttft=0", tokens=2)
    assert ask.request is not None
    assert ask.request.model == "simulator/sim:tps=0,ttft=0,tokens=2"


async def test_a_whole_request_is_asked_as_it_is(lab: Lab) -> None:
    request = ChatRequest(model="gemini/sim:tps=0,ttft=0,tokens=2", messages=(Message(role="user", content="Why?"),))
    ask = lab.ask(request)
    assert ask.request == request
    assert isinstance((await tokens_of(ask))[-1], Finish)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "bedrock"])
async def test_an_answer_has_lanes_from_its_bytes_to_its_tokens(lab: Lab, provider: str) -> None:
    ask = lab.ask("Why?", provider=provider, tps=0, ttft=0, tokens=3)
    assert isinstance(ask, Observed)
    trace = await traced(ask)
    reads, events, tokens = trace.totals
    assert names(trace) == ["bytes", "events", "tokens"]
    assert reads.size == ask.exchange.bytes_read > 0
    assert events.marks > 0
    assert tokens.marks == len(trace.items())
    assert isinstance(trace.items()[-1], Finish)


async def test_the_gate_that_is_shown_is_the_one_that_the_connection_asks(lab: Lab) -> None:
    ask = lab.ask("Why?")
    gates = Gates()
    ask.observed(gates)
    assert gates.gates == [ask.exchange.flow]


async def test_disposing_reaches_the_provider(lab: Lab) -> None:
    begun = asyncio.Event()
    subscription = lab.ask("Why?", tps=200, ttft=0, tokens=100_000).subscribe(lambda _: begun.set())
    await begun.wait()
    subscription.dispose()
    await lab.simulator.wait_until(lambda: lab.simulator.open_streams == 0)


async def test_disposing_before_the_lab_is_open_asks_nobody() -> None:
    lab = Lab(environ={})
    told: list[object] = []
    lab.ask("Why?", tps=0).subscribe(told.append, told.append).dispose()
    await lab.open()
    await lab.aclose()
    assert told == []
    assert lab.simulator.requests == []


async def test_who_is_not_to_be_had_is_an_error_of_the_stream(lab: Lab) -> None:
    request = ChatRequest(model="nobody/model", messages=(Message(role="user", content="Why?"),))
    with pytest.raises(ProviderError, match="nobody"):
        await tokens_of(lab.ask(request))


async def test_closing_ends_what_runs_and_nothing_can_be_asked_any_more() -> None:
    lab = Lab(environ={})
    ended = asyncio.Event()
    lab.ask("Why?", tps=100, ttft=0, tokens=100_000).subscribe(lambda _: None, lambda _: ended.set())
    await lab.open()
    await lab.simulator.wait_until(lambda: lab.simulator.open_streams == 1)
    await lab.aclose()
    await lab.aclose()
    await ended.wait()
    with pytest.raises(RuntimeError, match="closed"):
        await lab.open()
    with pytest.raises(RuntimeError):
        await tokens_of(lab.ask("Why?"))


# -- pipelines --------------------------------------------------------------------------------------------------------


async def test_a_pipeline_has_a_lane_for_each_of_its_stages(lab: Lab) -> None:
    piped = lab.pipeline(PIPELINES)
    trace = await traced(piped.ask("Why?"))
    stages = ["decode", "token_map", "retry_stream", "fallback", "coalesce_text", "coalesce_text 2"]
    assert names(trace) == ["bytes", *stages, "buffer_with_backpressure"]
    assert piped.stages == (*stages[:-1], "coalesce_text", "buffer_with_backpressure")
    counts = dict(zip(names(trace), (total.marks for total in trace.totals), strict=True))
    assert counts["decode"] > counts["token_map"] > counts["buffer_with_backpressure"]
    assert any(isinstance(item, Seam) for item in trace.items())
    assert isinstance(trace.items()[-1], Finish)
    assert [served.request.path for served in lab.simulator.served] == ["/v1/chat/completions", "/v1/messages"]


async def test_a_pipeline_is_asked_unseen_too_and_by_options(lab: Lab) -> None:
    tokens = await tokens_of(lab.pipeline(PIPELINES).ask("Why?", tps=0, ttft=0, tokens=5))
    assert isinstance(tokens[-1], Finish)
    with pytest.raises(ValueError, match="two is an alias"):
        lab.pipeline(PIPELINES).ask("Why?", model="two", tps=0)


async def test_the_reader_of_a_pipeline_holds_its_source(lab: Lab) -> None:
    text = PIPELINES.replace(
        "coalesce_text, coalesce_text", "buffer_with_backpressure: {high_water: 2, low_water: 0}]#"
    )
    reader, paused = FlowControl(), asyncio.Event()
    reader.close("test")
    ask = lab.pipeline(text).ask("Why?", reader=reader, tps=0, ttft=0, tokens=50)
    ask.exchange.flow.on_change(paused.set)
    came: list[StreamToken] = []
    ended = asyncio.Event()
    ask.subscribe(came.append, on_completed=ended.set)
    await paused.wait()
    assert came == []
    assert not ask.exchange.flow.is_open
    reader.open("test")
    await ended.wait()
    assert isinstance(came[-1], Finish)


def test_what_is_wrong_in_a_pipeline_is_told_with_its_place() -> None:
    lab = Lab(environ={})
    with pytest.raises(ConfigError, match=r"pipeline.yaml:6:64: .*there is no stage 'coalesce'"):
        lab.pipeline(PIPELINES.replace("coalesce_text,", "coalesce,"))
    with pytest.raises(ConfigError, match="there is no pipeline 'other'; there are default, safe"):
        lab.pipeline(PIPELINES, "other")


def test_a_pipeline_of_a_file_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(PIPELINES)
    for source in (path, str(path)):
        piped = Lab(environ={}).pipeline(source)
        assert piped.name == "safe"
        assert "<svg" in piped.graph().svg()


def test_the_picture_of_a_pipeline_leaves_other_pictures_of_the_page_as_they_are() -> None:
    html = Lab(environ={}).pipeline(PIPELINES).graph().html()
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert style.startswith(".rxlapce-graph {")
    assert style.count("{") == style.count("}")


async def test_a_provider_without_a_key_is_played_in_a_pipeline_too() -> None:
    async with Lab(environ={"XAI_API_KEY": KEY}) as lab:
        trace = await traced(lab.pipeline(PIPELINES).ask("Why?"))
        assert isinstance(trace.items()[-1], Finish)
        assert len(lab.simulator.served) == 2


# -- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
async def test_what_was_recorded_is_replayed_in_its_dialect(lab: Lab, tmp_path: Path, provider: str) -> None:
    path = tmp_path / "a.rec"
    asked = await tokens_of(lab.record(lab.ask("Why?", provider=provider, tps=0, ttft=0, tokens=5), path))
    replayed = lab.replay(path, 0)
    assert await tokens_of(replayed) == asked
    trace = await traced(replayed)
    assert names(trace) == ["bytes", "events", "tokens"]
    assert trace.items() == asked


async def test_a_pipeline_is_recorded_before_its_stages_and_a_recording_is_replaced(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    ask = lab.record(lab.pipeline(PIPELINES).ask("Why?", tps=0, ttft=0, tokens=30), path)
    merged = await tokens_of(ask)
    (tmp_path / "a.rec.part").write_text("of a run that was broken off")
    again = await tokens_of(lab.record(lab.ask("Why?", tps=0, ttft=0, tokens=30), path))
    replayed = await tokens_of(lab.replay(path, speed=0))
    assert len(merged) < len(again) == len(replayed)
    text = "".join(token.text for token in merged if isinstance(token, Text))
    assert text == "".join(token.text for token in replayed if isinstance(token, Text))


async def test_a_key_is_in_no_recording(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    await tokens_of(lab.record(lab.ask("Say simulated-key.", provider="openai", tps=0, ttft=0), path))
    header, *_ = path.read_text().splitlines()
    assert json.loads(header)["scrubbed"] is True
    assert json.loads(header)["api"] == "openai.chat.completions"


def test_a_file_that_is_no_recording_is_told_at_once(tmp_path: Path) -> None:
    lab = Lab(environ={})
    path = tmp_path / "a.rec"
    with pytest.raises(FileNotFoundError):
        lab.replay(path)
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=r"a\.rec is no recording"):
        lab.replay(path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        lab.record(Lab(environ={}).ask("Why?"), tmp_path / "nowhere" / "a.rec")
    assert isinstance(lab.ask("Why?"), Ask)
