"""All that is wrong in a file is told at once, and what follows from it is not; and a file is checked without keys."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.config.check import problems_of
from rxlapce.config.sources import Config
from rxlapce.errors import ConfigError

Load = Callable[[str], Config]
Refused = Callable[[str], str]


def told(text: str) -> list[str]:
    """What is wrong in a file of this text, checked without an environment."""
    return [str(problem) for problem in problems_of(text, "f.yaml")]


#: A file -> each place in it that is wrong, and no other.
SEVERAL = {
    "one of each section": (
        """\
providers:
  groq: {base_url: api.groq.com, key: "env:GROQ_API_KEY"}
  acme: {base_url: "http://127.0.0.1:1/v1", model_path: /m}
models:
  fast: {ask: [groq/llama, opnai/x, xai/grok], choose: wieghted}
timeouts: {idle_s: 0, total_s: 5m}
limits:
  user: {requests: 0, tokens: 0x10}
  providers: {acm: {requests: 5}}
  wait_s: yes
retry: {max_attempts: 0, budget: {fraction: 2}, patience: 1}
breaker: {window: 2000}
fallback: {after_commit: resume}
health: {enabled: off}
telemetry: {logs: {mib: 0}}
""",
        [
            "2:20: providers.groq.base_url",
            "3:45: providers.acme",
            "5:28: models.fast.ask[1]",
            "5:56: models.fast.choose",
            "6:20: timeouts.idle_s",
            "6:32: timeouts.total_s",
            "8:20: limits.user.requests",
            "8:31: limits.user.tokens",
            "9:15: limits.providers.acm",
            "10:11: limits.wait_s",
            "11:23: retry.max_attempts",
            "11:45: retry.budget.fraction",
            "11:49: retry",
            "12:19: breaker.window",
            "13:26: fallback.after_commit",
            "14:19: health.enabled",
            "15:25: telemetry.logs.mib",
        ],
    ),
    "what names a provider that is wrong itself": (
        """\
providers:
  groq: {base_url: nowhere}
models:
  fast: {ask: [groq/a, groq]}
limits:
  providers: {groq: {requests: 5}}
  models: {groq/a: {requests: 5}}
""",
        ["2:20: providers.groq.base_url"],
    ),
    "an alias with everything wrong": (
        """\
models:
  a/b:
    ask: [x, {model: openai/m, weight: 0, image: 1}, {weight: 2}, openai/m, openai/m]
    choose: any
    after_commit: resume
    overlap_chars: -1
    timeouts: {idle_s: 0, idles: 1}
    of: 1
""",
        [
            "3:11: models.a/b.ask[0]",
            "2:3: models.a/b",
            "3:40: models.a/b.ask[1].weight",
            "3:43: models.a/b.ask[1]",
            "3:54: models.a/b.ask[2]",
            "3:77: models.a/b.ask[4]",
            "4:13: models.a/b.choose",
            "5:19: models.a/b.after_commit",
            "6:20: models.a/b.overlap_chars",
            "7:24: models.a/b.timeouts.idle_s",
            "7:27: models.a/b.timeouts",
            "8:5: models.a/b",
        ],
    ),
    "names that stand twice": (
        "retry: {base_s: 1, base_s: 2, max_attempts: 1, max_attempts: 2}\nretry: {}\ntimeout: {}\n",
        ["1:20: retry", "1:48: retry", "2:1: ", "3:1: "],
    ),
    "a value that follows from a wrong one": ("retry: {base_s: 9, max_s: x}\n", ["1:27: retry.max_s"]),
    "a value that follows from a wrong name": ("breaker: {open_s: 30, max_opens: 60}\n", ["1:23: breaker"]),
    "an anchor in two places": (
        "timeouts: &t {idle_s: 0}\nmodels:\n  a: {ask: [openai/m], timeouts: *t}\n",
        ["1:23: timeouts.idle_s"],
    ),
}


@pytest.mark.parametrize("several", SEVERAL)
def test_all_that_is_wrong_is_told_at_once_and_nothing_else(several: str) -> None:
    text, places = SEVERAL[several]
    found = problems_of(text, "f.yaml")
    said = [f"{problem.line}:{problem.column}: {problem.path}" for problem in found]
    assert sorted(said) == sorted(places)
    assert [(each.line, each.column) for each in found] == sorted((each.line, each.column) for each in found)


def test_an_error_has_a_line_and_a_problem_for_each_place(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SEVERAL["one of each section"][0])
    lines = str(caught.value).splitlines()
    assert len(lines) >= 16
    assert lines == [str(problem) for problem in caught.value.problems]
    assert {Path(problem.file).name for problem in caught.value.problems} == {"f.yaml"}


FINE = """\
providers:
  groq: {base_url: "https://api.groq.com/v1", key: "vault:groq/work"}
  acme: {base_url: "http://127.0.0.1:1/v1", key: "file:/nowhere/at/all"}
  openai: {keys: [{name: a, key: "exec:false"}, {name: b, key: "keyring:x/y"}]}
models:
  fast: {ask: [groq/llama, openai/m, simulator/sim, azure, {model: vertex/gemini}]}
limits: {store: "env:NOBODY_HAS_THIS", providers: {azure: {requests: 5}}}
"""


def test_no_key_and_no_environment_is_needed_for_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "this is no URL")
    assert told(FINE) == []


def test_with_an_environment_keys_are_fetched_and_providers_must_be_there() -> None:
    found = problems_of("models: {fast: {ask: [openai/m, xai/m]}}\n", "f.yaml", {"OPENAI_API_KEY": "sk-1"})
    assert [str(problem) for problem in found] == [
        "f.yaml:1:33: models.fast.ask[1]: xai is not configured: set XAI_API_KEY; configured: openai"
    ]
    keyed = 'providers: {groq: {base_url: "https://api.groq.com/v1", key: "env:GROQ_API_KEY"}}\n'
    assert problems_of(keyed, "f.yaml", {"GROQ_API_KEY": "sk-1"}) == ()
    (missing,) = problems_of(keyed, "f.yaml", {})
    assert missing.path == "providers.groq.key"


def test_a_wrong_environment_is_told_where_it_is_looked_at() -> None:
    (problem,) = problems_of("{}\n", "f.yaml", {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "nowhere"})
    assert (problem.line, problem.column) == (0, 0)
    assert str(problem).startswith("f.yaml: OPENAI_BASE_URL: expected an http or https URL")


@pytest.mark.parametrize("text", ["{}\n", "retry: {}\n", "\ufeffretry: {}\n", "retry: {} # a comment\r\n"])
def test_what_says_nothing_is_right(text: str) -> None:
    assert told(text) == []
