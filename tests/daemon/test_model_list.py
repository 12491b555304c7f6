"""The models of all providers: asked at once, kept for a while, and no failure of one hides the others."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from reactivex import Observable

from rxlapce.daemon.model_list import MAX_ASKED, MAX_LISTED, MAX_MODEL_CHARS, ModelLists
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.flow import Exchange
from rxlapce.messages import ModelEntry, ModelList, Models, Unlisted
from rxlapce.providers.call import HttpCall
from rxlapce.routing.alias import Alias, Target
from rxlapce.routing.manager import ProviderManager
from rxlapce.routing.router import Router
from rxlapce.testing.asking import simulated

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

ALIAS = Alias(name="fast", targets=(Target(model="a/m1"), Target(model="b/m2")))


class Vendors:
    """An `HttpSource` of vendors that list models, each by its host; `held` answer only when they are let go."""

    def __init__(self, **models: Sequence[str]) -> None:
        self.models = dict(models)
        self.asked: Counter[str] = Counter()
        self.failing: dict[str, str] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.asking: Counter[str] = Counter()

    def stream(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        raise AssertionError("a billed call")

    def whole(self, call: HttpCall, exchange: Exchange) -> Observable[bytes]:
        raise AssertionError("a billed call")

    async def fetch(self, call: HttpCall, exchange: Exchange) -> bytes:
        self.asked[call.provider] += 1
        self.asking[call.provider] += 1
        try:
            if call.provider in self.held:
                await self.held[call.provider].wait()
        finally:
            self.asking[call.provider] -= 1
        if call.provider in self.failing:
            raise ProviderError(ErrorKind.NETWORK, self.failing[call.provider], provider=call.provider)
        return json.dumps({"data": [{"id": model} for model in self.models[call.provider]]}).encode()


class Time:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def lists(vendors: Vendors, time: Time | None = None, *, deadline_s: float = 10.0) -> ModelLists:
    openai, _ = simulated("http://vendors.test")
    providers = {name: replace(openai, name=name) for name in vendors.models}
    aliases = (ALIAS,) if {"a", "b"} <= set(providers) else ()
    manager = ProviderManager(vendors, Router(providers, aliases=aliases))
    return ModelLists(manager, deadline_s=deadline_s, clock=time or Time())


def names(answer: ModelList) -> list[str]:
    return [entry.name for entry in answer.models]


async def test_aliases_come_first_then_each_provider_s_models_by_name() -> None:
    answer = await lists(Vendors(b=["m2"], a=["m3", "m1", "m3"])).answer(Models())
    assert answer.models == (
        ModelEntry(name="fast", asks=("a/m1", "b/m2")),
        ModelEntry(name="b/m2", provider="b"),
        ModelEntry(name="a/m1", provider="a"),
        ModelEntry(name="a/m3", provider="a"),
    )
    assert answer.unlisted == ()


async def test_a_provider_that_fails_is_unlisted_and_hides_no_other() -> None:
    vendors = Vendors(a=["m1"], b=["m2"])
    vendors.failing["a"] = "it is down"
    answer = await lists(vendors).answer(Models())
    assert names(answer) == ["fast", "b/m2"]
    (told,) = answer.unlisted
    assert told.provider == "a"
    assert "it is down" in told.message


async def test_only_the_named_are_asked_each_once() -> None:
    vendors = Vendors(a=["m1"], b=["m2"])
    answer = await lists(vendors).answer(Models(providers=("b", "b")))
    assert names(answer) == ["fast", "b/m2"]
    assert vendors.asked == {"b": 1}
    assert names(await lists(vendors).answer(Models(providers=()))) == ["fast"]


async def test_a_name_that_nobody_has_is_unlisted_with_those_that_there_are() -> None:
    answer = await lists(Vendors(a=["m1"])).answer(Models(providers=("x",)))
    assert answer.models == ()
    assert answer.unlisted[0].provider == "x"
    assert "a" in answer.unlisted[0].message


async def test_too_many_names_are_refused() -> None:
    with pytest.raises(ProviderError, match="256 at most") as caught:
        await lists(Vendors(a=[])).answer(Models(providers=tuple(map(str, range(MAX_ASKED + 1)))))
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


async def test_a_list_is_kept_a_minute_and_a_failure_five_seconds() -> None:
    vendors, time = Vendors(a=["m1"], b=["m2"]), Time()
    vendors.failing["b"] = "down"
    models = lists(vendors, time)
    for now_s, a, b in ((0, 1, 1), (4.9, 1, 1), (5, 1, 2), (59, 1, 3), (60, 2, 3), (64, 2, 4)):
        time.now_s = now_s
        await models.answer(Models())
        assert (now_s, vendors.asked["a"], vendors.asked["b"]) == (now_s, a, b)
    del vendors.failing["b"]
    time.now_s = 69
    assert names(await models.answer(Models())) == ["fast", "a/m1", "b/m2"]


async def test_who_comes_while_somebody_asks_waits_for_that_answer() -> None:
    vendors = Vendors(a=["m1"])
    vendors.held["a"] = asyncio.Event()
    models = lists(vendors)
    asking = [asyncio.ensure_future(models.answer(Models())) for _ in range(10)]
    await turns()
    vendors.held["a"].set()
    assert [names(answer) for answer in await asyncio.gather(*asking)] == [["a/m1"]] * 10
    assert vendors.asked == {"a": 1}


async def test_the_providers_are_asked_at_once() -> None:
    vendors = Vendors(a=["m1"], b=["m2"])
    vendors.held = {"a": asyncio.Event(), "b": asyncio.Event()}
    asking = asyncio.ensure_future(lists(vendors).answer(Models()))
    await turns()
    assert vendors.asking == {"a": 1, "b": 1}
    for held in vendors.held.values():
        held.set()
    await asking


async def test_who_cancels_ends_its_own_asking_and_the_next_one_asks() -> None:
    vendors = Vendors(a=["m1"])
    vendors.held["a"] = asyncio.Event()
    models = lists(vendors)
    first, second = (asyncio.ensure_future(models.answer(Models())) for _ in range(2))
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await turns()
    assert (vendors.asking["a"], vendors.asked["a"]) == (1, 2)
    vendors.held["a"].set()
    assert names(await second) == ["a/m1"]


async def test_a_provider_that_is_late_is_unlisted_and_left_alone_for_a_while() -> None:
    vendors, time = Vendors(a=["m1"], b=["m2"]), Time()
    vendors.held["a"] = asyncio.Event()
    models = lists(vendors, time, deadline_s=0.02)
    answer = await models.answer(Models())
    assert names(answer) == ["fast", "b/m2"]
    assert answer.unlisted == (Unlisted(provider="a", message="a gave no list within 0.02 s"),)
    assert vendors.asking["a"] == 0
    assert (await models.answer(Models())).unlisted == answer.unlisted
    assert vendors.asked["a"] == 1


async def test_what_no_answer_has_room_for_is_left_out_and_told() -> None:
    many = [f"m{number:05}" for number in range(MAX_LISTED + 1)]
    answer = await lists(Vendors(a=[*many, "x" * (MAX_MODEL_CHARS + 1)])).answer(Models())
    assert names(answer) == [f"a/{model}" for model in many[:MAX_LISTED]]
    assert answer.unlisted == (
        Unlisted(provider="a", message="2 of its models are not told: too many, or too long a name"),
    )


async def turns() -> None:
    """Let the loop run until what was started waits for something."""
    loop = asyncio.get_running_loop()
    for _ in range(10):
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
