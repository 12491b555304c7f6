"""Where Google's access tokens come from: OAuth's token endpoint, and a machine's metadata server."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.simulator.google.tokens import PROJECT

FLAVOR = {"Metadata-Flavor": "Google"}
MACHINE = "/computeMetadata/v1"
HELLO = {"role": "user", "parts": [{"text": "Hello"}]}
PATH = "/v1/projects/p/locations/global/publishers/google/models/sim:generateContent"


def assertion(header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    said = {"iss": "a@b", "scope": "cloud-platform", "aud": "token", "iat": 1000, "exp": 4600, **claims}
    parts = [json.dumps(header or {"alg": "RS256", "kid": "1"}), json.dumps(said), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REFRESH = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize("form", [{"grant_type": JWT_BEARER, "assertion": assertion()}, REFRESH])
async def test_a_token_is_granted_and_taken(form: dict[str, str]) -> None:
    async with Simulator(api_key=Secret("other")) as simulator, aiohttp.ClientSession(simulator.base_url) as client:
        async with client.post("/token", data=form) as response:
            granted = await response.json()
        assert (response.status, granted["token_type"], granted["expires_in"]) == (200, "Bearer", 3599)
        headers = {"authorization": f"Bearer {granted['access_token']}"}
        assert (await client.post(PATH, json={"contents": [HELLO]}, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "r"}, "invalid_request"),
        ({"grant_type": JWT_BEARER, "assertion": "no.jwt"}, "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": assertion({"alg": "HS256"})}, "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": assertion(exp=4601)}, "invalid_grant"),
        ({"grant_type": JWT_BEARER, "assertion": assertion(scope="")}, "invalid_scope"),
    ],
)
async def test_a_wrong_grant_is_refused_with_oauths_code(
    client: aiohttp.ClientSession, form: dict[str, str], error: str
) -> None:
    async with client.post("/token", data=form) as response:
        said = await response.json()
    assert (response.status, said["error"]) == (400, error)
    assert said["error_description"]


async def test_the_metadata_server_answers_who_asks_as_a_program_must(client: aiohttp.ClientSession) -> None:
    async with client.get("/", headers=FLAVOR) as response:
        assert (response.status, response.headers["metadata-flavor"]) == (200, "Google")
    account = f"{MACHINE}/instance/service-accounts/default/"
    async with client.get(account + "token", headers=FLAVOR) as response:
        assert set(await response.json()) == {"access_token", "expires_in", "token_type"}
    async with client.get(account, params={"recursive": "true"}, headers=FLAVOR) as response:
        assert (await response.json())["aliases"] == ["default"]
    for path, said in (("project/project-id", PROJECT), ("universe/universe-domain", "googleapis.com")):
        async with client.get(f"{MACHINE}/{path}", headers=FLAVOR) as response:
            assert (await response.text(), response.content_type) == (said, "application/text")
    async with client.get(account + "token") as response:
        assert (response.status, await response.text()) == (403, "Missing Metadata-Flavor:Google header.\n")
