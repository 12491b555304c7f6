"""Names of the user's own for models: what the file says of them, and that a router takes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.config.sources import Config, load_config, load_provider_configs
from rxlapce.errors import ConfigError
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.routing.alias import Alias, Choose, Target
from rxlapce.routing.router import Router
from rxlapce.routing.settings import StreamTimeouts

Load = Callable[[str], Config]
KEY = "sk-test-0123456789abcdef"
ENVIRON = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}

FAST = """
providers:
  groq: {base_url: "https://api.groq.com/openai/v1", key: "env:GROQ_API_KEY", default_model: llama}
timeouts: {idle_s: 9}
fallback: {overlap_chars: 5, on_content_filter: true}
models:
  fast:
    ask:
      - groq/llama-3.3-70b
      - model: openai/gpt-4.1-mini
        weight: 2
        images: false
        tools: false
        context: 128000
        prefill: false
      - {model: groq}
    choose: weighted
    after_commit: continue
    timeouts: {first_token_s: 5}
  plain:
    ask: [anthropic/claude-haiku-4-5]
"""


def test_an_alias_is_read_whole_and_laid_over_what_holds_for_all(load: Load) -> None:
    fast, plain = load(FAST).aliases
    assert fast == Alias(
        name="fast",
        targets=(
            Target(model="groq/llama-3.3-70b"),
            Target(model="openai/gpt-4.1-mini", weight=2, images=False, tools=False, context=128000, prefill=False),
            Target(model="groq"),
        ),
        choose=Choose.WEIGHTED,
        fallback=FallbackPolicy(after_commit=AfterCommit.CONTINUE, overlap_chars=5, on_content_filter=True),
        timeouts=StreamTimeouts(first_token_s=5, idle_s=9),
    )
    assert plain == Alias(name="plain", targets=(Target(model="anthropic/claude-haiku-4-5"),))


def test_a_router_takes_what_was_read(load: Load) -> None:
    config = load(FAST)
    router = Router(config.providers, aliases=config.aliases)
    assert router.route("fast").name == "groq/llama-3.3-70b"
    assert router.plan("plain").routes[0].route.name == "anthropic/claude-haiku-4-5"


def test_who_is_played_can_be_asked_by_an_alias_and_takes_the_place_of_its_namesake(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("models: {fast: {ask: [simulator/sim, xai/m]}}")
    openai = load_provider_configs(ENVIRON)["openai"]
    config = load_config(ENVIRON, file, played={"simulator": openai, "xai": openai})
    assert [target.model for target in config.aliases[0].targets] == ["simulator/sim", "xai/m"]
    assert config.providers["xai"] is openai


def test_who_is_configured_can_be_asked_for_while_an_alias_names_one_who_is_not(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("models: {fast: {ask: [xai/grok-4]}}")
    assert list(load_provider_configs(ENVIRON, file)) == ["openai", "anthropic"]
    with pytest.raises(ConfigError, match="set XAI_API_KEY"):
        load_config(ENVIRON, file)
