"""Bedrock over a socket: hosts, paths, both ways to prove who asks, regions, errors, counting, and what is not set."""

import importlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reactivex import Observable

from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ConfigError, ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.bedrock import SPEC, profile_region
from rxlapce.providers.discovery import check_health, count_tokens, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.requests import ChatRequest
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.scripted import Peer, ScriptedServer
from rxlapce.tokens import StreamToken

# botocore has no types.
botocore_session: Any = importlib.import_module("botocore.session")
botocore_exceptions: Any = importlib.import_module("botocore.exceptions")

KEY = "bedrock-api-key-0123456789"
SIGNED = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_REGION": "eu-west-1"}
#: A configuration file that is not there: nothing of the machine's is read.
NOWHERE = {"AWS_CONFIG_FILE": "/nowhere/config"}
MODEL = "anthropic.claude.sim-v1:0"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def loaded(**environ: str) -> Provider:
    return load_provider_configs_from_env({**NOWHERE, **environ})["bedrock"]


async def headers_of(provider: Provider) -> dict[str, str]:
    return dict(await provider.auth.headers(Unsigned("POST", "https://h/", {"Content-Type": "application/json"}, b"")))


# -- what is configured -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", SPEC.needs)
def test_one_variable_is_enough_to_have_it(variable: str) -> None:
    environ = {**NOWHERE, variable: "us-east-1"}
    if variable == "AWS_ACCESS_KEY_ID":
        environ["AWS_SECRET_ACCESS_KEY"] = "wJalrXUtnFEMI"
    assert "bedrock" in load_provider_configs_from_env(environ)


def test_the_region_stands_in_both_hosts() -> None:
    provider = loaded(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="us-east-1")
    assert provider.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert provider.listing is not None
    assert provider.listing.path == "https://bedrock.eu-west-1.amazonaws.com/foundation-models"
    assert loaded(AWS_DEFAULT_REGION="us-gov-west-1").base_url == "https://bedrock-runtime.us-gov-west-1.amazonaws.com"


@pytest.mark.parametrize("variable", ["BEDROCK_BASE_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"])
def test_a_base_url_of_ones_own_takes_all_paths(variable: str) -> None:
    provider = loaded(**SIGNED, **{variable: "http://127.0.0.1:9/aws/"})
    assert provider.url("/model/{model}/converse", "a:0") == "http://127.0.0.1:9/aws/model/a%3A0/converse"
    assert provider.listing is not None
    assert provider.url(provider.listing.path) == "http://127.0.0.1:9/aws/foundation-models"


def test_our_own_variable_wins_over_amazons_and_both_are_checked() -> None:
    both = {"BEDROCK_BASE_URL": "http://ours", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://theirs"}
    assert loaded(**SIGNED, **both).base_url == "http://ours"
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_BEDROCK_RUNTIME: keys do not belong into the URL"):
        loaded(**SIGNED, AWS_ENDPOINT_URL_BEDROCK_RUNTIME="http://me:word@h")


async def test_an_api_key_goes_as_a_bearer_token_whatever_else_is_set() -> None:
    provider = loaded(**SIGNED, AWS_BEARER_TOKEN_BEDROCK=KEY)
    assert await headers_of(provider) == {"Authorization": f"Bearer {KEY}"}


async def test_keys_that_are_set_sign_in_the_region() -> None:
    made = await headers_of(loaded(**SIGNED, AWS_SESSION_TOKEN="session-token-1"))
    assert made["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/bedrock/aws4_request" in made["Authorization"]
    assert made["X-Amz-Security-Token"] == "session-token-1"


@pytest.mark.parametrize("half", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_refused_at_once(half: str) -> None:
    with pytest.raises(ConfigError, match="go together"):
        loaded(AWS_REGION="eu-west-1", **{half: SIGNED[half]})


@pytest.mark.parametrize("region", ["evil.com/", "us east 1", "US-EAST-1", "-", "us-east-1.evil.com"])
def test_a_region_that_is_none_never_becomes_a_host(region: str) -> None:
    with pytest.raises(ConfigError, match="AWS_REGION: expected a region such as us-east-1"):
        loaded(**{**SIGNED, "AWS_REGION": region})


@pytest.mark.parametrize("environ", [{"AWS_PROFILE": "work"}, {"AWS_BEARER_TOKEN_BEDROCK": KEY}])
async def test_no_region_is_an_error_of_the_request_and_none_is_assumed(
    environ: dict[str, str], client: HttpClient
) -> None:
    """Not of the start: AWS_PROFILE is set for other programs, too."""
    provider = loaded(**environ)
    ended = await Collected(chat_stream(client, provider, ask(), MODEL, Exchange())).end()
    with pytest.raises(ProviderError) as caught:
        await check_health(client, provider)
    assert isinstance(ended, ProviderError)
    for error in (ended, caught.value):
        assert (error.kind, error.retry, error.phase) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER, Phase.ADMIT)
        assert "set AWS_REGION, or a region in the profile that AWS_PROFILE names" in error.message
        assert error.provider == "bedrock"


CONFIG = """
# a comment
[default]
region = eu-west-3
[profile work]
region=ap-southeast-2
sso_region = us-east-1
[profile "two words"]
region = us-west-2
[profile none]
output = json
[work-without-profile]
region = us-east-2
[profile default]
[sso-session work]
region = sa-east-1
"""


@pytest.mark.parametrize("profile", ["default", "work", "two words", "none", "work-without-profile", "missing"])
def test_the_profiles_region_is_the_one_that_botocore_reads(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(CONFIG.replace("[profile default]\n", ""))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    session = botocore_session.Session(profile=profile)
    try:
        theirs = session.get_config_variable("region")
    except botocore_exceptions.ProfileNotFound:
        theirs = None
    assert profile_region(profile, config) == theirs


def test_the_profiles_region_becomes_the_host(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(CONFIG)
    provider = load_provider_configs_from_env({"AWS_PROFILE": "work", "AWS_CONFIG_FILE": str(tmp_path / "config")})
    assert provider["bedrock"].base_url == "https://bedrock-runtime.ap-southeast-2.amazonaws.com"


@pytest.mark.parametrize("text", ["no section = 1", "[default", '[profile "open]\nregion = us-east-1', "\0"])
def test_a_configuration_file_that_is_broken_has_no_region(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    assert profile_region("default", tmp_path / "config") is None


# -- over a socket ----------------------------------------------------------------------------------------------------


def simulated(simulator: Simulator, **environ: str) -> Provider:
    return loaded(**{**SIGNED, "BEDROCK_BASE_URL": simulator.base_url, **environ})


async def asked(
    client: HttpClient, provider: Provider, model: str = MODEL, **settings: Any
) -> tuple[list[StreamToken], list[StreamToken]]:
    """The tokens of one request as a stream and in one piece."""
    request: ChatRequest = ask(**settings)
    source: Observable[StreamToken] = chat_stream(client, provider, request, model, Exchange())
    got = Collected(source)
    error = await got.end()
    assert error is None, error
    return got.items, await chat(client, provider, request, model, Exchange())


@pytest.mark.parametrize("environ", [{}, {"AWS_BEARER_TOKEN_BEDROCK": KEY}], ids=["signed", "bearer"])
@pytest.mark.parametrize(
    ("api", "streaming"), [("converse", "converse-stream"), ("invoke", "invoke-with-response-stream")]
)
async def test_each_api_answers_as_a_stream_and_in_one_piece(
    api: str, streaming: str, environ: dict[str, str], client: HttpClient
) -> None:
    async with Simulator() as simulator:
        streamed, whole = await asked(client, simulated(simulator, **environ), api=api)
        requests = [(request.path, request.headers) for request in simulator.requests]
    # The greeting differs with the body; the rest is long and the same.
    assert heard(streamed).text.partition("\n")[2] == heard(whole).text.partition("\n")[2]
    assert len(heard(streamed).text) > 500
    # The simulator shows the path decoded; test_sigv4 holds its bytes.
    assert [path for path, _ in requests] == [f"/model/{MODEL}/{streaming}", f"/model/{MODEL}/{api}"]
    assert [headers["accept"] for _, headers in requests] == [
        "application/vnd.amazon.eventstream",
        "application/json",
    ]


async def test_converse_is_the_default(client: HttpClient) -> None:
    async with Simulator() as simulator:
        await asked(client, simulated(simulator))
        assert simulator.requests[0].path.endswith("/converse-stream")


async def test_models_are_listed_and_tokens_counted_for_nothing(client: HttpClient) -> None:
    async with Simulator() as simulator:
        provider = simulated(simulator)
        assert MODEL in await list_models(client, provider)
        await check_health(client, provider)
        few = await count_tokens(client, provider, ask(prompt="one"), MODEL)
        more = await count_tokens(client, provider, ask(prompt="one two three four five six seven"), MODEL)
        with pytest.raises(ProviderError, match="no endpoint that counts tokens"):
            await count_tokens(client, provider, ask(api="invoke"), MODEL)
    assert 0 < few < more


async def test_the_count_is_asked_at_the_models_own_path(client: HttpClient) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        head, body = await peer.request()
        heads.append(head.split(b"\r\n")[0])
        assert set(msgspec.json.decode(body)["input"]) == {"converse"}
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + b'{"inputTokens":7}')

    async with ScriptedServer(script) as server:
        provider = loaded(**SIGNED, BEDROCK_BASE_URL=server.url)
        arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.a:0"
        assert await count_tokens(client, provider, ask(), arn) == 7
    assert heads == [
        b"POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a%3A0/count-tokens HTTP/1.1"
    ]


@pytest.mark.parametrize("model", ["", ".", ".."])
async def test_a_model_that_would_change_the_path_is_refused_before_anything_is_sent(
    model: str, client: HttpClient
) -> None:
    async with Simulator() as simulator:
        with pytest.raises(ProviderError, match="cannot be asked for a model named") as caught:
            await chat(client, simulated(simulator), ask(), model, Exchange())
        assert not simulator.requests
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


@pytest.mark.parametrize(
    ("status", "name", "kind", "retry"),
    [
        (429, "ThrottlingException:http://internal.amazon.com/coral/", ErrorKind.RATE_LIMIT, Retry.SAME),
        (403, "AccessDeniedException", ErrorKind.AUTH, Retry.OTHER_KEY),
        (403, "ExpiredTokenException", ErrorKind.AUTH, Retry.OTHER_KEY),
        (424, "ModelErrorException", ErrorKind.OVERLOADED, Retry.SAME),
        (404, "ResourceNotFoundException", ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    ],
)
async def test_amazons_error_is_told_by_its_name_and_request_id(
    status: int, name: str, kind: ErrorKind, retry: Retry, client: HttpClient
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        head = (
            f"HTTP/1.1 {status} No\r\nx-amzn-errortype: {name}\r\nx-amzn-requestid: r-1\r\nContent-Length: 17\r\n\r\n"
        )
        await peer.send(head.encode() + b'{"message":"why"}')

    async with ScriptedServer(script) as server:
        provider = loaded(**SIGNED, BEDROCK_BASE_URL=server.url)
        error = await Collected(chat_stream(client, provider, ask(), MODEL, Exchange())).end()
    assert isinstance(error, ProviderError)
    assert (error.kind, error.retry, error.status, error.request_id) == (kind, retry, status, "r-1")
    assert (error.provider, error.message) == ("bedrock", "why")


async def test_without_botocore_a_stream_is_told_of_the_extra_and_bearer_works(
    monkeypatch: pytest.MonkeyPatch, client: HttpClient
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    async with Simulator() as simulator:
        failed = Collected(chat_stream(client, simulated(simulator), ask(), MODEL, Exchange()))
        error = await failed.end()
        assert not simulator.requests
        await asked(client, simulated(simulator, AWS_BEARER_TOKEN_BEDROCK=KEY))
    assert isinstance(error, ProviderError)
    assert "pip install 'rxlapce[bedrock]'" in error.message
    assert (error.kind, error.retry, error.provider) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER, "bedrock")
