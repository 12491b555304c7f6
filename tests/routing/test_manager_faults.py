"""Single interleavings that went wrong once, each as small as it can be."""

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.operators.retry import RetryPolicy
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.testing.interleaving import ALIAS, Reader, Reading, Scenario, World
from rxlapce.testing.interleaving_checks import check
from rxlapce.testing.scripted_http import Fault, Script


def run(scripts: dict[str, Fault], admission: Admission, *readings: Reading) -> World:
    """The models in that order, each with one fault for ever, asked by `readings`."""
    world = World(
        Scenario(
            alias=Alias(name=ALIAS, targets=tuple(Target(model=model) for model in scripts)),
            scripts={model: [Script(fault=fault)] for model, fault in scripts.items()},
            settings=RoutingSettings(admission=admission, retry=RetryPolicy(max_attempts=2)),
            readings=list(readings),
        )
    ).run()
    check(world)
    return world


def error_of(reader: Reader) -> ProviderError:
    (error,) = reader.ends
    assert isinstance(error, ProviderError)
    return error


def test_a_request_that_only_the_second_model_could_be_sent_counts_for_its_user() -> None:
    admission = Admission(models={"openai/a": Quota(tokens=1)}, user=Quota(requests=1), wait_s=0)
    first, second = Reading(bounded=True), Reading(bounded=True, at_s=5)
    world = run({"openai/a": Fault.NONE, "openai/b": Fault.AUTH}, admission, first, second)
    assert [sent.model for sent in world.http.sent] == ["openai/b"]
    told = error_of(world.readers[0])
    assert (told.kind, told.phase) == (ErrorKind.AUTH, Phase.HEADERS)
    assert "also tried: openai/a (rate_limit in phase admit)" in told.message
    assert "of 'user ann' is reached" in error_of(world.readers[1]).message


def test_a_request_whose_retry_a_quota_refused_counts_for_its_user() -> None:
    admission = Admission(default=Quota(requests=1), user=Quota(requests=1), wait_s=0)
    world = run({"openai/a": Fault.SERVER_ERROR}, admission, Reading(), Reading(at_s=5))
    assert len(world.http.sent) == 1
    told = error_of(world.readers[0])
    assert (told.kind, told.phase, told.status) == (ErrorKind.OVERLOADED, Phase.HEADERS, 500)
    assert "of 'user ann' is reached" in error_of(world.readers[1]).message


def test_all_that_a_rate_limit_kept_waiting_are_answered_when_its_time_is_over_and_not_only_the_first() -> None:
    limited, answer = Script(fault=Fault.RATE_LIMIT, retry_after_s=2), Script(headers_s=0.7)
    world = World(
        Scenario(
            alias=Alias(name=ALIAS, targets=(Target(model="openai/a"),)),
            scripts={"openai/a": [limited] * 5 + [answer]},
            settings=RoutingSettings(),
            readings=[*[Reading()] * 5, *[Reading(at_s=1)] * 20],
            chances=(0.1, 0.9, 0.4, 0.7, 0.2),
        )
    ).run()
    check(world)
    assert [reader.ends for reader in world.readers] == [[None]] * 25
    assert world.traffic.budget.spent == 5  # those who were limited; the rest had not been sent
    assert sum(sent.at_s < 5 for sent in world.http.sent) == 5 + 1, "one looks whether the rest is over"
