"""Cases as they really go, over sockets: the quick ones here, all of them where there is time."""

from dataclasses import replace
from pathlib import Path

import pytest

from rxlapce.crashtest import rig as rigs
from rxlapce.crashtest.cases import BY_NAME, CASES, Case, Expect
from rxlapce.crashtest.plays import through_an_outage
from rxlapce.crashtest.result import Result
from rxlapce.crashtest.rig import Conditions, Outage, Rig, Role
from rxlapce.crashtest.run import run_case, run_cases
from rxlapce.crashtest.setup import Setup, built_in
from rxlapce.crashtest.verdict import Verdict
from rxlapce.errors import ErrorKind
from rxlapce.operators.breaker import BreakerSettings
from rxlapce.operators.legs import AfterCommit

DOCUMENT = Path(__file__).parents[2] / "docs" / "crashtest.md"
#: Those that wait for no timeout and no backoff: a few hundredths of a second each.
QUICK = (
    "400_context", "400_filter", "400_filter_elsewhere", "cut", "cut_fail", "cut_continue", "cut_restart",
    "cut_prefill_refused", "cut_overlap", "cut_twice", "cut_tool_call", "malformed", "error_event", "no_end",
    "no_end_at_all", "no_done", "our_limit",
)  # fmt: skip


def failures(results: list[Result]) -> dict[str, str | None]:
    return {result.case: result.reason for result in results if result.verdict is Verdict.FAIL}


def case(conditions: Conditions, expect: Expect) -> Case:
    return Case(name="own", about="of a test", conditions=conditions, expect=expect)


async def test_quick_cases_meet_what_is_expected_of_them() -> None:
    results = await run_cases([BY_NAME[name] for name in QUICK], built_in())
    assert failures(results) == {}
    assert [result.case for result in results] == list(QUICK)


@pytest.mark.heavy
@pytest.mark.timeout(150)
async def test_all_cases_meet_what_is_expected_of_them() -> None:
    results = await run_cases(CASES, built_in())
    assert failures(results) == {}
    assert {result.case: result.verdict for result in results} == {one.name: one.expect.verdict for one in CASES}


def row(one: Case) -> str:
    """The case's row in the document."""
    first, fallback = (
        str(most) if least == most else f"{least} to {most}"
        for least, most in (one.expect.primary, one.expect.fallback)
    )
    return f"| `{one.name}` | {one.about} | {one.expect.verdict} | {first} | {fallback} |"


def test_every_case_has_a_name_of_its_own_and_its_row_in_the_document() -> None:
    assert len(BY_NAME) == len(CASES)
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == [row(one) for one in CASES]


# -- a case fails if anything of it is otherwise ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (Expect(verdict=Verdict.CLEAN_ERROR), "expected clean_error, got whole"),
        (Expect(primary=(2, 2)), "the primary was asked 1 times, and not 2 times"),
        (Expect(fallback=(0, 0)), "the fallback was asked 1 times, and not never"),
        (Expect(seams=()), "the seams say continue, and not nothing"),
        (Expect(by=Role.PRIMARY), "sim-second answered, and not the primary"),
        (Expect(error=ErrorKind.TRUNCATED), "the error is of kind None, and not truncated"),
        (Expect(check=lambda _: "a check found it"), "a check found it"),
    ],
)
async def test_a_case_that_goes_otherwise_than_expected_fails(changed: Expect, said: str) -> None:
    if changed.seams == () and said.startswith("the seams"):
        expect = changed
    else:
        expect = replace(changed, seams=BY_NAME["cut"].expect.seams)
    result = await run_case(replace(BY_NAME["cut"], expect=expect), built_in())
    assert result.verdict is Verdict.FAIL
    assert result.reason is not None
    assert result.reason.startswith(said)


async def test_an_answer_that_takes_too_long_fails() -> None:
    slow = case(Conditions(primary="fault=hang"), Expect(within_s=0.3))
    result = await run_case(slow, built_in())
    assert (result.verdict, result.reason) == (Verdict.FAIL, "it had not ended after 0.3 s")


async def test_a_test_that_breaks_is_a_failed_case_and_no_others() -> None:
    async def breaks(_: Rig) -> None:
        raise RuntimeError("a bug")

    broken = replace(BY_NAME["cut"], name="broken", play=breaks)
    results = await run_cases([broken, BY_NAME["cut"]], built_in())
    assert [result.verdict for result in results] == [Verdict.FAIL, Verdict.WHOLE]
    assert results[0].reason == "the test itself broke: RuntimeError: a bug"


async def test_what_is_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rigs, "TO_SETTLE_S", 0.1)
    async with Rig(built_in(), Conditions(), within_s=5.0) as rig:
        await rig.ask()
        assert await rig.leftovers() == []
        rig.manager.traffic.breakers.get("openai", "sim-first").gauges.active += 1
        assert await rig.leftovers() == ["1 breakers' tickets"]


async def test_a_frame_that_belongs_to_no_stream_is_found() -> None:
    async with Rig(built_in(), Conditions(), within_s=5.0) as rig:
        await rig.ask()
        assert (await rig.leftovers(), rig.stray_frames()) == ([], 0)
        rig.client.frames += 1
        assert rig.stray_frames() == 1


async def test_policy_for_broken_answers_is_laid_over_the_configured_one_but_not_over_the_case_s_own() -> None:
    setup = replace(built_in(), after=AfterCommit.FAIL)
    cut, restart = await run_cases([BY_NAME["cut"], BY_NAME["cut_restart"]], setup)
    assert cut.error is not None
    assert cut.error.kind is ErrorKind.TRUNCATED
    assert restart.verdict is Verdict.WHOLE


# -- an outage, in short ----------------------------------------------------------------------------------------------


def hasty() -> Setup:
    """The built-in configuration with a breaker that opens soon, and not for long."""
    setup = built_in()
    breaker = BreakerSettings(consecutive=2, open_s=0.2, max_open_s=0.4)
    settings = replace(setup.config.settings, breaker=breaker)
    return replace(setup, config=replace(setup.config, settings=settings))


@pytest.mark.parametrize("closed", [True, False], ids=["nobody listens", "503"])
async def test_a_provider_that_is_down_is_left_alone_and_found_again(closed: bool) -> None:
    outage = Outage(closed=closed, down_s=0.8, every_s=0.1, requests=10, back_within_s=5.0)
    short = replace(BY_NAME["503_for_a_minute"], conditions=Conditions(outage=outage, unwatched=True))
    result = await run_case(replace(short, expect=replace(short.expect, fallback=(5, 60))), hasty())
    assert result.reason is None
    assert result.requests >= 10
    assert result.model == "sim-first"
    assert min(result.times_primary_s) < 0.1
    assert max(result.times_primary_s) > outage.down_s


async def test_a_provider_that_does_not_come_back_in_time_fails_the_case() -> None:
    outage = Outage(closed=True, down_s=0.3, every_s=0.1, requests=4, back_within_s=0.1)
    setup = hasty()
    breaker = BreakerSettings(consecutive=1, open_s=30.0, max_open_s=30.0)
    setup = replace(setup, config=replace(setup.config, settings=replace(setup.config.settings, breaker=breaker)))
    down = replace(BY_NAME["down_unwatched"], conditions=Conditions(outage=outage, unwatched=True))
    expect = replace(down.expect, fallback=(3, 9), by=Role.FALLBACK)
    result = await run_case(replace(down, expect=expect), setup)
    assert result.reason == "it was not asked again within 0.1 s after it had come back"


async def test_an_outage_needs_conditions_that_have_one() -> None:
    async with Rig(built_in(), Conditions(), within_s=1.0) as rig:
        with pytest.raises(ValueError, match="no outage"):
            await through_an_outage(rig)
