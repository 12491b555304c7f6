"""Each example is run by a daemon whose providers a simulator plays, and does what its first lines say."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rxlapce.answer import AnswerBuilder
from rxlapce.bridge import Client, connect
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.recording import read_recording
from rxlapce.operators.replay import replay
from rxlapce.pipeline.copies.answers import read_answer
from rxlapce.providers.apis import SSE
from rxlapce.requests import ChatRequest, CompletionRequest, Message
from rxlapce.routing.ways import Asks
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected
from rxlapce.testing.examples import configured_daemon, environ
from rxlapce.testing.sse_server import sse_server
from rxlapce.tokens import Finish, Seam, StreamToken

Example = Callable[[str], str]


def chat(model: str, prompt: str = "hello") -> ChatRequest:
    return ChatRequest(model=model, messages=(Message(role="user", content=prompt),))


async def answer(client: Client, request: ChatRequest | CompletionRequest) -> list[StreamToken]:
    stream = client.chat_stream(request) if isinstance(request, ChatRequest) else client.complete_stream(request)
    return [token async for token in stream]


def text_of(tokens: Sequence[StreamToken]) -> str:
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return builder.answer().choices[0].text


async def test_minimal_answers_and_asks_again_but_nobody_else(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = example("minimal").replace("gpt-4.1-mini", "gpt-4.1-mini:fault=overloaded;times=1;retry_after=0")
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        tokens = await answer(client, chat("fast"))
    assert isinstance(tokens[-1], Finish)
    assert [attempt.finished for attempt in running.settled[0].attempts] == [False, True]


async def test_every_provider_answers_in_its_own_framing(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = example("every-provider")
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        names = list(running.config.providers)
        for name in names:
            model = "claude-haiku-4-5" if name == "anthropic" else "sim"
            tokens = await answer(client, chat(f"{name}/{model}:tokens=5"))
            assert text_of(tokens), name
        assert text_of(await answer(client, chat("anyone")))
    assert {*names} >= {"openai", "anthropic", "gemini", "azure", "bedrock", "xai", "vertex", "openrouter", "groq"}
    framings = {api.framing.name for name in names for api in running.config.providers[name].apis.values()}
    assert {"sse", "google-sse", "eventstream"} <= framings
    assert running.config.aliases[0].targets[3].model.startswith("azure/")


async def test_the_chain_goes_on_with_the_answer_where_the_first_model_breaks_off(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = example("fallback-chain").replace("claude-sonnet-4-5", "claude-sonnet-4-5:fault=cut;after=8;tokens=30")
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        tokens = await answer(client, chat("careful"))
        seams = [token for token in tokens if isinstance(token, Seam)]
        assert [seam.word.value for seam in seams if seam.word] == ["continue"]
        assert isinstance(tokens[-1], Finish)
        asked = [(attempt.provider, attempt.finished) for attempt in running.settled[0].attempts]
        assert asked == [("anthropic", False), ("openai", True)]


async def test_the_chain_leaves_a_model_alone_that_failed_three_times_and_a_completion_waits_for_nobody(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = example("fallback-chain").replace("claude-sonnet-4-5", "claude-sonnet-4-5:status=500")
    text = text.replace("retry: {patience_s: 1, base_s: 0.2}", "retry: {patience_s: 0.02, base_s: 0.1}")
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        for number in range(4):
            assert isinstance((await answer(client, chat("careful", f"{number}")))[-1], Finish)
        first = [request.attempts[0] for request in running.settled]
        assert [attempt.provider for attempt in first] == ["anthropic", "anthropic", "anthropic", "openai"]
        assert running.manager.way("quick", Exchange()).name == "default"
        assert running.manager.way("quick", Exchange(), Asks.COMPLETE).name == "line"
        assert text_of(await answer(client, CompletionRequest(model="quick", prompt="def f(")))


async def test_what_is_to_be_redacted_does_not_arrive_however_it_is_cut(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    pieces = [
        "Ask ACME-",
        "1234",
        "5 or ada@exam",
        "ple.com, key sk-",
        "proj-",
        "a" * 40,
        ", card 4111 1111 ",
        "1111 1111.",
    ]
    async with sse_server(pieces) as base_url:
        variables = environ(simulator.base_url, OPENAI_BASE_URL=f"{base_url}/v1")
        async with (
            configured_daemon(example("redaction"), simulator.base_url, tmp_path, variables) as running,
            await connect(running.path) as client,
        ):
            said = text_of(await answer(client, chat("openai/m")))
    assert said == "Ask [removed] or [removed], key [removed], card [removed]."


async def test_the_recording_has_what_the_editor_got_and_the_bytes_can_be_played(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = example("two-sinks").replace("~/rxlapce", str(tmp_path / "kept"))
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        got = await answer(client, chat("fast"))
        await answer(client, chat("openai/gpt-4.1-mini"))  # goes the default way
    (recording,) = (tmp_path / "kept" / "answers").iterdir()
    kept = read_answer(recording)
    tokens = [token for _, token in kept.tokens]
    assert (text_of(tokens), tokens[-1]) == (text_of(got), got[-1])  # cut otherwise, where a key might have begun
    assert sorted(at_s for at_s, _ in kept.tokens) == [at_s for at_s, _ in kept.tokens]
    assert (kept.whole, kept.header.asked, kept.header.pipeline) == (True, "fast", "recorded")
    assert recording.stat().st_mode & 0o777 == 0o600
    (played,) = (tmp_path / "kept" / "bytes").iterdir()
    header = read_recording(played).header
    assert (header.provider, header.api, header.framing) == ("openai", "openai.chat.completions", "sse")
    events = Collected(SSE.decode()(replay(played, speed=0)))
    assert await events.end() is None
    said = [json.loads(event.data) for event in events.items if event.data != "[DONE]"]
    words = [delta for event in said for choice in event["choices"] if (delta := choice["delta"].get("content"))]
    assert "".join(words) == text_of(got)
    assert running.troubles == []


async def test_a_disk_that_fails_ends_the_recording_and_not_the_answer(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    text = example("two-sinks").replace("~/rxlapce", str(tmp_path / "kept"))
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        assert isinstance((await answer(client, chat("fast")))[-1], Finish)
    assert {trouble[1] for trouble in running.troubles} == {"record"}
    assert {type(trouble[3]) for trouble in running.troubles} <= {FileExistsError, NotADirectoryError}
    assert running.manager.traffic.copied["recorded", "record"].failed == len(running.troubles) == 2


async def test_the_team_has_limits_by_user_and_completions_a_way_of_their_own(
    example: Example, simulator: Simulator, tmp_path: Path
) -> None:
    text = (
        example("team-server").replace("user: {requests: 30", "user: {requests: 2").replace("wait_s: 20", "wait_s: 0")
    )
    text = text.replace("/etc/rxlapce", str(tmp_path)).replace("/var/lib/rxlapce", str(tmp_path))
    async with configured_daemon(text, simulator.base_url, tmp_path) as running, await connect(running.path) as client:
        outcomes = [await _kind(client, chat("fast", f"{number}")) for number in range(3)]
        assert outcomes == [None, None, ErrorKind.RATE_LIMIT]
        refused = running.settled[-1]
        assert refused.attempts == ()
        assert running.config.settings.admission.of_user("ada").requests == 120
        assert running.manager.way("fast", Exchange(user="ada"), Asks.COMPLETE).name == "completions"
        assert running.config.serve.require_signing


async def _kind(client: Client, request: ChatRequest) -> ErrorKind | None:
    try:
        await answer(client, request)
    except ProviderError as error:
        return error.kind
    return None
