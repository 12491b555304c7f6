"""`key` and `keys` of providers, of the file and built in: who is asked with what, and what is said to a wrong one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rxlapce.config.keys import UNRESOLVED
from rxlapce.config.overrides import with_rate_limit
from rxlapce.config.sources import Config, load_config
from rxlapce.errors import ConfigError
from rxlapce.providers import SPECS
from rxlapce.providers.auth import Unsigned
from rxlapce.routing.settings import Quota
from rxlapce.secret import Secret

ENVIRON = {"A": "sk-canary-aaaaaaaaaaaa", "B": "sk-canary-bbbbbbbbbbbb"}
#: What else it takes to be asked by a key, and the header that the key goes into.
NEEDED: Mapping[str, Mapping[str, str]] = {
    "azure": {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com"},
    "bedrock": {"AWS_REGION": "us-east-1"},
}


def loaded(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None, *, resolve: bool = True) -> Config:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    return load_config({**ENVIRON, "HOME": str(tmp_path), **(environ or {})}, path, resolve=resolve)


@pytest.mark.parametrize("name", SPECS)
async def test_a_built_in_provider_is_asked_by_the_key_of_the_file_and_by_no_other(tmp_path: Path, name: str) -> None:
    others = {SPECS[name].key_env: "sk-of-the-environment"}
    if name != "vertex":  # which needs a project for a token
        others |= dict.fromkeys(SPECS[name].secret_env, "another-secret")
    for environ in (NEEDED.get(name, {}), {**NEEDED.get(name, {}), **others}):
        provider = loaded(tmp_path, f"providers: {{{name}: {{key: 'env:A'}}}}", environ).providers[name]
        assert provider.auth.secrets == (Secret(ENVIRON["A"]),)
        headers = await provider.auth.headers(Unsigned("POST", "http://h/", {}, b""))
        assert any(ENVIRON["A"] in value for value in headers.values())
        assert (provider.key, provider.accounts) == ("", ())
        assert provider.origin == f"{tmp_path}/f.yaml:1"


async def test_several_keys_make_an_account_each_with_limits_of_its_own(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
providers:
  openai:
    keys:
      - {name: work, key: "env:A", requests: 500, tokens: 200000}
      - {name: spare, key: "env:B"}
  mine:
    base_url: http://127.0.0.1:1/v1
    keys: [{name: one, key: "env:A", streams: 2, shared: true}, {name: two, key: "env:B"}]
""",
    )
    for name, keys in (("openai", ["work", "spare"]), ("mine", ["one", "two"])):
        provider = config.providers[name]
        assert [account.key for account in provider.accounts] == keys
        assert [account.auth.secrets for account in provider.accounts] == [(Secret(key),) for key in ENVIRON.values()]
        assert {account.name for account in provider.accounts} == {name}
        assert (provider.key, provider.auth) == (keys[0], provider.accounts[0].auth)
    assert config.settings.admission.keys == {
        ("openai", "work"): Quota(requests=500, tokens=200000),
        ("mine", "one"): Quota(streams=2, shared=True),
    }
    limited = with_rate_limit(config.settings, 7).admission.keys
    assert {quota.requests for quota in limited.values()} == {7}
    assert not any(key in repr(config) for key in ENVIRON.values())


def test_without_resolving_everybody_is_there_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = "providers: {openai: {keys: [{name: a, key: 'vault:a/b'}, {name: b, key: 'exec:/nowhere'}]}}"
    openai = loaded(tmp_path, text, resolve=False).providers["openai"]
    assert [account.auth.secrets for account in openai.accounts] == [(Secret(UNRESOLVED),)] * 2


LIST = "expected a list of 1 to 32 keys, each {name: NAME, key: REFERENCE}, got"
EXAMPLE = "is missing, such as {name: work, key: env:OPENAI_API_KEY}"
NAME = "letters, digits and . _ @ -, at most 64 of them"
ENDPOINT = "such as https://RESOURCE.openai.azure.com: it is in the portal under Keys and Endpoint"
#: What stands in `providers` -> the column, and what is said.
WRONG = {
    "openai: {key: 'env:A', keys: []}": (42, "openai.keys: key stands here too: say one of the two"),
    "openai: {keys: []}": (28, f"openai.keys: {LIST} 0 keys"),
    "openai: {keys: sk-canary}": (28, f"openai.keys: {LIST} something else"),
    "openai: {keys: ['env:A']}": (
        29, "openai.keys[0]: expected a mapping {name: NAME, key: REFERENCE}, got something else"
    ),
    "openai: {keys: [{key: 'env:A'}]}": (29, f"openai.keys[0]: name {EXAMPLE}"),
    "openai: {keys: [{name: a}]}": (29, f"openai.keys[0]: key {EXAMPLE}"),
    "openai: {keys: [{name: sk:canary, key: 'env:A'}]}": (
        36, f"openai.keys[0].name: expected a name of {NAME}, got something else"
    ),
    "openai: {keys: [{name: a, key: 'env:A'}, {name: a, key: 'env:B'}]}": (
        61, "openai.keys[1].name: 'a' is the name of another key of this provider"
    ),
    "openai: {keys: [{name: a, key: 'env:A', requests: 0}]}": (
        63, "openai.keys[0].requests: expected a whole number of requests from 1 or null, got 0"
    ),
    "openai: sk-canary": (21, "openai: expected a mapping (name: value), got a text"),
    "mine: sk-canary": (19, "mine: expected a mapping (name: value), got a text"),
    "azure: {key: 'env:A'}": (20, f"azure: azure needs AZURE_OPENAI_ENDPOINT, {ENDPOINT}"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_with_its_place_and_without_a_key(tmp_path: Path, wrong: str) -> None:
    column, said = WRONG[wrong]
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, f"providers: {{{wrong}}}")
    assert str(refused.value) == f"{tmp_path}/f.yaml:1:{column}: providers.{said}"
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{file: vault.json}", "vault.file: expected an absolute path, or one that begins with ~/, got 'vault.json'"),
        (
            "{unlock: sk-canary}",
            "vault.unlock: expected keyring, prompt, or a reference to the passphrase such as",
        ),
        ("{unlock: 'vault:a/b'}", "vault.unlock: expected keyring, prompt, or a reference to the passphrase"),
        ("{unlock: [sk-canary]}", "vault.unlock: expected keyring, prompt, or a reference to the passphrase"),
        ("{passphrase: sk-canary}", "vault: unknown name 'passphrase'; known: file, unlock"),
        ("sk-canary", "vault: expected a mapping (name: value), got a text"),
    ],
)
def test_a_wrong_section_of_the_vault_is_told_beside_all_else(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, f"providers: {{openai: {{key: 'vault:a/b'}}, groq: {{}}}}\nvault: {section}")
    assert "providers.groq: base_url is missing" in str(refused.value)
    assert said in str(refused.value)
    assert "canary" not in str(refused.value)


def test_a_vault_that_is_not_there_is_told_once_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(
            tmp_path,
            f"providers: {{openai: {{key: 'vault:a/b'}}, xai: {{key: 'vault:a/c'}}}}\nvault: {{file: {tmp_path}/v}}",
        )
    first, second = str(refused.value).splitlines()
    assert first.endswith(
        f"providers.openai.key: there is no vault at {tmp_path}/v; make one with: rxlapce key set PROVIDER/NAME"
    )
    assert second.endswith("providers.xai.key: the vault does not open, as told of another key")


def test_a_store_of_limits_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "store").touch(0o600)
    (tmp_path / "store").write_text("redis://:sk-canary@quota.lan:7000\n")
    store = loaded(tmp_path, f"limits: {{store: 'file:{tmp_path}/store'}}").store
    assert store is not None
    assert (store.host, store.port, store.password) == ("quota.lan", 7000, Secret("sk-canary"))
    (tmp_path / "store").write_text("http://:sk-canary@quota.lan")
    with pytest.raises(ConfigError, match=r"limits.store: in the file, expected an address such as") as refused:
        loaded(tmp_path, f"limits: {{store: 'file:{tmp_path}/store'}}")
    assert "canary" not in str(refused.value)
