"""What a process has had of the machine: CPU time, user and system, and memory."""

import os
import re
from pathlib import Path


def cpu_seconds(pid: int | None = None) -> float:
    """What the process (this one, if None) has had of the processor until now.

    From the scheduler's own nanosecond count, all threads; `/proc/PID/stat` counts in ticks of 10 ms.
    """
    tasks = Path(f"/proc/{pid or os.getpid()}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def private_kib(pid: int) -> int:
    """KiB that would be free if the process ended (USS)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, re.MULTILINE))
