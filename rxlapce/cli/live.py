"""An answer on the screen while it arrives: Markdown on a terminal, the bare text elsewhere."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text as Styled

from rxlapce.tokens import Reasoning, Refusal, StreamToken, Text


class AnswerView(Protocol):
    """Shows one exchange; a context manager around the streaming part."""

    def note(self, text: str) -> None:
        """A line about what is being done."""
        ...

    def question(self, text: str) -> None:
        """What is asked."""
        ...

    def show(self, token: StreamToken) -> None:
        """The next token."""
        ...

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """What happened."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainView:
    """The answer's text on standard output, each piece as it comes; everything else on standard error."""

    def note(self, text: str) -> None:
        """A line on standard error."""
        click.echo(text, err=True)

    def question(self, text: str) -> None:
        """A line on standard error."""
        click.echo(f"> {text}\n", err=True)

    def show(self, token: StreamToken) -> None:
        """The token's text."""
        if isinstance(token, Text | Refusal):
            click.echo(token.text, nl=False)

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """Aligned lines on standard error."""
        click.echo(err=True)
        for name, value in rows:
            click.echo(f"{name:>18}  {value}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        click.echo()
        sys.stdout.flush()


class _Tail:
    """The last lines of a rendered Markdown text that fit the screen: what one reads while it grows."""

    def __init__(self, view: "TerminalView") -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._view.rendered(), options, pad=False)
        for line in lines[-max(3, console.height - 3) :]:
            yield from line
            yield Segment.line()


class TerminalView:
    """Markdown that is drawn anew 15 times a second while it grows, and once, whole, at its end.

    Drawing is by a timer of rich's on a thread of its own, so that a token costs an append and no drawing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: list[str] = []
        self._thinking: list[str] = []
        self._live = Live(_Tail(self), console=console, refresh_per_second=15, transient=True)

    def rendered(self) -> Markdown | Styled:
        """What has arrived, as Markdown; while only thoughts have, those, dimmed."""
        if self._pieces:
            return Markdown("".join(self._pieces))
        return Styled("".join(self._thinking)[-2000:] or "...", style="dim")

    def note(self, text: str) -> None:
        """A dimmed line."""
        self._console.print(Styled(text, style="dim"))

    def question(self, text: str) -> None:
        """The question, set off."""
        self._console.print(Styled(f"\n> {text}\n", style="bold cyan"))

    def show(self, token: StreamToken) -> None:
        """Takes the token; it is seen at the next drawing."""
        if isinstance(token, Text | Refusal):
            self._pieces.append(token.text)
        elif isinstance(token, Reasoning):
            self._thinking.append(token.text)

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """Aligned lines, names dimmed."""
        self._console.print()
        for name, value in rows:
            self._console.print(Styled(f"{name:>18}  ", style="dim") + Styled(value))

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if self._pieces:
            self._console.print(self.rendered())
