"""How figures are shown: medians with their spread, and how far a run has come."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (min to max); of one value, that."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f}-{most:,.{digits}f})"


def percentile(values: Sequence[int], percent: float) -> float:
    """Of sorted `values`, the one that `percent` of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def machine() -> str:
    """What ran it."""
    return f"CPython {platform.python_version()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be, the first to the left."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def progress(text: str) -> None:
    """Say what is under way, on a terminal; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
