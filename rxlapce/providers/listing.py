"""Where a provider lists its models, and in which words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from rxlapce.errors import ErrorKind, ProviderError


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: the models' names, and the query string of the next page (None for the last)."""

    models: tuple[str, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Asked by GET, free of charge. `path` follows the base URL, or is a URL of its own; `read` knows the shape."""

    path: str
    read: Callable[[bytes], Page]


class _WithId(msgspec.Struct):
    id: str


class _Named(msgspec.Struct):
    name: str


class _Summary(msgspec.Struct, rename="camel"):
    model_id: str


class _Data(msgspec.Struct):
    data: list[_WithId]
    has_more: bool = False
    last_id: str | None = None


class _Models(msgspec.Struct, rename="camel"):
    models: list[_Named]
    next_page_token: str = ""


class _PublisherModels(msgspec.Struct, rename="camel"):
    publisher_models: list[_Named]
    next_page_token: str = ""


class _Summaries(msgspec.Struct, rename="camel"):
    model_summaries: list[_Summary]


_GOOGLE_PAGE: Final = "pageSize=1000&pageToken="


def openai_models(body: bytes) -> Page:
    """`{"data": [{"id": ...}]}`: OpenAI's shape, which most speak."""
    return Page(tuple(model.id for model in _read(body, _Data).data))


def anthropic_models(body: bytes) -> Page:
    """Anthropic's pages, each of which names its last model."""
    said = _read(body, _Data)
    more = f"limit=1000&after_id={quote(said.last_id, safe='')}" if said.has_more and said.last_id else None
    return Page(tuple(model.id for model in said.data), more)


def gemini_models(body: bytes) -> Page:
    """`{"models": [{"name": "models/..."}]}`; the prefix is not part of what a request names."""
    said = _read(body, _Models)
    return Page(tuple(model.name.removeprefix("models/") for model in said.models), _google_next(said.next_page_token))


def vertex_models(body: bytes) -> Page:
    """`{"publisherModels": [{"name": "publishers/google/models/..."}]}`."""
    said = _read(body, _PublisherModels)
    return Page(
        tuple(model.name.rpartition("/")[2] for model in said.publisher_models), _google_next(said.next_page_token)
    )


def bedrock_models(body: bytes) -> Page:
    """`{"modelSummaries": [{"modelId": ...}]}` of the control plane's `ListFoundationModels`."""
    return Page(tuple(model.model_id for model in _read(body, _Summaries).model_summaries))


def _google_next(token: str) -> str | None:
    return _GOOGLE_PAGE + quote(token, safe="") if token else None


def _read(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, f"the list of models is none: {error}") from None
