"""AWS credentials: where botocore's chain finds them, when they are renewed, and that nobody sees them."""

import asyncio
import datetime
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rxlapce.dialects.converse import Converse
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.flow import Exchange
from rxlapce.providers.call import HttpCall
from rxlapce.providers.http import HttpClient
from rxlapce.providers.sigv4 import LASTING_S, SHORT_S, AwsKeys, SigV4, chain, given_keys, shared
from rxlapce.secret import Secret
from rxlapce.testing.scripted import Peer, ScriptedServer

REGION = "eu-central-1"
ID = "AKIDEXAMPLE"
KEY = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = Secret("FwoGZXIvYXdzEBYaDHq/x+3==" + "t" * 200)


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as opened:
        yield opened


def keys(token: Secret | None) -> SigV4:
    return SigV4(credential=shared(given_keys(ID, KEY, token), provider="bedrock"), region=REGION)


def call(url: str, auth: SigV4) -> HttpCall:
    return HttpCall(provider="bedrock", url=url, body=b"{}", auth=auth, read_error=Converse().read_error, headers={})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials but those that a test puts here; nothing of the machine's is read, nobody is asked."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


async def found(profile: str | None) -> AwsKeys:
    return await shared(chain(profile, REGION), provider="bedrock").get()


async def test_keys_of_a_profile_are_found_by_botocores_chain(home: Path) -> None:
    (home / "credentials").write_text(
        f"[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = other\n"
        f"[work]\naws_access_key_id = {ID}\naws_secret_access_key = {KEY.reveal()}\n"
        f"aws_session_token = {TOKEN.reveal()}\n"
    )
    assert await found("work") == AwsKeys(access_key_id=ID, secret_access_key=KEY, session_token=TOKEN)
    assert (await found(None)).access_key_id == "AKIDDEFAULT"


def process(home: Path, lives_s: float) -> Path:
    """A profile whose credentials come from a program, for so many seconds; it counts how often it ran."""
    program, log = home / "vend.py", home / "log"
    program.write_text(
        "import datetime, json, pathlib\n"
        f"log = pathlib.Path({str(log)!r})\n"
        "log.write_text(log.read_text() + 'x' if log.exists() else 'x')\n"
        f"end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds={lives_s})\n"
        "number = len(log.read_text())\n"
        f"print(json.dumps(dict(Version=1, AccessKeyId=f'AK{{number}}', SecretAccessKey={KEY.reveal()!r},"
        f" SessionToken={TOKEN.reveal()!r}, Expiration=end.isoformat())))\n"
    )
    (home / "config").write_text(f"[profile vended]\ncredential_process = {sys.executable} {program}\n")
    return log


@pytest.mark.parametrize(("lives_s", "lasts_s"), [(3600, LASTING_S), (300, SHORT_S)])
async def test_keys_that_end_are_asked_for_again_before(home: Path, lives_s: float, lasts_s: float) -> None:
    process(home, lives_s)
    keys = await found("vended")
    assert (keys.session_token, keys.lasts_s) == (TOKEN, lasts_s)


async def test_botocore_renews_keys_that_live_short_when_they_are_asked_for_again(home: Path) -> None:
    log = process(home, 300)
    now = 1_000_000.0
    credential = shared(chain("vended", REGION), provider="bedrock", now=lambda: now)
    first, again = await asyncio.gather(credential.get(), credential.get())
    assert first is again
    ran = len(log.read_text())
    now += SHORT_S + 1
    renewed = await credential.get()
    assert renewed.access_key_id != first.access_key_id
    assert len(log.read_text()) > ran


async def test_keys_that_still_last_are_taken_from_where_they_were_found_first(home: Path) -> None:
    log = process(home, 3600)
    now = 1_000_000.0
    credential = shared(chain("vended", REGION), provider="bedrock", now=lambda: now)
    first = await credential.get()
    now += LASTING_S + 1
    assert await credential.get() == first
    assert log.read_text() == "x"


async def test_keys_that_amazon_refuses_are_read_again_from_the_profile(home: Path, client: HttpClient) -> None:
    """A profile's keys with a session token, which a program wrote there, end without saying when."""
    heads: list[bytes] = []
    body = b'{"message":"The security token included in the request is expired"}'

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        head = b"HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: ExpiredTokenException\r\nContent-Length: %d\r\n\r\n"
        await peer.send(head % len(body), body)

    def signed_in(key_id: str) -> None:
        text = f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = other\naws_session_token = {key_id}\n"
        (home / "credentials").write_text(text)

    now = 1_000_000.0
    auth = SigV4(credential=shared(chain(None, REGION), provider="bedrock", now=lambda: now), region=REGION)
    async with ScriptedServer(script) as server:
        for key_id in ("AKIDOLD", "AKIDNEW", "AKIDNEW"):
            signed_in(key_id)
            with pytest.raises(ProviderError, match="expired"):
                await client.fetch(call(f"{server.url}/model/a/converse", auth), Exchange())
            now += 3600
    assert [b"Credential=AKIDOLD/" in head for head in heads] == [True, True, False]
    assert b"Credential=AKIDNEW/" in heads[2]


async def test_a_role_is_assumed_in_the_region_of_the_request(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>{KEY.reveal()}</SecretAccessKey>"
        f"<SessionToken>{TOKEN.reveal()}</SessionToken><Expiration>{end}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ).encode()
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        head, _ = await peer.request()
        heads.append(head)
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(answer), answer
        )

    (home / "config").write_text(
        "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = other\n"
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = base\n"
    )
    async with ScriptedServer(script) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        keys = await found("role")
    assert (keys.access_key_id, keys.session_token, keys.lasts_s) == ("ASIAROLE", TOKEN, LASTING_S)
    (head,) = heads
    assert f"/{REGION}/sts/aws4_request".encode() in head


async def test_an_answer_that_echoes_key_and_session_token_is_scrubbed(client: HttpClient) -> None:
    body = b'{"message":"The canonical string should have been x-amz-security-token:%s %s"}'
    body %= (TOKEN.reveal().encode(), KEY.reveal().encode())

    async def script(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: InvalidSignatureException\r\nContent-Length: %d\r\n\r\n"
        await peer.send(head % len(body) + body)

    async with ScriptedServer(script) as server:
        with pytest.raises(ProviderError) as caught:
            await client.fetch(call(f"{server.url}/model/a/converse", keys(TOKEN)), Exchange())
    assert caught.value.kind is ErrorKind.AUTH
    shown = f"{caught.value!s} {caught.value.raw} {caught.value.args}"
    assert "canonical string" in shown
    assert TOKEN.reveal() not in shown
    assert KEY.reveal() not in shown


@pytest.mark.parametrize(
    ("profile", "config", "said"),
    [
        (None, "", "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
        ("missing", "", "The config profile \\(missing\\) could not be found"),
        ("half", "[profile half]\naws_access_key_id = AK\n", "Partial credentials"),
        ("broken", "no section", "Unable to parse config file"),
        (
            "failing",
            f"[profile failing]\ncredential_process = {sys.executable} -c 'raise SystemExit(3)'\n",
            "could not be",
        ),
    ],
)
async def test_credentials_that_cannot_be_had_are_an_auth_error_that_says_why(
    home: Path, profile: str | None, config: str, said: str, client: HttpClient
) -> None:
    (home / "config").write_text(config)
    auth = SigV4(credential=shared(chain(profile, REGION), provider="bedrock"), region=REGION)
    with pytest.raises(ProviderError, match=said) as caught:
        await client.fetch(call("http://127.0.0.1:9/", auth), Exchange())
    error = caught.value
    assert (error.kind, error.retry, error.phase) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER, Phase.ADMIT)
    assert error.provider == "bedrock"


async def test_without_botocore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, client: HttpClient) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ProviderError, match="pip install 'rxlapce\\[bedrock\\]'") as caught:
        await client.fetch(call("http://127.0.0.1:9/", keys(None)), Exchange())
    assert (caught.value.kind, caught.value.retry) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER)


def test_botocore_is_not_loaded_before_a_request_needs_it() -> None:
    program = (
        "import sys; from rxlapce.config.env import load_provider_configs_from_env as load\n"
        "load({'AWS_REGION': 'us-east-1', 'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b'})\n"
        "load({'AWS_PROFILE': 'work', 'AWS_CONFIG_FILE': '/nowhere'})\n"
        "sys.exit(any(name.startswith('botocore') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=20).returncode == 0


async def test_no_key_comes_into_a_log_of_all_levels(
    home: Path, client: HttpClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(home, 3600)
    monkeypatch.setattr(logging.getLogger("botocore"), "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    auth = SigV4(credential=shared(chain("vended", REGION), provider="bedrock"), region=REGION)
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append((await peer.request())[0])
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with ScriptedServer(script) as server:
        await client.fetch(call(f"{server.url}/model/a/converse", auth), Exchange())
    assert TOKEN.reveal().encode() in heads[0]
    assert logging.getLogger().isEnabledFor(logging.DEBUG)
    assert TOKEN.reveal() not in caplog.text
    assert KEY.reveal() not in caplog.text


def test_no_secret_is_in_what_keys_and_signer_show_of_themselves() -> None:
    shown = f"{keys(TOKEN)!r} {given_keys(ID, KEY, TOKEN)()!r}"
    assert ID in shown
    assert KEY.reveal() not in shown
    assert TOKEN.reveal() not in shown
