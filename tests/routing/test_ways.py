"""Which way a request goes: the first rule that takes it; and that one rule covers another is no guess."""

from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.flow import Exchange
from rxlapce.routing.settings import RoutingSettings
from rxlapce.routing.stages import default_way
from rxlapce.routing.way import Way
from rxlapce.routing.ways import Asks, Takes, Ways, matches
from rxlapce.testing.thoroughness import examples

NAMES = st.sampled_from(["fast", "a/", "a/b", "a/bc", "a/c", "b/x", "fas"])
PATTERNS = st.one_of(NAMES, NAMES.map(lambda name: f"{name}*"), st.just("*"))
WHO = st.sampled_from(["ada", "grace", ""])


def some(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(names, max_size=2, unique=True).map(tuple)


TAKES = st.builds(
    Takes,
    models=some(PATTERNS),
    users=some(WHO),
    clients=some(WHO),
    kinds=st.lists(st.sampled_from(Asks), max_size=2, unique=True).map(tuple),
)
REQUESTS = st.tuples(NAMES, st.builds(Exchange, user=WHO, client=WHO), st.sampled_from(Asks))
WAYS = [Way(name=f"w{number}") for number in range(4)]


@given(earlier=TAKES, later=TAKES, request=REQUESTS)
@settings(max_examples=examples(300))
def test_what_a_covered_rule_would_take_the_covering_one_takes(
    earlier: Takes, later: Takes, request: tuple[str, Exchange, Asks]
) -> None:
    name, exchange, asks = request
    if earlier.covers(later) and later.fits([name], exchange, asks):
        assert earlier.fits([name], exchange, asks)


@given(rules=st.lists(TAKES, max_size=4), request=REQUESTS)
def test_the_first_rule_that_fits_wins_and_the_rest_goes_the_default_way(
    rules: list[Takes], request: tuple[str, Exchange, Asks]
) -> None:
    name, exchange, asks = request
    default = default_way(RoutingSettings())
    ways = Ways(default, tuple(zip(rules, WAYS, strict=False)))
    fitting = [way for takes, way in ways.rules if takes.fits([name], exchange, asks)]
    assert ways.of([name], exchange, asks) is (fitting[0] if fitting else default)


def test_a_rule_covers_itself_and_one_for_all_covers_each() -> None:
    some_models = Takes(models=("a/*", "fast"), users=("ada",), kinds=(Asks.CHAT,))
    assert some_models.covers(some_models)
    assert Takes().covers(some_models)
    assert not some_models.covers(Takes())
    assert Takes(kinds=tuple(Asks)).covers(Takes())
    assert Takes(models=("a*",)).covers(Takes(models=("a/*", "a/b")))
    assert not Takes(models=("a/b*",)).covers(Takes(models=("a/*",)))


def test_a_star_stands_for_any_rest_and_for_none() -> None:
    assert [matches("a/*", name) for name in ("a/", "a/b", "a", "aa/")] == [True, True, False, False]
    assert matches("a/b", "a/b")
    assert not matches("a/b", "a/bc")
