"""The audit log: who asked which model when, and what came of it; a row a request, each chained to the one before."""

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from rxlapce.errors import writable
from rxlapce.flow import Attempt, Tasks
from rxlapce.telemetry.audit_chain import Head
from rxlapce.telemetry.audit_file import AuditFile, Now, stamp, sync, utc_now
from rxlapce.telemetry.hooks import Settled
from rxlapce.telemetry.logs import Logger
from rxlapce.telemetry.settings import AuditSettings
from rxlapce.usage import told_usage

#: Rows that wait for room on the disk: some 10 MB at most.
MAX_PENDING: Final = 10_000
#: What has been written is synced after this time, and what could not be is tried again.
SYNC_S: Final = 0.5
RETRY_S: Final = 1.0
#: As long as another process has the file.
BUSY_S: Final = 0.01
MAX_NAME_CHARS: Final = 256
#: Attempts that a row has room for.
MAX_ATTEMPTS: Final = 32
_MIB: Final = 1 << 20


class Audit:
    """Writes a row for each request that `settled` is told of: into the kernel before it returns, to the disk soon.

    A process that is killed loses no row, a machine that loses its power those of the last second. A disk that takes
    nothing holds up nobody: rows wait, `MAX_PENDING` at most, and are written in order when there is room; a `lost` row
    tells how many did not find a place even so. It is told in the log when that begins and when it is over, and in
    `pending` and `lost`. `rows` counts what has been written.

    It lives on one loop, from the first call of `settled` on; `aclose`, or the end of `async with`, ends it. Raises
    `ConfigError` if the file cannot be opened.
    """

    def __init__(
        self, path: Path, settings: AuditSettings, log: Logger, *, max_pending: int = MAX_PENDING, now: Now = utc_now
    ) -> None:
        self.rows = 0
        self.lost = 0
        """Requests that no row tells of, ever."""
        self._untold = 0
        """Those of them that no `lost` row tells of yet."""
        self._max_pending = max_pending
        self._now = now
        self._log = log
        self._file = AuditFile(path, settings.mib * _MIB, settings.kept, now=now)
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._failure: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        self._closed_before = 0
        self._torn_told = 0
        self._is_closed = False
        self._tell_file()
        self._tell_head()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @property
    def pending(self) -> int:
        """Rows that wait for room."""
        return len(self._waiting)

    @property
    def head(self) -> Head:
        """The last row: its hash, kept elsewhere, proves later that the log up to it is as it was."""
        return self._file.head

    def settled(self, record: Settled) -> None:
        """Write the request's row, or keep it until it can be written. Never raises for what the disk does."""
        if self._is_closed or len(self._waiting) >= self._max_pending:
            self.lost += 1
            self._untold += 1
        else:
            self._waiting.append(row_of(record, stamp(self._now())))
        if self._retry is None and not self._is_closed:
            self._write()

    async def aclose(self) -> None:
        """Write what waits, if it can be, and sync. Idempotent."""
        if self._is_closed:
            return
        self._stop_timers()
        self._write()
        self._is_closed = True
        self._stop_timers()
        await self._tasks.settled()
        await self._sync()
        if self._waiting or self._untold:
            self._log.error("audit_rows_lost", count=len(self._waiting) + self._untold, error=self._failure)
            self._waiting.clear()
        self._tell_head()
        self._file.close()

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None

    # -- to the kernel ------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        self._retry = None
        try:
            while self._waiting:
                self._file.append(self._waiting[0])
                self._waiting.popleft()
                self.rows += 1
            if self._untold:
                self._file.append({"event": "lost", "time": stamp(self._now()), "rows": self._untold})
                self._untold = 0
        except BlockingIOError:
            self._again(BUSY_S)
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
            self._again(RETRY_S)
        else:
            self._recover()
        self._tell_file()
        if self._timer is None and self._file.is_dirty:
            self._timer = asyncio.get_running_loop().call_later(SYNC_S, self._begin_sync)

    def _again(self, wait_s: float) -> None:
        self._retry = asyncio.get_running_loop().call_later(wait_s, self._write)

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._log.error("audit_failed", error=why, path=str(self._file.path))
        self._failure = why

    def _recover(self) -> None:
        if self._failure is not None:
            self._failure = None
            self._log.info("audit_writes_again", lost=self.lost, path=str(self._file.path))

    def _tell_file(self) -> None:
        """Tell what the file went through."""
        if self._file.torn != self._torn_told:
            self._log.warning("audit_torn", bytes=self._file.torn - self._torn_told, path=str(self._file.path))
            self._torn_told = self._file.torn
        if self._file.closed != self._closed_before:
            self._closed_before = self._file.closed
            self._tell_head()

    def _tell_head(self) -> None:
        self._log.info("audit_head", seq=self.head.seq, hash=self.head.hash, path=str(self._file.path))

    # -- to the disk --------------------------------------------------------------------------------------------------

    def _begin_sync(self) -> None:
        self._timer = None
        self._tasks.spawn(self._sync(), name="sync the audit log")

    async def _sync(self) -> None:
        with suppress(OSError):  # no descriptor is free: the next time
            unsynced = self._file.take_unsynced()
            try:
                await asyncio.get_running_loop().run_in_executor(None, sync, unsynced)
            except OSError as error:
                self._log.error("audit_not_synced", error=os.strerror(error.errno or 0), path=str(self._file.path))


def row_of(record: Settled, time: str) -> dict[str, Any]:
    """What a row tells of a request; names at a bounded length, and no prompt, answer, key or error's words."""
    row: dict[str, Any] = {
        "event": "request",
        "time": time,
        "pid": os.getpid(),
        "request_id": record.request_id,
        "user": _cut(record.user),
        "client": _cut(record.client),
        "asked": _cut(record.name),
        "provider": _cut(record.provider),
        "model": _cut(record.model),
        "outcome": record.outcome,
        "duration_s": round(record.took_s, 3),
        "usage": None if record.usage is None else told_usage(record.usage),
        "attempts": [_told(attempt) for attempt in record.attempts[:MAX_ATTEMPTS]],
    }
    more = len(record.attempts) - MAX_ATTEMPTS
    return {**row, "more_attempts": more} if more > 0 else row


def _told(attempt: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {
        "provider": _cut(attempt.provider),
        "model": _cut(attempt.model),
        "outcome": "finished" if attempt.finished else attempt.error_kind or "cancelled",
        "took_s": round(attempt.took_s, 3),
        "tokens": attempt.tokens,
    }
    if attempt.key:
        told["key"] = _cut(attempt.key)
    if attempt.phase is not None:
        told["phase"] = attempt.phase.value
    if attempt.status is not None:
        told["status"] = attempt.status
    if attempt.usage is not None:
        told["usage"] = told_usage(attempt.usage)
    return told


def _cut(name: str) -> str:
    return writable(name if len(name) <= MAX_NAME_CHARS else name[: MAX_NAME_CHARS - 1] + "…", MAX_NAME_CHARS)
