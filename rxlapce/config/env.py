"""Providers from environment variables."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret


def load_provider_configs_from_env(environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that `environ` configures, by name, in the order of the table.

    A variable that is set but empty counts as unset. Raises `ConfigError` for a base URL that is none.
    """
    providers: dict[str, Provider] = {}
    for spec in SPECS.values():
        if any(environ.get(name, "").strip() for name in spec.needs):
            providers[spec.name] = spec.build(_settings(spec, environ))
    return providers


def with_key(spec: ProviderSpec, environ: Mapping[str, str], key: Secret | None, origin: str) -> Provider:
    """The provider as `environ` configures it, but for its credential, which is `key` and nothing else."""
    return spec.build(replace(_settings(spec, environ), key=key, secrets={}, origin=origin))


def validate_provider_configs(providers: Mapping[str, Provider]) -> None:
    """Raise `ConfigError` with the list of variables when nothing at all is configured."""
    if not providers:
        wanted = "\n".join(f"  {spec.name:11} {' or '.join(spec.needs)}" for spec in SPECS.values())
        raise ConfigError(
            f"no provider is configured. Set one of these variables:\n{wanted}\n"
            "or try without any key: rxlapce serve --simulator"
        )


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url` (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`; any case).

    None for this machine itself, whatever the variables say: no proxy elsewhere could reach a server here, and what is
    asked of a local model stays local.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_here(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _settings(spec: ProviderSpec, environ: Mapping[str, str]) -> Settings:
    base_url: str | None = None
    for variable in (spec.base_url_env, *spec.more_base_url_env):
        base_url = (environ.get(variable) or "").strip() or None
        if base_url is not None:
            check_base_url(base_url, variable)
            break
    for variable in spec.extra_env:
        if not environ.get(variable, "").isprintable():
            raise ConfigError(f"{variable} holds a line end or another character that no header can have")
    return Settings(
        key=read_secret(spec.key_env, environ),
        base_url=base_url,
        extra={name: environ[variable] for variable, name in spec.extra_env.items() if environ.get(variable)},
        secrets={
            name: secret for variable, name in spec.secret_env.items() if (secret := read_secret(variable, environ))
        },
        origin="environment: " + ", ".join(name for name in _variables(spec) if environ.get(name)),
    )


def _variables(spec: ProviderSpec) -> list[str]:
    """All that `spec` reads, once each."""
    base_urls = (spec.base_url_env, *spec.more_base_url_env)
    named = (spec.key_env, *base_urls, *spec.needs, *spec.secret_env, *spec.extra_env)
    return [name for name in dict.fromkeys(named) if name]


def read_secret(variable: str, environ: Mapping[str, str]) -> Secret | None:
    """The key in `variable`, None if it is not set or empty. Raises `ConfigError` for what can be no key."""
    value = environ.get(variable, "").strip()
    if any(ord(char) < 0x21 or ord(char) > 0x7E for char in value):
        raise ConfigError(
            f"{variable} holds a blank, a line end or a non-ASCII character, which no key has: was it pasted whole?"
        )
    return Secret(value) if value else None


def check_base_url(url: str, setting: str) -> None:
    """Raise `ConfigError` naming `setting` unless `url` is a base URL, see `fault_of_base_url`."""
    if fault := fault_of_base_url(url):
        raise ConfigError(f"{setting}: {fault}")


def fault_of_base_url(url: str) -> str | None:
    """What keeps `url` from being a plain http(s) URL without user, query or fragment; None where nothing does.

    It is sent, and signed, as it stands: what is no ASCII, or would end the request's line, must come encoded.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    # What may be a key is not shown: not what stands before an @, nor after a ?.
    if "@" in url:
        return "keys do not belong into the URL; set the provider's key variable instead"
    if "?" in url or "#" in url:
        return "expected a URL without ? and #, such as http://127.0.0.1:8080/v1"
    if not all("!" <= char <= "~" for char in url):
        return "a URL holds no blanks, line ends and non-ASCII characters: percent-encode them"
    if not usable:
        return f"expected an http or https URL such as http://127.0.0.1:8080/v1, got {url!r}"
    return None
