"""A conversation: earlier turns, the one under way, and the request that asks the next question. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from rxlapce.chat.turns import Shown, Standing, Turn, to_send_back
from rxlapce.requests import ChatRequest, Effort, Message


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is over: the question, how its answer looks, and the assistant's turn to send back."""

    question: str
    model: str
    shown: Shown
    turn: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What each request of a session asks for besides the question; None leaves it to the provider."""

    system: str | None = None
    api: str | None = None
    effort: Effort | None = None
    max_tokens: int | None = None
    temperature: float | None = None


class Conversation:
    """Turns that are over, and at most one under way. Memory: all that was said."""

    def __init__(self, earlier: Sequence[Kept] = ()) -> None:
        self.earlier: list[Kept] = list(earlier)
        self.turn: Turn | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has been asked."""
        return not self.earlier and self.turn is None

    @property
    def questions(self) -> list[str]:
        """All that was asked, the oldest first."""
        return [kept.question for kept in self.earlier] + ([self.turn.question] if self.turn else [])

    @property
    def can_ask_again(self) -> bool:
        """Whether the last answer is not whole."""
        return self.turn is None and bool(self.earlier) and self.earlier[-1].shown.standing is not Standing.DONE

    def ask(self, question: str, model: str, wishes: Wishes, now_s: float) -> ChatRequest:
        """Begin a turn; the request that asks it. Raises RuntimeError while one is under way."""
        if self.turn is not None:
            raise RuntimeError("a question is under way")
        self.turn = Turn(question, model, now_s)
        return ChatRequest(
            model=model,
            messages=(*self._before(model, wishes), Message(role="user", content=question)),
            api=wishes.api,
            max_tokens=wishes.max_tokens,
            temperature=wishes.temperature,
            reasoning_effort=wishes.effort,
        )

    def again(self) -> str:
        """Take back the last turn, which was not answered whole; its question. Raises RuntimeError if it was."""
        if not self.can_ask_again:
            raise RuntimeError("the last answer is whole, or still coming")
        return self.earlier.pop().question

    def settle(self) -> Kept:
        """Put the turn, which has ended, to the earlier ones. Raises RuntimeError while it is under way."""
        if self.turn is None or not self.turn.ended:
            raise RuntimeError("no turn has ended")
        turn, self.turn = self.turn, None
        kept = Kept(question=turn.question, model=turn.model, shown=turn.shown(), turn=turn.message())
        self.earlier.append(kept)
        return kept

    def _before(self, model: str, wishes: Wishes) -> list[Message]:
        """What was said before. A question without any answer is left out, as if it had not been asked."""
        told = [Message(role="system", content=wishes.system)] if wishes.system else []
        for kept in self.earlier:
            whole = kept.shown.standing is Standing.DONE
            answer = to_send_back(kept.turn, whole=whole, same_model=kept.model == model)
            if answer is not None:
                told += [Message(role="user", content=kept.question), answer]
        return told
