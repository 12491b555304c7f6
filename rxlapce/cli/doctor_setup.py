"""The doctor's checks of what is configured: the file, keys, extras, proxies; and, online, whether providers answer."""

import asyncio
import stat
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rxlapce.cli.doctor_facts import Facts, Finding, ok, problem, warning
from rxlapce.cli.loop import run
from rxlapce.config.env import proxy_for
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError, Phase, ProviderError
from rxlapce.providers import SPECS
from rxlapce.providers.credentials import RefreshedBearer
from rxlapce.providers.discovery import check_health
from rxlapce.providers.provider import Provider
from rxlapce.providers.sigv4 import SigV4
from rxlapce.transports.key_file import read_keys

#: provider -> (module, extra): what its credentials need that expire.
EXTRAS: Final = {
    "azure": ("azure.identity", "azure"),
    "bedrock": ("botocore", "bedrock"),
    "vertex": ("google.auth", "vertex"),
}
PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
#: Signatures of AWS's are refused when they are five minutes off; tokens of Google's come from the future before that.
SKEW_WARNING_S: Final = 30.0
SKEW_PROBLEM_S: Final = 240.0
ONLINE_S: Final = 20.0


def _loaded(facts: Facts) -> Config | None:
    """The configuration; None where it is wrong, which `config` tells."""
    try:
        return load_config(facts.environ, facts.config)
    except ConfigError:
        return None


def config(facts: Facts) -> Iterator[Finding]:
    """Whether the environment and the file can be read and say what they may."""
    remedy = "mend it there; rxlapce explain NAME tells what a member of the file is, and docs/config.md has them all"
    try:
        load_config(facts.environ, facts.config)
        if facts.config is not None and facts.config.stat().st_mode & 0o002:
            said = f"everybody may write {facts.config}, and so say where your keys are sent"
            yield problem(said, f"chmod o-w {facts.config}")
            return
    except ConfigError as error:
        yield problem(str(error), remedy)
        return
    yield ok(f"{facts.config} is well-formed" if facts.config else "there is no file (--config, RXLAPCE_CONFIG)")


def providers(facts: Facts) -> Iterator[Finding]:
    """Who is configured, and by what; never a key."""
    loaded = _loaded(facts)
    if loaded is None:
        return
    for provider in loaded.providers.values():
        yield ok(f"{provider.name}, by {provider.origin or 'its name'}")
    if not loaded.providers:
        wanted = ", ".join(dict.fromkeys(spec.needs[0] for spec in SPECS.values()))
        yield problem("no provider is configured", f"set one of {wanted}; without any key: rxlapce serve --simulator")


def extras(facts: Facts) -> Iterator[Finding]:
    """Whether the packages are there that some providers' credentials and a store of quotas need."""
    loaded = _loaded(facts)
    if loaded is None:
        return
    wanted = [
        (name, *EXTRAS[name])
        for name, provider in loaded.providers.items()
        if name in EXTRAS and isinstance(provider.auth, SigV4 | RefreshedBearer)
    ]
    if loaded.store is not None:
        wanted.append(("limits.store", "redis", "redis"))
    missing = [one for one in wanted if not facts.has_module(one[1])]
    for name, module, extra in missing:
        yield problem(f"{name} needs {module}, which is not installed", f"pip install 'rxlapce[{extra}]'")
    if not missing:
        yield ok(", ".join(module for _, module, _ in wanted) or "none is needed")


def key_files(facts: Facts) -> Iterator[Finding]:
    """Whether files with keys are there, and nobody else's to read."""
    files = {
        "GOOGLE_APPLICATION_CREDENTIALS": facts.environ.get("GOOGLE_APPLICATION_CREDENTIALS"),
        "AWS_SHARED_CREDENTIALS_FILE": facts.environ.get("AWS_SHARED_CREDENTIALS_FILE"),
        "AZURE_FEDERATED_TOKEN_FILE": facts.environ.get("AZURE_FEDERATED_TOKEN_FILE"),
    }
    own = facts.home / ".aws" / "credentials"
    if not files["AWS_SHARED_CREDENTIALS_FILE"] and own.exists():
        files[str(own)] = str(own)
    for setting, file in files.items():
        if file:
            yield _key_file(setting, Path(file))
    if facts.key_file is not None:
        try:
            yield ok(f"{facts.key_file} has {len(read_keys(facts.key_file))} secrets to sign with")
        except ConfigError as error:
            yield problem(str(error), "make one: rxlapce keygen NAME --file FILE")
    elif not any(files.values()):
        yield ok("there are none")


def _key_file(setting: str, file: Path) -> Finding:
    try:
        with file.open("rb"):
            mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        return problem(f"{setting}: {file} cannot be read: {error.strerror}", f"mend the path, or unset {setting}")
    if mode & 0o077:
        return warning(f"{setting}: {file} is open to other users (mode {mode:04o})", f"chmod 600 {file}")
    return ok(f"{setting}: {file} is yours alone")


def proxies(facts: Facts) -> Iterator[Finding]:
    """By which proxies providers are asked; without the names and passwords in them."""
    found = {name: facts.environ.get(name) or facts.environ.get(name.lower()) for name in PROXIES}
    for name, url in found.items():
        if not url:
            continue
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
        except ValueError:
            parts, host = urlsplit(""), None
        if host is None or parts.scheme not in ("http", "https"):
            said = f"{name} is no proxy that can be used: {parts.scheme or 'it has no host'}"
            yield problem(said, "expected http://HOST:PORT")
        else:
            yield ok(f"{name} is {host}")
    if not any(found.values()):
        yield ok("none is set")


def online(facts: Facts) -> Iterator[Finding]:
    """Whether each provider answers and takes its key, and whether the clock is right. Nothing of it is billed."""
    loaded = _loaded(facts)
    if loaded is not None and loaded.providers:
        yield from run(_asked(list(loaded.providers.values())))


async def _asked(asked: list[Provider]) -> list[Finding]:
    from rxlapce.providers.http import HttpClient, HttpTimeouts  # aiohttp takes a quarter of a second to load

    async with HttpClient(HttpTimeouts(headers_s=ONLINE_S, answer_s=ONLINE_S), proxy_for) as client:

        async def ask(provider: Provider) -> Finding:
            try:
                await check_health(client, provider)
            except ProviderError as error:
                if error.phase is Phase.ADMIT:
                    return warning(error.message, "ask a model by rxlapce chat: there is nothing that is free to ask")
                return problem(
                    str(error), f"see what {provider.origin or 'the provider'} says, and {provider.base_url}"
                )
            return ok(f"{provider.name} answers at {provider.base_url}")

        answers = await asyncio.gather(*(ask(provider) for provider in asked))
    return [*answers, *await _clock([provider.base_url for provider in asked])]


async def _clock(urls: list[str]) -> list[Finding]:
    """How far the clock is from that of the first server elsewhere that tells the time (RFC 9110 section 6.6.1)."""
    import aiohttp  # as above

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ONLINE_S)) as session:
        for url in urls:
            try:
                async with session.head(url, proxy=proxy_for(url), allow_redirects=False) as response:
                    date = response.headers.get("Date", "")
                skew_s = parsedate_to_datetime(date).timestamp() - time.time()
            except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
                continue
            return [clock(skew_s, urlsplit(url).hostname or url)]
    return []


def clock(skew_s: float, host: str) -> Finding:
    """What a clock means that is `skew_s` behind that of `host`."""
    said = f"the clock is {abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} {host}"
    remedy = "set it by the network: timedatectl set-ntp true"
    if abs(skew_s) >= SKEW_PROBLEM_S:
        return problem(f"{said}: signatures and tokens will be refused", remedy)
    return warning(said, remedy) if abs(skew_s) >= SKEW_WARNING_S else ok(f"the clock agrees with {host}")
