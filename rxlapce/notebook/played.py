"""Runs that nobody waits for: a trace that is there already, and a recording, played in virtual time."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from reactivex.scheduler import VirtualTimeScheduler

from rxlapce.notebook.lab import Lab
from rxlapce.notebook.layout import until_of
from rxlapce.notebook.marks import Outcome
from rxlapce.notebook.probing import TraceProbes
from rxlapce.notebook.trace import Trace

#: When a recording has ended for sure, in seconds: some 30 years.
_LATEST_S: Final = 1e9


class Still:
    """A trace that somebody else fills, or nobody any more, as figures take it: there is nothing to cancel."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def now(self) -> float:
        """The time of what came last: a trace alone has no clock."""
        return until_of(self.trace, self.trace.kept[-1].t if self.trace.kept else 0.0)

    def cancel(self) -> None:
        """Nothing: who runs it may."""

    def close(self) -> None:
        """Nothing."""

    def __await__(self) -> Generator[Any, None, Trace]:
        yield from ()
        return self.trace


def trace_of(path: Path, title: str = "") -> Trace:
    """What the recording at `path` was, at the times at which it was: at once, on a clock that is turned by hand.

    Raises `OSError` for a file that cannot be read, and `ValueError` for one that is no recording, or says nothing of
    its dialect.
    """
    trace = Trace(title or path.name)
    probes, clock = TraceProbes(trace), VirtualTimeScheduler()
    Lab(simulator=True).replay(path).observed(probes).subscribe(
        on_error=lambda error: trace.finish(probes.now(), Outcome.FAILED, error),
        on_completed=lambda: trace.finish(probes.now(), Outcome.COMPLETED),
        scheduler=clock,
    )
    # Not `start`: with more than a hundred reads at one time it moves its clock on by a second.
    clock.advance_to(_LATEST_S)
    probes.close()
    return trace
