"""Recordings as a provider, over real sockets."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, iterate
from rxlapce.operators.record import SecretScrubber, record
from rxlapce.operators.recording import Recording, read_recording
from rxlapce.providers.apis import api_name
from rxlapce.providers.auth import NoAuth
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest, Message
from rxlapce.simulator import Outcome, Simulator
from rxlapce.simulator.recorded import RecordedProvider

#: Each dialect and each framing.
APIS = (
    ("openai", "chat_completions"),
    ("openai", "responses"),
    ("openai", "completions"),
    ("anthropic", "messages"),
    ("gemini", "generate_content"),
    ("gemini", "generate_content_array"),
    ("bedrock", "converse"),
)
HEADER: dict[str, object] = {"format": "rxlapce-recording", "version": 1}
CHAT = "/v1/chat/completions"


def written(path: Path, header: Mapping[str, object], *lines: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in ({**HEADER, **header}, *lines)))
    return path


def answer(folder: Path, model: str, text: str, *, api: str = "openai.chat.completions", status: int = 200) -> Path:
    header = {"status": status, "content_type": "text/event-stream", "api": api, "model": model}
    data = {"t": 0.01, "b64": text}
    return written(folder / f"{model}-{text}.rec", header, data, {"t": 0.02, "end": "completed"})


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    return ProviderError(ErrorKind.OVERLOADED, body.decode(), status=status)


async def asked(
    client: HttpClient, url: str, body: bytes = b"{}", method: str = "POST"
) -> tuple[int | None, bytes, ErrorKind | None, Exchange]:
    """Status, bytes and error of one request."""
    exchange, got = Exchange(), list[bytes]()
    call = HttpCall(provider="p", url=url, body=body, auth=NoAuth(), read_error=read_error, headers={}, method=method)
    try:
        async for data in iterate(client.stream(call, exchange)):
            got.append(data)
    except ProviderError as error:
        return exchange.status, b"".join(got) or exchange.refusal, error.kind, exchange
    return exchange.status, b"".join(got), None, exchange


async def taken(client: HttpClient, provider: Provider, api: str, model: str, path: Path) -> Recording:
    """What `provider` sends, recorded."""
    request = ChatRequest(model=model, messages=(Message(role="user", content="hi"),), api=api, max_tokens=40)
    spoken = provider.api(request, model)
    call, exchange = provider.call(spoken, request, model, stream=True), Exchange(provider=provider.name, model=model)
    tap = record(
        path,
        exchange=exchange,
        api=api_name(spoken.dialect.name, spoken.framing.name),
        framing=spoken.framing.name,
        scrubber=lambda: SecretScrubber(call.auth.secrets),
        on_trouble=unexpected,
    )
    with suppress(ProviderError):
        async for _ in iterate(client.stream(call, exchange).pipe(tap)):
            pass
    return read_recording(path)


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "api"), APIS, ids=str)
@pytest.mark.parametrize("model", ["sim:tokens=12", "sim:fault=cut,after=5", "sim:status=429,retry_after=3"])
async def test_what_was_replayed_records_the_same_bytes_and_end(
    tmp_path: Path, name: str, api: str, model: str
) -> None:
    async with Simulator() as simulator, HttpClient() as client:
        provider = load_provider_configs_from_env(simulated_environ(simulator.base_url))[name]
        first = await taken(client, provider, api, model, tmp_path / "first.rec")
        async with RecordedProvider([tmp_path / "first.rec"], speed=0) as replayed:
            again = load_provider_configs_from_env(simulated_environ(replayed.base_url))[name]
            second = await taken(client, again, api, model, tmp_path / "second.rec")
    assert first.body == second.body
    assert len(first.body) > 50
    for field in ("status", "content_type", "headers", "api", "framing", "model"):
        assert getattr(first.header, field) == getattr(second.header, field), field
    assert first.end is not None
    assert second.end is not None
    assert first.end.end == second.end.end == ("completed" if model == "sim:tokens=12" else "failed")
    if first.end.error is not None:
        assert second.end.error is not None
        assert second.end.error.kind is first.end.error.kind
        assert second.end.error.retry_after_s == first.end.error.retry_after_s


@pytest.mark.heavy
@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 0.3), (3.0, 0.1)])
async def test_reads_come_at_their_times_divided_by_the_speed(tmp_path: Path, speed: float, seconds: float) -> None:
    header = {"status": 200, "content_type": "text/event-stream", "answered": 0.1}
    reads = [{"t": 0.1 * n, "b64": "YQ=="} for n in (1, 2, 3)]
    path = written(tmp_path / "a.rec", header, *reads, {"t": 0.3, "end": "completed"})
    loop, times = asyncio.get_running_loop(), list[float]()
    async with RecordedProvider([path], speed=speed) as provider, HttpClient() as client:
        call = HttpCall(
            provider="p", url=provider.base_url, body=b"{}", auth=NoAuth(), read_error=read_error, headers={}
        )
        exchange, began = Exchange(), loop.time()
        async for _ in iterate(client.stream(call, exchange)):
            times.append(loop.time() - began)
    assert exchange.answered_s is not None
    assert exchange.answered_s - began >= seconds / 3 - 0.01
    assert [time >= n * seconds / 3 - 0.01 for n, time in enumerate(times, 1)] == [True] * 3
    assert times[-1] < seconds + 1


async def test_recordings_are_given_by_path_and_model_and_in_turn(tmp_path: Path) -> None:
    texts = ("YQ==", "Yg==", "Yw==")
    files = [answer(tmp_path, "one", text) for text in texts[:2]]
    files += [answer(tmp_path, "two", texts[2]), answer(tmp_path, "one", "ZA==", api="anthropic.messages")]
    provider, repeated = RecordedProvider(files), RecordedProvider(files, loop=True)

    def given(to: RecordedProvider, model: str, path: str = CHAT) -> str | None:
        chosen = to.choose("POST", path, json.dumps({"model": model}).encode())
        return None if chosen is None else chosen.path.name

    assert [given(provider, "one") for _ in range(3)] == ["one-YQ==.rec", "one-Yg==.rec", "one-Yg==.rec"]
    assert [given(repeated, "one") for _ in range(3)] == ["one-YQ==.rec", "one-Yg==.rec", "one-YQ==.rec"]
    assert given(provider, "two") == "two-Yw==.rec"
    assert given(provider, "three") == "one-YQ==.rec", "a model that nobody recorded is answered all the same"
    assert given(provider, "one", "/v1/messages") == "one-ZA==.rec"
    assert given(provider, "one", "/v1/responses") is None


async def test_one_recording_answers_every_post_and_lists_its_model(tmp_path: Path) -> None:
    async with RecordedProvider([answer(tmp_path, "m", "YQ==")], speed=0) as provider, HttpClient() as client:
        assert (await asked(client, f"{provider.base_url}/anything"))[:3] == (200, b"a", None)
        for path in ("/v1/models", "/v1beta/models", "/api/tags"):
            status, body, _, _ = await asked(client, provider.base_url + path, b"", "GET")
            listed = json.loads(body)
            assert status == 200
            assert listed["data"][0]["id"] == "m"
            assert listed["models"][0]["name"].removeprefix("models/") == "m"
        status, body, _, _ = await asked(client, f"{provider.base_url}/v1/files", b"", "GET")
        assert status == 404
        assert b"no recording answers GET /v1/files: there are those of openai.chat.completions" in body


@pytest.mark.parametrize(
    ("header", "lines", "expected"),
    [
        ({"status": 200}, [{"t": 0, "b64": "YQ=="}, {"t": 0, "end": "completed"}], (200, b"a", None)),
        ({"status": 200}, [{"t": 0, "b64": "YQ=="}, {"t": 0, "end": "disposed"}], (200, b"a", ErrorKind.TRUNCATED)),
        ({"status": 200}, [{"t": 0, "b64": "YQ=="}, {"t": 0, "end": "failed"}], (200, b"a", ErrorKind.TRUNCATED)),
        ({"status": 200}, [{"t": 0, "b64": "YQ=="}], (200, b"a", ErrorKind.TRUNCATED)),
        ({"status": 503}, [{"t": 0, "b64": "YQ=="}, {"t": 0, "end": "failed"}], (503, b"a", ErrorKind.OVERLOADED)),
        ({"status": None}, [{"t": 0, "end": "failed"}], (None, b"", ErrorKind.NETWORK)),
        ({}, [{"t": 0, "b64": "YQ=="}, {"t": 0, "end": "completed"}], (200, b"a", None)),
    ],
    ids=["whole", "left", "cut", "torn", "refused", "unanswered", "nothing known"],
)
async def test_an_answer_ends_as_it_was_recorded(
    tmp_path: Path,
    header: dict[str, object],
    lines: list[dict[str, object]],
    expected: tuple[int | None, bytes, ErrorKind | None],
) -> None:
    path = written(tmp_path / "a.rec", header, *lines)
    async with RecordedProvider([path], speed=0) as provider, HttpClient() as client:
        assert (await asked(client, provider.base_url + CHAT))[:3] == expected


async def test_what_was_waited_for_in_vain_is_silent_until_the_client_leaves(tmp_path: Path) -> None:
    end = {"t": 0, "end": "failed", "error": {"kind": "timeout", "message": "late"}}
    path = written(tmp_path / "a.rec", {"status": None}, end)
    async with RecordedProvider([path]) as provider, HttpClient() as client:
        request = asyncio.create_task(asked(client, provider.base_url + CHAT))
        await provider.wait_until(lambda: len(provider.served) == 1)
        request.cancel()
        await provider.wait_until(lambda: provider.served[0].outcome is Outcome.CLIENT_GONE)


def test_what_cannot_be_played_is_refused_before_anybody_asks(tmp_path: Path) -> None:
    (tmp_path / "no.rec").write_text("data: {}\n")
    with pytest.raises(ValueError, match=r"no\.rec is no recording"):
        RecordedProvider([tmp_path / "no.rec"])
    with pytest.raises(FileNotFoundError):
        RecordedProvider([tmp_path / "gone.rec"])
    with pytest.raises(ValueError, match="nothing to play"):
        RecordedProvider([])
    with pytest.raises(ValueError, match="speed must be 0 or more"):
        RecordedProvider([answer(tmp_path, "m", "YQ==")], speed=float("nan"))
