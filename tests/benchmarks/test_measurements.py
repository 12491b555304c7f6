"""The benchmarks' commands at their smallest: what they measure is whole. How long it took is not looked at."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import percentile, spread, table
from benchmarks.stamps import SIZE, Tally, read_latencies, stamp, write_latencies

ROOT = Path(__file__).parents[2]


async def objects(*command: str) -> list[dict[str, Any]]:
    """What a command prints with `--json`; it must end with 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--quick", "--json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.heavy
@pytest.mark.timeout(120)
async def test_under_load_no_token_is_lost_doubled_or_changed() -> None:
    """By the ring, by the socket, and directly, paced and at full speed."""
    loads = await objects("benchmarks.load", "--streams", "200", "--connections", "40", "--seconds", "1")
    assert len(loads) == 2
    for load in loads:
        for way in ("direct", "shm", "socket"):
            (result,) = load[way]
            assert set(result["faults"].values()) == {0}, (load["load"], way)
            assert result["tokens"] > 0
    paced, full = loads
    assert sorted(map(int, paced["shm"][0]["private_kib"])) == [0, 2, 20]
    assert full["shm"][0]["tokens"] == full["direct"][0]["tokens"] == 4 * 200


@pytest.mark.heavy
@pytest.mark.timeout(60)
async def test_each_heartbeat_comes_back_to_who_sent_it() -> None:
    cases = await objects("benchmarks.echo")
    assert [(case["clients"], case["depth"]) for case in cases] == [(1, 1), (10, 1), (10, 1), (10, 8), (10, 64)]
    assert all(case["rounds"][0]["trips_per_s"] > 0 for case in cases)


@pytest.mark.heavy
@pytest.mark.timeout(60)
async def test_each_way_out_hands_over_every_frame() -> None:
    """Which the command checks itself."""
    ways = await objects("benchmarks.forwarding")
    assert {way["way"] for way in ways} == {
        f"{lane}, {reader}" for lane in ("ring", "socket") for reader in ("asleep", "awake", "signed, asleep")
    }


# -- stamps ---------------------------------------------------------------------------------------------------------


def texts(*places: int, stream: int = 7, last: int = -1) -> list[str]:
    return [stamp(stream, place, 1_000, last=place == last).decode() for place in places]


def taken(*pieces: str) -> Tally:
    tally = Tally()
    for text in pieces:
        tally.take(7, text, 1_000)
    tally.ended(7, whole=True)
    return tally


def test_a_whole_stream_has_no_faults_however_its_text_was_merged() -> None:
    pieces = texts(0, 1, 2, 3, last=3)
    assert all(len(text) == SIZE for text in pieces)
    for tally in (taken(*pieces), taken("".join(pieces)), taken(pieces[0], "".join(pieces[1:]))):
        assert (tally.tokens, tally.faults.total) == (4, 0)


@pytest.mark.parametrize(
    ("pieces", "faults"),
    [
        (texts(0, 1, 3, last=3), {"lost": 1}),
        (texts(2, last=2), {"lost": 2}),
        (texts(0, 1, 1, 2, last=2), {"doubled": 1}),
        (texts(0, 2, 1, last=2), {"lost": 1, "doubled": 1}),
        (texts(0, 1, 2), {"torn": 1}),
        ([*texts(0), *texts(1, stream=8), *texts(2, last=2)], {"misplaced": 1}),
    ],
)
def test_what_is_wrong_with_a_stream_is_counted(pieces: list[str], faults: dict[str, int]) -> None:
    found = taken(*pieces).faults
    assert {name: getattr(found, name) for name in found.__struct_fields__ if getattr(found, name)} == faults


def test_a_text_that_is_no_stamp_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole number of stamps"):
        taken("hello")


def test_latencies_are_those_of_the_recorded_tokens_over_all_files(tmp_path: Path) -> None:
    tally = Tally()
    tally.take(1, stamp(1, 0, 500), 1_000)
    tally.recording = True
    tally.take(1, stamp(1, 1, 500) + stamp(1, 2, 900), 1_000)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        write_latencies(file, tally.latencies_ns)
    assert read_latencies(files) == [100, 100, 500, 500]


# -- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_a_spread_is_shown_where_there_is_one() -> None:
    assert spread([3, 1, 2], 1) == "2.0 (1.0-3.0)"
    assert spread([1234.5]) == "1,234.50"


def test_the_columns_of_a_table_are_as_wide_as_they_must_be() -> None:
    assert table(["a", "bb"], [["ccc", "1"]]) == "a    bb\nccc   1"
