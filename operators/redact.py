"""`redact`: what matches a pattern does not leave, however it was cut into tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.flow import Receiver, Stage, connect
from rxlapce.operators.redact_json import JsonStrings
from rxlapce.operators.redact_patterns import SECRETS, Matcher, compile_patterns
from rxlapce.operators.redact_window import MAX_CANDIDATE_CHARS, CandidateTooLong, Fate, Window
from rxlapce.secret import MASK
from rxlapce.tokens import Finish, Reasoning, Refusal, Seam, StreamToken, Text, ToolCall

#: One search for a match takes microseconds; one that takes this long, in seconds, has a pattern that explodes.
DEFAULT_TIMEOUT_S: Final = 0.1
#: Texts of one stream that can be under way at once: choices, and the tool calls of each.
MAX_TEXTS: Final = 256


@dataclass(slots=True)
class RedactStats:
    """What `redact` found, in plain integers that anybody may read at any time."""

    found: dict[str, int] = field(default_factory=dict[str, int])
    """Matches by the pattern's name. Never the text."""

    def count(self, name: str) -> None:
        """One more match of the pattern `name`."""
        self.found[name] = self.found.get(name, 0) + 1

    @property
    def total(self) -> int:
        """All matches."""
        return sum(self.found.values())


@dataclass(frozen=True, slots=True)
class _Rules:
    matcher: Matcher
    replacement: str
    max_match_chars: int
    timeout_s: float
    reasoning: bool
    arguments: bool
    stats: RedactStats


def redact(
    patterns: Mapping[str, str] = SECRETS,
    *,
    replacement: str = MASK,
    max_match_chars: int = 512,
    reasoning: bool = True,
    arguments: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    stats: RedactStats | None = None,
) -> Callable[[Observable[StreamToken]], Observable[StreamToken]]:
    r"""Replace what matches one of `patterns` (regular expressions by name), even if it is split over tokens.

        source, sk-\w{4}   --"a s"--"k-ab"--"cd"--"e b"---F-|
        result             --"a "-----------------"[redacted]e b"---F-|

    For every way of cutting a text into tokens the result is that of substituting in the whole text at once: leftmost
    match first, at one place the pattern that is listed first. Only the characters are held back from which a match
    could begin that is not decided (one that is whole and might grow waits for one more character); all else leaves at
    once, and what is held leaves before `Finish` and `Seam`, on completion and before an error. A candidate longer than
    `max_match_chars` (from 1) is replaced as far as it has come, and what follows waits for its end, at most
    `MAX_CANDIDATE_CHARS`: see `redact_window.Window`.

    The texts are each choice's `Text`, its `Refusal`, its `Reasoning` (unless `reasoning` is False) and, with
    `arguments`, each string in the arguments of a tool call, which stay valid JSON. They are independent: a token of
    one does not wait for what another holds back. A signature ends its reasoning, and is taken away if that was
    changed, as it would no longer fit. All other tokens pass as they are. `^` and `$` are the text's ends; a lookbehind
    sees `max_match_chars` back.

    Errors: `ProviderError` of kind `internal`, not to be retried, when one search takes longer than `timeout_s` (above
    0) seconds, a candidate or the number of texts passes its bound; what is held back then never leaves. Disposing
    drops it. Runs where the tokens arrive; no timer. `stats` are added to.

    Raises `ValueError` for a pattern that cannot be used (`compile_patterns`) and for bounds out of range.
    """
    if max_match_chars < 1 or max_match_chars > MAX_CANDIDATE_CHARS:
        raise ValueError(f"max_match_chars must be from 1 to {MAX_CANDIDATE_CHARS}, not {max_match_chars}")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s must be above 0 seconds, not {timeout_s}")
    counted = stats if stats is not None else RedactStats()
    matcher = compile_patterns(patterns)
    rules = _Rules(matcher, replacement, max_match_chars, timeout_s, reasoning, arguments, counted)

    def redacted(source: Observable[StreamToken]) -> Observable[StreamToken]:
        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            stage = _Redaction(receiver, rules)
            above = Receiver(stage.on_next, stage.on_error, stage.on_completed)
            stage.source.disposable = connect(source, above, scheduler)
            return CompositeDisposable(stage.source, Disposable(stage.stop))

        return Stage(on_subscribe)

    return redacted


class _Prose:
    """One text of a choice: what was said of it, and whether any of it was changed."""

    __slots__ = ("_replacement", "_window", "changed")

    def __init__(self, window: Window, replacement: str) -> None:
        self._window = window
        self._replacement = replacement
        self.changed = False

    @property
    def idle(self) -> bool:
        return self._window.held_chars == 0

    def feed(self, piece: str) -> str:
        return self._plain(self._window.feed(piece))

    def close(self) -> str:
        return self._plain(self._window.close())

    def _plain(self, decided: list[tuple[Fate, str]]) -> str:
        out: list[str] = []
        for fate, text in decided:
            if fate is Fate.KEEP:
                out.append(text)
            else:
                self.changed = True
                if fate is Fate.MASK:
                    out.append(self._replacement)
        return "".join(out)


_TextKey = tuple[type[Text] | type[Reasoning] | type[Refusal], int]
_ToolKey = tuple[int, int]


class _Redaction:
    """The texts of one subscription."""

    __slots__ = ("arguments", "ended", "prose", "receiver", "rules", "source")

    def __init__(self, receiver: Receiver[StreamToken], rules: _Rules) -> None:
        self.receiver = receiver
        self.rules = rules
        self.prose: dict[_TextKey, _Prose] = {}
        self.arguments: dict[_ToolKey, JsonStrings] = {}
        self.source = SingleAssignmentDisposable()
        self.ended = False

    def on_next(self, token: StreamToken) -> None:
        if self.ended:
            return
        tokens: list[StreamToken] = []
        failure: ProviderError | None = None
        try:
            self.take(token, tokens)
        except (TimeoutError, CandidateTooLong) as error:
            failure = self.failure_of(error)
        for decided in tokens:
            if self.ended:  # disposed by what a token before this one caused
                return
            self.receiver.on_next(decided)
        if failure is not None:
            self.fail(failure)

    def take(self, token: StreamToken, out: list[StreamToken]) -> None:
        """Append what `token` lets leave."""
        match token:
            case Text() | Refusal():
                text = self.prose_of(type(token), token.choice).feed(token.text)
                if text == token.text:
                    out.append(token)
                elif text:
                    out.append(type(token)(text, token.choice))
            case Reasoning() if self.rules.reasoning:
                self.take_reasoning(token, out)
            case ToolCall() if self.rules.arguments:
                delta = self.arguments_of((token.choice, token.index)).feed(token.arguments_delta)
                if delta or not token.arguments_delta or token.id is not None or token.name is not None:
                    out.append(ToolCall(token.index, token.id, token.name, delta, token.choice))
            case Finish() | Seam():
                self.flush(out)
                out.append(token)
            case _:
                out.append(token)

    def take_reasoning(self, token: Reasoning, out: list[StreamToken]) -> None:
        prose = self.prose_of(Reasoning, token.choice)
        text, signature = prose.feed(token.text), token.signature
        if signature is not None:
            text += prose.close()
            signature = None if prose.changed else signature
            prose.changed = False
        if text == token.text and signature == token.signature:
            out.append(token)
        elif text or signature is not None:
            out.append(Reasoning(text, signature, token.choice))

    def flush(self, out: list[StreamToken]) -> None:
        """All texts have ended: append what they hold back."""
        for (kind, choice), prose in self.prose.items():
            text = prose.close()
            if text:
                out.append(kind(text, choice=choice))
        for (choice, index), arguments in self.arguments.items():
            delta = arguments.close()
            if delta:
                out.append(ToolCall(index, arguments_delta=delta, choice=choice))
        self.prose.clear()
        self.arguments.clear()

    def window(self) -> Window:
        if len(self.prose) + len(self.arguments) >= MAX_TEXTS:
            raise CandidateTooLong(f"more than {MAX_TEXTS} texts at once")
        rules = self.rules
        return Window(rules.matcher, rules.max_match_chars, rules.timeout_s, rules.stats.count)

    def prose_of(self, kind: type[Text] | type[Reasoning] | type[Refusal], choice: int) -> _Prose:
        prose = self.prose.get((kind, choice))
        if prose is None:
            prose = self.prose[kind, choice] = _Prose(self.window(), self.rules.replacement)
        return prose

    def arguments_of(self, key: _ToolKey) -> JsonStrings:
        arguments = self.arguments.get(key)
        if arguments is None:
            arguments = self.arguments[key] = JsonStrings(self.window(), self.rules.replacement)
        return arguments

    def failure_of(self, error: Exception) -> ProviderError:
        if isinstance(error, TimeoutError):
            message = f"redact: the patterns took longer than {self.rules.timeout_s:g} s on one piece of text"
        else:
            message = f"redact: {error}"
        failure = ProviderError(ErrorKind.INTERNAL, message, retry=Retry.NEVER)
        failure.__cause__ = error
        return failure

    def end(self, error: Exception | None) -> None:
        if self.ended:
            return
        tokens: list[StreamToken] = []
        try:
            self.flush(tokens)
        except TimeoutError as slow:
            error = self.failure_of(slow)
        for token in tokens:
            if self.ended:
                return
            self.receiver.on_next(token)
        self.fail(error)

    def fail(self, error: Exception | None) -> None:
        if self.ended:
            return
        self.stop()
        self.source.dispose()
        if error is None:
            self.receiver.on_completed()
        else:
            self.receiver.on_error(error)

    def on_error(self, error: Exception) -> None:
        self.end(error)

    def on_completed(self) -> None:
        self.end(None)

    def stop(self) -> None:
        """Forget everything; nothing is emitted any more."""
        self.ended = True
        self.prose.clear()
        self.arguments.clear()
