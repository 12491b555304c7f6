"""Folding a stream of tokens: `AnswerBuilder` makes the whole answer, `TurnBuilder` the turn to send back.

Both obey a `Seam`: of what was said before it they keep what its word says. What they would make of the tokens that are
kept alone, they make of all.
"""

import msgspec

from rxlapce.requests import Message, OpaquePart, Part, RequestedCall
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    SeamWord,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)


class WholeCall(msgspec.Struct, frozen=True):
    """A tool call with its pieces joined. `arguments` is the exact JSON text as it was said."""

    id: str | None
    name: str | None
    arguments: str


class Choice(msgspec.Struct, frozen=True):
    """One whole answer. `finish_kind` is None while the stream has not ended, or when it failed."""

    index: int
    text: str
    reasoning: str
    refusal: str | None
    tool_calls: tuple[WholeCall, ...]
    finish_kind: FinishKind | None
    finish_raw: str | None


class Answer(msgspec.Struct, frozen=True):
    """All that a stream said: its choices (at least one, by index), usage, model and the number of tokens.

    `turn` is the first choice as the turn to send back in the next request.
    """

    choices: tuple[Choice, ...]
    usage: Usage | None
    model: str | None
    tokens: int
    opaque: tuple[Opaque, ...] = ()
    turn: Message = Message(role="assistant")

    @property
    def text(self) -> str:
        """The first choice's visible text."""
        return self.choices[0].text


#: Pieces of text, of reasoning, and of a refusal if there is one.
_Lengths = tuple[int, int, int | None]


class _Parts:
    """The pieces of one choice so far."""

    __slots__ = ("calls", "finish_kind", "finish_raw", "reasoning", "refusal", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] | None = None
        self.calls: dict[int, tuple[str | None, str | None, list[str]]] = {}
        self.finish_kind: FinishKind | None = None
        self.finish_raw: str | None = None

    def add_call(self, piece: ToolCall) -> None:
        known = self.calls.get(piece.index)
        if known is None:
            self.calls[piece.index] = (piece.id, piece.name, [piece.arguments_delta])
            return
        call_id, name, arguments = known
        arguments.append(piece.arguments_delta)
        if (call_id is None and piece.id) or (name is None and piece.name):
            self.calls[piece.index] = (call_id or piece.id, name or piece.name, arguments)

    def lengths(self) -> _Lengths:
        """How much there is before the first call, for `rewind`."""
        return len(self.text), len(self.reasoning), None if self.refusal is None else len(self.refusal)

    def rewind(self, lengths: _Lengths) -> None:
        """Forget what was added since; calls, too, since then there were none."""
        text, reasoning, refusal = lengths
        del self.text[text:], self.reasoning[reasoning:]
        self.refusal = None if self.refusal is None or refusal is None else self.refusal[:refusal]
        self.calls.clear()

    def whole(self, index: int) -> Choice:
        return Choice(
            index=index,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            refusal=None if self.refusal is None else "".join(self.refusal),
            tool_calls=tuple(
                WholeCall(call_id, name, "".join(arguments))
                for _, (call_id, name, arguments) in sorted(self.calls.items())
            ),
            finish_kind=self.finish_kind,
            finish_raw=self.finish_raw,
        )


class AnswerBuilder:
    """Takes tokens one by one with `add`; `answer()` is what they make so far. Memory: the answer's own size.

    `model` can be set beforehand for a stream that breaks off before its `Finish` names one. What a `Seam` has the
    reader discard is forgotten, of all choices; the last report of usage holds, and `tokens` still counts what is gone.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.model: str | None = None
        self._parts: dict[int, _Parts] = {0: _Parts()}
        self._usage: Usage | None = None
        self._opaque: list[Opaque] = []
        self._before_calls: tuple[dict[int, _Lengths], int] | None = None
        """Since the first call: what each choice had before it, and how many opaque pieces there were."""
        self._turn = TurnBuilder()

    def _of(self, choice: int) -> _Parts:
        parts = self._parts.get(choice)
        if parts is None:
            parts = self._parts[choice] = _Parts()
        return parts

    def add(self, token: StreamToken) -> None:
        """Take the next token of the stream."""
        self.tokens += 1
        self._turn.add(token)
        match token:
            case Text():
                self._of(token.choice).text.append(token.text)
            case Reasoning():
                self._of(token.choice).reasoning.append(token.text)
            case Refusal():
                parts = self._of(token.choice)
                if parts.refusal is None:
                    parts.refusal = []
                parts.refusal.append(token.text)
            case ToolCall():
                if self._before_calls is None:
                    lengths = {index: parts.lengths() for index, parts in self._parts.items()}
                    self._before_calls = lengths, len(self._opaque)
                self._of(token.choice).add_call(token)
            case UsageReport():
                self._usage = token.usage
            case Finish():
                self._finish(token)
            case Opaque():
                self._opaque.append(token)
            case Seam():
                self._sew(token.word)

    def _sew(self, word: SeamWord) -> None:
        if word is SeamWord.RESTART:
            self._parts = {0: _Parts()}
            self._opaque.clear()
            self._before_calls = None
        elif word is SeamWord.REWIND and self._before_calls is not None:
            lengths, opaque = self._before_calls
            self._parts = {index: parts for index, parts in self._parts.items() if index in lengths}
            for index, parts in self._parts.items():
                parts.rewind(lengths[index])
            del self._opaque[opaque:]
            self._before_calls = None

    def _finish(self, finish: Finish) -> None:
        self.model = finish.model or self.model
        first = self._of(0)
        first.finish_kind, first.finish_raw = finish.kind, finish.raw
        for end in finish.others:
            parts = self._of(end.choice)
            parts.finish_kind, parts.finish_raw = end.kind, end.raw

    def answer(self) -> Answer:
        """What has been said so far, whole."""
        return Answer(
            choices=tuple(parts.whole(index) for index, parts in sorted(self._parts.items())),
            usage=self._usage,
            model=self.model,
            tokens=self.tokens,
            opaque=tuple(self._opaque),
            turn=self._turn.message(),
        )


class TurnBuilder:
    """Takes an answer's tokens with `add`; `message()` is the assistant's turn to send back as history.

    Order is kept, since providers check it: thoughts with their signatures, text, tool calls, and the opaque pieces
    (redacted thoughts, thought signatures, items of tools that the provider runs) each where it was said. Only the
    first choice is taken. What a `Seam` has the reader discard is forgotten. Memory: the answer's own size.
    """

    def __init__(self) -> None:
        self._parts: list[Part | int] = []  # a number stands for the tool call of that index
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, tuple[str | None, str | None, list[str]]] = {}
        self._before_calls: tuple[int, list[str], list[str]] | None = None
        """Since the first call: how many parts there were before it, and the text and thought that were open."""

    def add(self, token: StreamToken) -> None:
        """Take the next token of the stream."""
        match token:
            case Text(text=text, choice=0) | Refusal(text=text, choice=0) if text:
                self._end_reasoning(None)
                self._text.append(text)
            case Reasoning(choice=0):
                self._add_reasoning(token)
            case ToolCall():
                if self._before_calls is None:
                    self._before_calls = len(self._parts), self._text.copy(), self._reasoning.copy()
                if token.choice == 0:
                    self._add_call(token)
            case Opaque(choice=0):
                self._end_text()
                self._end_reasoning(None)
                self._parts.append(Part(opaque=OpaquePart(kind=token.kind, raw=token.raw)))
            case Seam():
                self._sew(token.word)
            case _:
                pass

    def message(self) -> Message:
        """The turn so far; more may be added. A call that the provider gave no id is named `call_N` after its index."""
        pieces = [*self._parts, *self._open_text(), *self._open_reasoning(None)]
        parts = tuple(self._call(piece) if isinstance(piece, int) else piece for piece in pieces)
        if len(parts) == 1 and parts[0].text is not None:
            return Message(role="assistant", content=parts[0].text)
        return Message(role="assistant", parts=parts)

    def _sew(self, word: SeamWord) -> None:
        kept: tuple[int, list[str], list[str]] | None = None
        if word is SeamWord.RESTART:
            kept = 0, [], []
        elif word is SeamWord.REWIND:
            kept = self._before_calls
        if kept is not None:
            parts, self._text, self._reasoning = kept
            del self._parts[parts:]
            self._calls.clear()
            self._before_calls = None

    def _add_reasoning(self, piece: Reasoning) -> None:
        self._end_text()
        self._reasoning.append(piece.text)
        if piece.signature is not None:
            self._end_reasoning(piece.signature)

    def _add_call(self, piece: ToolCall) -> None:
        known = self._calls.get(piece.index)
        if known is None:
            self._end_text()
            self._end_reasoning(None)
            self._parts.append(piece.index)
            self._calls[piece.index] = (piece.id, piece.name, [piece.arguments_delta])
            return
        call_id, name, arguments = known
        arguments.append(piece.arguments_delta)
        self._calls[piece.index] = (call_id or piece.id, name or piece.name, arguments)

    def _call(self, index: int) -> Part:
        call_id, name, arguments = self._calls[index]
        call = RequestedCall(id=call_id or f"call_{index}", name=name or "", arguments="".join(arguments))
        return Part(tool_call=call)

    def _open_text(self) -> tuple[Part, ...]:
        """The text that may go on, as a part; providers refuse an empty one."""
        text = "".join(self._text)
        return (Part(text=text),) if text else ()

    def _open_reasoning(self, signature: str | None) -> tuple[Part, ...]:
        """The thought that may go on, as a part; its signature may come without any text of it."""
        thought = "".join(self._reasoning)
        return (Part(reasoning=thought, signature=signature),) if thought or signature is not None else ()

    def _end_text(self) -> None:
        self._parts.extend(self._open_text())
        self._text.clear()

    def _end_reasoning(self, signature: str | None) -> None:
        self._parts.extend(self._open_reasoning(signature))
        self._reasoning.clear()
