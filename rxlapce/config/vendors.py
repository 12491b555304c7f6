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
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.config.document import Place
from rxlapce.config.env import fault_of_base_url, read_secret
from rxlapce.config.options import Option, gathered, options_of
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


def read_vendors(at: Place, environ: Mapping[str, str] | None) -> dict[str, Provider]:
    """The providers that the section describes, by name, in its order; keys are taken from `environ`, or not at all.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, a provider that is wrong is left out.
    """
    vendors: dict[str, Provider] = {}
    for name, place in at.members().items():
        with place.collect():
            vendors[name] = _provider(name, place, environ)
    return vendors


def _provider(name: str, at: Place, environ: Mapping[str, str] | None) -> Provider:
    if not _NAME.fullmatch(name):
        raise at.error(f"{name!r} is no name for a provider: use small letters, digits, '.', '_' and '-'")
    if name in SPECS or name == "simulator":
        raise at.error(f"{name!r} is built in and configured by the environment: choose another name")
    every = {option: None for api in DIALECTS for option in dialect_options(api)}
    members = at.members((*_MEMBERS, *every))
    if "base_url" not in members:
        raise at.error("base_url is missing, such as base_url: https://api.groq.com/openai/v1")
    reading: dict[str, Callable[[], Any]] = {"base_url": partial(_base_url, members["base_url"])}
    reading["apis"] = partial(_apis, members)
    for member, read in _READERS.items():
        if member in members:
            reading[member] = partial(read, members[member])
    if "key" in members:
        reading["key"] = partial(_key, members["key"], environ)
    values = gathered(reading)
    key = values.pop("key", None)
    vendor = Vendor(name=name, **values)
    return vendor.provider(Settings(key=key, origin=f"{at.file}:{at.node.start_mark.line + 1}"))


def _base_url(at: Place) -> str:
    url = at.text("a URL").rstrip("/")
    if fault := fault_of_base_url(url):
        raise at.error(fault)
    return url


def _apis(members: Mapping[str, Place]) -> dict[ApiName, Dialect[Event]]:
    """The dialects that are asked for, each with those of the options that it has."""
    names: list[ApiName] = ["chat_completions"]
    if "apis" in members:
        expected = f"a list of one or more of {', '.join(DIALECTS)}"
        names = [_api(item) for item in members["apis"].items(expected)]
        if not names or len(set(names)) < len(names):
            raise members["apis"].wrong(expected, got="an empty list" if not names else "one of them twice")
    for option in (name for name in members if name not in _MEMBERS):
        owners = [api for api in DIALECTS if option in dialect_options(api)]
        with members[option].collect():
            if not set(owners) & set(names):
                raise members[option].error(f"an option of {' and '.join(owners)}, which apis does not list")
    return gathered({api: partial(_dialect, api, members) for api in names})


def _dialect(api: ApiName, members: Mapping[str, Place]) -> Dialect[Event]:
    options = dialect_options(api)
    reading = {name: partial(option.read, members[name]) for name, option in options.items() if name in members}
    return DIALECTS[api](**gathered(reading))


def _api(item: Place) -> ApiName:
    said = item.choice(tuple(DIALECTS))
    return next(api for api in DIALECTS if api == said)


def _key(at: Place, environ: Mapping[str, str] | None) -> Secret | None:
    """The key that is referred to; None if it is not looked up. What stands here is never shown: it may be the key."""
    expected = "a reference to the key such as env:GROQ_API_KEY, never the key itself"
    if not at.is_text():
        raise at.wrong(expected, got="something else")
    found = _VARIABLE.fullmatch(at.text())
    if found is None:
        raise at.wrong(expected, got="something else")
    if environ is None:
        return None
    try:
        key = read_secret(found[1], environ)
    except ConfigError as error:
        raise at.error(str(error)) from None
    if key is None:
        raise at.error(f"the environment has no {found[1]}: set it, or take this provider out")
    return key


def _headers(at: Place) -> dict[str, str]:
    return gathered({name: partial(_header, name, value) for name, value in at.members().items()})


def _header(name: str, at: Place) -> str:
    if not _HEADER.fullmatch(name):
        raise at.error(f"{name!r} is no name for a header")
    if name.lower() in _NOT_HERE:
        raise at.error(f"{name} is not set here: a key is given by `key`, the rest by the HTTP client")
    said = at.text("a text")
    if not said.isprintable():
        raise at.error("holds a line end or another character that no header can have")
    return said


def _path(at: Place, *, optional: bool = False) -> str | None:
    """A path after the base URL. Not a URL: the key would go to another host."""
    if optional and at.is_null():
        return None
    expected = "a path such as /models" + (" or null" if optional else "")
    if not _PATH.fullmatch(at.text(expected)):
        raise at.wrong(expected)
    return at.text()


def _model_name(at: Place) -> str:
    return at.text("a model's name")


#: How the members of a `Vendor` are read that are the same for every API.
_READERS: Final[Mapping[str, Callable[[Place], object]]] = {
    "headers": _headers,
    "models_path": partial(_path, optional=True),
    "health_path": _path,
    "default_model": _model_name,
}
