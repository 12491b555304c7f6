"""An answer where printed text cannot be taken back: on standard output, with a word on standard error at each seam."""

import sys

import click

from rxlapce.cli.screen import printable
from rxlapce.tokens import Refusal, Seam, SeamWord, StreamToken, Text, ToolCall

#: What the reader is told of a seam, before the rest of its reason.
TOLD = {
    SeamWord.CONTINUE: "the answer goes on",
    SeamWord.REWIND: "the answer goes back to where its first tool call began",
    SeamWord.RESTART: "the answer begins anew",
}


def told(seam: Seam) -> str:
    """The seam as one line for a person, safe for a terminal."""
    _, _, why = seam.reason.partition(":")
    why = printable(" ".join(why.split()))
    return f"{TOLD[seam.word]}: {why}" if why else TOLD[seam.word]


class PlainAnswer:
    """Writes the answer's text to standard output, each piece as it comes.

    At a seam that discards printed text its line is ended, so that what counts begins on a line of its own; where the
    answer goes on, nothing comes between. A note on standard error tells of each. Memory: none of the text.
    """

    def __init__(self) -> None:
        self._open_line = False
        self._has_calls = False
        self._discardable = False
        """Whether there is text after the first tool call."""

    def show(self, token: StreamToken) -> None:
        """The token's text; of a seam, the note."""
        match token:
            case Text(text=text) | Refusal(text=text) if text:
                click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
                self._open_line = not text.endswith("\n")
                self._discardable = self._has_calls
            case ToolCall():
                self._has_calls = True
            case Seam():
                self._sew(token)
            case _:
                pass

    def _sew(self, seam: Seam) -> None:
        discards = seam.word is SeamWord.RESTART or (seam.word is SeamWord.REWIND and self._discardable)
        if discards:
            self.end_line()
        elif self._open_line and sys.stdout.isatty() and sys.stderr.isatty():
            click.echo(err=True)  # on the screen the note has a line of its own; what is written is not parted
        click.echo(f"rxlapce: {told(seam)}", err=True)
        if seam.word is not SeamWord.CONTINUE:
            self._has_calls = False

    def end_line(self) -> None:
        """End the line that the answer left open."""
        if self._open_line:
            click.echo()
        self._open_line = False
