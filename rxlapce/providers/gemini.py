"""Gemini by the Gemini API (AI Studio): generateContent with a key in a header.

The key could stand in the URL too (`?key=`), where it would be in every proxy's log: it never does here.

A conversation ends with the user: its page knows no model's turn that is gone on with.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/tokens.
"""

import re
from typing import Final

from rxlapce.dialects.generate_content import GenerateContent
from rxlapce.providers.apis import GOOGLE_SSE, JSON_ARRAY
from rxlapce.providers.auth import HeaderKey
from rxlapce.providers.listing import Listing, gemini_models
from rxlapce.providers.provider import Api, Provider, percent_encoded
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret

_RESOURCE: Final = re.compile(r"(models|tunedModels)/([^/]+)")


def resource(model: str) -> str:
    """The resource's name of `model`: `models/NAME` for a bare name; `models/` and `tunedModels/` are left as they are.

    >>> resource("gemini-2.5-flash"), resource("tunedModels/mine-1"), resource("a/b")
    ('models/gemini-2.5-flash', 'tunedModels/mine-1', 'models/a%2Fb')
    """
    named = _RESOURCE.fullmatch(model)
    collection, name = named.groups() if named else ("models", model)
    return f"{collection}/{percent_encoded(name)}"


def build(settings: Settings) -> Provider:
    """The provider with the user's settings; the base URL ends where `/v1beta` begins."""
    dialect = GenerateContent(count_wrapped=True)
    return Provider(
        name="gemini",
        base_url=settings.base_url or "https://generativelanguage.googleapis.com",
        apis={
            "generate_content": Api(
                dialect=dialect,
                path="/v1beta/{model}:generateContent",
                stream_path="/v1beta/{model}:streamGenerateContent?alt=sse",
                framing=GOOGLE_SSE,
                counter=dialect,
                count_path="/v1beta/{model}:countTokens",
            ),
            "generate_content_array": Api(
                dialect=dialect,
                path="/v1beta/{model}:generateContent",
                stream_path="/v1beta/{model}:streamGenerateContent",
                framing=JSON_ARRAY,
                counter=dialect,
                count_path="/v1beta/{model}:countTokens",
            ),
        },
        model_in_url=resource,
        listing=Listing(path="/v1beta/models", read=gemini_models),
        auth=HeaderKey("x-goog-api-key", settings.key or Secret("")),
        origin=settings.origin,
    )


SPEC = ProviderSpec(
    name="gemini",
    summary="Gemini by a key of AI Studio: generateContent",
    key_env="GEMINI_API_KEY",
    base_url_env="GEMINI_BASE_URL",
    needs=("GEMINI_API_KEY",),
    build=build,
)
