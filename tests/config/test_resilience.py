"""What the file sets of limits, retries, breakers and the rest; what it leaves out; what options lay over it."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from rxlapce.config.options import options_of
from rxlapce.config.overrides import with_rate_limit, without_default_limit
from rxlapce.config.sources import Config, load_config
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.legs import AfterCommit, FallbackPolicy
from rxlapce.operators.retry import RetryPolicy
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.settings import (
    DEFAULT_QUOTA,
    Admission,
    BudgetSettings,
    HealthSettings,
    Quota,
    RoutingSettings,
    StreamTimeouts,
)

Load = Callable[[str], Config]
KEY = "sk-test-0123456789abcdef"

EVERYTHING = """
providers: {openai: {keys: [{name: work, key: "env:OPENAI_API_KEY", requests: 8, shared: true}]}}
timeouts: {connect_s: 1, headers_s: 2, first_token_s: 3, idle_s: null, min_tokens_per_s: 0.5, rate_window_s: 5,
           total_s: 60}
limits:
  default: {requests: 30, streams: 3, shared: true}
  providers: {openai: {requests: 500, tokens: 200000, streams: 20, shared: true}, anthropic: {}}
  models: {openai/gpt-4.1: {requests: 10}, "simulator/sim:tps=0": {streams: 1}}
  user: {requests: 120, tokens: 5000}
  users: {uid 1000: {requests: 9}, ada: {tokens: 700}}
  client: {streams: 4}
  wait_s: 0
retry: {max_attempts: 5, base_s: 1, max_s: 9, min_s: 0.25, deadline_s: null, patience_s: 0,
        budget: {fraction: 1, floor: 0, window_s: 30}}
breaker: {consecutive: 2, window: 30, min_outcomes: 6, failure_percent: 40, forget_s: 50, open_s: 3, max_open_s: 7,
          key_s: 11, max_cooldown_s: 100}
fallback: {after_commit: restart, on_content_filter: true, overlap_chars: 0, max_kept_chars: 10}
health: {enabled: false, every_s: 7, unusable_every_s: 3, timeout_s: 2}
"""


def test_every_member_is_taken(load: Load) -> None:
    assert load(EVERYTHING).settings == RoutingSettings(
        timeouts=StreamTimeouts(
            connect_s=1, headers_s=2, first_token_s=3, idle_s=None, min_tokens_per_s=0.5, rate_window_s=5, total_s=60
        ),
        admission=Admission(
            default=Quota(requests=30, streams=3, shared=True),
            providers={"openai": Quota(requests=500, tokens=200000, streams=20, shared=True), "anthropic": Quota()},
            models={"openai/gpt-4.1": Quota(requests=10), "simulator/sim:tps=0": Quota(streams=1)},
            user=Quota(requests=120, tokens=5000),
            users={"uid 1000": Quota(requests=9), "ada": Quota(tokens=700)},
            client=Quota(streams=4),
            keys={("openai", "work"): Quota(requests=8, shared=True)},
            wait_s=0,
        ),
        retry=RetryPolicy(max_attempts=5, base_s=1, max_s=9, min_s=0.25, deadline_s=None),
        patience_s=0,
        budget=BudgetSettings(fraction=1, floor=0, window_s=30),
        breaker=BreakerSettings(
            consecutive=2,
            window=30,
            min_outcomes=6,
            failure_percent=40,
            forget_s=50,
            open_s=3,
            max_open_s=7,
            key_s=11,
            max_cooldown_s=100,
        ),
        fallback=FallbackPolicy(
            after_commit=AfterCommit.RESTART, on_content_filter=True, overlap_chars=0, max_kept_chars=10
        ),
        health=HealthSettings(enabled=False, every_s=7, unusable_every_s=3, timeout_s=2),
    )


def test_the_file_above_sets_every_member_to_something_else_than_its_default(load: Load) -> None:
    settings, default = load(EVERYTHING).settings, RoutingSettings()
    same = [
        f"{section.name}.{name}"
        for section in fields(default)
        for name, was, now in pairs(getattr(default, section.name), getattr(settings, section.name))
        if was == now
    ]
    assert same == []


def pairs(default: Any, settings: Any) -> list[tuple[str, Any, Any]]:
    """Each member of a section, as it was and as it is."""
    if not hasattr(default, "__dataclass_fields__"):
        return [("", default, settings)]
    return [(one.name, getattr(default, one.name), getattr(settings, one.name)) for one in fields(default)]


@pytest.mark.parametrize("text", ["{}", "limits: {}", "retry: {budget: {}}", "timeouts: {}\nbreaker: {}", "models: {}"])
def test_what_is_left_out_keeps_its_default(load: Load, text: str) -> None:
    config = load(text)
    assert config.settings == RoutingSettings()
    assert config.aliases == ()


def test_without_a_file_everything_is_as_by_default() -> None:
    config = load_config({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY})
    assert (list(config.providers), config.aliases, config.settings) == (["openai", "anthropic"], (), RoutingSettings())
    assert KEY not in repr(config)


def test_a_member_alone_leaves_the_rest_of_its_section(load: Load) -> None:
    settings = load("limits: {default: {streams: 2}}\nretry: {patience_s: 5}\nbreaker: {open_s: 10}").settings
    assert settings.admission.default == replace(DEFAULT_QUOTA, streams=2)
    assert (settings.retry, settings.patience_s, settings.budget) == (RetryPolicy(), 5, BudgetSettings())
    assert settings.breaker == BreakerSettings(open_s=10)


def test_a_limit_may_be_for_a_vendor_of_the_file_and_for_who_is_not_configured_now(load: Load) -> None:
    text = "providers: {groq: {base_url: 'http://h/v1'}}\nlimits: {providers: {groq: {requests: 1}, xai: {streams: 1}}}"
    assert load(text).settings.admission.providers == {"groq": Quota(requests=1), "xai": Quota(streams=1)}


@pytest.mark.parametrize(
    "kind",
    [StreamTimeouts, Quota, RetryPolicy, BudgetSettings, BreakerSettings, FallbackPolicy, HealthSettings, Target],
)
def test_a_new_field_of_a_settings_class_can_be_read_without_a_line_here(kind: type[Any]) -> None:
    assert list(options_of(kind)) == [field.name for field in fields(kind)]


def test_of_an_alias_only_the_plain_fields_are_read_by_their_type() -> None:
    assert list(options_of(Alias)) == ["name", "choose"]


# -- what options lay over it -----------------------------------------------------------------------------------------


def test_a_rate_limit_wins_over_every_quota_of_a_model_and_leaves_its_other_members(load: Load) -> None:
    before = load(EVERYTHING).settings
    admission = with_rate_limit(before, 7).admission
    assert admission.default == Quota(requests=7, streams=3, shared=True)
    assert admission.providers["openai"] == Quota(requests=7, tokens=200000, streams=20, shared=True)
    assert admission.providers["anthropic"] == Quota(requests=7)
    assert admission.models["openai/gpt-4.1"] == Quota(requests=7)
    assert (admission.user, admission.client) == (before.admission.user, before.admission.client)


def test_a_rate_limit_of_0_is_none(load: Load) -> None:
    admission = with_rate_limit(load(EVERYTHING).settings, 0).admission
    quotas = (admission.default, *admission.providers.values(), *admission.models.values())
    assert {quota.requests for quota in quotas} == {None}
    assert admission.of("xai", "grok")[1].streams == 3


def test_who_is_played_has_no_limit_unless_the_file_has_one_for_it(load: Load) -> None:
    admission = without_default_limit(load(EVERYTHING).settings, ("simulator", "openai", "xai")).admission
    assert admission.of("simulator", "sim")[1] == Quota()
    assert admission.of("simulator", "sim:tps=0")[1] == Quota(streams=1)
    assert admission.of("openai", "m")[1].requests == 500
    assert admission.of("xai", "m")[1] == Quota()
    assert admission.of("gemini", "m")[1].requests == 30
