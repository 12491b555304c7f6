"""Whose configuration is tested: the providers are simulated, and the rest is as it was written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.crashtest.cases import BY_NAME
from rxlapce.crashtest.rig import Conditions, Rig, Role
from rxlapce.crashtest.run import run_case, run_cases
from rxlapce.crashtest.setup import built_in, of_file
from rxlapce.crashtest.verdict import Verdict
from rxlapce.errors import ConfigError, ErrorKind

WriteConfig = Callable[[str], Path]

OWN = """
providers:
  acme:
    base_url: https://api.acme.example/some/path/v1
    key: env:ACME_KEY
    health_path: /key
  bolt:
    base_url: https://bolt.example/v1
    key: env:BOLT_KEY
models:
  careful:
    ask: [acme/large, gemini/gemini-2.5-flash, acme/small]
    after_commit: continue
  lone:
    ask: [bolt/one]
timeouts: {headers_s: 0.5, first_token_s: 0.7, idle_s: 0.5}
"""


async def test_the_first_model_s_provider_and_all_others_have_a_server_each(write_config: WriteConfig) -> None:
    setup = of_file(write_config(OWN))
    assert (setup.model, setup.primary.name) == ("careful", "acme/large")
    assert {name: provider.base_url for name, provider in setup.providers("http://a", "http://b").items()} == {
        "acme": "http://a/v1",
        "gemini": "http://b",
    }


async def test_somebody_s_own_configuration_is_whole_or_one_clear_error(write_config: WriteConfig) -> None:
    setup = of_file(write_config(OWN), within_s=5.0)
    names = ("no_response", "slow_start", "cut", "cut_fail", "cut_tool_call", "silence", "400_filter", "our_limit")
    results = await run_cases([BY_NAME[name] for name in names], setup)
    assert {result.case: (result.verdict.value, result.reason) for result in results} == {
        "no_response": ("whole", None),
        "slow_start": ("whole", None),
        "cut": ("whole", None),
        "cut_fail": ("clean_error", None),
        "cut_tool_call": ("whole", None),
        "silence": ("whole", None),
        "400_filter": ("clean_error", None),
        "our_limit": ("clean_error", None),
    }
    assert results[2].model == "gemini-2.5-flash"


async def test_a_single_model_has_no_fallback_and_its_errors_are_clean(write_config: WriteConfig) -> None:
    setup = of_file(write_config(OWN), "bolt/another", within_s=5.0)
    result = await run_case(BY_NAME["cut"], setup)
    assert (result.verdict, result.times_fallback_s) == (Verdict.CLEAN_ERROR, ())
    assert result.error is not None
    assert (result.error.kind, result.error.delivered_chars) == (ErrorKind.TRUNCATED, result.text_chars)


async def test_timeouts_that_are_too_long_fail(write_config: WriteConfig) -> None:
    patient = "models: {slow: {ask: [openai/gpt-4.1, anthropic/claude-haiku-4-5]}}\ntimeouts: {idle_s: 20}\n"
    setup = of_file(write_config(patient), within_s=0.5)
    results = await run_cases([BY_NAME[name] for name in ("no_response", "silence")], setup)
    assert [result.verdict for result in results] == [Verdict.FAIL, Verdict.FAIL]
    assert {result.reason for result in results} == {"it had not ended after 0.5 s"}


async def test_a_configuration_that_lets_words_be_doubled_fails(write_config: WriteConfig) -> None:
    careless = "models: {twice: {ask: [openai/a, anthropic/b], after_commit: continue, overlap_chars: %d}}\n"
    results = [
        await run_case(BY_NAME["cut_overlap"], of_file(write_config(careless % chars), within_s=5.0))
        for chars in (0, 100)
    ]
    assert [result.verdict for result in results] == [Verdict.FAIL, Verdict.WHOLE]
    assert results[0].reason is not None
    assert "calls itself whole, but from character 1" in results[0].reason


async def test_nobody_s_key_is_read_or_sent(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "a-true-key-of-acme")
    monkeypatch.setenv("GEMINI_API_KEY", "a-true-key-of-gemini")
    setup = of_file(write_config(OWN), within_s=5.0)
    async with Rig(setup, Conditions(primary="status=400,fault=context_length"), within_s=5.0) as rig:
        await rig.ask()
        headers = [request.headers for server in (rig.primary, rig.fallback) for request in server.requests]
        assert len(headers) == 2
        assert rig.attempt_times(Role.FALLBACK)
    assert "true" not in str(headers)
    assert "simulated-key" in str(headers)


def test_of_several_keys_none_is_fetched_and_none_is_asked_elsewhere(write_config: WriteConfig) -> None:
    keys = "keys: [{name: a, key: 'vault:acme/a'}, {name: b, key: 'exec:/nowhere/program'}]"
    setup = of_file(write_config(OWN.replace("key: env:ACME_KEY", keys)))
    for provider in setup.providers("http://a", "http://b").values():
        assert provider.base_url.startswith(("http://a", "http://b"))
        assert provider.accounts == ()


async def test_models_of_the_first_provider_that_come_later_are_fallbacks(write_config: WriteConfig) -> None:
    same = "models: {two: {ask: [openai/large, openai/small], after_commit: continue}}\n"
    setup = of_file(write_config(same), within_s=5.0)
    result = await run_case(BY_NAME["cut"], setup)
    assert result.verdict is Verdict.WHOLE
    assert (len(result.times_primary_s), len(result.times_fallback_s), result.model) == (1, 1, "small")


def test_a_file_without_names_for_models_needs_to_be_told_which(write_config: WriteConfig) -> None:
    path = write_config("timeouts: {idle_s: 5}\n")
    with pytest.raises(ConfigError, match="names no models"):
        of_file(path)
    assert of_file(path, "openai/gpt-4.1").primary.name == "openai/gpt-4.1"


def test_a_mistyped_name_is_told_with_those_that_there_are(write_config: WriteConfig) -> None:
    with pytest.raises(ConfigError, match=r"'carefull' has no provider in front.*; aliases: careful, lone"):
        of_file(write_config(OWN), "carefull")


@pytest.mark.parametrize("model", ["nobody", "acmee/large", "openai"])
def test_a_model_that_nobody_has_is_named(write_config: WriteConfig, model: str) -> None:
    with pytest.raises(ConfigError, match=model.partition("/")[0]):
        of_file(write_config(OWN), model)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        of_file(tmp_path / "none.yaml")


def test_built_in_configuration_asks_openai_then_anthropic() -> None:
    setup = built_in()
    assert [target.model for target in setup.targets] == ["openai/sim-first", "anthropic/sim-second"]
    assert set(setup.config.providers) == {"openai", "anthropic"}
