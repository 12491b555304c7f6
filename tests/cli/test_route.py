"""`rxlapce route`: who would be asked; by real files and environments, and nothing is sent."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click
import pytest
from click.shell_completion import BashComplete

from rxlapce.cli.main import cli
from rxlapce.pipeline.spec import DEFAULT_STAGES

FILE = """
providers:
  acme: {base_url: "http://127.0.0.1:9/v1"}
models:
  fast:
    ask:
      - acme/small
      - {model: anthropic/claude-sonnet-4-5, tools: false, context: 1000}
    after_commit: continue
    timeouts: {first_token_s: 3, min_tokens_per_s: 5}
  alone: {ask: [{model: acme/small, images: false}], after_commit: restart}
  either: {ask: [acme/small, {model: acme/large, weight: 3}], choose: weighted, after_commit: restart}
limits:
  providers: {acme: {requests: 1500, streams: 2, shared: true}}
  user: {streams: 4}
"""


#: How the quota of `FILE` for acme is told.
ACME_QUOTA = "1,500 requests/min, 2 at once for all of acme"


class Outcome(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of `FILE`, and a key for the provider that it needs besides."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-to-be-shown")
    path = tmp_path / "rxlapce.yaml"
    path.write_text(FILE)
    return str(path)


def test_one_line_says_who_is_asked_in_which_order(command: Command, file: str) -> None:
    done = command("route", "fast", "--config", file)
    assert (done.code, done.err) == (0, "")
    assert done.out == "fast -> acme/small, then anthropic/claude-sonnet-4-5\n"
    assert command("route", "acme/large", "--config", file).out == "acme/large -> acme/large\n"


def test_explain_says_why_by_which_limits_and_what_follows_a_failure(command: Command, file: str) -> None:
    out = command("route", "fast", "--explain", "--config", file).out
    head, how, names, *table = (" ".join(line.split()) for line in out.splitlines())
    assert head == "fast -> acme/small, then anthropic/claude-sonnet-4-5"
    assert how == "fast is an alias for 2 models, asked in the order in which they are written."
    assert names == "MODEL ASKED AT API QUOTA PREFILL WHY"
    assert table == [
        f"1 acme/small http://127.0.0.1:9/v1 chat_completions {ACME_QUOTA} no number 1 as written",
        "2 anthropic/claude-sonnet-4-5 https://api.anthropic.com messages 60 requests/min yes number 2 as written",
        "Besides, for all that a user asks: 4 at once.",
        "Who cannot be let through at once waits up to 30 s, 2 s while another model is left.",
        "Time limits of an attempt: first token 3 s, idle 60 s, at least 5 tokens/s over 10 s.",
        "Before the first token: up to 3 attempts within 60 s (2 s while another model is left), then the next model.",
        "After it (continue): the next model goes on with the answer (anthropic/claude-sonnet-4-5 goes on).",
        "Decided as by a daemon that has just started: nothing is known of the providers' health, and nothing runs.",
    ]
    assert "not-to-be-shown" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("acme/small", "After it (fail): the answer ends in an error that says how much was delivered."),
        ("either", "After it (restart): the next model begins the answer anew."),
        ("alone", "After it (restart): with no other model, the answer ends in an error"),
    ],
)
def test_explain_promises_no_next_model_where_there_is_none(command: Command, file: str, model: str, said: str) -> None:
    out = command("route", model, "--explain", "--config", file).out
    assert said in out
    assert ("while another model is left" in out) is (model == "either")
    assert ("then the next model" in out) is (model == "either")


def test_the_table_is_folded_into_a_terminal_s_columns(
    command: Command, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "90"}.items():
        monkeypatch.setenv(name, value)
    out = command("route", "fast", "--tools", "--explain", "--config", file).out
    assert "\x1b[1m" in out
    _, _, *table = click.unstyle(out.partition("Besides")[0]).splitlines()
    assert len(table) > 3
    assert {len(line) for line in table} == {90}


def test_a_weighted_alias_is_drawn_as_for_a_request(command: Command, file: str) -> None:
    orders = {"either -> acme/small, then acme/large\n", "either -> acme/large, then acme/small\n"}
    assert command("route", "either", "--config", file).out in orders
    told = json.loads(command("route", "either", "--json", "--config", file).out)
    shares = {"acme/small": "drawn, first in 25 % of requests", "acme/large": "drawn, first in 75 % of requests"}
    assert {one["model"]: one["why"] for one in told["routes"]} == shares


@pytest.mark.parametrize(("number", "quota"), [("7", "7 requests/min, 2 at once for all of acme"), ("0", "2 at once")])
def test_the_rate_limit_of_the_daemon_s_environment_holds_here_too(
    command: Command, file: str, monkeypatch: pytest.MonkeyPatch, number: str, quota: str
) -> None:
    by_option = command("route", "acme/m", "--explain", "--config", file, "--rate-limit", number)
    monkeypatch.setenv("RXLAPCE_RATE_LIMIT", number)
    assert command("route", "acme/m", "--explain", "--config", file).out == by_option.out
    assert f"  {quota}" in by_option.out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--tools",), "takes no tools"),
        (("--tokens", "600"), "has a context of 1000 tokens, and the request takes about 1100"),
        (("--tokens", "600", "--max-tokens", "401"), "the request takes about 1001"),
    ],
)
def test_who_does_not_take_the_request_is_left_out(
    command: Command, file: str, options: tuple[str, ...], why: str
) -> None:
    done = command("route", "fast", "--explain", *options, "--config", file)
    assert done.out.startswith("fast -> acme/small\n")
    (row,) = (line for line in done.out.splitlines() if line.startswith("- "))
    assert "anthropic/claude-sonnet-4-5" in row
    assert "left out: " in row
    assert row.endswith(why)


def test_where_everybody_is_left_out_the_error_says_why(command: Command, file: str) -> None:
    done = command("route", "alone", "--image", "--explain", "--config", file)
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: no model of 'alone' takes this request: acme/small takes no images\n"


def test_json_has_all_of_it(command: Command, file: str) -> None:
    done = command("route", "fast", "--tools", "--json", "--config", file)
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert json.loads(done.out) == {
        "name": "fast",
        "alias": True,
        "choose": "in_order",
        "routes": [
            {
                "model": "acme/small",
                "key": None,
                "base_url": "http://127.0.0.1:9/v1",
                "api": "chat_completions",
                "why": "number 1 as written",
                "accepts_prefill": False,
                "quota": {"requests": 1500, "tokens": None, "streams": 2},
                "counted_for": "acme",
                "wait_s": 30,
            }
        ],
        "left_out": [{"model": "anthropic/claude-sonnet-4-5", "why": "takes no tools"}],
        "user": {"requests": None, "tokens": None, "streams": 4},
        "client": {"requests": None, "tokens": None, "streams": None},
        "after_commit": "continue",
        "on_content_filter": False,
        "timeouts": {
            "connect_s": None,
            "headers_s": None,
            "first_token_s": 3,
            "idle_s": 60,
            "min_tokens_per_s": 5,
            "rate_window_s": 10,
            "total_s": None,
        },
        "pipeline": {
            "name": "default",
            "route": None,
            "stages": list(DEFAULT_STAGES),
            "own_options": {},
            "sinks": ["editor"],
        },
        "state": "fresh",
    }


def test_json_of_several_models_says_how_long_each_is_waited_for(command: Command, file: str) -> None:
    told = json.loads(command("route", "fast", "--json", "--config", file).out)
    assert [(one["counted_for"], one["wait_s"], one["accepts_prefill"]) for one in told["routes"]] == [
        ("acme", 2, False),
        ("anthropic/claude-sonnet-4-5", 30, True),
    ]


def test_json_of_a_model_s_own_name_has_no_alias(command: Command, file: str) -> None:
    told = json.loads(command("route", "acme/m", "--json", "--config", file).out)
    assert (told["alias"], told["choose"], told["after_commit"], told["left_out"]) == (False, None, "fail", [])


def test_what_the_file_says_of_prefill_takes_the_place_of_what_is_known(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-to-be-shown")
    path = tmp_path / "f.yaml"
    path.write_text("models: {x: {ask: [{model: anthropic/claude-sonnet-4-5, prefill: false}]}}")
    told = json.loads(command("route", "x", "--json", "--config", str(path)).out)
    assert told["routes"][0]["accepts_prefill"] is False


def test_a_name_that_steers_the_terminal_is_shown_without(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        'providers: {acme: {base_url: "http://127.0.0.1:9/v1"}}\n'
        'models: {x: {ask: ["acme/a\\ec", {model: "acme/b\\ec", images: false}]}}\n'
    )
    out = command("route", "x", "--image", "--explain", "--config", str(path)).out
    assert out.startswith("x -> acme/ac\n")
    assert "-  acme/bc" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fats",), 1, "(did you mean fast?); configured providers: acme, anthropic; aliases: alone, either, fast"),
        (("acme/",), 1, "names a provider but no model: expected acme/MODEL"),
        (("nobody/x",), 1, "no provider 'nobody'"),
        (("x", "--default-provider", "nobody"), 1, "--default-provider: 'nobody' is not configured"),
        (("acme", "--default-provider", "acme"), 1, "names a provider but no model: expected acme/MODEL"),
        (("acme", "--json"), 1, "names a provider but no model: expected acme/MODEL"),
        (("fast", "--tokens", "0"), 2, "--tokens"),
        (("fast", "slow"), 2, "slow"),
        ((), 2, "MODEL"),
    ],
)
def test_what_cannot_be_resolved_is_told(
    command: Command, file: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = command("route", *arguments, "--config", file)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "in phase" not in done.err


def test_a_file_that_is_wrong_is_told_with_its_place(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text('providers: {acme: {base_url: "http://127.0.0.1:9/v1"}}\nmodels: {x: {ask: [nobody/m]}}\n')
    done = command("route", "x", "--config", str(path))
    assert (done.code, done.out) == (1, "")
    assert f"{path}:2:20: models.x.ask[0]: there is no provider 'nobody'" in done.err
    missing = command("route", "x", "--config", str(tmp_path / "none.yaml"))
    assert (missing.code, missing.out) == (1, "")
    assert "none.yaml: cannot be read: No such file or directory" in missing.err


def test_the_file_of_the_environment_is_read(command: Command, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RXLAPCE_CONFIG", file)
    assert command("route", "alone").out == "alone -> acme/small\n"


def test_a_name_without_a_provider_goes_to_the_default(command: Command, file: str) -> None:
    done = command("route", "large", "--default-provider", "acme", "--config", file)
    assert done.out == "large -> acme/large\n"


def test_without_any_provider_it_says_what_to_set(command: Command) -> None:
    done = command("route", "fast")
    assert done.code == 1
    assert "no provider is configured" in done.err


def completions(incomplete: str, *arguments: str) -> list[str]:
    found = BashComplete(cli, {}, "rxlapce", "_RXLAPCE_COMPLETE").get_completions(["route", *arguments], incomplete)
    return [item.value for item in found]


def test_names_are_completed_from_the_file_and_the_environment(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completions("a", "--config", file) == ["alone", "anthropic/", "acme/"]
    assert completions("a") == ["anthropic/"]
    monkeypatch.setenv("RXLAPCE_CONFIG", file)
    assert completions("f") == ["fast"]


def test_nothing_is_completed_from_a_file_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("models: [")
    assert completions("f", "--config", str(path)) == []
    assert completions("f", "--config", str(tmp_path / "none.yaml")) == []
    assert capsys.readouterr() == ("", "")


def test_no_http_client_is_loaded_and_no_socket_opened(file: str) -> None:
    program = (
        "import socket, sys\n"
        "from rxlapce.cli.main import main\n"
        "def refuse(*_, **__): raise AssertionError('a socket')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
        f"try: main(['route', 'fast', '--json', '--config', {file!r}])\n"
        "except SystemExit as end: print(end.code or 0, sorted({'aiohttp', 'rich', 'uvloop'} & set(sys.modules)))\n"
    )
    environ = {**os.environ, "ANTHROPIC_API_KEY": "sk-ant-not-to-be-shown"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False, env=environ
    )
    assert (done.stdout.splitlines()[-1:], done.stderr) == (["0 []"], "")


PIPELINES = """
providers:
  acme: {base_url: "http://127.0.0.1:9/v1"}
pipelines:
  quick:
    stages: [{stream_timeouts: {first_token_s: 3}}, {retry_stream: {max_attempts: 1}}]
  kept:
    sinks: [editor, {record: {folder: /tmp/answers}}]
routes:
  - {models: ["acme/*"], users: [ada], pipeline: kept}
  - {clients: [lapce], kinds: [complete], pipeline: quick}
"""


def test_the_pipeline_is_the_one_of_the_first_route_that_takes_the_request(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "rxlapce.yaml"
    path.write_text(PIPELINES)

    def gone(*options: str) -> tuple[str, int | None]:
        told = json.loads(command("route", "acme/x", "--json", "--config", str(path), *options).out)["pipeline"]
        return told["name"], told["route"]

    assert gone() == ("default", None)
    assert gone("--user", "ada") == ("kept", 0)
    assert gone("--client", "lapce") == ("default", None)
    assert gone("--client", "lapce", "--completion") == ("quick", 1)


def test_explain_says_what_a_pipeline_has_instead_of_what_holds_for_all(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "rxlapce.yaml"
    path.write_text(PIPELINES)
    asked = ("route", "acme/x", "--explain", "--config", str(path))
    assert "pipeline" not in command(*asked).out  # the one that all go says nothing
    assert "It goes the pipeline kept, by routes[0], to editor, record." in command(*asked, "--user", "ada").out
    assert command(*asked, "--client", "lapce", "--completion").out.splitlines()[-5:-1] == [
        "It goes the pipeline quick, by routes[1], to editor.",
        "There stream_timeouts has options of its own, which hold instead: first_token_s: 3.0.",
        "There retry_stream has options of its own, which hold instead: max_attempts: 1.",
        (
            "It has no metrics_tap, circuit_break, rate_limit_gate, concurrency_gate, fallback: "
            "what is told here of such a stage does not hold."
        ),
    ]
