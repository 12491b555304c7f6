"""What a pipeline says is what happens: which stages there are, what each is made for, and whose settings hold."""

from collections.abc import Callable, Sequence

import pytest

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.breaker import State
from rxlapce.operators.timeouts import StreamTimeout
from rxlapce.pipeline.copies.memory import MemorySink
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.manager import ProviderManager
from rxlapce.simulator import Simulator
from rxlapce.telemetry.hooks import Settled
from rxlapce.testing.asking import Collected
from rxlapce.tokens import Finish, StreamToken, Text

Managed = Callable[[str], ProviderManager]

TWO = """
models: {two: {ask: ["openai/a:status=500", "anthropic/b:tokens=4"]}}
retry: {min_s: 0.001, base_s: 0.001, patience_s: 5}
health: {enabled: false}
"""


def chat(model: str, prompt: str = "hello") -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content=prompt),))


def pipeline(stages: str, sinks: str = "[editor]") -> str:
    return f"pipelines: {{default: {{stages: [{stages}], sinks: {sinks}}}}}\n"


async def ended(manager: ProviderManager, model: str, exchange: Exchange | None = None) -> Sequence[StreamToken]:
    """The tokens of an answer. Raises what it ends in."""
    got = Collected(manager.chat_stream(chat(model), exchange or Exchange()))
    error = await got.end()
    if error is not None:
        raise error
    return got.items


@pytest.mark.parametrize(
    ("stages", "attempts"),
    [
        ("stream_timeouts, retry_stream: {max_attempts: 2}, fallback", ["openai", "openai", "anthropic"]),
        ("fallback", ["openai", "anthropic"]),
        ("retry_stream: {max_attempts: 4}, fallback", ["openai"] * 4 + ["anthropic"]),
    ],
)
async def test_a_model_is_asked_as_often_as_its_pipeline_says(
    stages: str, attempts: list[str], managed: Managed
) -> None:
    said = ", ".join(f"{{{stage}}}" if ":" in stage else stage for stage in _split(stages))
    exchange = Exchange()
    tokens = await ended(managed(TWO + pipeline(said)), "two", exchange)
    assert isinstance(tokens[-1], Finish)
    assert [attempt.provider for attempt in exchange.attempts] == attempts


def _split(stages: str) -> list[str]:
    return [stage.strip() for stage in stages.replace("}", "}\n").replace(", ", "\n").splitlines() if stage.strip()]


async def test_without_a_fallback_the_first_model_alone_is_asked_and_its_attempt_is_noted(managed: Managed) -> None:
    manager, exchange = managed("health: {enabled: false}\n" + pipeline("metrics_tap")), Exchange()
    with pytest.raises(ProviderError) as failed:
        await ended(manager, "openai/a:status=500", exchange)
    assert (failed.value.status, len(exchange.attempts)) == (500, 1)
    assert manager.traffic.totals.collect()["openai", "a:status=500"].attempts == 1
    assert manager.traffic.all_running == 0


async def test_a_stage_that_is_left_out_is_not_there(managed: Managed, simulator: Simulator) -> None:
    manager = managed("breaker: {consecutive: 1}\nlimits: {default: {requests: 1}}\n" + pipeline("fallback"))
    for _ in range(3):
        with pytest.raises(ProviderError) as failed:
            await ended(manager, "openai/a:status=500")
        assert failed.value.status == 500
    assert manager.traffic.totals.collect() == {}
    assert len(simulator.requests) == 3


async def test_the_gates_of_user_and_client_are_always_there(managed: Managed) -> None:
    manager = managed("limits: {users: {ada: {requests: 1}}, wait_s: 0}\n" + pipeline(""))
    await ended(manager, "openai/a:tokens=2", Exchange(user="ada"))
    with pytest.raises(ProviderError, match="user ada") as refused:
        await ended(manager, "openai/a:tokens=2", Exchange(user="ada"))
    assert (refused.value.kind, refused.value.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)
    await ended(manager, "openai/a:tokens=2", Exchange(user="grace"))


async def test_limits_of_a_pipeline_are_counted_apart(managed: Managed) -> None:
    text = """
limits: {default: {requests: 2}, wait_s: 0}
pipelines:
  tight: {stages: [{rate_limit_gate: {requests: 1}}]}
routes: [{users: [ada], pipeline: tight}]
"""
    manager = managed(text)
    await ended(manager, "openai/a:tokens=2", Exchange(user="ada"))
    with pytest.raises(ProviderError, match=r"openai/a:tokens=2 in pipeline tight"):
        await ended(manager, "openai/a:tokens=2", Exchange(user="ada"))
    for _ in range(2):
        await ended(manager, "openai/a:tokens=2", Exchange(user="grace"))
    with pytest.raises(ProviderError, match="'openai/a:tokens=2'"):
        await ended(manager, "openai/a:tokens=2", Exchange(user="grace"))


async def test_breakers_of_a_pipeline_know_of_its_own_requests_alone(managed: Managed) -> None:
    text = """
retry: {max_attempts: 1}
pipelines:
  nervous: {stages: [circuit_break: {consecutive: 1}, fallback]}
routes: [{clients: [nervous], pipeline: nervous}]
"""
    manager = managed(text)
    nervous = Exchange(client="nervous")
    with pytest.raises(ProviderError):
        await ended(manager, "openai/a:status=500", nervous)
    states = {place: breaker.state for place, breaker in manager.traffic.breakers}
    assert states == {("openai", "a:status=500", " in pipeline nervous"): State.OPEN}
    with pytest.raises(ProviderError, match="circuit"):
        await ended(manager, "openai/a:status=500", nervous)
    with pytest.raises(ProviderError) as failed:
        await ended(manager, "openai/a:status=500")
    assert failed.value.status == 500


async def test_an_alias_with_an_open_circuit_of_the_pipeline_asks_the_other_model_first(managed: Managed) -> None:
    text = (
        TWO + "pipelines: {default: {stages: [circuit_break: {consecutive: 1, open_s: 60, max_open_s: 60}, fallback]}}"
    )
    manager, exchange = managed(text), Exchange()
    await ended(manager, "two")
    await ended(manager, "two", exchange)
    assert [attempt.provider for attempt in exchange.attempts] == ["anthropic"]


async def test_the_gates_of_an_attempt_wait_no_longer_together_than_one(managed: Managed) -> None:
    text = "limits: {default: {requests: 1, streams: 1}}\n" + pipeline(
        "{rate_limit_gate: {max_wait_s: 9}}, {concurrency_gate: {max_wait_s: 0}}"
    )
    manager = managed(text)
    await ended(manager, "openai/a:tokens=2")
    with pytest.raises(ProviderError, match="limit"):  # at once: the gate that is asked first waits for nothing
        await ended(manager, "openai/a:tokens=2")


async def test_timeouts_are_the_aliass_with_what_the_pipeline_says_laid_over(managed: Managed) -> None:
    text = """
models: {slow: {ask: ["openai/a:ttft=30"], timeouts: {first_token_s: 20, idle_s: 0.05}}}
pipelines: {default: {stages: [stream_timeouts: {total_s: 60}]}}
timeouts: {idle_s: 40}
"""
    with pytest.raises(StreamTimeout) as late:
        await ended(managed(text), "slow")
    assert late.value.limit == "idle"


async def test_a_client_that_takes_frames_by_another_way_is_refused_and_that_is_settled(managed: Managed) -> None:
    manager = managed(pipeline("", "[{editor: {transport: shm}}]"))
    settled: list[Settled] = []
    manager.on_settled = settled.append
    with pytest.raises(ProviderError, match="by shared memory, and this one asked for the socket") as refused:
        await ended(manager, "openai/a:tokens=2", Exchange(transport="socket"))
    assert (refused.value.kind, refused.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)
    for transport in ("shm", ""):
        await ended(manager, "openai/a:tokens=2", Exchange(transport=transport))
    assert [each.outcome for each in settled] == ["bad_request", "completed", "completed"]


async def test_a_decoder_reads_what_it_is_for_and_refuses_another_framing_by_name(managed: Managed) -> None:
    manager = managed(
        """
pipelines: {google: {stages: [google_sse_decode, token_map: {linger_s: 0}]}}
routes: [{models: ["gemini/*"], pipeline: google}]
"""
    )
    assert isinstance((await ended(manager, "gemini/a:tokens=3"))[-1], Finish)
    request = chat("gemini/a")
    array = ChatRequest(model=request.model, messages=request.messages, api="generate_content_array")
    error = await Collected(manager.chat_stream(array, Exchange())).end()
    assert isinstance(error, ProviderError)
    assert "comes as json-array, and the pipeline decodes google-sse" in error.message
    assert error.phase is Phase.ADMIT


async def test_a_bound_of_a_decoder_holds(managed: Managed) -> None:
    manager = managed(
        """
pipelines: {small: {stages: [sse_decode: {max_event_bytes: 40}, token_map]}}
routes: [{models: ["openai/*"], pipeline: small}]
"""
    )
    with pytest.raises(ProviderError) as failed:
        await ended(manager, "openai/a")
    assert failed.value.kind is ErrorKind.PROTOCOL


async def test_every_sink_gets_what_the_client_gets_also_of_an_answer_in_one_piece(managed: Managed) -> None:
    manager = managed(
        pipeline("{redact: {find: [], patterns: [e], replacement: ___}}", "[editor, {memory: {streams: 2}}, memory]")
    )
    got = await ended(manager, "openai/a:tokens=9")
    answer = await manager.chat(chat("openai/a:tokens=9"), Exchange())
    for sink in manager.ways.default.copies:
        assert isinstance(sink, MemorySink)
        streamed, whole = sink.answers
        assert streamed.tokens == got
        assert "".join(token.text for token in whole.tokens if isinstance(token, Text)) == answer.text
    assert "e" not in answer.text


async def test_which_models_a_route_takes_and_that_the_first_one_wins(managed: Managed) -> None:
    text = """
models: {fast: {ask: [openai/a]}}
pipelines: {one: {}, two: {}, three: {}}
routes:
  - {models: [fast, "openai/gpt*"], kinds: [chat], pipeline: one}
  - {models: ["openai/*"], users: [ada, "uid 7"], pipeline: two}
  - {clients: [lapce], pipeline: three}
"""
    manager = managed(text)

    def way(model: str, user: str = "", client: str = "") -> str:
        return manager.way(model, Exchange(user=user, client=client)).name

    assert [way("fast"), way("openai/gpt-9"), way("openai/a"), way("openai/a", user="uid 7")] == [
        "one", "one", "default", "two"
    ]  # fmt: skip
    assert [way("openai/gpt", user="ada", client="lapce"), way("x/y", client="lapce"), way("fast", client="lapce")] == [
        "one", "three", "one"
    ]  # fmt: skip
