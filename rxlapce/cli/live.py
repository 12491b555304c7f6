"""An answer on the screen while it arrives: Markdown on a terminal, the bare text elsewhere."""

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text as Styled

from rxlapce.cli.plain import PlainAnswer, told
from rxlapce.cli.screen import printable
from rxlapce.tokens import Reasoning, Refusal, Seam, SeamWord, StreamToken, Text, ToolCall

#: Longer lines than this are hard to read, however wide the terminal is.
MAX_COLUMNS = 100
#: Columns that stay free at the right, so that the `^C` that a terminal echoes behind a growing line does not wrap: the
#: next drawing would miss its place by a line.
FREE_COLUMNS = 2
#: The last thoughts that are shown while there is no answer yet.
MAX_THOUGHT_CHARS = 2000


class AnswerView(Protocol):
    """Shows one exchange; a context manager around the streaming part."""

    def note(self, text: str) -> None:
        """A line about what is being done."""
        ...

    def question(self, text: str) -> None:
        """What is asked."""
        ...

    def show(self, token: StreamToken) -> None:
        """The next token; a seam is told, and what it discards is no longer shown if it can be taken back."""
        ...

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """What happened, as pairs of name and value."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def answer_view() -> AnswerView:
    """The view that standard output can take: a terminal that can move its cursor gets Markdown."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalView(Console())
    return PlainView()


class PlainView:
    """The answer's text on standard output, each piece as it comes; everything else on standard error."""

    def __init__(self) -> None:
        self._answer = PlainAnswer()

    def note(self, text: str) -> None:
        """A line on standard error."""
        click.echo(text, err=True)

    def question(self, text: str) -> None:
        """A line on standard error."""
        click.echo(f"> {text}\n", err=True)

    def show(self, token: StreamToken) -> None:
        """The token's text; what a seam discards stays, and a line on standard error says so."""
        self._answer.show(token)

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """Aligned lines on standard error."""
        click.echo(err=True)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            click.echo(f"{name:<{width}}  {value}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, BrokenPipeError):
            self._answer.end_line()


class _Tail:
    """The last lines of a rendered text that fit the screen: what one reads while it grows."""

    def __init__(self, view: "TerminalView") -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._view.rendered(), options, pad=False)
        for line in lines[-max(3, console.height - 3) :]:
            yield from line
            yield Segment.line()


class TerminalView:
    """Markdown that is drawn anew 15 times a second while it grows, and once, whole, at its end.

    Drawing is by a timer of rich's on a thread of its own, so that a token costs an append and no drawing. Lines have
    at most `MAX_COLUMNS` columns. Colours are rich's business: it honours NO_COLOR.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: list[str] = []
        self._thinking: list[str] = []
        self._before_calls: tuple[int, int] | None = None
        """Since the first tool call: how many pieces and thoughts there were before it."""
        self._live = Live(_Tail(self), console=console, refresh_per_second=15, transient=True)

    def rendered(self) -> RenderableType:
        """What has arrived, as Markdown; while only thoughts have, those, dimmed."""
        if self._pieces:
            return self._fitted(Markdown("".join(self._pieces)))
        return self._fitted(Styled("".join(self._thinking)[-MAX_THOUGHT_CHARS:] or "...", style="dim"))

    def note(self, text: str) -> None:
        """A dimmed line."""
        self._print(Styled(text, style="dim"))

    def question(self, text: str) -> None:
        """The question, in a frame."""
        self._print(Panel.fit(Styled(text, style="bold"), border_style="cyan", padding=(0, 1)))
        self._console.print()

    def show(self, token: StreamToken) -> None:
        """Takes the token; it is seen at the next drawing."""
        match token:
            case Text() | Refusal():
                self._pieces.append(printable(token.text))
            case Reasoning():
                self._thinking.append(printable(token.text))
            case ToolCall():
                self._before_calls = self._before_calls or (len(self._pieces), len(self._thinking))
            case Seam():
                self._sew(token)
            case _:
                pass

    def _sew(self, seam: Seam) -> None:
        kept = (0, 0) if seam.word is SeamWord.RESTART else None
        if seam.word is SeamWord.REWIND:
            kept = self._before_calls
        if kept is not None:
            pieces, thoughts = kept
            del self._pieces[pieces:], self._thinking[thoughts:]
            self._before_calls = None
        self.note(told(seam))

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """Aligned lines under a rule, names dimmed."""
        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(style="dim")
        table.add_column()
        for name, value in rows:
            table.add_row(Styled(name), Styled(value))
        self._console.print()
        self._print(Rule("what happened", align="left", style="cyan"))
        self._print(table)

    def _print(self, what: RenderableType) -> None:
        self._console.print(self._fitted(what))

    def _fitted(self, what: RenderableType) -> RenderableType:
        return Constrain(what, min(MAX_COLUMNS, max(1, self._console.width - FREE_COLUMNS)))

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if self._pieces:
            self._console.print(self.rendered())
