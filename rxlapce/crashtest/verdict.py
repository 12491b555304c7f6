"""Whether what a reader got is the whole answer, one clear error, or neither. Pure: it sees only what came.

whole         all of the answer, nothing twice, and its end
clean_error   one `ProviderError`, nothing after it, and it knows how much the reader has
fail          all else: no end in time, two ends, text that is missing or doubled, a part that calls itself whole
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rxlapce.answer import Answer, AnswerBuilder
from rxlapce.errors import ProviderError
from rxlapce.tokens import Finish, FinishKind, Seam, StreamToken


class Verdict(StrEnum):
    """What came of an answer."""

    WHOLE = "whole"
    CLEAN_ERROR = "clean_error"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The answer that a reader should have in the end: its text, and each tool call's name and arguments."""

    text: str
    calls: tuple[tuple[str, str], ...] = ()


def _nothing() -> None:
    pass


@dataclass(slots=True, kw_only=True, eq=False)
class Reading:
    """All that one stream told its reader. `on_next`, `on_error` and `on_completed` are an observer's.

    `ends` has each end that was told: None for a completion, else the error. `late` counts tokens that came after one.
    `hung`: the reader stopped waiting. `cancelled`: it left of its own will. `took_s` is in seconds. `on_end` is called
    at each end, `on_token` after each token.
    """

    tokens: list[StreamToken] = field(default_factory=list[StreamToken])
    ends: list[Exception | None] = field(default_factory=list[Exception | None])
    late: int = 0
    hung: bool = False
    cancelled: bool = False
    took_s: float = 0.0
    on_end: Callable[[], None] = _nothing
    on_token: Callable[[], None] = _nothing

    def on_next(self, token: StreamToken) -> None:
        """Take the next token."""
        self.tokens.append(token)
        self.late += bool(self.ends)
        self.on_token()

    def on_error(self, error: Exception) -> None:
        """Take the end in an error."""
        self.ends.append(error)
        self.on_end()

    def on_completed(self) -> None:
        """Take the end of a stream that calls itself whole."""
        self.ends.append(None)
        self.on_end()

    @property
    def answer(self) -> Answer:
        """What the reader has, seams obeyed. Linear in the tokens."""
        builder = AnswerBuilder()
        for token in self.tokens:
            builder.add(token)
        return builder.answer()

    @property
    def finish(self) -> Finish | None:
        """The `Finish`, if one came."""
        return next((token for token in self.tokens if isinstance(token, Finish)), None)

    @property
    def error(self) -> Exception | None:
        """The first error that came."""
        return next((end for end in self.ends if end is not None), None)

    @property
    def seams(self) -> list[Seam]:
        """The seams, in order."""
        return [token for token in self.tokens if isinstance(token, Seam)]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and of a failure the reason."""

    verdict: Verdict
    reason: str | None = None


def judge(reading: Reading, expected: Expected) -> Judgement:
    """What the reading is worth. A reader who left is judged by nothing but the order of what came."""
    wrong = _disorder(reading)
    if wrong is not None:
        return Judgement(Verdict.FAIL, wrong)
    if reading.ends and reading.ends[0] is not None:
        wrong, right = _wrong_error(reading, reading.ends[0], expected), Verdict.CLEAN_ERROR
    else:
        wrong, right = None if reading.cancelled else _wrong_answer(reading, expected), Verdict.WHOLE
    return Judgement(right) if wrong is None else Judgement(Verdict.FAIL, wrong)


def combined(judgements: Iterable[Judgement]) -> Judgement:
    """One for several answers: the worst of them, the first of equals."""
    return max(judgements, key=lambda judgement: _BADNESS.index(judgement.verdict))


_BADNESS: Final = (Verdict.WHOLE, Verdict.CLEAN_ERROR, Verdict.FAIL)


def _disorder(reading: Reading) -> str | None:
    """What no stream may do, whatever it says."""
    if reading.hung:
        return f"it had not ended after {reading.took_s:.1f} s"
    if len(reading.ends) > 1:
        return f"it ended {len(reading.ends)} times"
    if not reading.ends and not reading.cancelled:
        return "it has no end"
    if reading.late:
        return f"{reading.late} tokens came after its end"
    return None


def _wrong_error(reading: Reading, error: Exception, expected: Expected) -> str | None:
    if not isinstance(error, ProviderError):
        return f"it ended in {type(error).__name__}, which is no provider's error: {error}"
    if not error.message.strip():
        return "its error says nothing"
    if reading.finish is not None:
        return "it failed after it had said that it was whole"
    text = reading.answer.text
    if (error.delivered_chars or 0) != len(text):
        return f"its error says that {error.delivered_chars} characters were delivered, and it was {len(text)}"
    if not expected.text.startswith(text):
        return f"the reader was left with what is no beginning of the answer: {_difference(text, expected.text)}"
    return None


def _wrong_answer(reading: Reading, expected: Expected) -> str | None:
    finishes = sum(isinstance(token, Finish) for token in reading.tokens)
    if finishes != 1:
        return f"it completed with {finishes} Finish tokens"
    if not isinstance(reading.tokens[-1], Finish):
        return "its Finish is not its last token"
    answer = reading.answer
    if answer.text != expected.text:
        return f"it calls itself whole, but {_difference(answer.text, expected.text)}"
    calls = tuple((call.name or "", call.arguments) for call in answer.choices[0].tool_calls)
    if calls != expected.calls:
        return f"it calls itself whole, but has the tool calls {calls} and not {expected.calls}"
    kind = answer.choices[0].finish_kind
    wanted = FinishKind.TOOL_CALLS if expected.calls else FinishKind.STOP
    return None if kind is wanted else f"it says that it ended by {kind} and not by {wanted}"


_SHOWN_CHARS: Final = 16


def _difference(got: str, wanted: str) -> str:
    """Where two texts part, in words."""
    at = next((at for at, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other), None)
    if at is None:
        more = len(got) - len(wanted)
        return f"{abs(more)} characters {'too many' if more > 0 else 'are missing'} at the end"
    shown = slice(at, at + _SHOWN_CHARS)
    return f"from character {at} on it says {got[shown]!r} and not {wanted[shown]!r}"
