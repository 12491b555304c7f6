"""What CONTRIBUTING.md shows for a new vendor works as it stands there: both ways, and both are the same."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.config.sources import load_provider_configs
from rxlapce.flow import Exchange
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import Provider, chat, chat_stream
from rxlapce.providers.spec import ProviderSpec, Settings
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard

DOCUMENT = Path(__file__).parents[2] / "CONTRIBUTING.md"
KEY = Secret("gsk-0123456789abcdef")
BASE_URL = "https://api.groq.com/openai/v1"


def shown(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


def by_yaml(tmp_path: Path, base_url: str) -> Provider:
    text = shown("yaml")
    assert text.count(BASE_URL) == 1
    (tmp_path / "vendors.yaml").write_text(text.replace(BASE_URL, base_url))
    return load_provider_configs({"GROQ_API_KEY": KEY.reveal()}, tmp_path / "vendors.yaml")["groq"]


def by_file(tmp_path: Path, base_url: str) -> Provider:
    module: dict[str, object] = {}
    exec(compile(shown("python"), "groq.py", "exec"), module)  # noqa: S102 - the document's own snippet
    spec = module["SPEC"]
    assert isinstance(spec, ProviderSpec)
    assert (spec.needs, spec.base_url_env) == (("GROQ_API_KEY",), "GROQ_BASE_URL")
    assert spec.build(Settings(key=KEY)).base_url == BASE_URL
    return spec.build(Settings(key=KEY, base_url=base_url))


@pytest.mark.parametrize("made", [by_yaml, by_file])
async def test_the_vendor_of_the_document_answers_in_both_of_its_apis(
    made: Callable[[Path, str], Provider], tmp_path: Path
) -> None:
    async with Simulator(api_key=KEY) as simulator, HttpClient() as client:
        vendor = made(tmp_path, f"{simulator.base_url}/v1")
        for api in ("chat_completions", "responses"):
            got = Collected(chat_stream(client, vendor, ask(api=api), "sim:tps=0", Exchange()))
            assert await got.end() is None
            assert len(heard(got.items).text) > 500
            assert heard(await chat(client, vendor, ask(api=api), "sim", Exchange())).text
        assert "sim" in await list_models(client, vendor)
        await check_health(client, vendor)


@pytest.mark.parametrize("api", ["chat_completions", "responses"])
def test_both_ways_make_the_same_request(api: str, tmp_path: Path) -> None:
    request = ask(api=api, max_tokens=7)
    one, other = (
        vendor.call(vendor.api(request, "m"), request, "m", stream=True)
        for vendor in (by_yaml(tmp_path, BASE_URL), by_file(tmp_path, BASE_URL))
    )
    assert (one.url, one.body, one.headers, one.auth, one.accept) == (
        other.url,
        other.body,
        other.headers,
        other.auth,
        other.accept,
    )
    assert (b'"max_tokens":7' in one.body) is (api == "chat_completions")


def test_the_file_has_at_most_as_many_lines_as_it_says() -> None:
    code = [line for line in shown("python").splitlines() if line.strip()]
    assert len(code) <= 10
