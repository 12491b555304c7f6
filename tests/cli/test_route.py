"""`rxlapce route`: who would be asked; by real files and environments, and nothing is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

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
limits:
  providers: {acme: {requests: 1500, streams: 2, shared: true}}
"""


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
    for said in (
        "fast is an alias for 2 models, asked in the order in which they are written.",
        "1,500 requests/min, 2 at once, with all its provider's models",
        "60 requests/min",
        "http://127.0.0.1:9/v1",
        "Time limits of an attempt: first token 3 s, idle 60 s, at least 5 tokens/s.",
        "up to 3 attempts within 60 s (2 s while another model is left), then the next model.",
        "After it (continue): the next model goes on with the answer (anthropic/claude-sonnet-4-5 goes on).",
        "nothing is known of the providers' health",
    ):
        assert said in out
    assert "not-to-be-shown" not in out


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
    assert f"left out: {why}" in done.out or why in " ".join(done.out.split())


def test_json_has_all_of_it(command: Command, file: str) -> None:
    told = json.loads(command("route", "fast", "--tools", "--json", "--config", file).out)
    assert (told["name"], told["alias"], told["choose"], told["after_commit"]) == ("fast", True, "in_order", "continue")
    assert told["routes"] == [
        {
            "model": "acme/small",
            "base_url": "http://127.0.0.1:9/v1",
            "api": "chat_completions",
            "why": "number 1 as written",
            "accepts_prefill": False,
            "quota": ["1,500 requests/min", "2 at once", "with all its provider's models"],
        }
    ]
    assert told["left_out"] == [{"model": "anthropic/claude-sonnet-4-5", "why": "takes no tools"}]
    assert (told["timeouts"]["first_token_s"], told["timeouts"]["total_s"]) == (3, None)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fats",), 1, "(did you mean fast?); configured providers: acme, anthropic; aliases: fast"),
        (("acme/",), 1, "names a provider but no model: expected acme/MODEL"),
        (("nobody/x",), 1, "no provider 'nobody'"),
        (("x", "--default-provider", "nobody"), 1, "--default-provider: 'nobody' is not configured"),
        (("fast", "--tokens", "0"), 2, "--tokens"),
        ((), 2, "MODEL"),
    ],
)
def test_what_cannot_be_resolved_is_told(
    command: Command, file: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = command("route", *arguments, "--config", file)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_a_name_without_a_provider_goes_to_the_default(command: Command, file: str) -> None:
    done = command("route", "large", "--default-provider", "acme", "--config", file)
    assert done.out == "large -> acme/large\n"


def test_without_any_provider_it_says_what_to_set(command: Command) -> None:
    done = command("route", "fast")
    assert done.code == 1
    assert "no provider is configured" in done.err
