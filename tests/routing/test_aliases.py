"""Who is asked by an alias, in which order, and who is not: each with its reason."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.dialects.chat_completions import ChatCompletions
from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.providers.provider import Api, Provider
from rxlapce.routing.alias import Alias, Choose, Target
from rxlapce.routing.needs import Needs
from rxlapce.routing.router import Plan, Route, Router

NAMES = ("a", "b", "c", "d")
PROVIDERS = {
    name: Provider(name=name, base_url="http://127.0.0.1:1", apis={"chat": Api(dialect=ChatCompletions(), path="/x")})
    for name in NAMES
}
PLAIN = Needs(images=False, tools=False, prompt_tokens=10, answer_tokens=10)


class Known:
    """A state that is given by hand."""

    def __init__(self, running: Mapping[str, int] | None = None, obstacles: Mapping[str, str] | None = None) -> None:
        self._running = running or {}
        self._obstacles = obstacles or {}

    def running(self, route: Route) -> int:
        return self._running.get(route.name, 0)

    def obstacle(self, route: Route) -> str | None:
        return self._obstacles.get(route.name)


def alias(*targets: Target | str, choose: Choose = Choose.IN_ORDER) -> Alias:
    described = tuple(Target(model=target) if isinstance(target, str) else target for target in targets)
    return Alias(name="x", targets=described, choose=choose)


def router(*targets: Target | str, choose: Choose = Choose.IN_ORDER, chance: float | None = None) -> Router:
    if chance is None:
        return Router(PROVIDERS, aliases=[alias(*targets, choose=choose)])
    return Router(PROVIDERS, aliases=[alias(*targets, choose=choose)], chance=lambda: chance)


def names(plan: Plan) -> list[str]:
    return [planned.route.name for planned in plan.routes]


def test_models_are_asked_as_they_are_written() -> None:
    plan = router("a/1", "b/2", "a/3").plan("x", PLAIN)
    assert names(plan) == ["a/1", "b/2", "a/3"]
    assert [planned.why for planned in plan.routes] == [f"number {n} as written" for n in (1, 2, 3)]
    assert plan.how == "x is an alias for 3 models, asked in the order in which they are written"


def test_a_name_that_is_no_alias_is_one_route() -> None:
    plan = router("a/1").plan("b/2", PLAIN)
    assert (names(plan), plan.alias, plan.how) == (["b/2"], None, "b/2 names a model")


@pytest.mark.parametrize(
    ("target", "needs", "why"),
    [
        (Target(model="a/1", images=False), Needs(True, False, 1, 1), "takes no images"),
        (Target(model="a/1", tools=False), Needs(False, True, 1, 1), "takes no tools"),
        (
            Target(model="a/1", context=99),
            Needs(False, False, 60, 40),
            "has a context of 99 tokens, and the request takes about 100",
        ),
    ],
)
def test_who_does_not_take_the_request_is_left_out(target: Target, needs: Needs, why: str) -> None:
    plan = router(target, "b/2").plan("x", needs)
    assert names(plan) == ["b/2"]
    assert plan.left_out == ((target, why),)
    with pytest.raises(ProviderError, match=f"no model of 'x' takes this request: a/1 {why}") as caught:
        router(target).plan("x", needs)
    assert (caught.value.kind, caught.value.phase) == (ErrorKind.BAD_REQUEST, Phase.ADMIT)


def test_a_request_that_just_fits_is_taken() -> None:
    assert names(router(Target(model="a/1", context=100)).plan("x", Needs(False, False, 60, 40))) == ["a/1"]


def test_the_least_busy_for_its_weight_is_first_and_of_equals_the_first_written() -> None:
    chosen = router("a/1", Target(model="b/2", weight=4), "c/3", choose=Choose.LEAST_BUSY)
    assert names(chosen.plan("x", PLAIN, Known())) == ["a/1", "b/2", "c/3"]
    plan = chosen.plan("x", PLAIN, Known({"a/1": 2, "b/2": 4, "c/3": 1}))
    assert names(plan) == ["b/2", "c/3", "a/1"]
    assert plan.routes[0].why == "4 under way at weight 4"


def test_who_has_an_obstacle_is_asked_when_all_others_have_failed() -> None:
    plan = router("a/1", "b/2", "c/3").plan("x", PLAIN, Known(obstacles={"a/1": "it is ill", "b/2": "so is this"}))
    assert names(plan) == ["c/3", "a/1", "b/2"]
    assert plan.routes[1].why == "number 1 as written, but behind the others: it is ill"


weights = st.lists(st.integers(1, 50), min_size=1, max_size=4)


@given(weights, st.randoms(use_true_random=False))
def test_every_draw_has_each_model_once(drawn: list[int], chance: object) -> None:
    targets = [Target(model=f"{name}/m", weight=weight) for name, weight in zip(NAMES, drawn, strict=False)]
    chosen = Router(
        PROVIDERS,
        aliases=[alias(*targets, choose=Choose.WEIGHTED)],
        chance=getattr(chance, "random"),  # noqa: B009
    )
    assert sorted(names(chosen.plan("x", PLAIN))) == sorted(target.model for target in targets)


def test_each_is_drawn_first_as_often_as_its_weight_says() -> None:
    steps = 1000
    first: Counter[str] = Counter()
    for step in range(steps):
        targets = (Target(model="a/m", weight=7), Target(model="b/m", weight=2), "c/m")
        first[names(router(*targets, choose=Choose.WEIGHTED, chance=step / steps).plan("x", PLAIN))[0]] += 1
    assert first == {"a/m": 700, "b/m": 200, "c/m": 100}


@pytest.mark.parametrize("chance", [0.0, 0.999_999_999_999])
def test_the_ends_of_chance_draw_somebody(chance: float) -> None:
    plan = router("a/m", "b/m", choose=Choose.WEIGHTED, chance=chance).plan("x", PLAIN)
    assert names(plan) == (["a/m", "b/m"] if chance == 0 else ["b/m", "a/m"])
    assert plan.routes[0].why == "drawn, first in 50 % of requests"


@pytest.mark.parametrize("name", ["a", "y/z", "x"])
def test_an_alias_must_have_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name models"):
        Router(PROVIDERS, aliases=[alias("a/1"), Alias(name=name, targets=(Target(model="b/2"),))])


def test_an_alias_of_models_that_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="the alias 'x' names 'nobody/1': no provider 'nobody'"):
        router("nobody/1")


@pytest.mark.parametrize("targets", [(), ("a/1", "a/1")])
def test_an_alias_needs_models_each_once(targets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="needs one or more models, each once"):
        alias(*targets)


def test_who_mistypes_an_alias_is_told_of_it() -> None:
    fast = Alias(name="fast", targets=(Target(model="a/1"),))
    with pytest.raises(ProviderError, match="aliases: fast; did you mean fast"):
        Router(PROVIDERS, aliases=[fast]).plan("fats", PLAIN)
