"""CPU time of a process, user and system."""

import os
from pathlib import Path


def cpu_seconds(pid: int | None = None) -> float:
    """What the process (this one, if None) has had of the processor until now.

    From the scheduler's own nanosecond count, all threads; `/proc/PID/stat` counts in ticks of 10 ms.
    """
    tasks = Path(f"/proc/{pid or os.getpid()}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
