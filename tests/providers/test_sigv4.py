"""Signatures: the same as botocore's own client puts on the wire, and right by a server's own reckoning.

The reference here is written from AWS's document, not from botocore: it takes the bytes that arrived, and works out
what must have been signed. botocore's client sends each request to the same server, at the same (frozen) second.
"""

import asyncio
import datetime
import hashlib
import hmac
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from rxlapce.dialects.converse import Converse
from rxlapce.flow import Exchange
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import percent_encoded
from rxlapce.providers.sigv4 import LONG_BODY_BYTES, SigV4, given_keys, shared, sign
from rxlapce.secret import Secret
from rxlapce.testing.scripted import Peer, ScriptedServer

# botocore has no types.
botocore_auth: Any = importlib.import_module("botocore.auth")
botocore_config: Any = importlib.import_module("botocore.config")
botocore_session: Any = importlib.import_module("botocore.session")

REGION = "eu-central-1"
ID = "AKIDEXAMPLE"
KEY = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = Secret("FwoGZXIvYXdzEBYaDHq/x+3==" + "t" * 200)
NOW = datetime.datetime(2026, 11, 22, 9, 8, 7, tzinfo=datetime.UTC)

MODELS = [
    "amazon.titan-text-lite-v1",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "meta.llama3-1-8b-instruct-v1:0:128k",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
    "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
    "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3d4e5f6",
    "arn:aws:bedrock:us-east-1:123456789012:imported-model/4g5h6j7k8l9m",
    "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcd1234efgh",
    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:custom-model/amazon.titan-text-lite-v1:0:4k/1a2b3c4d5e6f",
    "arn:aws:bedrock:us-east-1:123456789012:prompt/PROMPT1234:2",
    "with a blank",
    "per%cent%3Asigns%",
    "ünïcode-模型-\U0001f680",
    "../../../admin",
    "a//b/./c",
    "?query=1&x=[y]#part",
    "plus+equals=tilde~star*quote'(paren)!$@,;",
]

JSON = "application/json"
TURNS = [{"role": "user", "content": [{"text": "grüß dich"}]}]
#: botocore's method -> the path's last segment, and the method's arguments for a model.
OPERATIONS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "converse": ("converse", lambda model: {"modelId": model, "messages": TURNS}),
    "converse_stream": ("converse-stream", lambda model: {"modelId": model, "messages": TURNS}),
    "invoke_model": ("invoke", lambda model: {"modelId": model, "body": b'{"x":1}', "contentType": JSON}),
    "invoke_model_with_response_stream": (
        "invoke-with-response-stream",
        lambda model: {"modelId": model, "body": b'{"x":1}', "contentType": JSON},
    ),
    "count_tokens": ("count-tokens", lambda model: {"modelId": model, "input": {"converse": {"messages": TURNS}}}),
}


class Recorder(ScriptedServer):
    """Keeps each request as it came, and answers it with an empty object."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes]] = []

        async def script(peer: Peer) -> None:
            while True:
                self.requests.append(await peer.request())
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

        super().__init__(script)

    def last(self) -> tuple[bytes, dict[str, str], bytes]:
        """The request line, the headers by lower-case name, and the body of the newest request."""
        head, body = self.requests[-1]
        line, *fields = head.rstrip().split(b"\r\n")
        headers = {
            name.lower().decode(): value.strip().decode() for name, _, value in (f.partition(b":") for f in fields)
        }
        assert len(headers) == len(fields), "no header came twice"
        return line, headers, body


@pytest.fixture
async def server() -> AsyncIterator[Recorder]:
    async with Recorder() as recorder:
        yield recorder


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.fixture(autouse=True)
def the_same_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both signers take the time here."""
    monkeypatch.setattr(botocore_auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))


def keys(token: Secret | None) -> SigV4:
    return SigV4(credential=shared(given_keys(ID, KEY, token), provider="bedrock"), region=REGION)


def call(url: str, body: bytes, auth: SigV4, **changes: Any) -> HttpCall:
    settings: dict[str, Any] = {"headers": {}, "accept": "application/vnd.amazon.eventstream", **changes}
    return HttpCall(provider="bedrock", url=url, body=body, auth=auth, read_error=Converse().read_error, **settings)


@pytest.fixture
def by_botocore(server: Recorder) -> Iterator[Callable[[str, dict[str, Any], Secret | None], None]]:
    """Lets botocore's own client ask the server; one client for each token. What it makes of the answer is nothing."""
    clients: dict[Secret | None, Any] = {}
    session = botocore_session.Session()

    def asked(operation: str, arguments: dict[str, Any], token: Secret | None) -> None:
        if token not in clients:
            clients[token] = session.create_client(
                "bedrock-runtime",
                region_name=REGION,
                endpoint_url=server.url,
                aws_access_key_id=ID,
                aws_secret_access_key=KEY.reveal(),
                aws_session_token=token.reveal() if token else None,
                config=botocore_config.Config(retries={"total_max_attempts": 1}, proxies={}),
            )
        answer = getattr(clients[token], operation)(**arguments)
        for stream in (answer.get("stream"), answer.get("body")):
            if stream is not None:
                stream.close()

    yield asked
    for client in clients.values():
        client.close()


# -- what a server reckons --------------------------------------------------------------------------------------------


def expected_authorization(line: bytes, headers: dict[str, str], body: bytes, secret: Secret) -> str:
    """The Authorization that the request as it came must have: AWS's document, step by step."""
    method, target, _ = line.decode("ascii").split(" ")
    path, _, query = target.partition("?")
    scheme, credential, signed, _ = headers["authorization"].replace(",", "").split(" ")
    names = signed.removeprefix("SignedHeaders=").split(";")
    access_key, day, region, service, ending = credential.removeprefix("Credential=").split("/")
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))) if query else "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{day}/{region}/{service}/{ending}"
    to_sign = f"{scheme}\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + secret.reveal().encode()
    for part in (day, region, service, ending):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    return f"{scheme} Credential={access_key}/{scope}, {signed}, Signature={signature}"


async def test_the_reference_is_right_by_the_example_of_aws_own_documents() -> None:
    secret = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    headers = {
        "host": "iam.amazonaws.com",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    line = b"GET /?Action=ListUsers&Version=2010-05-08 HTTP/1.1"
    assert expected_authorization(line, headers, b"", secret) == headers["authorization"]


# -- against botocore, on the wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, TOKEN], ids=["long-lived", "session"])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_path_and_authorization_are_botocores_own_for_awkward_models(
    operation: str,
    token: Secret | None,
    server: Recorder,
    client: HttpClient,
    by_botocore: Callable[[str, dict[str, Any], Secret | None], None],
) -> None:
    """Nothing is recomputed: body and content type are equal, so that the whole header must be."""
    segment, arguments = OPERATIONS[operation]
    for model in MODELS:
        await asyncio.to_thread(by_botocore, operation, arguments(model), token)
        theirs_line, theirs, body = server.last()
        url = f"{server.url}/model/{percent_encoded(model)}/{segment}"
        await client.fetch(call(url, body, keys(token)), Exchange())
        line, ours, sent = server.last()
        assert (line, sent) == (theirs_line, body), model
        for name in ("authorization", "x-amz-date", "x-amz-security-token", "content-type", "host"):
            assert ours.get(name) == theirs.get(name), (model, name)
        assert ours["authorization"] == expected_authorization(line, ours, sent, KEY), model
        assert ours["x-amz-date"] == "20261122T090807Z"
        assert f"/20261122/{REGION}/bedrock/aws4_request" in ours["authorization"]
    assert len(server.requests) == 2 * len(MODELS)


async def test_headers_that_a_proxy_may_change_are_sent_and_not_signed(server: Recorder, client: HttpClient) -> None:
    await client.fetch(
        call(f"{server.url}/model/a/converse", b"{}", keys(TOKEN), headers={"X-Title": "t", "Connection": "close"}),
        Exchange(),
    )
    _, headers, _ = server.last()
    assert {"accept", "accept-encoding", "user-agent", "x-title", "connection"} <= set(headers)
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert signed == "content-type;host;x-amz-date;x-amz-security-token"


async def test_a_header_of_amazons_own_is_signed(server: Recorder, client: HttpClient) -> None:
    trace = {"X-Amzn-Bedrock-Trace": "ENABLED", "x-amz-meta": "  two   blanks "}
    await client.fetch(call(f"{server.url}/model/a/invoke", b"{}", keys(None), headers=trace), Exchange())
    line, headers, body = server.last()
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert signed == "content-type;host;x-amz-date;x-amz-meta"
    assert headers["authorization"] == expected_authorization(line, headers, body, KEY)


@pytest.mark.parametrize("path", ["/foundation-models", "/foundation-models?byProvider=meta&a=%2F%3D"])
async def test_a_get_is_signed_with_its_query(path: str, server: Recorder, client: HttpClient) -> None:
    await client.fetch(call(server.url + path, b"", keys(TOKEN), method="GET", accept=JSON), Exchange())
    line, headers, body = server.last()
    assert line.split()[:2] == [b"GET", path.encode()]
    assert headers["authorization"] == expected_authorization(line, headers, body, KEY)


async def test_the_host_is_sent_as_it_is_signed(server: Recorder, client: HttpClient) -> None:
    port = server.url.rpartition(":")[2]
    await client.fetch(call(f"http://LocalHost:{port}/model/a/invoke", b"{}", keys(None)), Exchange())
    line, headers, body = server.last()
    assert headers["host"] == f"localhost:{port}"
    assert headers["authorization"] == expected_authorization(line, headers, body, KEY)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Bedrock-Runtime.eu-west-1.amazonaws.com/model/a", "bedrock-runtime.eu-west-1.amazonaws.com"),
        ("https://h:443/", "h"),
        ("http://h:443/", "h:443"),
        ("http://h:80/", "h"),
        ("http://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_host_is_written_as_http_wants_it(url: str, host: str) -> None:
    made = sign(Unsigned("POST", url, {}, b""), given_keys(ID, KEY, None)(), region=REGION, service="bedrock")
    assert made["Host"] == host


async def test_a_long_body_is_signed_like_a_short_one_and_off_the_loop(
    server: Recorder, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    to_thread = asyncio.to_thread

    async def seen(function: Callable[[], Any]) -> Any:
        threads.append("to_thread")
        return await to_thread(function)

    monkeypatch.setattr(asyncio, "to_thread", seen)
    for size in (LONG_BODY_BYTES, LONG_BODY_BYTES + 1):
        await client.fetch(call(f"{server.url}/model/a/invoke", b"x" * size, keys(None)), Exchange())
        line, headers, body = server.last()
        assert len(body) == size
        assert headers["authorization"] == expected_authorization(line, headers, body, KEY)
    assert threads == ["to_thread"]
