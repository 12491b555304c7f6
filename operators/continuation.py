"""What a broken answer is continued by: the request that asks for the rest, and the cut where the rest begins.

Pure: nothing here knows of streams, clocks or providers. `operators.fallback` puts it to use.
"""

from dataclasses import dataclass, replace
from typing import Final

from rxlapce.requests import ChatRequest, Message
from rxlapce.tokens import Opaque, Reasoning, Refusal, StreamToken, Text, ToolCall

#: Asks a model that takes no beginning of its own answer to go on with it.
GO_ON: Final = (
    "Your answer above was cut off by a technical failure. Go on exactly where it stopped: begin with the very next "
    "character, even in the middle of a word or a line of code. Repeat nothing of it, and do not mention the "
    "interruption."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What a leg is opened with when it is to go on with a broken answer.

    `text` is what the reader has of the answer and keeps; `prefill` says which way to ask.
    """

    text: str
    prefill: bool

    @property
    def turn(self) -> Message:
        """The answer so far as the assistant's turn."""
        return Message(role="assistant", content=self.text)

    def request(self, request: ChatRequest) -> ChatRequest:
        """`request` as it asks for the rest of its answer."""
        return continued(request, self.turn, prefill=self.prefill)


def continued(request: ChatRequest, delivered: Message, *, prefill: bool) -> ChatRequest:
    """The request for the rest of an answer of which `delivered` is the beginning.

    With `prefill` the conversation ends in the assistant's turn, which the model goes on with; white space at its end
    is left out, since providers refuse it there. Otherwise a user's turn follows, which asks to go on. A request that
    itself ended in an assistant's turn is still one turn: the answer's beginning joins it.

    Of `delivered` only the text is said: thoughts and opaque pieces are for the provider that made them, and a tool
    call without its result is no turn that any provider takes. `max_tokens` counts anew.

    Raises `ValueError` if `delivered` has no text: there is nothing to go on with, and the request is to be sent as
    it was.
    """
    said = delivered.text
    if not said.strip():
        raise ValueError("nothing of the answer is there to go on with")
    before, last = request.messages[:-1], request.messages[-1]
    if last.role != "assistant" or last.calls():
        before, last = request.messages, Message(role="assistant")
    text = last.text + said
    turn = replace(last, content=text.rstrip() if prefill else text, parts=())
    asking = () if prefill else (Message(role="user", content=GO_ON),)
    return replace(request, messages=(*before, turn, *asking))


class Delivered:
    """What the reader has of an answer, as far as another leg could go on from it.

    That is its text up to the first tool call: a call that was begun is not continued, and what a model says after one
    leans on it. At most `max_chars` are kept, 0 for none; memory is theirs. `chars` counts all visible text.
    """

    __slots__ = ("_keeps", "_max_chars", "_pieces", "can_go_on", "chars", "has_calls")

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self.clear()

    def clear(self) -> None:
        """The reader has discarded everything."""
        self._pieces: list[str] = []
        self._keeps = self.can_go_on = self._max_chars > 0
        self.has_calls = False
        self.chars = 0

    def rewind(self) -> None:
        """The reader has discarded everything from the first tool call on."""
        if self.has_calls:
            self.has_calls = False
            self._keeps = self.can_go_on
            self.chars = len(self.text)

    def add_text(self, text: str) -> None:
        """A piece of the first choice's text: the way of nearly all tokens."""
        self.chars += len(text)
        if self._keeps:
            self._pieces.append(text)
            if self.chars > self._max_chars:
                self._give_up()

    def add(self, token: StreamToken) -> None:
        """Any token that the reader gets.

        A refusal is not to be talked over by another model, and of several choices none can be asked for alone.
        """
        match token:
            case Text(choice=0):
                self.add_text(token.text)
            case Refusal():
                self._give_up()
            case Text() | Reasoning() | ToolCall() | Opaque() if token.choice:
                self._give_up()
            case ToolCall():
                self.has_calls = True
                self._keeps = False
            case _:
                pass

    @property
    def text(self) -> str:
        """What is kept, joined: linear in its length."""
        return "".join(self._pieces)

    def _give_up(self) -> None:
        self._keeps = self.can_go_on = False
        self._pieces.clear()


class Overlap:
    """Cuts off what a continuation repeats of the text before it: `feed` it the continuation's text, token by token.

    A continuation often begins with the last words that are there already. The longest beginning of it that is also an
    end of `before`, up to `max_chars`, is left out, if it cannot well be chance: it has at least `MIN_CHARS`
    characters, `MIN_DISTINCT` of them different, since lines of dashes and indentation repeat themselves. What cannot
    be told apart is an author who says a long thing twice in succession, with the break just between.

    White space at the end of `before` is left out if the continuation begins with it: a prefilled turn is sent without
    it (`continued`), so that a model which goes on exactly says it again; `restated` says that it was.

    Tokens are held back while they could still turn out to be a repetition, at most `max_chars` characters and the rest
    of one token; `decided` says that nothing is held any more, and all further text is new. Time: `max_chars` squared
    at worst, once.
    """

    MIN_CHARS: Final = 8
    MIN_DISTINCT: Final = 4

    __slots__ = ("_before", "_best", "_held", "_lengths", "_seen", "decided")

    def __init__(self, before: str, *, max_chars: int = 256, restated: bool = False) -> None:
        self._before = before
        self._lengths = [
            length
            for length in range(self.MIN_CHARS, min(max_chars, len(before)) + 1)
            if len(set(before[-length:])) >= self.MIN_DISTINCT
        ]
        spaces = len(before) - len(before.rstrip())
        if restated and spaces > 0 and spaces not in self._lengths:
            self._lengths.append(spaces)
        self._best = 0
        self._held: list[Text] = []
        self._seen = ""
        self.decided = not self._lengths

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back."""
        return not self._held

    def feed(self, token: Text) -> list[Text]:
        """Take the continuation's next text; what is returned, in order, is new."""
        if self.decided:
            return [token]
        self._held.append(token)
        self._seen += token.text
        seen, before, alive = self._seen, self._before, list[int]()
        for length in self._lengths:
            tail = before[-length:]
            if len(seen) < length:
                if tail.startswith(seen):
                    alive.append(length)
            elif seen.startswith(tail):
                self._best = max(self._best, length)
        self._lengths = alive
        return [] if alive else self.close()

    def close(self) -> list[Text]:
        """The continuation's text has ended, or something else comes: what is held and new."""
        self.decided = True
        held, self._held = self._held, []
        self._seen = ""
        return _without(held, self._best)


def _without(tokens: list[Text], chars: int) -> list[Text]:
    """The tokens without their first `chars` characters."""
    kept: list[Text] = []
    for token in tokens:
        cut = min(chars, len(token.text))
        chars -= cut
        if cut == 0:
            kept.append(token)
        elif cut < len(token.text):
            kept.append(Text(token.text[cut:], token.choice))
    return kept
