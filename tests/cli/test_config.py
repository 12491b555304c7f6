"""`rxlapce config`: which value holds, and who said it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.config.file import default_config_file

FILE = """\
providers: {groq: {base_url: "https://api.groq.com/openai/v1", key: "env:GROQ_API_KEY"}}
models: {fast: {ask: [groq/x], after_commit: continue}}
limits:
  default: {requests: 30}
telemetry: {logs: {level: warning}}
serve: {drain_s: 9, ring_kib: 64}
"""


class Outcome(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def out(self) -> str: ...
    @property
    def err(self) -> str: ...


Command = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f.yaml"
    path.write_text(FILE)
    return path


def told(done: Outcome) -> dict[str, tuple[object, str, str]]:
    assert (done.code, done.err) == (0, "")
    lines = [json.loads(line) for line in done.out.splitlines()]
    return {line["name"]: (line["value"], line["source"], line["where"]) for line in lines}


def test_a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drain(*flags: str) -> tuple[object, str, str]:
        return told(command("config", "--json", *flags, "serve.drain_s"))["serve.drain_s"]

    assert drain() == (5.0, "default", "")
    assert drain("--config", str(file)) == (9.0, "file", f"{file}:6")
    monkeypatch.setenv("RXLAPCE_DRAIN", "7")
    assert drain("--config", str(file)) == (7.0, "environment", "RXLAPCE_DRAIN")
    assert drain("--config", str(file), "--drain", "1") == (1.0, "flag", "--drain")


def test_every_option_that_is_a_setting_has_a_variable_and_is_told_by_its_name(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "RXLAPCE_SOCKET": ("/x/d.sock", "serve.path", "/x/d.sock"),
        "RXLAPCE_RING_KIB": ("256", "serve.ring_kib", 256),
        "RXLAPCE_DRAIN": ("2", "serve.drain_s", 2.0),
        "RXLAPCE_KEY_FILE": ("/x/keys", "serve.key_file", "/x/keys"),
        "RXLAPCE_REQUIRE_SIGNING": ("1", "serve.require_signing", True),
        "RXLAPCE_LOG_LEVEL": ("debug", "telemetry.logs.level", "debug"),
        "RXLAPCE_LOG_FORMAT": ("json", "telemetry.logs.format", "json"),
        "RXLAPCE_LOG_FILE": ("/x/log", "telemetry.logs.file", "/x/log"),
        "RXLAPCE_LOG_MIB": ("3", "telemetry.logs.mib", 3),
        "RXLAPCE_METRICS": ("127.0.0.1:9464", "telemetry.metrics.listen", "127.0.0.1:9464"),
        "RXLAPCE_AUDIT": ("/x/audit", "telemetry.audit.file", "/x/audit"),
        "RXLAPCE_RATE_LIMIT": ("7", "limits.default.requests", 7),
        "RXLAPCE_NO_HEALTH": ("1", "health.enabled", False),
    }
    for name, (said, _, _) in variables.items():
        monkeypatch.setenv(name, said)
    found = told(command("config", "--json", "--changed"))
    assert found == {path: (value, "environment", name) for name, (_, path, value) in variables.items()}


def test_what_stands_in_the_file_is_told_with_its_line_and_a_key_as_its_reference(command: Command, file: Path) -> None:
    found = told(command("config", "--json", "--changed", "--config", str(file)))
    assert found["providers.groq.key"] == ("env:GROQ_API_KEY", "file", f"{file}:1")
    assert found["models.fast.ask"] == (["groq/x"], "file", f"{file}:2")
    assert found["limits.default.requests"] == (30, "file", f"{file}:4")
    assert found["telemetry.logs.level"] == ("warning", "file", f"{file}:5")


def test_a_provider_of_the_environment_is_told_by_its_variable_and_never_by_its_key(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    done = command("config", "providers")
    assert done.out == "providers.openai  configured  environment OPENAI_API_KEY\n"


def test_a_provider_that_the_file_has_a_key_for_is_not_the_environment_s(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    file.write_text(
        "providers: {openai: {keys: [{name: work, key: env:WORK, requests: 5}, {name: own, key: env:OWN}]}}"
    )
    found = told(command("config", "--json", "--config", str(file), "providers"))
    assert {name: value for name, (value, *_) in found.items()} == {
        "providers.openai.keys[0].name": "work",
        "providers.openai.keys[0].key": "env:WORK",
        "providers.openai.keys[0].requests": 5,
        "providers.openai.keys[1].name": "own",
        "providers.openai.keys[1].key": "env:OWN",
    }


def test_a_rate_limit_is_told_wherever_it_is_laid_over_the_file(command: Command, file: Path) -> None:
    file.write_text(
        "providers: {openai: {keys: [{name: work, key: env:WORK, requests: 5}]}}\n"
        "limits: {models: {openai/gpt-4.1: {requests: 6}}, providers: {openai: {requests: 7, tokens: 9}},\n"
        "  users: {ada: {requests: 8}}}"
    )
    found = told(command("config", "--json", "--config", str(file), "--rate-limit", "3", "limits", "providers"))
    assert {name: value for name, (value, source, _) in found.items() if source == "flag"} == {
        "limits.default.requests": 3,
        "limits.models.openai/gpt-4.1.requests": 3,
        "limits.providers.openai.requests": 3,
        "providers.openai.keys[0].requests": 3,
    }
    assert found["limits.providers.openai.tokens"] == (9, "file", f"{file}:2")
    assert found["limits.users.ada.requests"] == (8, "file", f"{file}:3")
    free = told(command("config", "--json", "--config", str(file), "--rate-limit", "0", "limits.models"))
    assert free["limits.models.openai/gpt-4.1.requests"] == (None, "flag", "--rate-limit")


def test_what_the_file_refers_to_need_not_be_there_and_is_shown_as_the_reference(command: Command, file: Path) -> None:
    file.write_text(
        "limits: {store: env:NOWHERE_SET}\nmodels: {fast: {ask: [simulator/sim]}, slow: {ask: [xai/grok-4]}}\n"
        "providers: {azure: {key: env:NEITHER}}\n"
        "pipelines: {default: {stages: [{redact: {find: [secrets]}}], sinks: [editor]}}\n"
    )
    found = told(command("config", "--json", "--changed", "--config", str(file)))
    assert found["limits.store"] == ("env:NOWHERE_SET", "file", f"{file}:1")
    assert found["providers.azure.key"] == ("env:NEITHER", "file", f"{file}:3")
    assert found["pipelines.default.stages[0].redact.find"] == (["secrets"], "file", f"{file}:4")


@pytest.mark.parametrize(
    ("said", "flag", "path", "value"),
    [
        ("health: {enabled: true}", "--no-health", "health.enabled", False),
        ("health: {enabled: false}", "--health", "health.enabled", True),
        ("serve: {key_file: /k}", "--require-signing", "serve.require_signing", True),
        ("serve: {key_file: /k, require_signing: true}", "--no-require-signing", "serve.require_signing", False),
    ],
)
def test_a_flag_says_yes_and_no(command: Command, file: Path, said: str, flag: str, path: str, value: bool) -> None:
    file.write_text(said)
    assert told(command("config", "--json", "--config", str(file), flag, path))[path] == (value, "flag", flag)


def test_people_see_values_as_a_file_has_them(command: Command, file: Path) -> None:
    file.write_text(
        "timeouts: {total_s: 1000000.0, idle_s: 0.25}\n"
        "pipelines: {default: {stages: [stream_timeouts, {redact: {find: [secrets]}}], sinks: [editor]}}\n"
    )
    done = command("config", "--config", str(file), "--changed")
    assert [re.split("  +", line)[:2] for line in done.out.splitlines()] == [
        ["timeouts.idle_s", "0.25"],
        ["timeouts.total_s", "1000000"],
        ["pipelines.default.stages", "[stream_timeouts, {redact: {find: [secrets]}}]"],
        ["pipelines.default.sinks", "[editor]"],
    ]


def test_nowhere_is_said_by_a_word(command: Command, file: Path) -> None:
    file.write_text("telemetry: {metrics: {listen: '127.0.0.1:1'}, audit: {file: /x}, logs: {file: /y}}")
    flags = ("--metrics", "none", "--audit", "none", "--log-file", "none")
    found = told(command("config", "--json", "--config", str(file), *flags, "telemetry"))
    assert found["telemetry.metrics.listen"] == (None, "flag", "--metrics")
    assert found["telemetry.audit.file"] == (None, "flag", "--audit")
    assert found["telemetry.logs.file"] == (None, "flag", "--log-file")


def test_the_usual_file_is_taken_where_no_other_is_named(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    usual = default_config_file({"XDG_CONFIG_HOME": str(tmp_path)})
    assert command("config", "--where").out == f"{usual}\n"
    assert told(command("config", "--json", "serve.ring_kib"))["serve.ring_kib"][1] == "default"
    usual.parent.mkdir()
    usual.write_text("serve: {ring_kib: 128}")
    assert told(command("config", "--json", "serve.ring_kib"))["serve.ring_kib"] == (128, "file", f"{usual}:1")
    assert told(command("config", "--json", "--config", str(file), "serve.ring_kib"))["serve.ring_kib"][0] == 64
    assert told(command("config", "--json", "--config", "none", "serve.ring_kib"))["serve.ring_kib"][0] == 1024


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nonsense",), "Error: there is no setting 'nonsense': rxlapce config shows all\n"),
        (
            ("--metrics", "9464"),
            "Error: --metrics: listen must be HOST:PORT, [ADDRESS]:PORT or unix:/PATH, not '9464'\n",
        ),
        (("--default-provider", "nobody"), "Error: --default-provider: 'nobody' is not configured; configured: none\n"),
    ],
    ids=["name", "signing", "provider"],
)
def test_what_is_wrong_is_told_by_the_flag(command: Command, arguments: tuple[str, ...], told: str) -> None:
    done = command("config", *arguments)
    assert (done.code, done.err) == (1, told)


def test_all_that_is_wrong_in_the_file_is_told(command: Command, file: Path) -> None:
    file.write_text("serve: {ring: 1}\nretry: {max_attempts: 0}\n")
    done = command("config", "--config", str(file))
    assert done.code == 1
    assert [line.partition(": ")[0].removeprefix("Error: ") for line in done.err.splitlines()][:1] != []
    assert f"{file}:1:9: serve: unknown name 'ring'" in done.err
    assert f"{file}:2:23: retry.max_attempts: expected" in done.err
