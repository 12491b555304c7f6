import pytest

from rxlapce.config.env import load_provider_configs_from_env, proxy_for, validate_provider_configs
from rxlapce.errors import ConfigError
from rxlapce.providers.auth import Unsigned

KEY = "sk-test-0123456789abcdef"


def test_a_key_configures_its_provider_with_the_default_url() -> None:
    providers = load_provider_configs_from_env({"OPENAI_API_KEY": KEY})
    assert list(providers) == ["openai"]
    assert providers["openai"].base_url == "https://api.openai.com/v1"
    assert providers["openai"].origin == "environment: OPENAI_API_KEY"


def test_base_url_organisation_and_project_are_taken() -> None:
    provider = load_provider_configs_from_env(
        {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://h:1/v1", "OPENAI_ORG_ID": "o", "OPENAI_PROJECT_ID": "p"}
    )["openai"]
    assert provider.base_url == "http://h:1/v1"
    assert provider.headers == {"OpenAI-Organization": "o", "OpenAI-Project": "p"}


async def test_anthropic_key_goes_into_its_own_header() -> None:
    provider = load_provider_configs_from_env({"ANTHROPIC_API_KEY": KEY})["anthropic"]
    assert await provider.auth.headers(Unsigned("POST", "http://127.0.0.1/", {}, b"")) == {"x-api-key": KEY}
    assert provider.headers["anthropic-version"] == "2023-06-01"


async def test_local_needs_a_url_and_no_key() -> None:
    provider = load_provider_configs_from_env({"LOCAL_BASE_URL": "http://127.0.0.1:8080/v1"})["local"]
    assert await provider.auth.headers(Unsigned("POST", "http://127.0.0.1/", {}, b"")) == {}
    assert load_provider_configs_from_env({"LOCAL_API_KEY": KEY}) == {}


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_counts_as_unset(empty: str) -> None:
    assert load_provider_configs_from_env({"OPENAI_API_KEY": empty, "LOCAL_BASE_URL": empty}) == {}


def test_no_key_is_in_what_a_provider_shows_of_itself() -> None:
    providers = load_provider_configs_from_env({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY})
    assert KEY not in repr(providers)


@pytest.mark.parametrize("key", [KEY + "\nOther: header", "sk with blank", "sk-ключ"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        load_provider_configs_from_env({"OPENAI_API_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize("url", ["htps://me:PASSWORD@gw/v1", "http://gw/v1?key=PASSWORD", "//me:PASSWORD@h"])
def test_a_base_url_with_a_key_in_it_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_provider_configs_from_env({"LOCAL_BASE_URL": url})
    assert "PASSWORD" not in str(caught.value)


def test_a_header_from_the_environment_cannot_break_the_line() -> None:
    with pytest.raises(ConfigError, match="OPENAI_ORG_ID"):
        load_provider_configs_from_env({"OPENAI_API_KEY": KEY, "OPENAI_ORG_ID": "org\r\nX-Other: 1"})


def test_proxies_come_from_the_environment_and_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("https://api.openai.com/v1") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.internal")
    assert proxy_for("https://api.openai.com/v1") == "http://proxy:3128"
    assert proxy_for("http://api.openai.com/v1") is None
    assert proxy_for("https://gw.internal/v1") is None
    monkeypatch.setenv("NO_PROXY", "gw.example:8443")
    assert proxy_for("https://gw.example:8443/v1") is None
    assert proxy_for("https://gw.example/v1") == "http://proxy:3128"


def test_a_proxy_without_a_scheme_is_an_http_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert proxy_for("https://api.openai.com/v1") == "http://proxy:3128"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.1.2.3", "localhost:11434", "ollama.localhost", "[::1]:8080"])
def test_this_machine_is_asked_without_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy:3128")
    assert proxy_for(f"http://{host}/v1") is None
    assert proxy_for("http://192.168.0.1/v1") == "http://proxy:3128"
    assert proxy_for("http://localhost.example/v1") == "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8080", "expected an http or https URL"),
        ("ftp://host/v1", "expected an http or https URL"),
        ("http://", "expected an http or https URL"),
        ("http://host:99999/v1", "expected an http or https URL"),
        ("http://user:secret@host/v1", "keys do not belong into the URL"),
        ("http://host/v1?key=secret", "without \\? and #"),
        ("http://host/v1\r\nX-Other: 1", "no blanks, line ends"),
        ("http://host/a b", "no blanks"),
        ("http://host\t/v1", "no blanks"),
        ("http://host/é/v1", "non-ASCII characters: percent-encode"),
    ],
)
def test_a_base_url_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"LOCAL_BASE_URL: .*{message}"):
        load_provider_configs_from_env({"LOCAL_BASE_URL": url})


def test_nothing_configured_is_an_error_that_names_the_variables_and_the_way_without_a_key() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_provider_configs({})
    for word in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LOCAL_BASE_URL", "--simulator"):
        assert word in str(caught.value)
