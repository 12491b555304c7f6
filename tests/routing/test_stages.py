"""The gates of an attempt share one wait, and each attempt has it anew; less, while somebody else is left to ask."""

import pytest
from reactivex import Observable
from reactivex import empty as rx_empty

from rxlapce.flow import Exchange
from rxlapce.providers import openai
from rxlapce.providers.spec import Settings
from rxlapce.requests import ChatRequest, Message
from rxlapce.routing.needs import Needs, needs_of
from rxlapce.routing.router import Route
from rxlapce.routing.settings import Admission, Quota, RoutingSettings
from rxlapce.routing.stages import ConcurrencyOptions, RateLimitOptions, concurrency, new_attempt, rate_limit
from rxlapce.routing.traffic import Operator, Traffic, deferred
from rxlapce.routing.way import Setup, Site
from rxlapce.secret import Secret
from rxlapce.tokens import StreamToken

SETTINGS = RoutingSettings(admission=Admission(default=Quota(requests=5, streams=1), wait_s=10), patience_s=3)
SETUP = Setup(pipeline="p")
REQUEST = ChatRequest(model="openai/m", messages=(Message(role="user", content="hi"),))


class Waits(Traffic):
    """Gates that only note how long they may wait; to pass the one of slots takes two seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.noted: list[tuple[str, float]] = []
        super().__init__(SETTINGS, clock=lambda: self.now_s)

    def slot_gate(self, key: str, streams: int, wait_s: float) -> Operator:
        self.noted.append((f"slot of {key}", wait_s))

        def passed(source: Observable[StreamToken]) -> Observable[StreamToken]:
            def enter(_: object) -> Observable[StreamToken]:
                self.now_s += 2
                return source

            return deferred(enter)

        return passed

    def rate_gate(
        self, key: str, quota: Quota, needs: Needs, wait_s: float, exchange: Exchange, *, local: bool = False
    ) -> Operator:
        self.noted.append((f"rate of {key}", wait_s))
        return lambda source: source


def attempts(
    site: Site, rate: RateLimitOptions | None = None, slots: ConcurrencyOptions | None = None
) -> Observable[StreamToken]:
    """What `retry_stream` subscribes to, once for each attempt."""
    source: Observable[StreamToken] = rx_empty()
    gates = rate_limit(rate or RateLimitOptions(), SETUP), concurrency(slots or ConcurrencyOptions(), SETUP)
    for make in (*gates, new_attempt):
        source = make(site)(source)
    return source


@pytest.fixture
def waits() -> Waits:
    return Waits()


def site_of(waits: Waits, *, others_left: bool = False, keys_left: bool = False) -> Site:
    provider = openai.build(Settings(key=Secret("sk-test-0123456789"), base_url="http://127.0.0.1:9/v1", extra={}))
    return Site(
        exchange=Exchange(),
        request=REQUEST,
        needs=needs_of(REQUEST),
        traffic=waits,
        settings=SETTINGS,
        chance=lambda: 0.5,
        providers={"openai": provider},
        route=Route(provider, "m"),
        others_left=others_left,
        keys_left=keys_left,
    )


def test_what_a_slot_was_waited_for_is_taken_from_the_wait_of_the_minute_and_not_from_the_next_attempts(
    waits: Waits,
) -> None:
    source = attempts(site_of(waits))
    source.subscribe()
    waits.now_s = 100
    source.subscribe()
    assert waits.noted == [("slot of openai/m", 10), ("rate of openai/m", 8)] * 2


@pytest.mark.parametrize(
    ("others_left", "keys_left", "told"), [(True, False, [3, 1]), (True, True, [0, 0]), (False, True, [0, 0])]
)
def test_patience_is_shorter_while_another_model_is_left_and_none_while_another_key_is(
    others_left: bool, keys_left: bool, told: list[float], waits: Waits
) -> None:
    attempts(site_of(waits, others_left=others_left, keys_left=keys_left)).subscribe()
    assert [wait_s for _, wait_s in waits.noted] == told


def test_what_a_pipeline_says_of_one_gate_is_that_gates_own(waits: Waits) -> None:
    rate = RateLimitOptions(requests=2, max_wait_s=1)
    attempts(site_of(waits), rate, ConcurrencyOptions(max_wait_s=30)).subscribe()
    assert waits.noted == [("slot of openai/m", 30), ("rate of openai/m in pipeline p", 1)]
