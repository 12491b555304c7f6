"""A vendor without code: what the file may say, and that it is asked so."""

from pathlib import Path

import msgspec

from rxlapce.config.sources import load_provider_configs
from rxlapce.config.vendors import dialect_options
from rxlapce.flow import Exchange
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.compatible import DIALECTS
from rxlapce.providers.discovery import check_health, list_models
from rxlapce.providers.http import HttpClient
from rxlapce.providers.provider import chat_stream
from rxlapce.secret import Secret
from rxlapce.simulator import Simulator
from rxlapce.testing.asking import Collected, ask, heard

KEY = "sk-test-0123456789abcdef"
ENVIRON = {"GROQ_API_KEY": KEY}
GROQ = "    base_url: https://api.groq.com/openai/v1\n"


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rxlapce.yaml"
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_vendor_of_two_lines_chats_with_the_defaults(tmp_path: Path) -> None:
    vendor = load_provider_configs({}, file_with(tmp_path, f"providers:\n  groq:\n{GROQ}"))["groq"]
    assert (vendor.name, vendor.base_url, list(vendor.apis)) == (
        "groq",
        "https://api.groq.com/openai/v1",
        ["chat_completions"],
    )
    assert vendor.url(vendor.apis["chat_completions"].path) == "https://api.groq.com/openai/v1/chat/completions"
    assert await vendor.auth.headers(Unsigned("POST", "http://h/", {}, b"")) == {}
    assert vendor.origin.endswith("rxlapce.yaml:3")


async def test_everything_that_can_be_set_is_taken(tmp_path: Path) -> None:
    text = """
providers:
  groq:
    base_url: "https://gw.internal:8443/openai/v1/"
    key: env:GROQ_API_KEY
    apis: [responses, chat_completions]
    max_tokens_field: max_tokens
    reasoning: null
    reasoning_back: reasoning_content
    top_k: true
    store: false
    default_model: "llama-3.1:8b"
    headers: {X-Title: rxlapce, X-Team: "yes"}
    models_path: null
    health_path: /health
  second-vendor.2:
    base_url: http://127.0.0.1:1/v1
"""
    vendors = load_provider_configs(ENVIRON, file_with(tmp_path, text))
    assert list(vendors) == ["groq", "second-vendor.2"]
    groq = vendors["groq"]
    assert groq.base_url == "https://gw.internal:8443/openai/v1"
    assert await groq.auth.headers(Unsigned("POST", "http://h/", {}, b"")) == {"Authorization": f"Bearer {KEY}"}
    assert list(groq.apis) == ["responses", "chat_completions"]
    assert (groq.default_model, groq.listing, groq.health_path) == ("llama-3.1:8b", None, "/health")
    assert groq.headers == {"X-Title": "rxlapce", "X-Team": "yes"}
    chat = groq.apis["chat_completions"].dialect
    body = msgspec.json.decode(chat.chat_body(ask(max_tokens=5, top_k=3), "m", stream=False))
    assert (body["max_tokens"], body["top_k"]) == (5, 3)
    assert KEY not in repr(vendors)


def test_the_options_are_those_of_the_dialects() -> None:
    chat = dialect_options("chat_completions")
    assert chat["max_tokens_field"].choices == ("max_completion_tokens", "max_tokens")
    assert chat["reasoning"].optional
    assert chat["top_k"].choices == ()
    assert dialect_options("responses")["store"].optional
    for api in DIALECTS:
        assert {"name", "now"}.isdisjoint(dialect_options(api))


def test_a_file_without_providers_has_none(tmp_path: Path) -> None:
    assert load_provider_configs({}, file_with(tmp_path, "{}")) == {}


async def test_a_vendor_of_the_file_answers_lists_and_is_checked_over_a_socket(tmp_path: Path) -> None:
    async with Simulator(api_key=Secret(KEY)) as simulator, HttpClient() as client:
        text = f"providers:\n  mine:\n    base_url: {simulator.base_url}/v1\n    key: env:GROQ_API_KEY\n"
        vendor = load_provider_configs(ENVIRON, file_with(tmp_path, text))["mine"]
        got = Collected(chat_stream(client, vendor, ask("tps=0"), "sim:tps=0", Exchange()))
        assert await got.end() is None
        assert len(heard(got.items).text) > 100
        assert "sim" in await list_models(client, vendor)
        await check_health(client, vendor)
