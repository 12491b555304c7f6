"""The crash test on the screen: live on a terminal, a line for each case elsewhere, and a table of all at the end."""

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rxlapce.cli.screen import printable
from rxlapce.crashtest.cases import Case
from rxlapce.crashtest.result import Result
from rxlapce.crashtest.setup import Setup
from rxlapce.crashtest.verdict import Verdict

_COLOURS: Final = {Verdict.WHOLE: "green", Verdict.CLEAN_ERROR: "yellow", Verdict.FAIL: "bold red"}
_WORDS: Final = {Verdict.WHOLE: "whole", Verdict.CLEAN_ERROR: "clean error", Verdict.FAIL: "FAIL"}
#: Of more attempts only the first times are shown.
_TIMES_SHOWN: Final = 3
#: Where there is no terminal that says how wide it is.
_COLUMNS: Final = 160
#: A terminal that is narrower has no room for times beside the numbers of attempts.
_ROOM_FOR_TIMES: Final = 110


class ProgressView(Protocol):
    """Shows how far the run is; a context manager around it."""

    def start(self, case: Case) -> None:
        """The case begins."""
        ...

    def end(self, result: Result) -> None:
        """It has ended."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_view(cases: Sequence[Case], *, on_stderr: bool) -> ProgressView:
    """The view that standard output can take, or with `on_stderr` standard error."""
    stream = sys.stderr if on_stderr else sys.stdout
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return LiveView(Console(stderr=on_stderr), len(cases))
    return LineView(len(cases))


class LineView:
    """A line on standard error as each case ends, so that the table alone is on standard output."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def start(self, case: Case) -> None:
        """Nothing to say."""

    def end(self, result: Result) -> None:
        """Verdict, name, time; and of a failure the reason."""
        self._done += 1
        said = f"{self._done}/{self._total} {result.case}: {_WORDS[result.verdict]} in {result.wall_s:.1f} s"
        click.echo(printable(f"{said}: {result.reason}" if result.reason else said), err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LiveView:
    """What runs now and what has just ended, as much as fits; it goes away when the table of all comes."""

    def __init__(self, console: Console, total: int) -> None:
        self._total = total
        self._running: dict[str, float] = {}
        self._done: list[Result] = []
        self._live = Live(self, console=console, refresh_per_second=5, transient=True, vertical_overflow="crop")

    def start(self, case: Case) -> None:
        """A line of its own, with the time that it takes."""
        self._running[case.name] = time.monotonic()

    def end(self, result: Result) -> None:
        """Its line moves down."""
        self._running.pop(result.case, None)
        self._done.append(result)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now_s = time.monotonic()
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_row(Text(f"{len(self._done)} of {self._total}", "bold"))
        for name, started_s in self._running.items():
            table.add_row(Text(name), Text("runs", "dim"), Text(f"{now_s - started_s:.0f} s", "dim"))
        for result in reversed(self._done):
            table.add_row(Text(result.case), _verdict(result), Text(f"{result.wall_s:.1f} s"))
        yield table

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)


def show_table(results: Sequence[Result], setup: Setup) -> None:
    """All cases on standard output, why some failed, and the sum."""
    console = Console() if sys.stdout.isatty() else Console(width=_COLUMNS)
    attempts = _times if console.width >= _ROOM_FOR_TIMES else _number
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("CASE", no_wrap=True)
    table.add_column("VERDICT", no_wrap=True)
    table.add_column("FIRST", no_wrap=True)
    table.add_column("FALLBACK", no_wrap=True)
    table.add_column("SECONDS", justify="right", no_wrap=True)
    # The last, and cut where the line ends: the whole of an error's message is in the JSON.
    table.add_column("THE CALLER GOT", min_width=20)
    for result in results:
        table.add_row(
            result.case, _verdict(result), attempts(result.times_primary_s), attempts(result.times_fallback_s),
            f"{result.wall_s:.1f}", Text(printable(got(result)), no_wrap=True, overflow="ellipsis"),
        )  # fmt: skip
    console.print(table)
    for result in results:
        if result.reason is not None:
            console.print(Text(f"{result.case}: {printable(result.reason)}", _COLOURS[Verdict.FAIL]))
    console.print(Text(summary(results, setup), "bold"))


def summary(results: Sequence[Result], setup: Setup) -> str:
    """How many of which verdict, and who was asked."""
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    said = ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in counts.items())
    names = " then ".join(target.model for target in setup.targets)
    many = "" if len(results) == 1 else "s"
    return f"\n{len(results)} case{many}: {said} ({names})"


def got(result: Result) -> str:
    """What the caller of a case got, in a few words."""
    several = f"{result.requests} answers, the last " if result.requests > 1 else ""
    if result.error is not None:
        delivered = f" after {result.error.delivered_chars} characters" if result.error.delivered_chars else ""
        return f"{several}{result.error.kind}{delivered}: {' '.join(result.error.message.split())}"
    if result.finish is None:
        return f"{several}nothing that ended"
    word = result.seams[-1].partition(":")[0] if result.seams else ""
    seam = f", after a seam ({word})" if word else ""
    return f"{several}{result.text_chars} characters by {result.model}{seam}"


def _verdict(result: Result) -> Text:
    return Text(_WORDS[result.verdict], _COLOURS[result.verdict])


def _number(times_s: Sequence[float]) -> str:
    """The number of attempts."""
    return str(len(times_s)) if times_s else "-"


def _times(times_s: Sequence[float]) -> str:
    """The number of attempts, and when the first of them were."""
    if not times_s:
        return _number(times_s)
    shown = " ".join(f"{at_s:.1f}" for at_s in times_s[:_TIMES_SHOWN])
    return f"{len(times_s)} at {shown}{' …' if len(times_s) > _TIMES_SHOWN else ''}"
