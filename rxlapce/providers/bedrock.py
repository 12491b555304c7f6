"""AWS Bedrock: Converse and InvokeModel in AWS's event stream, with SigV4 or an API key of Bedrock's.

Claude before 4.6 goes on with an assistant's turn here too. Of the others Converse's pages do not say so. By
InvokeModel, those that take a text of turns do: the template is ours, and leaves the last assistant's turn open. (Those
that take a text without turns, Cohere's Command and AI21's Jurassic, go on from no answer's beginning.)

Source: the Amazon Bedrock API reference, "Actions, Amazon Bedrock Runtime"; "How Amazon Bedrock API keys work".
"""

import configparser
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rxlapce.dialects.bedrock_invoke import BedrockInvoke
from rxlapce.dialects.converse import Converse
from rxlapce.errors import ConfigError, ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.apis import EVENTSTREAM
from rxlapce.providers.auth import Auth, Bearer, Unsigned
from rxlapce.providers.listing import Listing, bedrock_models
from rxlapce.providers.prefill import claude_accepts_prefill
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.sigv4 import SigV4, chain, given_keys, shared
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret

_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
NO_REGION: Final = "no AWS region is set: set AWS_REGION, or a region in the profile that AWS_PROFILE names"


@dataclass(frozen=True, slots=True)
class NoRegion:
    """Refuses every request. Not the configuration: AWS_PROFILE may well be set for other programs than this."""

    secrets: tuple[Secret, ...] = ()

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """Raises `ProviderError` (auth)."""
        raise ProviderError(
            ErrorKind.AUTH, NO_REGION, retry=Retry.OTHER_PROVIDER, phase=Phase.ADMIT, provider="bedrock"
        )

    def refused(self) -> None:
        """Nothing is sent that could be."""


#: Parts of the ids of models that take a text of turns, whose template leaves an assistant's last turn open.
OPEN_ENDED: Final = (
    "amazon.titan-t",
    "meta.llama3",
    "meta.llama4",
    "mistral.mistral-7b",
    "mistral.mixtral-8x7b",
    "mistral.mistral-small-2402",
    "mistral.mistral-large-2402",
)


def invoke_accepts_prefill(model: str) -> bool:
    """Whether `model`, asked by InvokeModel, goes on with an assistant's turn."""
    return claude_accepts_prefill(model) or any(part in model for part in OPEN_ENDED)


def build(settings: Settings) -> Provider:
    """The provider with the user's settings; of a base URL of one's own, the paths are those of the runtime."""
    region = _region(settings.extra)
    host = f"{region}.amazonaws.com"
    converse = Converse()
    return Provider(
        name="bedrock",
        base_url=settings.base_url or f"https://bedrock-runtime.{host}",
        apis={
            "converse": Api(
                dialect=converse,
                path="/model/{model}/converse",
                stream_path="/model/{model}/converse-stream",
                framing=EVENTSTREAM,
                counter=converse,
                count_path="/model/{model}/count-tokens",
                accepts_prefill=claude_accepts_prefill,
            ),
            "invoke": Api(
                dialect=BedrockInvoke(),
                path="/model/{model}/invoke",
                stream_path="/model/{model}/invoke-with-response-stream",
                framing=EVENTSTREAM,
                accepts_prefill=invoke_accepts_prefill,
            ),
        },
        listing=Listing(
            path="/foundation-models" if settings.base_url else f"https://bedrock.{host}/foundation-models",
            read=bedrock_models,
        ),
        auth=_auth(settings, region),
        origin=settings.origin,
    )


def _auth(settings: Settings, region: str | None) -> Auth:
    """The API key; else the keys that are set; else what botocore's chain finds."""
    if settings.key:
        # The key says for which region it is good, but not to us: only a base URL makes up for it.
        return Bearer(settings.key) if region or settings.base_url else NoRegion()
    access_key_id = settings.extra.get("access key's id")
    secret_access_key = settings.secrets.get("secret access key")
    if (access_key_id is None) is not (secret_access_key is None):
        raise ConfigError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: set both or none")
    if region is None:
        return NoRegion()
    if access_key_id and secret_access_key:
        keys = given_keys(access_key_id, secret_access_key, settings.secrets.get("session token"))
    else:
        keys = chain(settings.extra.get("profile"), region)
    return SigV4(credential=shared(keys, provider="bedrock"), region=region)


def _region(extra: Mapping[str, str]) -> str | None:
    """The region that is set, else the profile's; None for none. Nothing is assumed: where data goes is not a detail.

    Raises `ConfigError` for what can be no region, since it becomes a part of the host's name.
    """
    for variable, name in EXTRA.items():
        if name in ("region", "default region") and (region := extra.get(name, "").strip()):
            if not _REGION.fullmatch(region):
                raise ConfigError(f"{variable}: expected a region such as us-east-1, got {region!r}")
            return region
    said = profile_region(extra.get("profile", "default"), Path(extra.get("config file", "~/.aws/config")))
    return said if said is not None and _REGION.fullmatch(said) else None


def profile_region(profile: str, config_file: Path) -> str | None:
    """The `region` of `profile` in AWS's configuration file; None without one.

    Read here rather than by botocore, whose import would make every start with AWS_PROFILE set 0.4 s longer. A file
    that cannot be read says nothing here; botocore tells why as soon as it is asked for keys.
    """
    parser = configparser.RawConfigParser(default_section="")
    try:
        with config_file.expanduser().open(encoding="utf-8") as file:
            parser.read_file(file)
        for section in parser.sections():
            words = shlex.split(section)
            if words in (["profile", profile], [profile] if profile == "default" else None):
                return parser.get(section, "region", fallback=None)
    except (OSError, ValueError, RuntimeError, configparser.Error):
        pass
    return None


EXTRA: Final = {
    "AWS_REGION": "region",
    "AWS_DEFAULT_REGION": "default region",
    "AWS_PROFILE": "profile",
    "AWS_CONFIG_FILE": "config file",
    "AWS_ACCESS_KEY_ID": "access key's id",
}

#: AWS's own variables, which any of its tools reads.
AMBIENT: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID")

SPEC = ProviderSpec(
    name="bedrock",
    summary="AWS Bedrock: converse, invoke",
    key_env="AWS_BEARER_TOKEN_BEDROCK",
    base_url_env="BEDROCK_BASE_URL",
    more_base_url_env=("AWS_ENDPOINT_URL_BEDROCK_RUNTIME",),
    needs=("AWS_BEARER_TOKEN_BEDROCK", *AMBIENT),
    ambient=AMBIENT,
    build=build,
    extra_env=EXTRA,
    secret_env={"AWS_SECRET_ACCESS_KEY": "secret access key", "AWS_SESSION_TOKEN": "session token"},
)
