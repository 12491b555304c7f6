"""OpenAI-compatible vendors from the file's section `providers`: a provider without code.

    providers:
      groq:
        base_url: https://api.groq.com/openai/v1
        key: env:GROQ_API_KEY
        max_tokens_field: max_tokens

The file never holds a key: `key` says where it is. Besides `base_url`, all is optional: `apis`, `default_model`,
`headers`, `models_path`, `health_path` as in `providers.compatible.Vendor`, and every option of the dialects by its
name. Read strictly: see `config.document`.
"""

import re
from collections.abc import Mapping
from typing import Final

from rxlapce.codec.event import Event
from rxlapce.config.document import Place
from rxlapce.config.env import check_base_url, read_secret
from rxlapce.config.options import Option, options_of
from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.providers.compatible import DIALECTS, ApiName, Vendor
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import Settings
from rxlapce.secret import Secret
from rxlapce.typing import Dialect

_MEMBERS: Final = ("base_url", "key", "apis", "default_model", "headers", "models_path", "health_path")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2, token
_PATH: Final = re.compile(r"/[!-~]*")  # sent as it stands: percent-encoded ASCII
_VARIABLE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
#: Headers that hold keys, or that the HTTP client writes.
_NOT_HERE: Final = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
    | {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


def dialect_options(api: ApiName) -> dict[str, Option]:
    """The options of the API's dialect by name, as its dataclass declares them: a new one needs no line here."""
    return {name: option for name, option in options_of(DIALECTS[api]).items() if name != "name"}


def read_vendors(at: Place, environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that the section describes, by name, in its order; keys are taken from `environ`.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected.
    """
    return {name: _provider(name, place, environ) for name, place in at.members().items()}


def _provider(name: str, at: Place, environ: Mapping[str, str]) -> Provider:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{at}: {name!r} is no name for a provider: use small letters, digits, '.', '_' and '-'")
    if name in SPECS or name == "simulator":
        raise ConfigError(f"{at}: {name!r} is built in and configured by the environment: choose another name")
    every = {option: None for api in DIALECTS for option in dialect_options(api)}
    members = at.members((*_MEMBERS, *every))
    if "base_url" not in members:
        raise ConfigError(f"{at}: base_url is missing, such as base_url: https://api.groq.com/openai/v1")
    base_url = members["base_url"].text("a URL").rstrip("/")
    check_base_url(base_url, str(members["base_url"]))
    vendor = Vendor(
        name=name,
        base_url=base_url,
        apis=_apis(members),
        headers=_headers(members["headers"]) if "headers" in members else {},
        models_path=_path(members["models_path"], optional=True) if "models_path" in members else "/models",
        health_path=_path(members["health_path"]) if "health_path" in members else None,
        default_model=members["default_model"].text("a model's name") if "default_model" in members else None,
    )
    key = _key(members["key"], environ) if "key" in members else None
    return vendor.provider(Settings(key=key, origin=f"{at.file}:{at.node.start_mark.line + 1}"))


def _apis(members: Mapping[str, Place]) -> dict[ApiName, Dialect[Event]]:
    """The dialects that are asked for, each with those of the options that it has."""
    names: list[ApiName] = ["chat_completions"]
    if "apis" in members:
        expected = f"a list of one or more of {', '.join(DIALECTS)}"
        names = [_api(item) for item in members["apis"].items(expected)]
        if not names or len(set(names)) < len(names):
            raise members["apis"].wrong(expected, got="an empty list" if not names else "one of them twice")
    for option in members.keys() - _MEMBERS:
        owners = [api for api in DIALECTS if option in dialect_options(api)]
        if not set(owners) & set(names):
            raise ConfigError(f"{members[option]}: an option of {' and '.join(owners)}, which apis does not list")
    return {
        api: DIALECTS[api](
            **{name: option.read(members[name]) for name, option in dialect_options(api).items() if name in members}
        )
        for api in names
    }


def _api(item: Place) -> ApiName:
    said = item.choice(tuple(DIALECTS))
    return next(api for api in DIALECTS if api == said)


def _key(at: Place, environ: Mapping[str, str]) -> Secret:
    """The key that is referred to. What stands here is never shown: it may be the key itself."""
    expected = "a reference to the key such as env:GROQ_API_KEY, never the key itself"
    if not at.is_text():
        raise at.wrong(expected, got="something else")
    found = _VARIABLE.fullmatch(at.text())
    if found is None:
        raise at.wrong(expected, got="something else")
    try:
        key = read_secret(found[1], environ)
    except ConfigError as error:
        raise ConfigError(f"{at}: {error}") from None
    if key is None:
        raise ConfigError(f"{at}: the environment has no {found[1]}: set it, or take this provider out")
    return key


def _headers(at: Place) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in at.members().items():
        if not _HEADER.fullmatch(name):
            raise ConfigError(f"{value}: {name!r} is no name for a header")
        if name.lower() in _NOT_HERE:
            raise ConfigError(f"{value}: {name} is not set here: a key is given by `key`, the rest by the HTTP client")
        headers[name] = value.text("a text")
        if not headers[name].isprintable():
            raise ConfigError(f"{value}: holds a line end or another character that no header can have")
    return headers


def _path(at: Place, *, optional: bool = False) -> str | None:
    """A path after the base URL. Not a URL: the key would go to another host."""
    if optional and at.is_null():
        return None
    expected = "a path such as /models" + (" or null" if optional else "")
    if not _PATH.fullmatch(at.text(expected)):
        raise at.wrong(expected)
    return at.text()
