"""Tokens by google-auth, from token endpoints and a metadata server on the loopback."""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

import rxlapce.providers
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers import google_oauth
from rxlapce.providers.discovery import check_health
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard
from rxlapce.testing.recorder import Asked, Recorder, Reply
from rxlapce.testing.scripted import Peer, ScriptedServer

EMAIL = "tester@p-1.iam.gserviceaccount.com"
TOKEN = "opaque-google-token-0123456789"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()

WriteFile = Callable[[Mapping[str, Any]], str]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """google-auth sees none of this machine's variables and logins."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def written(info: Mapping[str, Any]) -> str:
        file = tmp_path / "credential.json"
        file.write_text(json.dumps(info))
        return str(file)

    return written


def service_account(base_url: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "service_account",
        "project_id": "p-1",
        "private_key_id": "key-1",
        "private_key": PEM,
        "client_email": EMAIL,
        "token_uri": f"{base_url}/token",
        **more,
    }


def vertex(base_url: str, file: str) -> Provider:
    environ = {"VERTEX_LOCATION": "us-east5", "VERTEX_BASE_URL": base_url, "GOOGLE_APPLICATION_CREDENTIALS": file}
    return load_provider_configs_from_env(environ)["vertex"]


def grant(asked: Asked) -> Reply:
    if asked.target == "/token":
        return Reply(json={"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})
    return Reply(json={"publisherModels": []})


def unpadded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


async def test_a_service_account_signs_for_one_token_that_serves_all_requests(
    client: HttpClient, write: WriteFile
) -> None:
    async with Recorder(grant) as server:
        provider = vertex(server.url, write(service_account(server.url)))
        await asyncio.gather(*(check_health(client, provider) for _ in range(5)))
    asked, *requests = server.asked
    assert (asked.method, asked.target) == ("POST", "/token")
    form = asked.form()
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    header, claims, signature = form["assertion"].split(".")
    KEY.public_key().verify(unpadded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(unpadded(header)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    claimed = json.loads(unpadded(claims))
    assert claimed["iss"] == EMAIL
    assert claimed["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claimed["aud"] == "https://oauth2.googleapis.com/token"  # google-auth's, wherever the token is asked for
    assert 0 < claimed["exp"] - claimed["iat"] <= 3600
    assert abs(claimed["iat"] - time.time()) < 60
    assert len(requests) == 5
    assert all(request.headers["authorization"] == f"Bearer {TOKEN}" for request in requests)
    assert all("x-goog-user-project" not in request.headers for request in requests)
    assert TOKEN not in repr(provider)
    assert provider.auth.secrets == (Secret(TOKEN),)


async def test_a_token_of_the_simulators_own_opens_gemini_and_claude(client: HttpClient, write: WriteFile) -> None:
    async with Simulator(api_key=Secret("none-but-issued-tokens")) as simulator:
        provider = vertex(simulator.base_url, write(service_account(simulator.base_url)))
        for model in ("sim", "claude-sim"):
            got = Collected(chat_stream(client, provider, ask(), model, Exchange()))
            assert await got.end() is None
            assert heard(got.items).text


@pytest.mark.parametrize("by", ["file", "variable"])
async def test_a_quota_project_is_named_with_the_token(
    client: HttpClient, write: WriteFile, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    more = {"quota_project_id": "payer"} if by == "file" else {}
    async with Recorder(grant) as server:
        await check_health(client, vertex(server.url, write(service_account(server.url, **more))))
    assert server.asked[-1].headers["x-goog-user-project"] == "payer"


async def test_workload_identity_federation_exchanges_the_workloads_token(
    client: HttpClient, write: WriteFile, tmp_path: Path
) -> None:
    (tmp_path / "subject").write_text("workload-token")
    async with Recorder(grant) as server:
        info = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{server.url}/token",
            "credential_source": {"file": str(tmp_path / "subject")},
            "project_id": "p-1",
            "quota_project_id": "payer",
        }
        await check_health(client, vertex(server.url, write(info)))
    exchange, request = server.asked
    form = exchange.form()
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert form["subject_token"] == "workload-token"
    assert form["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-goog-user-project"] == "payer"


@pytest.mark.parametrize(
    ("info", "loaded"),
    [
        (
            {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"},
            "google.oauth2.credentials.Credentials",
        ),
        (
            {
                "type": "external_account",
                "audience": "a",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {"executable": {"command": "/bin/true"}},
            },
            "google.auth.pluggable.Credentials",
        ),
        (
            {
                "type": "external_account",
                "audience": "a",
                "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
                "token_url": "https://sts.googleapis.com/v1/token",
                "credential_source": {
                    "environment_id": "aws1",
                    "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity",
                },
            },
            "google.auth.aws.Credentials",
        ),
        (
            {
                "type": "external_account_authorized_user",
                "audience": "a",
                "refresh_token": "r",
                "token_url": "https://sts.googleapis.com/v1/oauthtoken",
                "client_id": "i",
                "client_secret": "s",
            },
            "google.auth.external_account_authorized_user.Credentials",
        ),
        (
            {
                "type": "impersonated_service_account",
                "source_credentials": service_account("https://oauth2.googleapis.com"),
                "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/"
                "serviceAccounts/other@p-1.iam.gserviceaccount.com:generateAccessToken",
            },
            "google.auth.impersonated_credentials.Credentials",
        ),
    ],
)
def test_each_type_of_file_becomes_its_credential(info: dict[str, Any], loaded: str) -> None:
    found = google_oauth.load(info | {"quota_project_id": "payer"})
    assert f"{type(found).__module__}.{type(found).__qualname__}" == loaded
    assert found.quota_project_id == "payer"


# -- failures -------------------------------------------------------------------------------------------------------


async def failed(client: HttpClient, provider: Provider) -> ProviderError:
    """The one error of a stream and of a whole answer alike."""
    ended = await Collected(chat_stream(client, provider, ask(), "m", Exchange())).end()
    with pytest.raises(ProviderError) as caught:
        await chat(client, provider, ask(), "m", Exchange())
    assert isinstance(ended, ProviderError)
    for error in (ended, caught.value):
        assert (error.kind, error.phase, error.provider) == (ErrorKind.AUTH, Phase.ADMIT, "vertex")
    assert ended.message == caught.value.message
    return ended


async def test_a_refused_assertion_is_told_in_googles_words_without_the_assertion(
    client: HttpClient, write: WriteFile
) -> None:
    def refuse(asked: Asked) -> Reply:
        said = f"Invalid JWT Signature: {asked.form()['assertion']} of {PEM}"
        return Reply(json={"error": "invalid_grant", "error_description": said}, status=400)

    async with Recorder(refuse) as server:
        file = write(service_account(server.url))
        error = await failed(client, vertex(server.url, file))
        assert [asked.target for asked in server.asked] == ["/token"] * 2
    assert error.message == (
        f"Google gave no token for {file}: invalid_grant: Invalid JWT Signature: [redacted] of [redacted]"
    )
    assert error.retry is Retry.OTHER_PROVIDER


async def test_a_token_endpoint_that_is_not_there_may_be_asked_again(client: HttpClient, write: WriteFile) -> None:
    async with Recorder(grant) as server:
        gone = server.url
    error = await failed(client, vertex(gone, write(service_account(gone))))
    assert error.retry is Retry.SAME
    assert "Connection refused" in error.message


async def test_a_token_endpoint_that_never_answers_is_given_up(
    client: HttpClient, write: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.until_gone()

    monkeypatch.setattr(google_oauth, "REQUEST_TIMEOUT_S", 0.05)
    async with ScriptedServer(script) as server:
        error = await failed(client, vertex(server.url, write(service_account(server.url))))
    assert "timed out" in error.message
    assert error.retry is Retry.SAME


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "gdch_service_account"}, "its type is 'gdch_service_account'; expected one of service_account, "),
        ({"type": ["service_account"]}, "its type is ['service_account']"),
        ({"private_key": "no-key-0123456789"}, "cannot be used"),
        ({"private_key": None}, "cannot be used"),
        ({"type": "authorized_user"}, "refresh_token"),
    ],
)
async def test_a_file_that_is_no_usable_credential_is_told_without_its_content(
    client: HttpClient, write: WriteFile, change: dict[str, Any], told: str
) -> None:
    file = write(service_account("http://127.0.0.1:9") | change)
    error = await failed(client, vertex("http://127.0.0.1:9", file))
    assert error.message.startswith(f"the credential in {file} cannot be used: ")
    assert told in error.message
    assert "no-key-0123456789" not in error.message
    assert "BEGIN PRIVATE KEY" not in error.message


def damage(file: Path, content: str | None) -> None:
    """Put `content` in its place, or nothing at all."""
    file.unlink()
    if content is not None:
        file.write_text(content)


@pytest.mark.parametrize(
    ("content", "told"), [("no JSON", "it is no JSON"), ("[]", "it is no JSON object"), (None, "No such file")]
)
async def test_a_file_that_broke_after_the_start_is_told_and_counts_again_when_it_is_mended(
    client: HttpClient, write: WriteFile, content: str | None, told: str
) -> None:
    async with Recorder(grant) as server:
        file = write(service_account(server.url))
        provider = vertex(server.url, file)
        damage(Path(file), content)
        assert told in (await failed(client, provider)).message
        write(service_account(server.url))
        await check_health(client, provider)
        assert [asked.target for asked in server.asked] == ["/token", "/v1beta1/publishers/google/models"]


async def test_without_google_auth_the_error_names_the_extra(
    client: HttpClient, write: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rxlapce.providers.google_oauth")
    monkeypatch.delattr(rxlapce.providers, "google_oauth")
    monkeypatch.setitem(sys.modules, "google.auth", None)
    error = await failed(client, vertex("http://127.0.0.1:9", write(service_account("http://127.0.0.1:9"))))
    assert error.retry is Retry.OTHER_PROVIDER
    assert "pip install 'rxlapce[vertex]'" in error.message


# -- a machine's own credentials: google-auth reads its variables as it is imported ---------------------------------

ELSEWHERE = """
import asyncio, sys
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.errors import ProviderError
from rxlapce.flow import Exchange
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import chat
from rxlapce.testing.asking import ask, heard

async def main(base_url):
    environ = {"VERTEX_PROJECT_ID": "p-1", "VERTEX_LOCATION": "us-east5", "VERTEX_BASE_URL": base_url}
    provider = load_provider_configs_from_env(environ)["vertex"]
    assert not {"google.auth", "azure.identity", "botocore", "requests"} & set(sys.modules)
    async with HttpClient() as client:
        try:
            print(heard(await chat(client, provider, ask(), "sim", Exchange())).text)
        except ProviderError as error:
            print(error)

asyncio.run(main(sys.argv[1]))
"""


async def said_elsewhere(base_url: str, home: Path, **environ: str) -> str:
    """What a process says that has no variables but these, and no one's files."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ELSEWHERE,
        base_url,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CLOUDSDK_CONFIG": str(home), **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()


@pytest.mark.heavy
async def test_on_a_machine_of_googles_its_metadata_server_gives_the_token(tmp_path: Path) -> None:
    async with Simulator(api_key=Secret("none-but-issued-tokens")) as simulator:
        host = simulator.base_url.removeprefix("http://")
        text = await said_elsewhere(simulator.base_url, tmp_path, GCE_METADATA_HOST=host, GCE_METADATA_IP=host)
        (request,) = simulator.requests
    assert "hello" in text
    assert request.headers["authorization"].startswith("Bearer ya29.")


@pytest.mark.heavy
async def test_a_machine_without_any_credential_is_told_where_was_looked_and_what_to_do(tmp_path: Path) -> None:
    text = await said_elsewhere("http://127.0.0.1:9", tmp_path, NO_GCE_CHECK="true")
    for words in ("no Google credentials were found", "metadata server", "gcloud auth application-default login"):
        assert words in text
