"""Vertex AI: Gemini by generateContent, Claude by Anthropic's messages, with Google's credentials.

Three ways to prove who asks: google-auth's credentials (a service account's file, those of `gcloud auth
application-default login`, workload identity federation, the metadata server); a token that was got elsewhere, which
lasts an hour; or an API key (express mode), which knows neither project nor location and only Gemini.

Claude before 4.6 goes on with an assistant's turn here too; Gemini answers a conversation, which ends with the user.

Source: https://cloud.google.com/vertex-ai/docs/reference/rest and
https://platform.claude.com/docs/en/api/claude-on-vertex-ai.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rxlapce.dialects.generate_content import GenerateContent
from rxlapce.dialects.json_values import is_object
from rxlapce.dialects.messages import AnthropicMessages
from rxlapce.errors import ConfigError
from rxlapce.providers.apis import GOOGLE_SSE, JSON_ARRAY
from rxlapce.providers.auth import Auth, Bearer, HeaderKey
from rxlapce.providers.credentials import Fetched, RefreshedBearer, SharedCredential, Token, missing_extra
from rxlapce.providers.listing import Listing, vertex_models
from rxlapce.providers.prefill import claude_accepts_prefill
from rxlapce.providers.provider import Api, Provider, percent_encoded
from rxlapce.providers.spec import ProviderSpec, Settings

#: Requests go to whichever region has room, and most models are there first. Data may be processed anywhere: who may
#: not have that sets VERTEX_LOCATION.
DEFAULT_LOCATION: Final = "global"
#: The value of `anthropic_version` in the body, which here is no header.
CLAUDE_VERSION: Final = "vertex-2023-10-16"

_SEGMENT: Final = r"[A-Za-z0-9][\w.@-]*"
_RESOURCE: Final = re.compile(rf"publishers/{_SEGMENT}/models/{_SEGMENT}|endpoints/{_SEGMENT}", re.ASCII)
#: A location is part of a host's name, to which the token is sent.
_LOCATION: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


def resource(model: str) -> str:
    """The name of `model` as a resource, below the location: a publisher's model, or an endpoint (a tuned model).

    >>> resource("gemini-2.5-flash"), resource("claude-sonnet-4@20250514")
    ('publishers/google/models/gemini-2.5-flash', 'publishers/anthropic/models/claude-sonnet-4@20250514')
    >>> resource("endpoints/123"), resource("publishers/google/models/gemini-2.5-pro")
    ('endpoints/123', 'publishers/google/models/gemini-2.5-pro')
    """
    if _RESOURCE.fullmatch(model):
        return model
    publisher = "anthropic" if "claude" in model else "google"
    # A version's @ may stand in a path as it is (RFC 3986 section 3.3), and does in all that Google and Anthropic show.
    return f"publishers/{publisher}/models/{quote(model, safe='@')}"


def api_of(model: str) -> str | None:
    """The API for `model`: Claude's speak Anthropic's messages, all others generateContent."""
    return "messages" if "claude" in model else None


def host(location: str) -> str:
    """The URL of the service in `location`: a region, `global`, or one of the multi-regions `us` and `eu`."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def google_token(file: str | None) -> Fetched[Token]:
    """A token by google-auth, of the credential in `file` or of Google's own search. Blocks. Raises `ProviderError`."""
    try:
        from rxlapce.providers import google_oauth  # an extra, and slow to import: only here, on the fetch's thread
    except ImportError as error:
        raise missing_extra("google-auth", "vertex", error) from None
    return google_oauth.fetch(file)


def build(settings: Settings) -> Provider:
    """The provider with the user's settings; the base URL ends where `/v1` begins. Raises `ConfigError`.

    The credential's file is read here only if no variable names the project; each fetch of a token reads it again.
    """
    express = settings.key is not None and "access token" not in settings.secrets
    location = DEFAULT_LOCATION if express else _location(settings)
    root = "/v1" if express else f"/v1/projects/{percent_encoded(_project(settings))}/locations/{location}"
    if express and any(name in settings.extra for name in ("project", "location")):
        raise ConfigError(
            "VERTEX_API_KEY is for express mode, which has neither project nor location: unset VERTEX_PROJECT_ID and "
            "VERTEX_LOCATION, or the key"
        )
    return Provider(
        name="vertex",
        base_url=settings.base_url or host(location),
        apis=_gemini(root) if express else {**_gemini(root), "messages": _claude(root)},
        api_of=api_of,
        model_in_url=resource,
        listing=Listing(path="/v1beta1/publishers/google/models", read=vertex_models),
        auth=_auth(settings),
        origin=settings.origin,
    )


def _auth(settings: Settings) -> Auth:
    """A token that was given, else the key of express mode, else google-auth."""
    if given := settings.secrets.get("access token"):
        return Bearer(given)
    if settings.key is not None:
        return HeaderKey("x-goog-api-key", settings.key)
    fetch = partial(google_token, _setting(settings, "credential file"))
    return RefreshedBearer(SharedCredential(fetch, provider="vertex"))


def _location(settings: Settings) -> str:
    location = _setting(settings, "location", "default location") or DEFAULT_LOCATION
    if not _LOCATION.fullmatch(location):
        raise ConfigError(f"VERTEX_LOCATION: expected a location such as us-central1, eu or global, got {location!r}")
    return location


def _project(settings: Settings) -> str:
    file = _setting(settings, "credential file")
    project = _setting(settings, "project", "default project") or (_project_of(Path(file)) if file else None)
    if not project:
        raise ConfigError(
            "vertex needs a project: set VERTEX_PROJECT_ID (or GOOGLE_CLOUD_PROJECT), or point "
            "GOOGLE_APPLICATION_CREDENTIALS at the key file of a service account, which names its own"
        )
    return project


def _gemini(root: str) -> Mapping[str, Api]:
    dialect = GenerateContent(count_wrapped=False)
    return {
        "generate_content": Api(
            dialect=dialect,
            path=f"{root}/{{model}}:generateContent",
            stream_path=f"{root}/{{model}}:streamGenerateContent?alt=sse",
            framing=GOOGLE_SSE,
            counter=dialect,
            count_path=f"{root}/{{model}}:countTokens",
        ),
        "generate_content_array": Api(
            dialect=dialect,
            path=f"{root}/{{model}}:generateContent",
            stream_path=f"{root}/{{model}}:streamGenerateContent",
            framing=JSON_ARRAY,
            counter=dialect,
            count_path=f"{root}/{{model}}:countTokens",
        ),
    }


def _claude(root: str) -> Api:
    dialect = AnthropicMessages(model_in_body=False, version=CLAUDE_VERSION)
    return Api(
        dialect=dialect,
        path=f"{root}/{{model}}:rawPredict",
        stream_path=f"{root}/{{model}}:streamRawPredict",
        counter=dialect,
        count_path=f"{root}/publishers/anthropic/models/count-tokens:rawPredict",
        accepts_prefill=claude_accepts_prefill,
    )


def _setting(settings: Settings, *names: str) -> str | None:
    """The first of these that is set."""
    return next((value for name in names if (value := settings.extra.get(name, "").strip())), None)


def _project_of(file: Path) -> str | None:
    """The project that a credential's file names; None where it names none. Raises `ConfigError` if it is no such file.

    Nothing of what stands in it is told: it is a private key.
    """
    try:
        said: Any = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"GOOGLE_APPLICATION_CREDENTIALS: cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"GOOGLE_APPLICATION_CREDENTIALS: {file} is no JSON file") from None
    project = said.get("project_id") if is_object(said) else None
    return project if isinstance(project, str) else None


SPEC = ProviderSpec(
    name="vertex",
    summary="Vertex AI: Gemini and Claude with Google's credentials (rxlapce[vertex]), Gemini with a key",
    key_env="VERTEX_API_KEY",
    base_url_env="VERTEX_BASE_URL",
    # Google's own variables are set on many machines for other things: they do not ask for this provider.
    needs=("VERTEX_PROJECT_ID", "VERTEX_LOCATION", "VERTEX_API_KEY"),
    build=build,
    extra_env={
        "VERTEX_PROJECT_ID": "project",
        "GOOGLE_CLOUD_PROJECT": "default project",
        "VERTEX_LOCATION": "location",
        "GOOGLE_CLOUD_LOCATION": "default location",
        "GOOGLE_APPLICATION_CREDENTIALS": "credential file",
    },
    secret_env={"VERTEX_ACCESS_TOKEN": "access token"},
)
