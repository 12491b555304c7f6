"""How much of an answer its reader has."""

from rxlapce.tokens import Seam, SeamWord, StreamToken, Text, ToolCall


class Delivered:
    """Counts the characters of the first choice's text, without what seams have discarded; see `docs/protocol.md`."""

    __slots__ = ("_before_calls", "_chars", "_some")

    def __init__(self) -> None:
        self._chars = 0
        self._some = False
        self._before_calls: int | None = None
        """Since the first tool call: the characters before it."""

    @property
    def chars(self) -> int | None:
        """The count; None where nothing at all has come."""
        return self._chars if self._some else None

    def add(self, token: StreamToken) -> None:
        """Take the next token."""
        self._some = True
        match token:
            case Text(choice=0):
                self._chars += len(token.text)
            case ToolCall() if self._before_calls is None:
                self._before_calls = self._chars
            case Seam(word=SeamWord.RESTART):
                self._chars, self._before_calls = 0, None
            case Seam(word=SeamWord.REWIND) if self._before_calls is not None:
                self._chars, self._before_calls = self._before_calls, None
            case _:
                pass
