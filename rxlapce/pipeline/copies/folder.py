"""A folder of recordings: a new name for each, and no more files and bytes than it may have."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

#: What a request's id may keep of itself in a file's name.
_PLAIN: Final = re.compile(r"[^0-9A-Za-z._-]")
#: A recording that has not grown for so long, in seconds, is nobody's any more.
STALE_S: Final = 24 * 3600.0
_numbers: Final = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFolder:
    """Recordings by the time at which they began, the oldest of which are removed when there are too many.

    `suffix` tells this folder's files from all others in it, which are never touched. `keep_files` and `keep_bytes` are
    from 1. A recording under way (`NAME.part`) counts, and is removed only when it has not grown for a day.
    """

    path: Path
    suffix: str
    keep_files: int
    keep_bytes: int
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def new_path(self, request_id: str) -> Path:
        """The path of a recording that begins now; sorted by name they are sorted by time."""
        began = self.wall_clock().astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        who = _PLAIN.sub("_", request_id)[:64]
        # The number tells apart what one daemon begins in one millisecond.
        return self.path / f"{began}Z-{next(_numbers):06d}{f'-{who}' if who else ''}{self.suffix}"

    def make(self) -> None:
        """Make the folder, for its owner alone, if it is not there. Raises `OSError`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def tidy(self, *, now_s: Callable[[], float] = time.time) -> None:
        """Remove the oldest until what is left is within the bounds. Raises `OSError` if the folder cannot be read."""
        found: list[tuple[str, Path, int, float]] = []
        for path in self.path.iterdir():
            whole = path.name.removesuffix(".part")
            if whole.endswith(self.suffix):
                with suppress(OSError):  # another daemon was faster
                    facts = path.lstat()
                    found.append((whole, path, facts.st_size, facts.st_mtime))
        files, size = len(found), sum(one[2] for one in found)
        for _, path, bytes_, changed_s in sorted(found):
            if files <= self.keep_files and size <= self.keep_bytes:
                return
            if path.suffix == ".part" and now_s() - changed_s < STALE_S:
                continue
            with suppress(FileNotFoundError):
                path.unlink()
            files, size = files - 1, size - bytes_
