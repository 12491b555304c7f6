"""A row a request: what it tells, and what becomes of it where the disk takes nothing."""

import asyncio
import fcntl
import io
import json
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rxlapce.errors import ErrorKind
from rxlapce.telemetry import audit as audit_module
from rxlapce.telemetry.audit import MAX_ATTEMPTS, MAX_NAME_CHARS, Audit, row_of
from rxlapce.telemetry.audit_verify import files_of, verify
from rxlapce.telemetry.hooks import each
from rxlapce.telemetry.logs import logger
from rxlapce.telemetry.settings import AuditSettings
from rxlapce.testing.auditing import Time, finished, refused, rows_in, settled


class Case:
    """An audit log, and the log of what it went through."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self._out = io.StringIO()
        self.audit = Audit(
            path, AuditSettings(file=str(path)), logger(self._out, as_json=True, level="debug"), now=Time(), **options
        )

    def logged(self, *events: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._out.getvalue().splitlines()]
        return [line for line in lines if not events or line["event"] in events]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of requests and losses; all of the log is sound."""
        assert verify(files_of(self.path)).problems == []
        return [row for row in rows_in(self.path) if row["event"] != "opened"]


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    case = Case(tmp_path / "audit.jsonl", max_pending=3)
    yield case
    await case.audit.aclose()


class FullDisk:
    """No file of this process may grow past `size` within it."""

    def __init__(self, path: Path) -> None:
        self._size = path.stat().st_size

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


async def test_a_row_tells_who_asked_what_and_what_came_of_it(case: Case) -> None:
    case.audit.settled(settled("1.7", refused(1, provider="other", model="small", key="spare"), finished(2)))
    (row,) = case.rows()
    for name in ("seq", "prev", "hash"):
        del row[name]
    assert row == {
        "event": "request",
        "time": "2026-11-23T12:00:02.000Z",
        "pid": os.getpid(),
        "request_id": "1.7",
        "user": "ada",
        "client": "lapce",
        "asked": "fast",
        "provider": "acme",
        "model": "large",
        "outcome": "completed",
        "duration_s": 2.0,
        "usage": {
            "input": 10,
            "cached_input": 4,
            "output": 20,
            "total": 30,
            "cost_usd": 0.5,
            "source": "provider",
        },
        "attempts": [
            {
                "provider": "other",
                "model": "small",
                "outcome": "overloaded",
                "took_s": 1.5,
                "tokens": 0,
                "key": "spare",
                "phase": "headers",
                "status": 503,
            },
            {
                "provider": "acme",
                "model": "large",
                "outcome": "finished",
                "took_s": 1.5,
                "tokens": 7,
                "usage": {
                    "input": 10,
                    "cached_input": 4,
                    "output": 20,
                    "total": 30,
                    "cost_usd": 0.5,
                    "source": "provider",
                },
            },
        ],
    }


@pytest.mark.parametrize(
    ("members", "outcome"),
    [
        ({}, "completed"),
        ({"finished": False}, "disposed"),
        ({"finished": False, "error_kind": ErrorKind.TIMEOUT}, "timeout"),
    ],
)
def test_the_outcome_is_that_of_the_request(members: dict[str, Any], outcome: str) -> None:
    assert row_of(settled(**members), "")["outcome"] == outcome


def test_a_row_is_bounded_whatever_clients_call_themselves_and_however_often_it_was_tried() -> None:
    row = row_of(settled("1", *(refused(n) for n in range(100)), user="u" * 9999, name="a\ud800b"), "")
    assert len(row["user"]) == MAX_NAME_CHARS
    assert row["asked"] == "a?b"
    assert (len(row["attempts"]), row["more_attempts"]) == (MAX_ATTEMPTS, 100 - MAX_ATTEMPTS)


async def test_a_row_is_with_the_kernel_when_the_reader_is_told(case: Case) -> None:
    case.audit.settled(settled("1.1"))
    assert [row["request_id"] for row in case.rows()] == ["1.1"], "no await in between"
    assert case.audit.rows == 1


async def test_a_full_disk_holds_up_nobody_and_costs_no_row_within_the_bound(case: Case) -> None:
    with FullDisk(case.path):
        for number in range(3):
            case.audit.settled(settled(f"1.{number}"))
        assert (case.audit.pending, case.audit.lost, case.audit.rows) == (3, 0, 0)
        (failed,) = case.logged("audit_failed")
        assert (failed["level"], failed["error"]) == ("error", "File too large")
    case.audit.settled(settled("1.3"))
    await case.audit.aclose()
    assert [row.get("request_id") for row in case.rows()] == ["1.0", "1.1", "1.2", None]
    assert [line["lost"] for line in case.logged("audit_writes_again")] == [1]


async def test_rows_past_the_bound_are_counted_in_the_chain(case: Case) -> None:
    with FullDisk(case.path):
        for number in range(5):
            case.audit.settled(settled(f"1.{number}"))
    await case.audit.aclose()
    *kept, lost = case.rows()
    assert [row["request_id"] for row in kept] == ["1.0", "1.1", "1.2"]
    assert (lost["event"], lost["rows"], case.audit.lost) == ("lost", 2, 2)


async def test_what_could_not_be_written_is_tried_again_without_a_further_request(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "RETRY_S", 0.0)
    with FullDisk(case.path):
        case.audit.settled(settled("1.0"))
    for _ in range(10):  # a loop round for the timer, and a few more
        await asyncio.sleep(0)
    assert [row["request_id"] for row in case.rows()] == ["1.0"]
    assert case.logged("audit_writes_again")


async def test_a_file_that_another_daemon_has_at_the_moment_is_no_failure(case: Case) -> None:
    with case.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        case.audit.settled(settled("1.0"))
        assert case.audit.pending == 1
    await case.audit.aclose()
    assert [row["request_id"] for row in case.rows()] == ["1.0"]
    assert not case.logged("audit_failed", "audit_writes_again")


async def test_rows_that_found_no_place_by_the_end_are_told(case: Case) -> None:
    with FullDisk(case.path):
        case.audit.settled(settled("1.0"))
        await case.audit.aclose()
    (line,) = case.logged("audit_rows_lost")
    assert (line["count"], line["error"]) == (1, "File too large")


async def test_a_request_that_ends_after_the_end_is_counted_as_lost(case: Case) -> None:
    await case.audit.aclose()
    case.audit.settled(settled("1.0"))
    assert (case.audit.lost, case.rows()) == (1, [])


async def test_what_is_written_is_synced_by_itself(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def sync(numbers: list[int]) -> None:
        for number in numbers:
            os.close(number)
        if numbers and not synced.done():
            loop.call_soon_threadsafe(synced.set_result, numbers)

    monkeypatch.setattr(audit_module, "sync", sync)
    monkeypatch.setattr(audit_module, "SYNC_S", 0.0)
    case.audit.settled(settled("1.0"))
    assert len(await synced) == 1


async def test_a_disk_that_cannot_be_synced_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(numbers: list[int]) -> None:
        for number in numbers:
            os.close(number)
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(audit_module, "sync", sync)
    case.audit.settled(settled("1.0"))
    await case.audit.aclose()
    assert [line["error"] for line in case.logged("audit_not_synced")] == ["Input/output error"]


async def test_the_head_is_told_at_the_beginning_and_at_the_end(case: Case) -> None:
    case.audit.settled(settled("1.0"))
    await case.audit.aclose()
    first, last = case.logged("audit_head")
    assert (first["seq"], last["seq"]) == (1, 2)
    assert last["hash"] == case.audit.head.hash == case.rows()[-1]["hash"]


async def test_a_row_that_was_torn_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first = Case(path)
    first.audit.settled(settled("1.0"))
    await first.audit.aclose()
    path.write_bytes(path.read_bytes()[:-9])
    second = Case(path)
    await second.audit.aclose()
    assert [line["level"] for line in second.logged("audit_torn")] == ["warning"]


async def test_a_listener_that_raises_keeps_the_row_from_nobody(case: Case) -> None:
    raised: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))

    def broken(_: object) -> None:
        raise LookupError

    each(broken, case.audit.settled)(settled("1.0"))
    assert [row["request_id"] for row in case.rows()] == ["1.0"]
    assert [type(error) for error in raised] == [LookupError]
