"""The history of one panel: which conversation is written to, and what is done when the disk will not have it."""

from collections.abc import Callable
from typing import TypeVar

from rxlapce.chat.conversation import Kept
from rxlapce.chat.history import Chat, History

T = TypeVar("T")


class Keeper:
    """Keeps questions and answers of the conversation `name`. A failure is told by `warn` once, and costs no answer."""

    def __init__(self, history: History, warn: Callable[[str], None]) -> None:
        self._history = history
        self._warn = warn
        self.name = history.new_name()
        """The conversation that is written to."""
        self._asked: tuple[str, str] | None = None
        """The question that is under way, if it was kept: its conversation and its id."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._history.keeps

    def new(self) -> None:
        """What is asked next begins a conversation."""
        self.name = self._history.new_name()

    def asked(self, question: str, model: str) -> None:
        """Keep a question."""
        key = self._tried(lambda: self._history.asked(self.name, model, question), None, "is not kept")
        self._asked = None if key is None else (self.name, key)

    def ended(self, kept: Kept) -> None:
        """Keep the end of the question, in the conversation in which it was asked."""
        asked, self._asked = self._asked, None
        if asked is not None:
            self._tried(lambda: self._history.answered(*asked, kept), None, "is not kept")

    def open(self, name: str) -> list[Kept] | None:
        """The turns of a kept conversation, which what is asked next continues; None where it cannot be read."""
        turns = self._tried(lambda: self._history.load(name), None, "cannot be read")
        if turns is not None:
            self.name = name
        return turns

    def chats(self) -> list[Chat]:
        """All that are kept."""
        return self._tried(self._history.chats, [], "cannot be read")

    def delete(self, name: str) -> None:
        """Forget a conversation. What is asked next in it, if it is the one on the screen, begins another."""
        self._tried(lambda: self._history.delete(name), None, "cannot be deleted")
        if name == self.name:
            self.new()

    def last_model(self) -> str | None:
        """The model that was asked last, in any conversation."""
        return self._tried(self._history.last_model, None, "cannot be read")

    def _tried(self, work: Callable[[], T], otherwise: T, what: str) -> T:
        try:
            return work()
        except OSError as error:
            self._warn(f"The conversation {what}: {error.strerror or error}.")
            return otherwise
