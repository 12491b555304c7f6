"""The proxy that records, between a client and a provider, over real sockets."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange
from rxlapce.operators.recording import Recording, read_recording
from rxlapce.providers.auth import NoAuth
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import Forwarded, HttpClient
from rxlapce.simulator import Outcome, Simulator
from rxlapce.simulator.recorder import RecordingProxy, Taken
from rxlapce.simulator.site import Site

pytestmark = pytest.mark.heavy

CHAT = "/v1/chat/completions"
KEYS = ("sk-in-the-header-1", "in-the-query-2", "in-the-cookie-3", "in-the-body-4", "in-x-api-key-5")
HEADERS = (
    ("Authorization", f"Bearer {KEYS[0]}"),
    ("Cookie", f"session={KEYS[2]}"),
    ("x-api-key", KEYS[4]),
    ("X-Own", "own"),
    ("Content-Type", "application/json"),
)


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    return ProviderError(ErrorKind.INTERNAL, f"{status}: {body!r}")


def chat(model: str) -> bytes:
    return json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()


@dataclass
class Bench:
    """A proxy, and who asks it."""

    client: HttpClient
    folder: Path
    base_url: str = ""
    taken: list[Taken] = field(default_factory=list[Taken])
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_taken(self, taken: Taken) -> None:
        self.taken.append(taken)
        self.changed.set()

    @asynccontextmanager
    async def asked(self, body: bytes, target: str = CHAT, method: str = "POST") -> AsyncGenerator[Forwarded]:
        url = self.base_url + target
        call = HttpCall(
            provider="p", url=url, body=body, auth=NoAuth(), read_error=read_error, headers={}, method=method
        )
        async with self.client.forward(call, HEADERS, Exchange()) as response:
            yield response

    async def whole(self, body: bytes, target: str = CHAT, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer."""
        pieces: list[bytes] = []
        async with self.asked(body, target, method) as response:
            while data := await response.read():
                pieces.append(data)
            return response.status, {name.lower(): value for name, value in response.headers}, b"".join(pieces)

    async def recording(self) -> Recording:
        """The recording of the one request, once it is over."""
        async with asyncio.timeout(5):
            await self.changed.wait()
        (taken,) = self.taken
        return read_recording(taken.file)


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


@asynccontextmanager
async def proxied(upstream: str, folder: Path) -> AsyncGenerator[Bench]:
    async with HttpClient() as client:
        bench = Bench(client, folder)
        proxy = RecordingProxy(upstream, folder, client, provider="p", on_taken=bench.on_taken, on_trouble=unexpected)
        async with proxy:
            bench.base_url = proxy.base_url
            yield bench


async def test_an_answer_goes_through_unchanged_and_its_recording_has_it(tmp_path: Path) -> None:
    async with Simulator() as simulator, proxied(simulator.base_url, tmp_path / "new") as bench:
        status, headers, body = await bench.whole(chat("sim:tokens=20"))
        recording = await bench.recording()
        bench.base_url = simulator.base_url
        assert (status, body) == (await bench.whole(chat("sim:tokens=20")))[::2]
        sent = [dict(one.headers) for one in simulator.requests]
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert recording.body == body
    assert recording.whole
    header = recording.header
    assert (header.provider, header.api, header.framing) == ("p", "openai.chat.completions", "sse")
    assert (header.model, header.path, header.status) == ("sim:tokens=20", CHAT, 200)
    assert header.headers["x-request-id"] == headers["x-request-id"]
    assert sent[0]["x-own"] == "own"
    assert sent[0]["authorization"] == f"Bearer {KEYS[0]}"
    assert sent[0]["accept-encoding"] == "identity"
    assert {name for name in sent[0] if name not in sent[1]} == {"accept-encoding"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


async def test_no_secret_of_a_request_is_in_any_file_though_the_answer_says_it(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        said = " ".join((*request.headers.values(), request.raw_path, (await request.read()).decode()))
        response = web.StreamResponse(status=int(request.query["status"]), headers={"retry-after": KEYS[0]})
        await response.prepare(request)
        for start in range(0, len(said), 7):  # a key is split over reads
            await response.write(said[start : start + 7].encode())
            await asyncio.sleep(0)
        return response

    body = json.dumps({"model": "m", "api_key": KEYS[3]}).encode()
    async with Site(echo) as upstream, proxied(upstream.base_url, tmp_path) as bench:
        for status in (200, 401):
            _, _, got = await bench.whole(body, f"{CHAT}?key={KEYS[1]}&status={status}")
            assert all(key.encode() in got for key in KEYS), "who asked gets it all"
        files = [read_recording(taken.file) for taken in bench.taken]
    assert [one.header.status for one in files] == [200, 401]
    texts = [taken.file.read_text() for taken in bench.taken]
    assert not [key for key in KEYS if any(key in text for text in texts)]
    for recording in files:
        assert not [key for key in KEYS if key.encode() in recording.body]
        assert recording.body.count(b"[redacted]") >= len(KEYS)


async def test_an_http_error_goes_through_with_its_headers_and_is_recorded_as_one(tmp_path: Path) -> None:
    async with Simulator() as simulator, proxied(simulator.base_url, tmp_path) as bench:
        status, headers, body = await bench.whole(chat("sim:status=429,retry_after=3"))
        recording = await bench.recording()
    assert (status, headers["retry-after"]) == (429, "3")
    assert recording.body == body
    assert recording.header.headers["retry-after"] == "3"
    assert recording.end is not None
    assert recording.end.error is not None
    assert (recording.end.error.kind, recording.end.error.retry_after_s) == (ErrorKind.RATE_LIMIT, 3.0)


async def test_an_answer_that_breaks_off_breaks_off_for_the_client(tmp_path: Path) -> None:
    async with Simulator() as simulator, proxied(simulator.base_url, tmp_path) as bench:
        with pytest.raises(ProviderError) as raised:
            await bench.whole(chat("sim:fault=cut,after=5"))
        recording = await bench.recording()
    assert raised.value.kind is ErrorKind.TRUNCATED
    assert len(recording.body) > 500
    assert recording.end is not None
    assert recording.end.error is not None
    assert recording.end.error.kind is ErrorKind.TRUNCATED


async def test_a_client_that_leaves_ends_its_request_at_the_provider(tmp_path: Path) -> None:
    async with Simulator() as simulator, proxied(simulator.base_url, tmp_path) as bench:
        async with bench.asked(chat("sim:fault=stall,after=3")) as response:
            assert await response.read()
        recording = await bench.recording()
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
    assert recording.body
    assert recording.end is not None
    assert recording.end.end == "disposed"


async def test_a_client_that_does_not_read_holds_the_provider_up(tmp_path: Path) -> None:
    async with (
        Simulator(send_buffer_bytes=4096) as simulator,
        proxied(simulator.base_url, tmp_path) as bench,
        bench.asked(chat("sim:tokens=200000")),
    ):
        await simulator.wait_until(lambda: bool(simulator.served) and simulator.served[0].paused_by_client)
        assert simulator.served[0].tokens < 200_000


async def test_a_provider_that_cannot_be_reached_is_a_502_and_a_recording(tmp_path: Path) -> None:
    async with proxied("http://127.0.0.1:1", tmp_path) as bench:
        status, headers, body = await bench.whole(chat("m"))
        recording = await bench.recording()
    assert (status, headers["content-type"]) == (502, "application/json; charset=utf-8")
    error = json.loads(body)["error"]
    assert error["code"] == "network"
    assert "cannot connect to 127.0.0.1:1" in error["message"]
    assert (recording.header.status, recording.body) == (None, b"")
    assert recording.end is not None
    assert recording.end.end == "failed"


async def test_what_is_compressed_though_nobody_asked_is_unpacked(tmp_path: Path) -> None:
    async def packed(request: web.Request) -> web.StreamResponse:
        response = web.Response(text=f"you are {request.headers['Authorization']}")
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with Site(packed) as upstream, proxied(upstream.base_url, tmp_path) as bench:
        _, headers, body = await bench.whole(b"{}")
        recording = await bench.recording()
    assert body == f"you are Bearer {KEYS[0]}".encode()
    assert "content-encoding" not in headers
    assert recording.body == b"you are [redacted]"


async def test_other_methods_and_paths_go_through_too(tmp_path: Path) -> None:
    async with Simulator() as simulator, proxied(simulator.base_url, tmp_path) as bench:
        status, headers, body = await bench.whole(b"", "/v1/models", "GET")
        recording = await bench.recording()
    assert (status, headers["content-length"]) == (200, str(len(body)))
    assert (recording.header.api, recording.header.path, recording.body) == ("", "/v1/models", body)
