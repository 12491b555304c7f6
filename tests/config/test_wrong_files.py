"""Files with one wrong thing each, and what `rxlapce check` prints of it, to the letter: what a user reads."""

import pytest

from rxlapce.config.check import problems_of
from rxlapce.config.file import SECTIONS

WRONG: dict[str, tuple[str, str]] = {
    "an unknown section": (
        "pipeline: {}\n",
        (
            "rxlapce.yaml:1:1: unknown name 'pipeline'; known: providers, models, pipelines, routes, timeouts, "
            "limits, retry, breaker, fallback, health, vault, telemetry, serve; did you mean pipelines?"
        ),
    ),
    "a section twice": (
        "retry: {}\nretry: {max_attempts: 2}\n",
        "rxlapce.yaml:2:1: 'retry' stands here a second time; the first is in line 1",
    ),
    "a tab": (
        "limits:\n	user: {requests: 5}\n",
        (
            "rxlapce.yaml:2:1: not YAML: found character '\\t' that cannot start any token; YAML is indented with "
            "blanks, never with tabs"
        ),
    ),
    "a bracket that is not closed": (
        "models:\n  fast: {ask: [openai/gpt-4.1-mini}\n",
        (
            "rxlapce.yaml:2:35: not YAML: expected ',' or ']', but got '}'; a comma is missing, or the bracket is"
            " not closed"
        ),
    ),
    "a quote that is not closed": (
        "serve:\n  path: '/run/rxlapce.sock\n",
        "rxlapce.yaml:3:1: not YAML: found unexpected end of stream (it began in line 2); the quote is not closed",
    ),
    "a text with a colon": (
        "providers:\n  groq: {base_url: https://h/v1, key: env: KEY}\n",
        (
            "rxlapce.yaml:2:42: not YAML: expected ',' or '}', but got ':'; a comma is missing, or the bracket is"
            " not closed"
        ),
    ),
    "two documents": (
        "retry: {}\n---\nhealth: {}\n",
        (
            "rxlapce.yaml:2:1: not YAML: expected a single document in the stream, but found another document (it"
            " began in line 1); a file is one document: take the line --- out"
        ),
    ),
    "a list for a mapping": (
        "timeouts: [idle_s: 5]\n",
        "rxlapce.yaml:1:11: timeouts: expected a mapping (name: value), got a list",
    ),
    "nothing after a name": (
        "breaker:\n",
        "rxlapce.yaml:1:9: breaker: expected a mapping (name: value), got nothing",
    ),
    "an option nearly right": (
        "retry:\n  max_atempts: 3\n",
        (
            "rxlapce.yaml:2:3: retry: unknown name 'max_atempts'; known: max_attempts, base_s, max_s, min_s, "
            "deadline_s, patience_s, budget; did you mean max_attempts?"
        ),
    ),
    "a time with its unit": (
        "timeouts:\n  idle_s: 30s\n",
        "rxlapce.yaml:2:11: timeouts.idle_s: expected a number of seconds above 0 or null, got '30s'",
    ),
    "minutes and seconds": (
        "timeouts:\n  total_s: 1:30\n",
        (
            "rxlapce.yaml:2:12: timeouts.total_s: expected a number of seconds above 0 or null, got 1:30, which "
            "YAML reads as 90: write that if it is meant"
        ),
    ),
    "an octal number": (
        "limits:\n  default: {requests: 0100}\n",
        (
            "rxlapce.yaml:2:23: limits.default.requests: expected a whole number of requests from 1 or null, got "
            "0100, which YAML reads as 64: write that if it is meant"
        ),
    ),
    "a number out of its range": (
        "retry:\n  budget: {fraction: 20}\n",
        "rxlapce.yaml:2:22: retry.budget.fraction: expected a number from 0 to 1, got 20",
    ),
    "waits in the wrong order": (
        "retry:\n  base_s: 5\n  max_s: 3\n",
        "rxlapce.yaml:3:10: retry.max_s: max_s must be at least base_s, which is 5, not 3",
    ),
    "a word for a switch": (
        "health:\n  enabled: off\n",
        "rxlapce.yaml:2:12: health.enabled: expected true or false, got 'off'",
    ),
    "a word that is no choice": (
        "fallback:\n  after_commit: resume\n",
        "rxlapce.yaml:2:17: fallback.after_commit: expected fail or continue or restart, got 'resume'",
    ),
    "a name that YAML reads as false": (
        "limits:\n  users:\n    no: {requests: 5}\n",
        (
            "rxlapce.yaml:3:5: limits.users: expected a name, got no, which YAML reads as true or false: put it "
            "in quotes if it is a text"
        ),
    ),
    "a merge key": (
        "models:\n  fast: &fast {ask: [openai/m]}\n  slow: {<<: *fast}\n",
        "rxlapce.yaml:3:10: models.slow: expected a name, got <<, which is not supported: write the members out",
    ),
    "a tag": (
        "retry: {max_attempts: !!str 3}\n",
        (
            "rxlapce.yaml:1:23: retry.max_attempts: expected a whole number of attempts from 1, got '3', which "
            "YAML reads as a text: write 3"
        ),
    ),
    "a key in the file": (
        "providers:\n  groq:\n    base_url: https://api.groq.com/openai/v1\n    key: gsk_0123456789abcdef\n",
        (
            "rxlapce.yaml:4:10: providers.groq.key: expected a reference to the key such as env:GROQ_API_KEY "
            "(env:NAME, file:/PATH, keyring:SERVICE/NAME, exec:COMMAND ARG..., cred:NAME, vault:PROVIDER/NAME), "
            "never the key itself, got something else"
        ),
    ),
    "a base URL that is none": (
        "providers:\n  groq: {base_url: api.groq.com/openai/v1}\n",
        (
            "rxlapce.yaml:2:20: providers.groq.base_url: expected an http or https URL such as "
            "http://127.0.0.1:8080/v1, got 'api.groq.com/openai/v1'"
        ),
    ),
    "a vendor without a base URL": (
        'providers:\n  groq: {key: "env:GROQ_API_KEY"}\n',
        "rxlapce.yaml:2:9: providers.groq: base_url is missing, such as base_url: https://api.groq.com/openai/v1",
    ),
    "an option of a built-in provider": (
        'providers:\n  openai: {base_url: "http://127.0.0.1:8080/v1"}\n',
        (
            "rxlapce.yaml:2:22: providers.openai.base_url: 'openai' is built in and configured by the "
            "environment: only key and keys stand here"
        ),
    ),
    "a key's name twice": (
        ('providers:\n  openai:\n    keys:\n      - {name: work, key: "env:A"}\n      - {name: work, key: "env:B"}\n'),
        "rxlapce.yaml:5:16: providers.openai.keys[1].name: 'work' is the name of another key of this provider",
    ),
    "a name that asks nobody": (
        "models:\n  fast: {choose: weighted}\n",
        (
            "rxlapce.yaml:2:9: models.fast: ask is missing, such as ask: [openai/gpt-4.1-mini, "
            "anthropic/claude-haiku-4-5]"
        ),
    ),
    "a model of a provider that there is not": (
        "models:\n  fast: {ask: [antropic/claude-haiku-4-5]}\n",
        (
            "rxlapce.yaml:2:16: models.fast.ask[0]: there is no provider 'antropic'; configured: openai, "
            "anthropic, gemini, azure, bedrock, xai, vertex, openrouter, local, simulator; did you mean "
            "anthropic?"
        ),
    ),
    "a model without its provider": (
        "models:\n  fast: {ask: [gpt-4.1-mini]}\n",
        "rxlapce.yaml:2:16: models.fast.ask[0]: expected a model as PROVIDER/MODEL, got 'gpt-4.1-mini'",
    ),
    "a limit of a provider that there is not": (
        "limits:\n  providers: {opnai: {requests: 5}}\n",
        (
            "rxlapce.yaml:2:15: limits.providers.opnai: expected the name of a provider (openai, anthropic, "
            "gemini, azure, bedrock, xai, vertex, openrouter, local, simulator), got 'opnai'; did you mean "
            "openai?"
        ),
    ),
    "an address with its password": (
        "limits:\n  store: redis://:s3cret@quota.lan\n",
        (
            "rxlapce.yaml:2:10: limits.store: a password does not belong into the file: put the address into a "
            "variable, and refer to it, such as store: env:RXLAPCE_LIMITS_STORE"
        ),
    ),
    "a stage that there is not": (
        "pipelines:\n  editor:\n    stages: [redct]\n    sinks: [editor]\n",
        (
            "rxlapce.yaml:3:14: pipelines.editor.stages[0]: there is no stage 'redct' (rxlapce list stages has "
            "all); did you mean redact?"
        ),
    ),
    "an option of a stage that is nearly right": (
        ("pipelines:\n  editor:\n    stages: [decode, token_map, {redact: {fnd: [secrets]}}]\n    sinks: [editor]\n"),
        (
            "rxlapce.yaml:3:43: pipelines.editor.stages[2].redact: unknown name 'fnd'; known: find, patterns, "
            "replacement, max_match_chars, reasoning, arguments, timeout_s; did you mean find?"
        ),
    ),
    "a stage of events before there are any": (
        "pipelines:\n  editor:\n    stages: [token_map, redact]\n    sinks: [editor]\n",
        (
            "rxlapce.yaml:3:14: pipelines.editor.stages[0]: token_map takes events, but gets bytes from the "
            "provider: put decode before it"
        ),
    ),
    "a sink among the stages": (
        "pipelines:\n  editor:\n    stages: [decode, token_map, editor]\n    sinks: [editor]\n",
        "rxlapce.yaml:3:33: pipelines.editor.stages[2]: editor is a sink: put it among the sinks",
    ),
    "a stage twice": (
        "pipelines:\n  editor:\n    stages: [decode, token_map, fallback, fallback]\n    sinks: [editor]\n",
        (
            "rxlapce.yaml:3:43: pipelines.editor.stages[3]: fallback stands here a second time: it can stand once"
            " in a pipeline"
        ),
    ),
    "a route to no pipeline": (
        'routes:\n  - {models: ["openai/*"], pipeline: editor}\n',
        "rxlapce.yaml:2:38: routes[0].pipeline: there is no pipeline 'editor'; there are: default",
    ),
    "a route for a name that nobody has": (
        "routes:\n  - {models: [fast], pipeline: default}\n",
        (
            "rxlapce.yaml:2:15: routes[0].models[0]: 'fast' is no alias, and no model as PROVIDER/MODEL of a "
            "provider that there is"
        ),
    ),
    "a route that is never reached": (
        (
            "pipelines: {quick: {sinks: [editor]}}\n"
            "routes:\n"
            "  - {pipeline: quick}\n"
            "  - {users: [ada], pipeline: default}\n"
        ),
        "rxlapce.yaml:4:5: routes[1]: no request gets here: routes[0] in line 3 takes all that this one does",
    ),
    "a vault's path that is relative": (
        "vault: {file: vault.json}\n",
        "rxlapce.yaml:1:15: vault.file: expected an absolute path, or one that begins with ~/, got 'vault.json'",
    ),
    "a passphrase in the file": (
        "vault: {unlock: correct horse}\n",
        (
            "rxlapce.yaml:1:17: vault.unlock: expected keyring, prompt, or a reference to the passphrase such as "
            "file:~/.config/rxlapce/passphrase (env:NAME, file:/PATH, keyring:SERVICE/NAME, exec:COMMAND ARG..., "
            "cred:NAME), never the passphrase itself, got something else"
        ),
    ),
    "a level of the log": (
        "telemetry:\n  logs: {level: warn}\n",
        (
            "rxlapce.yaml:2:17: telemetry.logs.level: expected debug or info or warning or error, got 'warn'; did"
            " you mean warning?"
        ),
    ),
    "a ring of no power of two": (
        "serve: {ring_kib: 1000}\n",
        "rxlapce.yaml:1:19: serve.ring_kib: ring_kib must be a power of two, not 1000",
    ),
    "a default provider that there is not": (
        "serve: {default_provider: opnai}\n",
        (
            "rxlapce.yaml:1:27: serve.default_provider: expected the name of a provider (openai, anthropic, "
            "gemini, azure, bedrock, xai, vertex, openrouter, local, simulator), got 'opnai'; did you mean "
            "openai?"
        ),
    ),
    "a hundred brackets": (
        "[" * 100 + "\n",
        "rxlapce.yaml:1:40: not YAML: nested more than 40 deep",
    ),
    "nothing at all": (
        "# to be written\n",
        "rxlapce.yaml:1:1: the document is empty",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_one_wrong_thing_is_one_line_that_says_where_what_was_expected_and_what_came(wrong: str) -> None:
    text, said = WRONG[wrong]
    assert [str(problem) for problem in problems_of(text, "rxlapce.yaml")] == [said]


def test_every_section_has_a_wrong_file_here() -> None:
    assert len(WRONG) >= 30
    begun = {text.partition(":")[0] for text, _ in WRONG.values()}
    assert set(SECTIONS) <= begun
