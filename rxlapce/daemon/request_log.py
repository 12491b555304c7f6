"""What the log tells of a request: that it begins, what happens to it, and how it ends, with who failed on the way."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase

from rxlapce.flow import Attempt, Exchange, Receiver, Stage, connect
from rxlapce.requests import ChatRequest, CompletionRequest
from rxlapce.telemetry.happening_log import HappeningLog
from rxlapce.telemetry.hooks import usage_of
from rxlapce.telemetry.logs import Logger
from rxlapce.telemetry.words import name
from rxlapce.tokens import Reasoning, Refusal, StreamToken, Text, ToolCall
from rxlapce.usage import told_usage

#: Failures that one line has room for; with retries alone there may be any number.
MAX_TOLD: Final = 8
#: Of a prompt, and of each part of an answer, where they are told at all.
MAX_CONTENT_CHARS: Final = 65_536


class RequestLog:
    """One request in the log: made when it begins, `ended` once; in between it watches the request's exchange.

    All its lines have the same `request_id`. The first has the name that was asked for, which may be an alias; the
    others who answers, or was asked last. With `content` it tells the prompt and the answer too, at level debug.
    """

    __slots__ = ("_answer", "_content", "_end", "_exchange", "_log", "_watch")

    def __init__(self, log: Logger, exchange: Exchange, *, streaming: bool, content: bool = False) -> None:
        self._log = log = log.bind(request_id=exchange.request_id)
        self._exchange = exchange
        self._content = content
        self._answer: _Said | None = None
        self._watch = HappeningLog(log, streaming=streaming, content=content)
        exchange.watchers.append(self._watch)
        start, self._end = ("stream_start", "stream_end") if streaming else ("request_start", "request_end")
        log.info(start, provider=exchange.provider or None, model=name(exchange.model))

    def asked(self, request: ChatRequest | CompletionRequest) -> None:
        """Tell the prompt, where content is told."""
        if self._content:
            said = msgspec.json.encode(request).decode()
            self._debug("prompt", request=said[:MAX_CONTENT_CHARS], characters=len(said))

    def heard(self, source: Observable[StreamToken]) -> Observable[StreamToken]:
        """`source`; where content is told, one that is listened to."""
        if not self._content:
            return source
        answer = self._answer = _Said()

        def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
            def on_next(token: StreamToken) -> None:
                answer.add(token)
                receiver.on_next(token)

            return connect(source, Receiver(on_next, receiver.on_error, receiver.on_completed), scheduler)

        return Stage(on_subscribe)

    def answered(self, text: str) -> None:
        """Tell an answer in one piece, where content is told."""
        if self._content:
            self._debug("answer", text=text[:MAX_CONTENT_CHARS], characters=len(text))

    def ended(self, outcome: str, *, frames: int | None = None) -> None:
        """Tell how: a finish's word, an error's kind, or `client_gone`; `frames` of a stream, the last one counted."""
        exchange = self._exchange
        exchange.watchers.remove(self._watch)
        if self._answer is not None:
            self._debug("answer", **self._answer.members())
        members: dict[str, Any] = {} if frames is None else {"frames": frames}
        usage = usage_of(exchange.attempts)
        if usage is not None:
            members["usage"] = told_usage(usage)
        tried = told_failures(exchange.attempts)
        if tried:
            members["tried"] = tried
        self._log.info(
            self._end,
            provider=exchange.provider or None,
            model=name(exchange.model),
            outcome=outcome,
            duration_s=self._watch.duration_s,
            attempts=len(exchange.attempts),
            tokens=sum(attempt.tokens for attempt in exchange.attempts),
            **members,
        )

    def _debug(self, event: str, **members: Any) -> None:
        exchange = self._exchange
        self._log.debug(event, provider=exchange.provider or None, model=name(exchange.model), **members)


class _Said:
    """The beginning of an answer, by kind; of each at most `MAX_CONTENT_CHARS` characters and a token."""

    __slots__ = ("_chars", "_pieces")

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {}
        self._chars: dict[str, int] = {}

    def add(self, token: StreamToken) -> None:
        match token:
            case Text() | Reasoning() | Refusal():
                self._keep(type(token).__name__.lower(), token.text)
            case ToolCall():
                self._keep("tool_calls", f"{token.name or ''}{token.arguments_delta}")
            case _:
                pass

    def _keep(self, kind: str, said: str) -> None:
        chars = self._chars.get(kind, 0)
        if chars < MAX_CONTENT_CHARS:
            self._pieces.setdefault(kind, []).append(said)
        self._chars[kind] = chars + len(said)

    def members(self) -> dict[str, Any]:
        texts = {kind: "".join(pieces)[:MAX_CONTENT_CHARS] for kind, pieces in self._pieces.items()}
        return {**texts, "characters": sum(self._chars.values())}


def told_failures(attempts: Sequence[Attempt]) -> str:
    """Who was asked in vain, and why, in order: `a/x: timeout in phase headers; b/y: overloaded in phase admit`.

    Failures in a row that are alike are told once, with their number; at most `MAX_TOLD` are told. "" without any.
    """
    lines = [
        f"{line} ({count} times)" if (count := len(list(alike))) > 1 else line
        for line, alike in groupby(_told(attempt) for attempt in attempts if attempt.error_kind is not None)
    ]
    more = len(lines) - MAX_TOLD
    if more > 0:
        lines[MAX_TOLD:] = [f"and {more} more"]
    return "; ".join(lines)


def _told(attempt: Attempt) -> str:
    status = f", HTTP {attempt.status}" if attempt.status is not None else ""
    who = name(f"{attempt.provider}/{attempt.model}") + (f" (key {attempt.key})" if attempt.key else "")
    return f"{who}: {attempt.error_kind} in phase {attempt.phase}{status}"
