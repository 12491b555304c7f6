"""OpenAI-compatible vendors from the file's section `providers`: a provider without code.

    providers:
      groq:
        base_url: https://api.groq.com/openai/v1
        key: env:GROQ_API_KEY
        max_tokens_field: max_tokens

The file never holds a key: `key` says where it is (`config.keys`), `keys` where several are (`config.accounts`).
Besides `base_url`, all is optional: `apis`, `default_model`, `headers`, `models_path`, `health_path` as in
`providers.compatible.Vendor`, and every option of the dialects by its name. Read strictly: see `config.document`.

A provider that is built in may stand here too, with `key` or `keys` alone. Its variables for the key are then not
looked at: a file that says which key is used means it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from rxlapce.codec.event import Event
from rxlapce.config.accounts import MEMBERS, provider_with, quotas_of, read_accounts
from rxlapce.config.document import Place, is_told, together
from rxlapce.config.env import fault_of_base_url, with_key
from rxlapce.config.keys import Keys
from rxlapce.config.options import Option, gathered, options_of
from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.providers.compatible import DIALECTS, ApiName, Vendor
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import Settings
from rxlapce.routing.settings import Quota
from rxlapce.typing import Dialect

_MEMBERS: Final = ("base_url", "key", "keys", "apis", "default_model", "headers", "models_path", "health_path")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2, token
_PATH: Final = re.compile(r"/[!-~]*")  # sent as it stands: percent-encoded ASCII
#: Headers that hold keys, or that the HTTP client writes.
_NOT_HERE: Final = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
    | {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


def dialect_options(api: ApiName) -> dict[str, Option]:
    """The options of the API's dialect by name, as its dataclass declares them: a new one needs no line here."""
    return {name: option for name, option in options_of(DIALECTS[api]).items() if name != "name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """The providers of the section by name, in its order; and the limits of their keys, by provider and key."""

    providers: dict[str, Provider] = field(default_factory=dict[str, Provider])
    quotas: dict[tuple[str, str], Quota] = field(default_factory=dict[tuple[str, str], Quota])


def read_vendors(at: Place, keys: Keys) -> Vendors:
    """What the section describes. Those that are built in are left out where there is no environment.

    Raises `ConfigError` that tells file, line, column and path of what is wrong, and what was expected; where errors
    are gathered, a provider that is wrong is left out.
    """
    vendors = Vendors()
    for name, place in at.members().items():
        with place.collect():
            if place.is_text():  # which may be the key
                raise place.wrong("a mapping (name: value)", got="a text")
            if name in SPECS:
                _read_built_in(name, place, keys, vendors)
            else:
                _read_vendor(name, place, keys, vendors)
    return vendors


def _read_built_in(name: str, at: Place, keys: Keys, vendors: Vendors) -> None:
    """The provider as the environment has it, by the key or keys that are said here."""
    said = f"{name!r} is built in and configured by the environment: only key and keys stand here"
    members = at.members()
    wrong = [place.error(said) for member, place in members.items() if member not in MEMBERS]
    if wrong:
        raise together(wrong)
    if not members:
        raise at.error(f"key is missing; {said}")
    accounts, environ = read_accounts(members, keys), keys.environ
    if environ is None:
        return
    try:
        provider = provider_with(accounts, lambda key: with_key(SPECS[name], environ, key, _origin(at)))
    except ConfigError as error:
        raise at.error(str(error)) from None
    vendors.providers[name] = provider
    vendors.quotas.update(quotas_of(name, accounts))


def _origin(at: Place) -> str:
    return f"{at.file}:{at.node.start_mark.line + 1}"


def _read_vendor(name: str, at: Place, keys: Keys, vendors: Vendors) -> None:
    if not _NAME.fullmatch(name):
        raise at.name_error(f"{name!r} is no name for a provider: use small letters, digits, '.', '_' and '-'")
    if name == "simulator":
        raise at.name_error(f"{name!r} is built in and configured by the environment: choose another name")
    every = {option: None for api in DIALECTS for option in dialect_options(api)}
    before = len(at.gathered)
    members = at.members((*_MEMBERS, *every))
    if "base_url" not in members:
        if is_told("base_url", at.gathered[before:]):
            raise together(at.gathered[before:])  # again: it is told once
        raise at.error("base_url is missing, such as base_url: https://api.groq.com/openai/v1")
    reading: dict[str, Callable[[], Any]] = {"base_url": partial(_base_url, members["base_url"])}
    reading["apis"] = partial(_apis, members)
    for member, read in _READERS.items():
        if member in members:
            reading[member] = partial(read, members[member])
    reading["accounts"] = partial(read_accounts, members, keys)
    values = gathered(reading)
    accounts = values.pop("accounts")
    vendor = Vendor(name=name, **values)
    vendors.providers[name] = provider_with(
        accounts, lambda key: vendor.provider(Settings(key=key, origin=_origin(at)))
    )
    vendors.quotas.update(quotas_of(name, accounts))


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


def _headers(at: Place) -> dict[str, str]:
    return gathered({name: partial(_header, name, value) for name, value in at.members().items()})


def _header(name: str, at: Place) -> str:
    if not _HEADER.fullmatch(name):
        raise at.name_error(f"{name!r} is no name for a header")
    if name.lower() in _NOT_HERE:
        raise at.name_error(f"{name} is not set here: a key is given by `key`, the rest by the HTTP client")
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
