"""Azure OpenAI: chat completions, responses and completions of one's own deployments.

Two kinds of URLs. The v1 API, without a date, has every path under `/openai/v1` and the deployment's name as the
body's `model`. With a dated API version the deployment stands in the URL. The body names it all the same: the service
does not look there, and a gateway in between that routes by the body works with both. (Responses are of no deployment.)

As at OpenAI, only the completions go on from what is there, which is a text.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference and .../openai/api-version-lifecycle.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.errors import ConfigError
from rxlapce.providers.auth import Auth, Bearer, HeaderKey
from rxlapce.providers.credentials import Fetched, RefreshedBearer, SharedCredential, Token, missing_extra
from rxlapce.providers.listing import Listing, openai_models
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import ProviderSpec, Settings

DEFAULT_SCOPE: Final = "https://cognitiveservices.azure.com/.default"

_DATED: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?", re.ASCII)
_OPENAI: Final = re.compile(r"/openai(?:/|$)", re.IGNORECASE)  # Azure's paths are the same in any case
#: The words for an API version that mean the API without a date; `preview` also goes into the URL.
_UNDATED: Final = ("", "v1", "latest", "preview")


def entra_token(scope: str) -> Fetched[Token]:
    """A token of Microsoft Entra ID for `scope` by azure-identity. Blocks. Raises `ProviderError` (auth)."""
    try:
        from rxlapce.providers import entra  # an extra, and slow to import: only here, on the fetch's thread
    except ImportError as error:
        raise missing_extra("azure-identity", "azure", error) from None
    return entra.fetch(scope)


def build(settings: Settings) -> Provider:
    """The provider with the user's settings. Raises `ConfigError` without an endpoint, and for an unknown version."""
    if settings.base_url is None:
        raise ConfigError(
            "azure needs AZURE_OPENAI_ENDPOINT, such as https://RESOURCE.openai.azure.com: it is in the portal under "
            "Keys and Endpoint"
        )
    version = _setting(settings, "API version") or _setting(settings, "default API version")
    if _DATED.fullmatch(version):
        apis, models = _dated(version)
    elif version in _UNDATED:
        apis, models = _v1("?api-version=preview" if version == "preview" else "")
    else:
        raise ConfigError(
            f"AZURE_OPENAI_API_VERSION: expected v1, preview or a date such as 2024-10-21, got {version!r}"
        )
    return Provider(
        name="azure",
        base_url=_resource_url(settings.base_url),
        apis=apis,
        default_model=_setting(settings, "deployment") or None,
        listing=Listing(path=models, read=openai_models),
        auth=_auth(settings),
        origin=settings.origin,
    )


def _v1(query: str) -> tuple[Mapping[str, Api], str]:
    apis = {
        "chat_completions": Api(dialect=ChatCompletions(), path=f"/openai/v1/chat/completions{query}"),
        "responses": Api(dialect=Responses(), path=f"/openai/v1/responses{query}"),
        "completions": Api(dialect=Completions(), path=f"/openai/v1/completions{query}", continues_prompt=True),
    }
    return apis, f"/openai/v1/models{query}"


def _dated(version: str) -> tuple[Mapping[str, Api], str]:
    query = f"?api-version={version}"
    root = "/openai/deployments/{model}"
    apis = {
        "chat_completions": Api(dialect=ChatCompletions(), path=f"{root}/chat/completions{query}"),
        "responses": Api(dialect=Responses(), path=f"/openai/responses{query}"),
        "completions": Api(dialect=Completions(), path=f"{root}/completions{query}", continues_prompt=True),
    }
    return apis, f"/openai/models{query}"


def _auth(settings: Settings) -> Auth:
    """A token that was given, else the key, else Entra ID: the order of OpenAI's own client."""
    if given := settings.secrets.get("Entra token"):
        return Bearer(given)
    if settings.key is not None:
        return HeaderKey("api-key", settings.key)
    scope = _setting(settings, "Entra scope") or DEFAULT_SCOPE
    return RefreshedBearer(SharedCredential(partial(entra_token, scope), provider="azure"))


def _setting(settings: Settings, name: str) -> str:
    return settings.extra.get(name, "").strip()


def _resource_url(endpoint: str) -> str:
    """`endpoint` up to where `/openai` begins: the portal shows whole addresses of deployments too."""
    parts = urlsplit(endpoint)
    path = _OPENAI.split(parts.path, maxsplit=1)[0]
    return f"{parts.scheme}://{parts.netloc}{path}".rstrip("/")


SPEC = ProviderSpec(
    name="azure",
    summary="Azure OpenAI: your deployments, with a key or Entra ID (rxlapce[azure])",
    key_env="AZURE_OPENAI_API_KEY",
    base_url_env="AZURE_OPENAI_ENDPOINT",
    needs=("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
    build=build,
    extra_env={
        "AZURE_OPENAI_DEPLOYMENT_NAME": "deployment",
        "AZURE_OPENAI_API_VERSION": "API version",
        "OPENAI_API_VERSION": "default API version",
        "AZURE_OPENAI_SCOPE": "Entra scope",
    },
    secret_env={"AZURE_OPENAI_AD_TOKEN": "Entra token"},
)
