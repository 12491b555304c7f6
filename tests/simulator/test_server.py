"""The simulator over real sockets."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from rxlapce.secret import Secret
from rxlapce.simulator import Options, Outcome, Served, Simulator

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
VENDOR_PATHS = (CHAT, MESSAGES)
TERMINAL = {CHAT: b"data: [DONE]\n\n", MESSAGES: b"event: message_stop\n"}


def ask(model: str = "sim", *, prompt: str = "hi", stream: bool = True, **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": model, "max_tokens": 10_000_000, "messages": messages, "stream": stream, **members}


async def fetch(
    client: aiohttp.ClientSession, path: str, model: str, *, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    async with client.post(path, json=ask(model), headers=headers) as response:
        return response.status, await response.read()


def text_of(stream: bytes) -> str:
    """The visible text of either vendor's stream."""
    text: list[str] = []
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            event = msgspec.json.decode(line[6:])
            delta = event["choices"][0]["delta"] if event.get("choices") else event.get("delta", {})
            text.append(delta.get("content") or delta.get("text") or "")
    return "".join(text)


# -- whole answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_stream_is_event_stream_in_utf_8_with_the_vendors_headers(
    client: aiohttp.ClientSession, path: str
) -> None:
    async with client.post(path, json=ask()) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        request_id = response.headers["x-request-id" if path == CHAT else "request-id"]
        assert request_id.startswith("req_")
        rate = "x-ratelimit-remaining-tokens" if path == CHAT else "anthropic-ratelimit-tokens-remaining"
        assert int(response.headers[rate]) > 0
        assert TERMINAL[path] in await response.read()


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_the_same_request_gives_the_same_bytes_on_another_server(
    client: aiohttp.ClientSession, path: str
) -> None:
    mine = await fetch(client, path, "sim:tokens=50")
    async with (
        Simulator(seed=7) as same,
        Simulator(seed=8) as other,
        aiohttp.ClientSession(headers={"anthropic-version": "2023-06-01"}) as session,
    ):
        assert await fetch(session, same.base_url + path, "sim:tokens=50") == mine
        assert await fetch(session, other.base_url + path, "sim:tokens=50") != mine


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_unary_and_streamed_answers_say_the_same(client: aiohttp.ClientSession, path: str) -> None:
    async with client.post(path, json=ask(prompt="What is backpressure?", stream=False)) as response:
        assert response.content_type == "application/json"
        whole = await response.json()
    async with client.post(path, json=ask(prompt="What is backpressure?")) as response:
        streamed = text_of(await response.read())
    text = whole["choices"][0]["message"]["content"] if path == CHAT else whole["content"][0]["text"]
    assert "high-water mark" in text
    # The bodies differ in `stream`, and so the seeded opening may.
    assert text.splitlines()[1:] == streamed.splitlines()[1:]


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_hundred_thousand_tokens_arrive_whole_and_in_order(
    simulator: Simulator, client: aiohttp.ClientSession, path: str
) -> None:
    _, body = await fetch(client, path, "sim:tokens=100000")
    deltas = body.count(b'"delta":{"content":') if path == CHAT else body.count(b'"text_delta"')
    assert deltas == 100_000
    parts = [int(line.split()[-1]) for line in text_of(body).splitlines() if line.startswith("### Part ")]
    assert parts == list(range(2, 2 + len(parts)))
    assert len(parts) > 1000
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.COMPLETED])
    assert simulator.served[0].tokens == 100_000
    assert simulator.served[0].bytes == simulator.bytes_sent == len(body)


async def test_a_reader_of_single_bytes_can_see_a_character_cut(client: aiohttp.ClientSession) -> None:
    chunks: list[bytes] = []
    async with client.post(CHAT, json=ask("sim:split=1,tokens=12", prompt="🦀"), headers={"x": "y"}) as response:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)  # noqa: PERF401 - the chunks are what is looked at
    whole = b"".join(chunks)
    assert "🦀" in text_of(whole)
    assert len(chunks) > 200
    at = whole.index("🦀".encode())
    ends = {sum(map(len, chunks[: index + 1])) for index in range(len(chunks))}
    assert ends & {at + 1, at + 2, at + 3}


# -- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", VENDOR_PATHS)
@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_broken_connection_is_an_error_of_the_body(
    simulator: Simulator, client: aiohttp.ClientSession, path: str, fault: str
) -> None:
    body = b""
    async with client.post(path, json=ask(f"sim:tokens=50,tps=1000,fault={fault},after=7")) as response:
        with pytest.raises((aiohttp.ClientPayloadError, ConnectionResetError, aiohttp.ClientOSError)):  # noqa: PT012
            async for chunk in response.content.iter_any():
                body += chunk
    assert TERMINAL[path] not in body
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CUT])
    assert simulator.served[0].tokens == 7
    assert simulator.open_streams == 0


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_reset_before_the_headers_gives_no_response(client: aiohttp.ClientSession, path: str) -> None:
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await fetch(client, path, "sim:fault=reset")


@pytest.mark.parametrize("path", VENDOR_PATHS)
@pytest.mark.parametrize("fault", ["end", "error", "no_done"])
async def test_a_body_can_end_properly_without_its_last_event(
    client: aiohttp.ClientSession, path: str, fault: str
) -> None:
    status, body = await fetch(client, path, f"sim:tokens=50,fault={fault},after=7")
    assert status == 200
    assert TERMINAL[path] not in body
    assert (b'"error":' in body) == (fault == "error")


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_hang_sends_no_headers_and_notices_that_the_client_left(
    simulator: Simulator, client: aiohttp.ClientSession, path: str
) -> None:
    waiting = asyncio.create_task(fetch(client, path, "sim:fault=hang"))
    await simulator.wait_until(lambda: len(simulator.requests) == 1)
    waiting.cancel()
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
    assert simulator.served[0].status is None


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_stall_sends_its_tokens_and_notices_that_the_client_left(
    simulator: Simulator, client: aiohttp.ClientSession, path: str
) -> None:
    async with client.post(path, json=ask("sim:fault=stall,after=5")) as response:
        body = b""
        while body.count(b"delta") < 5:
            body += await response.content.readany()
        assert simulator.open_streams == 1
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE])
    assert (simulator.served[0].tokens, simulator.open_streams) == (5, 0)


async def test_a_client_that_leaves_between_two_tokens_is_noticed_at_once(
    simulator: Simulator, client: aiohttp.ClientSession
) -> None:
    async with client.post(CHAT, json=ask("sim:tps=0.01")) as response:
        await response.content.readany()
    await simulator.wait_until(lambda: simulator.outcomes == [Outcome.CLIENT_GONE], timeout_s=3)


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_only_the_first_requests_fail_with_times(client: aiohttp.ClientSession, path: str) -> None:
    model = "sim:status=503,times=2,tokens=3"
    assert [(await fetch(client, path, model))[0] for _ in range(4)] == [503, 503, 200, 200]
    assert (await fetch(client, path, "sim:status=503,times=2,tokens=4"))[0] == 503


async def test_a_header_chooses_as_the_model_name_does_and_wins(
    simulator: Simulator, client: aiohttp.ClientSession
) -> None:
    headers = {"X-Simulate": "fault=end; after=2"}
    _, body = await fetch(client, CHAT, "any-model:after=9,tokens=20", headers=headers)
    assert body.count(b'"delta":{"content":') == 2
    assert b'"model":"any-model"' in body
    assert simulator.requests[0].headers["x-simulate"] == "fault=end; after=2"


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_a_unary_answer_can_be_cut_or_refused_too(client: aiohttp.ClientSession, path: str) -> None:
    async with client.post(path, json=ask("sim:fault=cut", stream=False)) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with client.post(path, json=ask("sim:fault=error", stream=False)) as response:
        assert response.status == 500


@pytest.mark.parametrize("path", VENDOR_PATHS)
async def test_an_unknown_option_is_a_bad_request_that_names_the_known_ones(
    client: aiohttp.ClientSession, path: str
) -> None:
    status, body = await fetch(client, path, "sim:speed=3")
    assert status == 400
    assert "expected key=value with a key of tps" in msgspec.json.decode(body)["error"]["message"]


# -- keys, errors, other addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "header"), [(CHAT, "authorization"), (MESSAGES, "x-api-key")])
async def test_a_wrong_key_is_refused_and_the_right_one_is_seen(path: str, header: str) -> None:
    prefix = "Bearer " if header == "authorization" else ""
    async with (
        Simulator(api_key=Secret("sk-right-key-0123456789")) as simulator,
        aiohttp.ClientSession(simulator.base_url, headers={"anthropic-version": "2023-06-01"}) as client,
    ):
        wrong = await fetch(client, path, "sim", headers={header: f"{prefix}sk-wrong-key-0123456789"})
        right = await fetch(client, path, "sim", headers={header: f"{prefix}sk-right-key-0123456789"})
        assert (wrong[0], right[0]) == (401, 200)
        assert b"0123456789" not in wrong[1]
        assert simulator.requests[1].headers[header] == f"{prefix}sk-right-key-0123456789"
        assert simulator.outcomes == [Outcome.REFUSED, Outcome.COMPLETED]
        assert (await client.get("/v1/models")).status == 401


async def test_anthropics_error_body_names_the_id_of_the_response_header(client: aiohttp.ClientSession) -> None:
    async with client.post(MESSAGES, json=ask("sim:status=429,retry_after=2")) as response:
        body = await response.json()
        assert response.headers["retry-after"] == "2"
        assert body["request_id"] == response.headers["request-id"]


async def test_anthropic_demands_its_version_header(simulator: Simulator) -> None:
    async with aiohttp.ClientSession(simulator.base_url) as plain:
        status, body = await fetch(plain, MESSAGES, "sim")
    assert status == 400
    assert b"anthropic-version: header is required" in body


async def test_a_body_that_is_no_request_is_the_vendors_400(client: aiohttp.ClientSession) -> None:
    async with client.post(CHAT, data=b'{"model":"m"}') as response:
        error = (await response.json())["error"]
    assert (response.status, error["param"], error["code"]) == (400, "messages", "missing_required_parameter")


async def test_models_are_listed_in_each_vendors_shape(simulator: Simulator, client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/models") as response:
        listing = await response.json()
    assert list(listing) == ["data", "has_more", "first_id", "last_id"]
    async with aiohttp.ClientSession(simulator.base_url) as plain, plain.get("/v1/models") as response:
        listing = await response.json()
    assert listing["object"] == "list"
    assert {"sim", "sim:fault=hang"} <= {model["id"] for model in listing["data"]}
    assert all(model["description"] for model in listing["data"])


@pytest.mark.parametrize(
    "path",
    ["/openai/v1/models", "/openai/models?api-version=2024-10-21", "/xai/v1/models", "/openrouter/api/v1/models"],
)
async def test_models_are_listed_everywhere(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as response:
        listing = await response.json()
    assert {"sim", "sim:fault=hang"} <= {model["id"] for model in listing["data"]}


async def test_tokens_are_counted_as_the_answer_would_count_them(
    simulator: Simulator, client: aiohttp.ClientSession
) -> None:
    turns = [{"role": "user", "content": "What is a stream?"}]
    async with client.post("/v1/messages/count_tokens", json={"model": "sim", "messages": turns}) as response:
        counted = await response.json()
    async with client.post("/v1/responses/input_tokens", json={"model": "sim", "input": turns}) as response:
        assert await response.json() == {"object": "response.input_tokens", **counted}
    assert simulator.requests == []
    async with client.post(MESSAGES, json=ask(prompt="What is a stream?", stream=False)) as response:
        assert (await response.json())["usage"]["input_tokens"] == counted["input_tokens"]


async def test_a_request_that_costs_nothing_can_fail_by_the_header_and_recover(client: aiohttp.ClientSession) -> None:
    for path in ("/v1/models", "/xai/v1/models"):
        statuses: list[int] = []
        for _ in range(3):
            async with client.get(path, headers={"X-Simulate": "status=503,times=2"}) as response:
                statuses.append(response.status)
        assert statuses == [503, 503, 200]
    async with client.post("/v1/messages/count_tokens", json={"model": "sim", "messages": []}) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (400, "invalid_request_error")
    async with client.get("/v1/models", headers={"X-Simulate": "speed=3"}) as response:
        assert response.status == 400


async def test_azure_demands_a_version_where_the_deployment_is_named(client: aiohttp.ClientSession) -> None:
    path = "/openai/deployments/my-gpt/chat/completions"
    status, body = await fetch(client, path, "sim")
    assert (status, b"api-version query parameter" in body) == (400, True)
    status, body = await fetch(client, path + "?api-version=2024-10-21", "sim")
    assert status == 200
    assert b'"model":"my-gpt"' in body


async def test_a_model_in_the_path_may_carry_options(simulator: Simulator, client: aiohttp.ClientSession) -> None:
    path = "/openai/deployments/sim%3Atokens=3,finish=length/completions?api-version=2024-10-21"
    async with client.post(URL(simulator.base_url + path, encoded=True), json={"prompt": "hi"}) as response:
        choice = (await response.json())["choices"][0]
    assert choice["finish_reason"] == "length"
    assert simulator.served[0].tokens == 3
    assert simulator.requests[0].target == path


async def test_openrouter_answers_a_failed_unary_request_with_200(client: aiohttp.ClientSession) -> None:
    sent = ask("sim:fault=error", stream=False)
    async with client.post("/openrouter/api/v1/chat/completions", json=sent) as response:
        body = await response.json()
        assert response.status == 200
        assert response.headers["x-generation-id"].startswith("gen-")
    assert (list(body), body["error"]["code"]) == (["error", "user_id"], 502)


@pytest.mark.parametrize(
    ("fault", "shape"), [("auth", ["code", "error"]), ("context_length", ["error"]), ("status=500", ["error"])]
)
async def test_xais_errors_have_three_shapes(client: aiohttp.ClientSession, fault: str, shape: list[str]) -> None:
    wish = fault if "=" in fault else f"fault={fault}"
    async with client.post("/xai/v1/chat/completions", json=ask(f"sim:{wish}")) as response:
        body = await response.json()
    assert list(body) == shape
    assert isinstance(body["error"], dict) == (fault == "context_length")


async def test_a_prompt_that_azure_blocks_is_a_400_that_says_why(client: aiohttp.ClientSession) -> None:
    async with client.post("/openai/v1/chat/completions", json=ask("sim:fault=blocked")) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "content_filter")
    assert error["innererror"]["content_filter_result"]["violence"]["filtered"]


@pytest.mark.parametrize("header", ["api-key", "authorization"])
async def test_azure_takes_its_key_in_either_header(header: str) -> None:
    prefix = "Bearer " if header == "authorization" else ""
    async with (
        Simulator(api_key=Secret("right-key-0123456789")) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        sent = {"model": "sim", "input": "hi"}
        for key, status in (("wrong", 401), ("right", 200)):
            headers = {header: f"{prefix}{key}-key-0123456789"}
            async with client.post("/openai/v1/responses", json=sent, headers=headers) as response:
                assert response.status == status


async def test_health_and_unknown_addresses(simulator: Simulator, client: aiohttp.ClientSession) -> None:
    async with client.get("/health") as response:
        assert await response.json() == {"status": "ok", "open_streams": 0}
    async with client.get("/v2/nothing") as response:
        assert (response.status, (await response.json())["error"]["type"]) == (404, "not_found_error")
    async with aiohttp.ClientSession(simulator.base_url) as plain, plain.post("/v1/nothing") as response:
        assert (await response.json())["error"]["message"] == "Invalid URL (POST /v1/nothing)"
    async with aiohttp.ClientSession(simulator.base_url) as plain, plain.post("/openai/nothing") as response:
        assert await response.json() == {"error": {"code": "404", "message": "Resource not found"}}


# -- what tests can see ---------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_pauses_the_stream() -> None:
    async with (
        Simulator(send_buffer_bytes=65_536) as simulator,
        aiohttp.ClientSession(simulator.base_url, read_bufsize=1024) as client,
        client.post(CHAT, json=ask("sim:tokens=100000")) as response,
    ):
        await simulator.wait_until(lambda: simulator.served[0].paused_by_client)
        sent = simulator.served[0].tokens
        assert 0 < sent < 100_000
        assert (await response.read()).endswith(TERMINAL[CHAT])
        await simulator.wait_until(lambda: simulator.outcomes == [Outcome.COMPLETED])
        assert simulator.served[0].tokens == 100_000
        assert not simulator.served[0].paused_by_client


async def test_waiting_for_what_does_not_come_times_out(simulator: Simulator) -> None:
    with pytest.raises(TimeoutError):
        await simulator.wait_until(lambda: False, timeout_s=0.01)


async def test_an_error_in_a_predicate_reaches_the_one_who_waits(
    simulator: Simulator, client: aiohttp.ClientSession
) -> None:
    def predicate() -> bool:
        if simulator.requests:
            raise LookupError("in the predicate")
        return False

    waiting = asyncio.create_task(simulator.wait_until(predicate))
    await fetch(client, CHAT, "sim:tokens=1")
    with pytest.raises(LookupError, match="in the predicate"):
        await waiting


async def test_every_request_is_reported_once_as_it_ends() -> None:
    reports: list[Served] = []
    async with (
        Simulator(on_served=reports.append, defaults=Options(tokens=4)) as simulator,
        aiohttp.ClientSession(simulator.base_url) as client,
    ):
        await fetch(client, CHAT, "sim")
        await fetch(client, CHAT, "sim:status=500")
        await simulator.wait_until(lambda: len(reports) == 2)
    assert [(report.status, report.tokens, report.outcome) for report in reports] == [
        (200, 4, Outcome.COMPLETED),
        (500, 0, Outcome.REFUSED),
    ]
    assert reports[0].request.json()["model"] == "sim"


async def test_stopping_ends_silent_streams_at_once() -> None:
    async with aiohttp.ClientSession() as client:
        simulator = Simulator()
        await simulator.start()
        async with client.post(simulator.base_url + CHAT, json=ask("sim:fault=stall,after=1")) as response:
            await response.content.readany()
            async with asyncio.timeout(2):
                await simulator.stop()
            assert simulator.outcomes == [Outcome.STOPPED]
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
