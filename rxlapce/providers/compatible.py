"""An OpenAI-compatible vendor: a base URL, a bearer key, and what is different in the dialects' options.

None of the APIs promises to go on with an assistant's turn that ends a conversation; completions go on from their text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from rxlapce.codec.event import Event
from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.dialects.completions import Completions
from rxlapce.dialects.responses import Responses
from rxlapce.providers.auth import Bearer, NoAuth
from rxlapce.providers.listing import Listing, openai_models
from rxlapce.providers.provider import Api, Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.typing import Dialect

ApiName = Literal["chat_completions", "responses", "completions"]

#: The dialects that a vendor may speak, and where.
DIALECTS: Final[Mapping[ApiName, type[ChatCompletions | Responses | Completions]]] = {
    "chat_completions": ChatCompletions,
    "responses": Responses,
    "completions": Completions,
}
PATHS: Final[Mapping[ApiName, str]] = {
    "chat_completions": "/chat/completions",
    "responses": "/responses",
    "completions": "/completions",
}


def _chat_alone() -> Mapping[ApiName, Dialect[Event]]:
    return {"chat_completions": ChatCompletions()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What is known of a vendor before a user's settings. `base_url` ends where `/chat/completions` begins.

    `apis` are the dialects with their options by the APIs' names; the first is the default. `models_path` is None where
    no models are listed. For the rest see `Provider`.
    """

    name: str
    base_url: str
    apis: Mapping[ApiName, Dialect[Event]] = field(default_factory=_chat_alone)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    models_path: str | None = "/models"
    health_path: str | None = None
    default_model: str | None = None

    def provider(self, settings: Settings) -> Provider:
        """The vendor with a user's settings, asked without a key if there is none; `settings.extra` are headers."""
        return Provider(
            name=self.name,
            base_url=settings.base_url or self.base_url,
            apis={
                name: Api(dialect=dialect, path=PATHS[name], continues_prompt=name == "completions")
                for name, dialect in self.apis.items()
            },
            default_model=self.default_model,
            listing=None if self.models_path is None else Listing(path=self.models_path, read=openai_models),
            health_path=self.health_path,
            auth=Bearer(settings.key) if settings.key else NoAuth(),
            headers={**self.headers, **settings.extra},
            origin=settings.origin,
        )


def compatible(
    name: str,
    summary: str,
    base_url: str,
    *,
    apis: Mapping[ApiName, Dialect[Event]] | None = None,
    headers: Mapping[str, str] | None = None,
    header_env: Mapping[str, str] | None = None,
    models_path: str | None = "/models",
    health_path: str | None = None,
    needs: tuple[str, ...] | None = None,
) -> ProviderSpec:
    """The spec of a `Vendor`, which by convention is configured by NAME_API_KEY and, if it moves, NAME_BASE_URL.

    `needs` names the variables that configure it instead of the key's. `header_env` maps further variables to headers,
    which win over `headers`. Chat completions alone are spoken where `apis` is None.
    """
    variable = name.upper().replace("-", "_")
    vendor = Vendor(
        name=name,
        base_url=base_url,
        apis=apis or _chat_alone(),
        headers=headers or {},
        models_path=models_path,
        health_path=health_path,
    )
    return ProviderSpec(
        name=name,
        summary=summary,
        key_env=f"{variable}_API_KEY",
        base_url_env=f"{variable}_BASE_URL",
        needs=needs or (f"{variable}_API_KEY",),
        build=vendor.provider,
        extra_env=header_env or {},
    )
