"""The fault table (`python -m benchmarks.faults`): each of its cases in small, and how it judges."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults.cases import CASES
from benchmarks.faults.finding import QUICK, Case, Finding, Said, examine, table
from benchmarks.faults.raw import frame_of
from benchmarks.faults.rig import Held, more_than, rig
from rxlapce.codec.frame import FrameDecoder
from rxlapce.errors import FrameError
from rxlapce.messages import Heartbeat

one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])
HELD = Held(descriptors=20, tasks=5, threads=2, rings=1, private_kib=40_000, named=frozenset({"somebody's"}))
FINDING = Finding("name", "a promise " * 30, "it happened " * 30, (), 12.5, (6, 31.4), {})


@one_loop
@pytest.mark.heavy
@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_what_is_promised_beside_a_fault_is_kept(case: Case, tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        # A first time, for what is made once and kept.
        warm = await examine(made, case, QUICK, time.monotonic)
        assert warm.name == case.name
        finding = await examine(made, case, QUICK, time.monotonic)
    assert finding.broken == ()
    assert finding.bystander[0] > 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (replace(HELD, descriptors=99), "99 descriptors, 20 before"),
        (replace(HELD, tasks=99), "99 tasks, 5 before"),
        (replace(HELD, rings=99), "99 rings, 1 before"),
    ],
)
def test_what_a_daemon_has_kept_is_told_and_what_it_let_go_is_not(more: Held, told: str) -> None:
    assert more_than(HELD, more) == [told]
    assert more_than(more, HELD) == []


def test_a_new_name_in_shared_memory_is_told() -> None:
    assert more_than(HELD, replace(HELD, named=frozenset({"somebody's", "ours"}))) == ["in shared memory: ours"]
    assert more_than(HELD, replace(HELD, named=frozenset())) == []


def test_a_pool_of_threads_may_fill_and_not_overflow() -> None:
    assert more_than(HELD, replace(HELD, threads=3)) == []
    assert more_than(HELD, replace(HELD, threads=99)) == ["99 threads"]


def test_a_promise_that_is_not_kept_is_told_in_its_words() -> None:
    said = Said()
    said.expect(True, "never said")
    assert said.broken == []
    said.expect(False, "2 streams were cut")
    assert said.broken == ["2 streams were cut"]


def test_the_table_has_under_a_hundred_columns_and_says_what_was_broken() -> None:
    broken = replace(FINDING, broken=("left behind: 7 rings",))
    shown = table([FINDING, broken])
    assert max(map(len, shown.splitlines())) < 100
    assert "7 rings" in shown
    assert shown.endswith("1 of 2 promises kept")


def test_every_case_has_a_name_of_its_own_and_a_promise() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 12
    assert all(case.promise for case in CASES)


def test_every_bit_of_a_frame_counts() -> None:
    """What the attack rests on: no bit of the frame may be flipped unnoticed, or be made good by what follows."""
    frame = frame_of(Heartbeat(echo=True), 1)
    for bit in range(8 * len(frame)):
        data = bytearray(frame)
        data[bit // 8] ^= 1 << bit % 8
        decoder = FrameDecoder()
        frames = decoder.feed(bytes(data) + bytes(4096))
        assert isinstance(decoder.error, FrameError) or not frames
        assert not frames
