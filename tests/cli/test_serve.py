"""`rxlapce serve` and `rxlapce providers`: what is configured, and how starting fails."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.bridge import Client, connect
from rxlapce.cli.child import running_daemon
from rxlapce.cli.passphrase import Remembered
from rxlapce.cli.serving import Wish
from rxlapce.config.env import load_provider_configs_from_env
from rxlapce.config.layers import HEALTH, RATE_LIMIT, Given, Source
from rxlapce.config.simulated import simulated_environ
from rxlapce.errors import ConfigError, ErrorKind, Phase, ProviderError
from rxlapce.providers import SPECS
from rxlapce.providers.provider import Provider
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.settings import DEFAULT_QUOTA, Admission, HealthSettings, Quota, RoutingSettings
from rxlapce.tokens import Seam, StreamToken, Text


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
CANARY = "sk-canary-0123456789"


def test_without_any_provider_it_ends_with_the_list_of_variables(command: Command, folder: Path) -> None:
    done = command("serve", "--path", str(folder / "d.sock"))
    assert (done.code, done.out) == (1, "")
    for spec in SPECS.values():
        for variable in spec.needs:
            assert variable in done.err
    assert "rxlapce serve --simulator" in done.err
    assert list(folder.iterdir()) == []


def test_a_second_daemon_on_the_path_is_refused_and_the_first_one_stays(command: Command, simulated: Path) -> None:
    done = command("serve", "--simulator", "--path", str(simulated), "--log-level", "error")
    assert done.code == 1
    assert done.err == f"Error: a daemon already listens at {simulated}: use it, or stop it first\n"
    assert command("chat", "-m", "simulator/sim:tps=0,tokens=3", "--path", str(simulated), "hi").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--ring-kib", "100"), 1, "--ring-kib: ring_kib must be a power of two, not 100"),
        (("--require-signing",), 1, "--require-signing: require_signing needs key_file: by whose keys?"),
        (("--metrics", "9464"), 1, "--metrics: listen must be HOST:PORT, [ADDRESS]:PORT or unix:/PATH, not '9464'"),
        (("--base-url", "127.0.0.1:8080"), 1, "--base-url: expected an http or https URL"),
        (("--base-url", "http://me:secret@127.0.0.1/v1"), 1, "keys do not belong into the URL"),
        (("--simulator", "--default-provider", "nobody"), 1, "'nobody' is not configured; configured: simulator"),
        (("--log-level", "loud"), 2, "'loud' is not one of"),
        (("--rate-limit", "-1"), 2, "-1 is not in the range x>=0"),
        (("--rate-limit", "many"), 2, "'many' is not a valid integer"),
    ],
)
def test_wrong_setting_says_what_was_expected(
    command: Command, folder: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = command("serve", "--path", str(folder / "d.sock"), *arguments)
    assert done.code == code
    assert told in done.err
    assert "secret" not in done.err


def test_folder_that_others_may_enter_is_refused(command: Command, folder: Path) -> None:
    folder.chmod(0o755)
    done = command("serve", "--simulator", "--path", str(folder / "d.sock"), "--log-level", "error")
    assert done.code == 1
    assert "is open to other users (mode 0755); make it yours alone (chmod 700)" in done.err


def test_what_is_wrong_of_the_daemon_itself_is_told_with_all_that_is_wrong_elsewhere(
    command: Command, folder: Path
) -> None:
    file = folder / "f.yaml"
    file.write_text("serve: {ring_kib: 3}\nretry: {max_attempts: 0}\nmodels: {fast: {ask: [simulator/sim]}}\n")
    done = command("serve", "--config", str(file), "--path", str(folder / "d.sock"))
    assert done.code == 1
    assert done.err.startswith(f"Error: {file}:1:19: serve.ring_kib: expected a whole number of KiB")
    assert f"\n{file}:2:23: retry.max_attempts: expected a whole number" in done.err
    assert "simulator" not in done.err, "the options say who there is"


# -- the file, and what options lay over it ---------------------------------------------------------------------------


#: What is wished without options.
PLAIN = Wish(environ={"OPENAI_API_KEY": CANARY}, config=None, given={}, passphrases=Remembered(None))


@pytest.fixture
def played() -> dict[str, Provider]:
    """A simulator's provider, as `--simulator` makes it."""
    return {"simulator": load_provider_configs_from_env(simulated_environ("http://127.0.0.1:9"))["local"]}


def test_without_options_each_model_has_the_default_limit_and_the_simulator_none(played: dict[str, Provider]) -> None:
    settings = PLAIN.again(played).config.settings
    assert settings.admission.of("openai", "m") == ("openai/m", DEFAULT_QUOTA)
    assert settings.admission.of("simulator", "sim") == ("simulator/sim", Quota())
    assert settings == replace(RoutingSettings(), admission=Admission(providers={"simulator": Quota()}))


@pytest.mark.parametrize(("rate_limit", "requests"), [(7, 7), (0, None)])
def test_a_rate_limit_is_for_everybody_and_wins_over_the_file(
    rate_limit: int, requests: int | None, played: dict[str, Provider], folder: Path
) -> None:
    file = folder / "f.yaml"
    file.write_text(
        "limits: {providers: {openai: {requests: 500, streams: 2}}}\nmodels: {fast: {ask: [simulator/sim]}}"
    )
    given = {RATE_LIMIT: Given(rate_limit, Source.FLAG, "--rate-limit")}
    config = replace(PLAIN, config=file, given=given).again(played).config
    assert config.settings.admission.of("openai", "m")[1] == Quota(requests=requests, streams=2)
    assert config.settings.admission.of("simulator", "sim")[1] == Quota(requests=requests)
    assert config.settings.admission.of("xai", "m")[1] == Quota(requests=requests)
    assert [alias.name for alias in config.aliases] == ["fast"]


def test_no_health_leaves_the_rest_of_the_file_s_health(played: dict[str, Provider], folder: Path) -> None:
    file = folder / "f.yaml"
    file.write_text("health: {every_s: 7}")
    with_file = replace(PLAIN, config=file)
    assert with_file.again(played).config.settings.health == HealthSettings(every_s=7)
    given = {HEALTH: Given(value=False, source=Source.FLAG, where="--no-health")}
    without_health = replace(with_file, given=given).again(played).config.settings.health
    assert without_health == HealthSettings(enabled=False, every_s=7)


def test_a_pipe_in_the_file_s_place_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "f.yaml")
    with pytest.raises(ConfigError, match=r"f\.yaml is no file any more$"):
        replace(PLAIN, config=folder / "f.yaml").again({})


def test_a_rate_limit_of_the_environment_that_is_none_is_told_by_its_name(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RXLAPCE_RATE_LIMIT", "fast")
    done = command("serve", "--simulator", "--path", str(folder / "d.sock"))
    assert done.code == 2
    assert "RXLAPCE_RATE_LIMIT" in done.err
    assert "'fast' is not a valid integer" in done.err


def test_an_alias_of_who_is_not_configured_ends_it_before_it_listens(command: Command, folder: Path) -> None:
    (folder / "f.yaml").write_text("models:\n  fast:\n    ask: [simulator/sim, xai/grok-4]\n")
    done = command("serve", "--simulator", "--config", str(folder / "f.yaml"), "--path", str(folder / "d.sock"))
    assert (done.code, done.out) == (1, "")
    assert "f.yaml:3:26: models.fast.ask[1]: xai is not configured: set XAI_API_KEY; configured: simulator" in done.err
    assert [path.name for path in folder.iterdir()] == ["f.yaml"]


def test_a_store_without_its_driver_names_the_extra(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "rxlapce.operators.shared_store", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    (folder / "f.yaml").write_text("limits: {store: 'redis://127.0.0.1:1'}")
    done = command("serve", "--simulator", "--config", str(folder / "f.yaml"), "--path", str(folder / "d.sock"))
    assert (done.code, done.out) == (1, "")
    assert "limits.store needs the package redis: pip install 'rxlapce[redis]'" in done.err
    assert [path.name for path in folder.iterdir()] == ["f.yaml"]


LIMITED = "simulator/sim:tps=0,tokens=3"
FILE = f"""
models:
  fast:
    ask: ["simulator/sim:tps=0,fault=cut,after=5", "simulator/sim:tps=0"]
    after_commit: restart
limits: {{models: {{"{LIMITED}": {{requests: 1}}}}, wait_s: 0}}
"""


async def test_the_daemon_does_as_the_file_says(folder: Path) -> None:
    file = folder / "f.yaml"
    file.write_text(FILE)
    async with running_daemon("--simulator", "--config", str(file)) as path, await connect(path) as client:
        by_alias, by_name = [await tokens_of(client, model) for model in ("fast", "simulator/sim:tps=0")]
        await tokens_of(client, LIMITED)
        with pytest.raises(ProviderError) as refused:
            await tokens_of(client, LIMITED)
    (seam,) = (place for place, token in enumerate(by_alias) if isinstance(token, Seam))
    assert text_of(by_alias[:seam])
    assert text_of(by_alias[seam:]) == text_of(by_name)
    assert (refused.value.kind, refused.value.phase) == (ErrorKind.RATE_LIMIT, Phase.ADMIT)


async def tokens_of(client: Client, model: str) -> list[StreamToken]:
    request = ChatRequest(model=model, messages=(Message(role="user", content="hi"),))
    return [token async for token in client.chat_stream(request)]


def text_of(tokens: list[StreamToken]) -> str:
    return "".join(token.text for token in tokens if isinstance(token, Text))


# -- providers --------------------------------------------------------------------------------------------------------


def test_providers_without_keys_name_the_variables_and_the_way_without(command: Command) -> None:
    done = command("providers")
    assert (done.code, done.err) == (0, "")
    for spec in SPECS.values():
        row = next(line for line in done.out.splitlines() if line.startswith(spec.name))
        assert " no " in row
        assert spec.needs[0] in done.out
    assert "rxlapce serve --simulator" in done.out


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_providers_with_keys_say_where_from_and_never_the_key(
    command: Command, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    for spec in SPECS.values():
        monkeypatch.setenv(spec.key_env, CANARY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://example.openai.azure.com")
    monkeypatch.setenv("LOCAL_BASE_URL", "http://127.0.0.1:8080/v1")
    done = command("providers", *flags)
    assert done.code == 0
    assert CANARY not in done.out + done.err
    for spec in SPECS.values():
        assert spec.key_env in done.out
    assert "No provider is configured" not in done.out


def test_providers_as_json_are_one_object_a_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    rows = {row["provider"]: row for row in map(json.loads, command("providers", "--json").out.splitlines())}
    assert list(rows) == list(SPECS)
    assert rows["openai"]["configured"] is True
    assert rows["openai"]["key"] is True
    assert rows["openai"]["from"] == "environment: OPENAI_API_KEY"
    assert rows["anthropic"]["configured"] is False
    assert rows["anthropic"]["set"] == ["ANTHROPIC_API_KEY"]


def test_key_that_cannot_be_one_is_an_error_that_does_not_show_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY} {CANARY}")
    done = command("providers")
    assert done.code == 1
    assert "OPENAI_API_KEY holds a blank" in done.err
    assert CANARY not in done.out + done.err
