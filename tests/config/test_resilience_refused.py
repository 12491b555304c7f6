"""What is said to a file with a wrong alias, limit or time, to the letter."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxlapce.config.sources import Config
from rxlapce.errors import ConfigError
from rxlapce.testing.thoroughness import examples

Load = Callable[[str], Config]
Refused = Callable[[str], str]
Errors = Callable[[str], list[str]]

FAST = "models:\n  fast:\n"
BREAKER = "consecutive, window, min_outcomes, failure_percent, forget_s, open_s, max_open_s, key_s, max_cooldown_s"
#: Of which a text is put together that is nearly a file.
NAMES = ("models", "limits", "retry", "fast", "ask", "openai/m", "budget", "default", "requests", "providers")
MARKS = (":", ": ", " ", "\n", "\n  ", "- ", "&a ", "*a", "{", "}", "[", "]", ", ", "0", "1e9", "null", "!!int ", "<<")

#: What the file says -> what is said to it.
WRONG = {
    # -- sections and their members
    "an unknown section": (
        "limit: {}\n",
        (
            "f.yaml:1:1: unknown name 'limit'; known: providers, models, pipelines, routes, timeouts, limits, retry, "
            "breaker, fallback, health, vault, telemetry, serve; did you mean limits?"
        ),
    ),
    "a doubled section": (
        "retry: {}\nretry: {}\n",
        "f.yaml:2:1: 'retry' stands here a second time; the first is in line 1",
    ),
    "a section that is a list": (
        "breaker: [1]\n",
        "f.yaml:1:10: breaker: expected a mapping (name: value), got a list",
    ),
    "a section that is empty": (
        "retry:\n",
        "f.yaml:1:7: retry: expected a mapping (name: value), got nothing",
    ),
    "a breaker that opens for longer than it may": (
        "breaker: {open_s: 60}\n",
        "f.yaml:1:19: breaker.open_s: open_s must be at most max_open_s, which is 20, not 60",
    ),
    "an unknown member": (
        "breaker:\n  open: 3\n",
        f"f.yaml:2:3: breaker: unknown name 'open'; known: {BREAKER}; did you mean open_s?",
    ),
    "a member in milliseconds": (
        "timeouts: {idle_ms: 3000}\n",
        (
            "f.yaml:1:12: timeouts: unknown name 'idle_ms'; known: connect_s, headers_s, first_token_s, idle_s, "
            "min_tokens_per_s, rate_window_s, total_s; did you mean idle_s?"
        ),
    ),
    "a doubled member": (
        "health:\n  every_s: 3\n  every_s: 4\n",
        "f.yaml:3:3: health: 'every_s' stands here a second time; the first is in line 2",
    ),
    # -- values
    "a text for a number": (
        "timeouts: {idle_s: 5s}\n",
        "f.yaml:1:20: timeouts.idle_s: expected a number of seconds above 0 or null, got '5s'",
    ),
    "null where none is allowed": (
        "timeouts: {rate_window_s: null}\n",
        "f.yaml:1:27: timeouts.rate_window_s: expected a number of seconds above 0, got null",
    ),
    "a forgotten value": (
        "timeouts:\n  idle_s:\n",
        "f.yaml:2:10: timeouts.idle_s: expected a number of seconds above 0 or null, got nothing",
    ),
    "a fraction for a whole number": (
        "retry: {max_attempts: 2.5}\n",
        "f.yaml:1:23: retry.max_attempts: expected a whole number of attempts from 1, got 2.5",
    ),
    "no end": (
        "timeouts: {total_s: .inf}\n",
        "f.yaml:1:21: timeouts.total_s: expected a number of seconds above 0 or null, got .inf",
    ),
    "no number": (
        "limits: {wait_s: .nan}\n",
        "f.yaml:1:18: limits.wait_s: expected a number of seconds from 0, got .nan",
    ),
    "an underscore": (
        "limits: {default: {tokens: 200_000}}\n",
        (
            "f.yaml:1:28: limits.default.tokens: expected a whole number of tokens from 1 or null, got 200_000, "
            "which YAML reads as 200000: write that if it is meant"
        ),
    ),
    "minutes and seconds": (
        "retry: {deadline_s: 1:30}\n",
        (
            "f.yaml:1:21: retry.deadline_s: expected a number of seconds above 0 or null, got 1:30, which YAML "
            "reads as 90: write that if it is meant"
        ),
    ),
    "an octal number": (
        "limits: {user: {requests: 0100}}\n",
        (
            "f.yaml:1:27: limits.user.requests: expected a whole number of requests from 1 or null, got 0100, "
            "which YAML reads as 64: write that if it is meant"
        ),
    ),
    "an exponent": (
        "fallback: {max_kept_chars: 1e6}\n",
        (
            "f.yaml:1:28: fallback.max_kept_chars: expected a whole number of characters from 0, got '1e6', which"
            " YAML reads as a text: write 1000000"
        ),
    ),
    "a switch": (
        "health: {enabled: off}\n",
        "f.yaml:1:19: health.enabled: expected true or false, got 'off'",
    ),
    "a policy that there is not": (
        "fallback: {after_commit: resume}\n",
        "f.yaml:1:26: fallback.after_commit: expected fail or continue or restart, got 'resume'",
    ),
    "a policy that is nearly right": (
        "fallback: {after_commit: continued}\n",
        (
            "f.yaml:1:26: fallback.after_commit: expected fail or continue or restart, got 'continued'; "
            "did you mean continue?"
        ),
    ),
    # -- what the settings themselves say
    "a time of nothing": (
        "timeouts:\n  idle_s: 5\n  total_s: 0\n",
        "f.yaml:3:12: timeouts.total_s: expected a number of seconds above 0 or null, got 0",
    ),
    "waits in the wrong order": (
        "retry:\n  base_s: 5\n  max_s: 3\n",
        "f.yaml:3:10: retry.max_s: max_s must be at least base_s, which is 5, not 3",
    ),
    "no attempt": (
        "retry: {max_attempts: 0}\n",
        "f.yaml:1:23: retry.max_attempts: expected a whole number of attempts from 1, got 0",
    ),
    "a patience that is negative": (
        "retry: {patience_s: -1}\n",
        "f.yaml:1:21: retry.patience_s: expected a number of seconds from 0, got -1",
    ),
    "a share above everything": (
        "retry: {budget: {fraction: 20}}\n",
        "f.yaml:1:28: retry.budget.fraction: expected a number from 0 to 1, got 20",
    ),
    "a floor below nothing": (
        "retry: {budget: {floor: -1}}\n",
        "f.yaml:1:25: retry.budget.floor: expected a whole number of retries from 0, got -1",
    ),
    "a window of no time": (
        "retry: {budget: {window_s: 0}}\n",
        "f.yaml:1:28: retry.budget.window_s: expected a number of seconds above 0, got 0",
    ),
    "a window too small for its failures": (
        "breaker: {window: 4}\n",
        ("f.yaml:1:19: breaker.window: consecutive must be at most window, which is 4, not 5"),
    ),
    "a look that never comes": (
        "health: {every_s: 0}\n",
        "f.yaml:1:19: health.every_s: expected a number of seconds above 0, got 0",
    ),
    "an overlap below nothing": (
        "fallback: {overlap_chars: -1}\n",
        "f.yaml:1:27: fallback.overlap_chars: expected a whole number of characters from 0, got -1",
    ),
    # -- limits
    "a quota of nothing": (
        "limits: {providers: {openai: {requests: 0}}}\n",
        ("f.yaml:1:41: limits.providers.openai.requests: expected a whole number of requests from 1 or null, got 0"),
    ),
    "a quota that is a number": (
        "limits: {default: 60}\n",
        "f.yaml:1:19: limits.default: expected a mapping (name: value), got 60",
    ),
    "a wait without end": (
        "limits: {wait_s: null}\n",
        "f.yaml:1:18: limits.wait_s: expected a number of seconds from 0, got null",
    ),
    "a limit for a name that is nearly a provider's": (
        "limits: {providers: {opnai: {requests: 5}}}\n",
        (
            "f.yaml:1:22: limits.providers.opnai: expected the name of a provider (openai, anthropic, gemini, "
            "azure, bedrock, xai, vertex, openrouter, local, simulator), got 'opnai'; did you mean openai?"
        ),
    ),
    "a limit for a model of nobody": (
        "limits: {models: {grok/grok-4: {requests: 5}}}\n",
        (
            "f.yaml:1:19: limits.models.grok/grok-4: expected the name of a provider (openai, anthropic, gemini, "
            "azure, bedrock, xai, vertex, openrouter, local, simulator), got 'grok'"
        ),
    ),
    "a limit for an alias": (
        "limits: {models: {fast: {requests: 5}}}\n",
        "f.yaml:1:19: limits.models.fast: expected a model as PROVIDER/MODEL, got 'fast'",
    ),
    "a model's quota that is shared": (
        "limits: {models: {openai/m: {shared: true}}}\n",
        "f.yaml:1:30: limits.models.openai/m: unknown name 'shared'; known: requests, tokens, streams",
    ),
    "a user's quota that is shared": (
        "limits: {user: {shared: true}}\n",
        "f.yaml:1:17: limits.user: unknown name 'shared'; known: requests, tokens, streams",
    ),
    # -- aliases
    "an alias that asks nobody": (
        f"{FAST}    choose: weighted\n",
        "f.yaml:3:5: models.fast: ask is missing, such as ask: [openai/gpt-4.1-mini, anthropic/claude-haiku-4-5]",
    ),
    "an alias with an empty list": (
        f"{FAST}    ask: []\n",
        "f.yaml:3:10: models.fast.ask: expected a list of one or more models, got an empty list",
    ),
    "an alias with one text": (
        f"{FAST}    ask: openai/m\n",
        "f.yaml:3:10: models.fast.ask: expected a list of models, got 'openai/m'",
    ),
    "an alias that is a list": (
        "models:\n  fast: [openai/m]\n",
        "f.yaml:2:9: models.fast: expected a mapping (name: value), got a list",
    ),
    "an alias with an unknown member": (
        f"{FAST}    ask: [openai/m]\n    chose: weighted\n",
        (
            "f.yaml:4:5: models.fast: unknown name 'chose'; known: ask, choose, after_commit, on_content_filter, "
            "overlap_chars, max_kept_chars, timeouts; did you mean choose?"
        ),
    ),
    "an alias with a choice that there is not": (
        f"{FAST}    ask: [openai/m]\n    choose: random\n",
        "f.yaml:4:13: models.fast.choose: expected in_order or weighted or least_busy, got 'random'",
    ),
    "an alias with a time of nothing": (
        f"{FAST}    ask: [openai/m]\n    timeouts: {{idle_s: 0}}\n",
        "f.yaml:4:24: models.fast.timeouts.idle_s: expected a number of seconds above 0 or null, got 0",
    ),
    "an alias with an overlap below nothing": (
        f"{FAST}    ask: [openai/m]\n    overlap_chars: -1\n",
        "f.yaml:4:20: models.fast.overlap_chars: expected a whole number of characters from 0, got -1",
    ),
    "an alias with a slash": (
        "models: {a/b: {ask: [openai/m]}}\n",
        "f.yaml:1:10: models.a/b: 'a/b' is no name for models: use visible ASCII without '/'",
    ),
    "an alias with a blank": (
        "models: {'my model': {ask: [openai/m]}}\n",
        "f.yaml:1:10: models.my model: 'my model' is no name for models: use visible ASCII without '/'",
    ),
    "an alias like a provider that is not even configured": (
        "models: {gemini: {ask: [openai/m]}}\n",
        "f.yaml:1:10: models.gemini: 'gemini' is a provider's name: choose another for the models",
    ),
    "an alias like a vendor of the file": (
        "providers: {groq: {base_url: 'http://h/v1'}}\nmodels: {groq: {ask: [openai/m]}}\n",
        "f.yaml:2:10: models.groq: 'groq' is a provider's name: choose another for the models",
    ),
    "an alias like the simulator": (
        "models: {simulator: {ask: [openai/m]}}\n",
        "f.yaml:1:10: models.simulator: 'simulator' is a provider's name: choose another for the models",
    ),
    "a doubled alias": (
        "models:\n  fast: {ask: [openai/m]}\n  fast: {ask: [openai/m]}\n",
        "f.yaml:3:3: models: 'fast' stands here a second time; the first is in line 2",
    ),
    "an alias that YAML reads as false": (
        "models: {no: {ask: [openai/m]}}\n",
        (
            "f.yaml:1:10: models: expected a name, got no, which YAML reads as true or false: put it in quotes if it "
            "is a text"
        ),
    ),
    # -- the models of an alias
    "a provider that is not configured": (
        f"{FAST}    ask:\n      - openai/m\n      - xai/grok-4\n",
        "f.yaml:5:9: models.fast.ask[1]: xai is not configured: set XAI_API_KEY; configured: openai, anthropic",
    ),
    "a provider with several variables": (
        f"{FAST}    ask: [vertex/gemini]\n",
        (
            "f.yaml:3:11: models.fast.ask[0]: vertex is not configured: set VERTEX_PROJECT_ID or VERTEX_LOCATION or "
            "VERTEX_API_KEY; configured: openai, anthropic"
        ),
    ),
    "a provider that there is not": (
        f"{FAST}    ask: [antropic/claude]\n",
        (
            "f.yaml:3:11: models.fast.ask[0]: there is no provider 'antropic'; configured: openai, anthropic; "
            "did you mean anthropic?"
        ),
    ),
    "the simulator that does not run": (
        f"{FAST}    ask: [simulator/sim]\n",
        (
            "f.yaml:3:11: models.fast.ask[0]: the simulator is there with rxlapce serve --simulator alone; "
            "configured: openai, anthropic"
        ),
    ),
    "a model without its provider": (
        f"{FAST}    ask: [gpt-4.1]\n",
        "f.yaml:3:11: models.fast.ask[0]: expected a model as PROVIDER/MODEL, got 'gpt-4.1'",
    ),
    "another alias": (
        "models:\n  smart: {ask: [openai/m]}\n  fast: {ask: [smart]}\n",
        "f.yaml:3:16: models.fast.ask[0]: expected a model as PROVIDER/MODEL, got 'smart'",
    ),
    "a provider without a model of its own": (
        f"{FAST}    ask: [openai]\n",
        "f.yaml:3:11: models.fast.ask[0]: expected a model as PROVIDER/MODEL, got 'openai'",
    ),
    "a model that is a number": (
        f"{FAST}    ask: [4]\n",
        (
            "f.yaml:3:11: models.fast.ask[0]: expected a model as PROVIDER/MODEL, got 4, which YAML reads as a number: "
            "put it in quotes if it is a text"
        ),
    ),
    "a model twice": (
        f"{FAST}    ask: [openai/m, {{model: openai/m, weight: 2}}]\n",
        "f.yaml:3:21: models.fast.ask[1]: 'openai/m' stands here a second time",
    ),
    "a target without a model": (
        f"{FAST}    ask: [{{weight: 2}}]\n",
        "f.yaml:3:11: models.fast.ask[0]: model is missing, such as model: openai/gpt-4.1-mini",
    ),
    "a target with an unknown member": (
        f"{FAST}    ask: [{{model: openai/m, image: true}}]\n",
        (
            "f.yaml:3:29: models.fast.ask[0]: unknown name 'image'; known: model, weight, images, tools, context, "
            "prefill; did you mean images?"
        ),
    ),
    "a weight of nothing": (
        f"{FAST}    ask: [{{model: openai/m, weight: 0}}]\n",
        "f.yaml:3:37: models.fast.ask[0].weight: expected a whole number from 1, got 0",
    ),
    "a prefill that is a word": (
        f"{FAST}    ask: [{{model: openai/m, prefill: maybe}}]\n",
        "f.yaml:3:38: models.fast.ask[0].prefill: expected true or false or null, got 'maybe'",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_told_where_what_was_expected_and_what_came(wrong: str, refused: Refused) -> None:
    text, said = WRONG[wrong]
    assert refused(text) == said


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from((*NAMES, *MARKS)), max_size=30).map("".join))
def test_any_text_is_a_configuration_or_a_config_error_that_names_the_file(load: Load, text: str) -> None:
    try:
        load(text)
    except ConfigError as error:
        said = str(error)
    else:
        said = "f.yaml"
    assert "f.yaml" in said.partition(": ")[0]


ANCHORS = [
    "models: &a {fast: *a}",
    "models: {fast: &a {ask: [*a]}}",
    "limits: &a {default: *a}",
    "limits: {providers: &a {openai: *a}}",
    "retry: &a {budget: *a}",
]


@pytest.mark.parametrize("text", ANCHORS)
def test_a_file_that_holds_itself_is_refused(text: str, refused: Refused) -> None:
    assert refused(text).startswith("f.yaml:1:")


#: What a schema cannot find: names that depend on other names or on the environment, numbers that depend on others,
#: and how YAML reads a word.
UNSEEN = frozenset(
    {
        "a doubled section",
        "a breaker that opens for longer than it may",
        "a doubled member",
        "a forgotten value",
        "no end",
        "no number",
        "an underscore",
        "minutes and seconds",
        "an octal number",
        "a switch",
        "waits in the wrong order",
        "a window too small for its failures",
        "a limit for a name that is nearly a provider's",
        "a limit for a model of nobody",
        "an alias like a vendor of the file",
        "a doubled alias",
        "an alias that YAML reads as false",
        "a provider that is not configured",
        "a provider with several variables",
        "a provider that there is not",
        "the simulator that does not run",
        "a model without its provider",
        "another alias",
        "a provider without a model of its own",
        "a model twice",
    }
)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schema_finds_what_a_schema_can(wrong: str, schema_errors: Errors) -> None:
    found = schema_errors(WRONG[wrong][0])
    assert (not found) == (wrong in UNSEEN), found
