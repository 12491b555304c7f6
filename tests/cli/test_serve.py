"""`rxlapce serve` and `rxlapce providers`: what is configured, and how starting fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from rxlapce.providers import SPECS


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
        (("--ring-kib", "100"), 2, "100 is not a power of two"),
        (("--base-url", "127.0.0.1:8080"), 1, "--base-url: expected an http or https URL"),
        (("--base-url", "http://me:secret@127.0.0.1/v1"), 1, "keys do not belong into the URL"),
        (("--simulator", "--default-provider", "nobody"), 1, "'nobody' is not configured; configured: simulator"),
        (("--log-level", "loud"), 2, "'loud' is not one of"),
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
