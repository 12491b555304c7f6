"""One question and its answer: while it streams, and as it is shown and kept. Pure: no clock, no terminal."""

from enum import StrEnum
from typing import Final

import msgspec

from rxlapce.answer import AnswerBuilder, WholeCall
from rxlapce.errors import ErrorKind
from rxlapce.messages import ErrorBody
from rxlapce.requests import Message, Part
from rxlapce.tokens import VISIBLE, Finish, Reasoning, Refusal, Seam, SeamWord, StreamToken, Text, Usage

#: What the reader is told of a seam, before the rest of its reason.
SEAMS: Final = {
    SeamWord.CONTINUE: "another attempt goes on with the answer",
    SeamWord.REWIND: "another attempt goes on from before the first tool call; what came after is taken back",
    SeamWord.RESTART: "another attempt begins the answer anew; what had come is taken back",
}


class Standing(StrEnum):
    """How far an answer has come. The last three are ends."""

    WAITING = "waiting"
    THINKING = "thinking"
    ANSWERING = "answering"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED: Final = frozenset({Standing.DONE, Standing.CANCELLED, Standing.FAILED})


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer as one sees it, so far or whole. Times in seconds; None is what is not known.

    `counted` is tokens by our own count, of all that came, also of what a seam took back; a provider may put several
    into one.
    """

    standing: Standing = Standing.WAITING
    text: str = ""
    reasoning: str = ""
    calls: tuple[WholeCall, ...] = ()
    seams: tuple[str, ...] = ()
    finish: str | None = None
    model: str | None = None
    error: ErrorBody | None = None
    usage: Usage | None = None
    counted: int = 0
    first_s: float | None = None
    took_s: float = 0.0
    thought_s: float | None = None
    per_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.standing in ENDED


class Turn:
    """A question under way, or one of an earlier session (`kept`). Times are seconds of one clock of the caller's.

    `add` takes tokens, `fail` and a `Finish` end it, once; what comes after an end is ignored. `shown` is what there is
    so far: what a seam discards is gone from it, since `AnswerBuilder` obeys seams, and nothing here does besides.
    Memory: the answer's own size.
    """

    def __init__(self, question: str, model: str, asked_s: float) -> None:
        self.question = question
        self.model = model
        self._asked_s = self._now_s = asked_s
        self._builder = AnswerBuilder()
        self._standing = Standing.WAITING
        self._seams: list[str] = []
        self._error: ErrorBody | None = None
        self._counted = 0
        self._first_s: float | None = None
        self._last_s = asked_s
        self._thinking: tuple[float, float] | None = None

    @property
    def standing(self) -> Standing:
        """How far it has come."""
        return self._standing

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self._standing in ENDED

    def add(self, token: StreamToken, now_s: float) -> None:
        """Take the next token."""
        if self.ended:
            return
        self._now_s = now_s
        self._builder.add(token)
        if isinstance(token, VISIBLE):
            self._counted += 1
            self._first_s = now_s if self._first_s is None else self._first_s
            self._last_s = now_s
        match token:
            case Reasoning():
                self._standing = Standing.THINKING
                self._thinking = (self._thinking[0] if self._thinking else now_s, now_s)
            case Finish():
                self._standing = Standing.DONE
            case Seam():
                self._seams.append(told(token))
            case Text() | Refusal() if token.text:
                self._standing = Standing.ANSWERING
            case _ if isinstance(token, VISIBLE):
                self._standing = Standing.ANSWERING
            case _:
                pass

    def fail(self, error: ErrorBody, now_s: float) -> None:
        """End it in an error; one of kind `cancelled` is no failure."""
        if not self.ended:
            self._now_s = now_s
            self._standing = Standing.CANCELLED if error.kind == ErrorKind.CANCELLED else Standing.FAILED
            self._error = error

    def message(self) -> Message:
        """The assistant's turn so far, to send back."""
        return self._builder.answer().turn

    def shown(self, now_s: float | None = None) -> Shown:
        """What one sees of it; `now_s` lets the times of a turn under way run on. O(answer)."""
        answer = self._builder.answer()
        first = answer.choices[0]
        now = self._now_s if now_s is None or self.ended else max(now_s, self._now_s)
        return Shown(
            standing=self._standing,
            text=first.text + (first.refusal or ""),
            reasoning=first.reasoning,
            calls=first.tool_calls,
            seams=tuple(self._seams),
            finish=first.finish_kind,
            model=answer.model,
            error=self._error,
            usage=answer.usage,
            counted=self._counted,
            first_s=None if self._first_s is None else self._first_s - self._asked_s,
            took_s=now - self._asked_s,
            thought_s=self._thought_s(now),
            per_s=self._per_s(answer.usage),
        )

    def _thought_s(self, now_s: float) -> float | None:
        """From asking, since who hides thoughts and who tells them both think from then, to the last thought."""
        if self._thinking is None:
            return None
        return (now_s if self._standing is Standing.THINKING else self._thinking[1]) - self._thinking[0]

    def _per_s(self, usage: Usage | None) -> float | None:
        """Tokens a second from the first to the last, by the provider's count if it saw more than came by itself."""
        if self._first_s is None or self._counted < 2 or self._last_s <= self._first_s:
            return None
        many = self._counted
        if usage is not None and usage.output is not None:
            hidden = 0 if self._thinking else usage.reasoning or 0
            many = max(many, usage.output - hidden)
        return (many - 1) / (self._last_s - self._first_s)


def told(seam: Seam) -> str:
    """A seam as one line."""
    _, _, why = seam.reason.partition(":")
    why = " ".join(why.split())
    return f"{SEAMS[seam.word]} ({why})" if why else SEAMS[seam.word]


def to_send_back(turn: Message, *, whole: bool, same_model: bool) -> Message | None:
    """An earlier answer as the next request tells it; None if nothing of it can be told.

    Thoughts and what else only its own provider understands go back only to the model that said them, and only of a
    whole answer. Calls of tools are told in words: nobody ran them, and a provider refuses a call without a result.
    """
    if not (whole and same_model):
        turn = turn.plain()
    parts: list[Part] = []
    for part in turn.pieces():
        call = part.tool_call
        if call is None:
            parts.append(part)
        elif call.id not in {piece.opaque.call_id for piece in turn.parts if piece.opaque is not None}:
            parts.append(Part(text=f"(I asked for the tool {call.name}, which nobody ran.)"))
        else:
            parts.append(part)  # the provider ran it itself, and what follows tells its result
    if not any(part.text or part.tool_call for part in parts):
        return None
    if len(parts) == 1 and parts[0].text is not None:
        return Message(role="assistant", content=parts[0].text)
    return Message(role="assistant", parts=tuple(parts))
