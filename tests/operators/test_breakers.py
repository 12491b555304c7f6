import pytest

from rxlapce.operators.breaker import BreakerSettings, Change, CircuitOpen, State
from rxlapce.operators.breakers import Breakers, Openings
from rxlapce.operators.totals import OTHER
from rxlapce.testing.breaking import DOWN, SetTime


@pytest.mark.parametrize(
    "wrong",
    [
        {"consecutive": 0},
        {"consecutive": 21},
        {"window": 1025},
        {"min_outcomes": 0},
        {"min_outcomes": 21},
        {"failure_percent": 0},
        {"failure_percent": 101},
        {"open_s": 0},
        {"open_s": 21},
        {"key_s": float("nan")},
        {"forget_s": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|expected"):
        BreakerSettings(**wrong)


def test_two_models_of_one_provider_and_two_keys_of_one_model_do_not_block_each_other() -> None:
    breakers = Breakers(SetTime())
    places = [("acme", "a", None), ("acme", "b", None), ("acme", "a", "first"), ("acme", "a", "second")]
    one, *others = (breakers.get(*place) for place in places)
    for _ in range(5):
        one.ask().fail(DOWN)
    assert [breaker.state for breaker in (one, *others)] == [State.OPEN, State.CLOSED, State.CLOSED, State.CLOSED]
    assert [place for place, _ in breakers] == places
    assert breakers.get("acme", "a") is one
    assert [breaker.keyed for _, breaker in breakers] == [False, True, True, False]  # `one` was used last


def test_the_registry_is_bounded_and_keeps_what_it_needs() -> None:
    breakers = Breakers(SetTime(), max_breakers=3)
    for _ in range(5):
        breakers.get("acme", "down").ask().fail(DOWN)
    ticket = breakers.get("acme", "busy").ask()
    for number in range(100):
        breakers.get("acme", f"model-{number}")
    assert [model for (_, model, _), _ in breakers] == ["down", "busy", "model-99"]
    breakers.get("acme", "model-99").ask()
    breakers.get("acme", "new")  # all are needed: the least lately used goes
    assert [model for (_, model, _), _ in breakers] == ["busy", "model-99", "new"]
    ticket.release()
    with pytest.raises(ValueError, match="at least 1"):
        Breakers(SetTime(), max_breakers=0)


def test_all_breakers_tell_one_hook() -> None:
    changes: list[Change] = []
    breaker = Breakers(SetTime(), BreakerSettings(consecutive=1), on_change=changes.append).get("acme", "a", "first")
    breaker.ask().fail(DOWN)
    assert [change.name for change in changes] == ["acme/a by key first"]
    assert len(Breakers(SetTime())) == 0


def test_openings_and_refusals_stay_counted_when_their_breaker_is_forgotten() -> None:
    breakers = Breakers(SetTime(), BreakerSettings(consecutive=1), max_breakers=1)

    def refuse(model: str, times: int) -> None:
        for key in ("first", "second"):
            breaker = breakers.get("acme", model, key)
            breaker.ask().fail(DOWN)
            for _ in range(times):
                with pytest.raises(CircuitOpen):
                    breaker.ask()

    refuse("a", 2)
    refuse("b", 1)
    refuse("a", 1)
    breakers.get("acme", "never opened")
    assert len(breakers) == 1
    assert breakers.openings() == {
        ("acme", "a"): Openings(opened=4, refused=6),
        (OTHER, OTHER): Openings(opened=2, refused=2),
        ("acme", "never opened"): Openings(),
    }
