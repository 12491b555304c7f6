"""`fallback`: the next model when one fails, and what becomes of an answer that breaks off in the middle."""

from collections.abc import Callable, Sequence

import msgspec
from reactivex import Observable
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.flow import Exchange, Receiver, Stage, clock_of, connect
from rxlapce.happenings import Answered
from rxlapce.operators.attempt import Ongoing
from rxlapce.operators.continuation import Continuation, Delivered, Overlap
from rxlapce.operators.legs import (
    AfterCommit,
    FallbackPolicy,
    Leg,
    falling_back,
    may_ask_elsewhere,
    next_place,
    with_others,
)
from rxlapce.operators.verdict import was_sent
from rxlapce.tokens import Finish, FinishKind, Reasoning, Seam, SeamWord, StreamToken, Text, Usage, UsageReport
from rxlapce.usage import total_usage


def fallback(
    legs: Sequence[Leg], *, policy: FallbackPolicy | None = None, exchange: Exchange | None = None
) -> Observable[StreamToken]:
    """The answer of the first of `legs` that gives one.

        first:     --u--#                       --a--b--#
        second:         --a--b--F|                      --b-c-F|
        result:    ------(a)--b--F|             --a--b----(Sc)-F|      after_commit: continue; S is the seam

    Before the first token that anybody sees, a failure that may be another's success (`may_ask_elsewhere`) opens the
    next leg at once (`next_place`: another key of the same model, if it is the key's fault). What is wrong with the
    request itself goes on as it is. If all fail, the error is the first leg's whose request was sent, else the first
    leg's; its message tells of the others. Usage reports before that token are held, the last one only, and those of a
    failed attempt are thrown away.

    After it, `policy.after_commit` decides.

    - fail: the error itself goes on.
    - continue: the next leg is asked for the rest. Before its first token that is new comes `Seam(n, reason)`, n from
      1, the reason's first word a `SeamWord`; what it repeats is cut off (`Overlap`). A tool call that was begun is not
      continued, nor is anything after it (rewind); without any text there is nothing to go on with (restart). An
      answer that holds a refusal, is one of several choices or too long is not continued.
    - restart: the next leg answers from the beginning, after a `Seam` that begins with restart.

    A leg that takes no prefill, or answers one with bad_request, gets a user's turn instead. If the rest cannot be had,
    the error is that of the leg that was cut first, with `delivered_chars` set. A stream that completes without a
    `Finish` failed (truncated); one that fails after it is whole.

    `Finish.model` is the leg's that gave it. A usage report is of its own leg; where several legs made one answer, a
    last report before the end is their sum (`total_usage`). What a restart discarded is not in it.

    Every attempt is noted in `exchange.attempts`: by the leg's own `retry_stream`, or here for a leg without one or
    that was refused before it could ask; that of a whole answer before its `Finish` is handed on. Who watches the
    exchange is told of each next leg, and of the whole answer. Disposing ends the leg under way; no other is opened
    after it. Opens legs on the thread on which one failed, uses no timer; the scheduler only gives the clock. Memory:
    one usage report; `overlap_chars` while a continuation begins; under `continue` the answer's text.

    Raises `ValueError` for no legs.
    """
    if not legs:
        raise ValueError("fallback needs at least one leg")
    chosen = policy or FallbackPolicy()

    def on_subscribe(receiver: Receiver[StreamToken], scheduler: SchedulerBase | None) -> DisposableBase:
        return _Fallback(tuple(legs), chosen, exchange, receiver, scheduler).start()

    return Stage(on_subscribe)


class _Fallback:
    """One subscription: which leg answers, and what the reader has by now."""

    __slots__ = (
        "broken",
        "cause",
        "clock",
        "delivered",
        "exchange",
        "legs",
        "policy",
        "receiver",
        "run",
        "scheduler",
        "seams",
        "stopped",
        "tried",
        "usages",
    )

    def __init__(
        self,
        legs: tuple[Leg, ...],
        policy: FallbackPolicy,
        exchange: Exchange | None,
        receiver: Receiver[StreamToken],
        scheduler: SchedulerBase | None,
    ) -> None:
        self.legs = legs
        self.policy = policy
        self.exchange = exchange
        self.receiver = receiver
        self.scheduler = scheduler
        self.clock = clock_of(scheduler)
        self.delivered = Delivered(policy.max_kept_chars if policy.after_commit is AfterCommit.CONTINUE else 0)
        self.usages: list[Usage | None] = []
        """Of the legs before the one under way that the answer is made of."""
        self.tried: list[tuple[Leg, Exception]] = []
        self.cause: Exception | None = None
        """Why the answer broke off for the first time."""
        self.broken: tuple[Leg, Exception] | None = None
        """The last leg of which the reader has something, and what it failed of."""
        self.seams = 0
        self.stopped = False
        self.run: _Run | None = None

    def start(self) -> DisposableBase:
        self.open(0)
        return Disposable(self.stop)

    def open(self, place: int, word: SeamWord | None = None, continuation: Continuation | None = None) -> None:
        leg = self.legs[place]
        if self.exchange is not None:
            self.exchange.provider, self.exchange.model, self.exchange.key = leg.provider, leg.model, leg.key
        run = self.run = _Run(self, place, word, continuation)
        try:
            source = leg.open(continuation)
        except Exception as error:  # noqa: BLE001 - as `connect` does: a source that cannot be had has failed
            run.on_error(error)
            return
        run.upstream.disposable = connect(source, run.receiver(), self.scheduler)

    def on_failure(self, run: "_Run", error: Exception) -> None:
        """The leg under way has failed, and its attempt is noted."""
        self.tried.append((run.leg, error))
        if run.committed:
            self.usages.append(run.ongoing.usage)
            self.cause = self.cause or error
            self.broken = run.leg, error
        asked, place = run.continuation, next_place(self.legs, run.place, error)
        if asked is not None and asked.prefill and run.was_refused(error):
            # Whatever it said: there are many wordings, and the prefill is what is new about the request.
            self.open(run.place, run.word, Continuation(text=asked.text, prefill=False))
        elif place is None or not (
            may_ask_elsewhere(error, self.policy) or (asked is not None and run.was_refused(error))
        ):
            self.give_up(error)
        elif self.cause is None:
            self.tell(run.leg, place, error)
            self.open(place)
        else:
            self.go_on(run.leg, place, error)

    def go_on(self, left: Leg, place: int, error: Exception) -> None:
        """Open the next leg for a reader who has a part of the answer, if the policy has it so."""
        delivered, after = self.delivered, self.policy.after_commit
        if after is AfterCommit.FAIL or (after is AfterCommit.CONTINUE and not delivered.can_go_on):
            self.give_up(error)
        elif after is AfterCommit.RESTART or not delivered.text.strip():
            self.tell(left, place, error, SeamWord.RESTART)
            self.open(place, SeamWord.RESTART)
        else:
            word = SeamWord.REWIND if delivered.has_calls else SeamWord.CONTINUE
            self.tell(left, place, error, word)
            self.open(place, word, Continuation(text=delivered.text, prefill=self.legs[place].accepts_prefill))

    def tell(self, left: Leg, place: int, error: Exception, seam: str = "") -> None:
        """Let who watches the request know that the next leg is opened, and why."""
        if self.exchange is not None:
            self.exchange.tell(falling_back(left, self.legs[place], error, seam))

    def answered(self, leg: Leg) -> None:
        """Let them know that the answer is whole, before its reader knows."""
        if self.exchange is not None:
            self.exchange.tell(Answered(provider=leg.provider, model=leg.model))

    def sew(self, run: "_Run") -> None:
        """Tell the reader that another leg's tokens follow, and what to do with those before."""
        if run.word is SeamWord.RESTART:
            self.delivered.clear()
            self.usages.clear()
        else:
            self.delivered.rewind()
        self.seams += 1
        reason = f"{run.word}: {run.leg.name} answers"
        if self.broken is not None:
            leg, error = self.broken
            reason += f", {leg.name} broke off ({error.kind if isinstance(error, ProviderError) else error})"
        self.receiver.on_next(Seam(self.seams, reason))

    def report_total(self, usages: list[Usage | None]) -> None:
        """Tell the usage of an answer that several legs made."""
        total = total_usage(usages) if len(usages) > 1 else None
        if total is not None:
            self.receiver.on_next(UsageReport(total))

    def give_up(self, error: Exception) -> None:
        """End with the error that tells most: why the answer broke off; else what is wrong; else why it went on."""
        if self.cause is not None:
            error = self.cause
        elif may_ask_elsewhere(error, self.policy):
            errors = [failure for _, failure in self.tried]
            # Who reads "phase admit" of the whole takes it that nothing was sent, and gives a quota back.
            error = next(filter(was_sent, errors), errors[0])
        self.report_total(self.usages)
        if self.stopped:
            return
        error = with_others(error, self.tried)
        if isinstance(error, ProviderError) and self.cause is not None:
            error.delivered_chars = self.delivered.chars
        self.stopped = True
        self.receiver.on_error(error)

    def complete(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.receiver.on_completed()

    def stop(self) -> None:
        self.stopped = True
        if self.run is not None:
            self.run.end(None)


class _Run:
    """One leg under way."""

    __slots__ = (
        "committed",
        "continuation",
        "ended",
        "fallback",
        "finished",
        "held",
        "leg",
        "noted_before",
        "on_end",
        "ongoing",
        "overlap",
        "place",
        "upstream",
        "word",
    )

    def __init__(self, parent: _Fallback, place: int, word: SeamWord | None, continuation: Continuation | None) -> None:
        self.fallback = parent
        self.place = place
        self.leg = parent.legs[place]
        self.word = word
        self.continuation = continuation
        self.noted_before = 0 if parent.exchange is None else len(parent.exchange.attempts)
        self.ongoing = Ongoing(parent.exchange, parent.clock, self.leg.provider, self.leg.model)
        self.upstream = SingleAssignmentDisposable()
        self.held: UsageReport | None = None
        self.overlap: Overlap | None = None
        if continuation is not None:
            chars = parent.policy.overlap_chars
            self.overlap = Overlap(continuation.text, max_chars=chars, restated=continuation.prefill)
        self.committed = False
        self.on_end: Callable[[], None] = _nothing
        self.finished = False
        self.ended = False

    def receiver(self) -> Receiver[StreamToken]:
        emit, delivered = self.fallback.receiver.on_next, self.fallback.delivered
        add_text = delivered.add_text if self.fallback.policy.after_commit is AfterCommit.CONTINUE else None
        straight, tokens, chars = False, 0, 0  # cells, and not attributes, for what is looked at each token

        def on_next(token: StreamToken) -> None:
            nonlocal straight, tokens, chars
            tokens += 1
            if straight and type(token) is Text and not token.choice:
                if add_text is None:
                    chars += len(token.text)
                else:
                    add_text(token.text)
                emit(token)
            elif straight and type(token) is Reasoning and not token.choice:
                emit(token)
            elif not self.ended:
                self.take(token)
                straight = self.committed and not (self.ended or self.finished)
                straight = straight and (self.overlap is None or self.overlap.decided)

        def stop() -> None:
            nonlocal straight, chars
            straight = False
            self.ongoing.tokens = tokens
            delivered.chars += chars  # nobody asks for them before
            chars = 0

        self.on_end = stop
        return Receiver(on_next, self.on_error, self.on_completed)

    def take(self, token: StreamToken) -> None:
        """Any token but one that goes straight through."""
        if self.finished:
            return
        if isinstance(token, UsageReport):
            self.ongoing.usage = token.usage
            if self.committed:
                self.fallback.receiver.on_next(token)
            else:
                self.held = token
        elif isinstance(token, Finish):
            self.finish(token)
        elif self.overlap is not None and isinstance(token, Text) and not token.choice:
            self.deliver(*self.overlap.feed(token))
        elif isinstance(token, Reasoning):
            self.deliver(token)  # ahead of text that may be a repetition: a thought in its midst does not end it
        else:
            self.deliver(*self.rest_of_overlap(), token)

    def rest_of_overlap(self) -> list[Text]:
        """What was held back as a repetition, as far as it is none: something else follows it."""
        return [] if self.overlap is None or self.overlap.is_empty else self.overlap.close()

    def deliver(self, *tokens: StreamToken) -> None:
        """Hand tokens on to the reader; the first commits the leg."""
        if tokens:
            self.commit()
        for token in tokens:
            if self.ended:
                return
            self.fallback.delivered.add(token)
            self.fallback.receiver.on_next(token)

    def commit(self) -> None:
        """The seam, if there is one, and what was held: before the leg's first token that the reader gets."""
        if self.committed:
            return
        self.committed = True
        if self.word is not None:
            self.fallback.sew(self)
        held, self.held = self.held, None
        if held is not None and not self.ended:
            self.fallback.receiver.on_next(held)

    def finish(self, token: Finish) -> None:
        parent = self.fallback
        if token.kind is FinishKind.CONTENT_FILTER and not self.committed and parent.policy.on_content_filter:
            said = f"the answer was withheld by a content filter ({token.raw or token.kind})"
            withheld = ProviderError(ErrorKind.CONTENT_FILTER, said, provider=self.leg.provider)
            if next_place(parent.legs, self.place, withheld) is not None:
                self.on_error(withheld)
                return
        self.deliver(*self.rest_of_overlap())
        self.commit()
        if not self.ended:
            parent.report_total([*parent.usages, self.ongoing.usage] if parent.usages else [])
        if not self.ended:
            self.finished = True
            self.on_end()
            self.note(None)
            try:
                parent.answered(self.leg)
            finally:  # a watcher that fails must not keep the end from the reader
                parent.receiver.on_next(token if token.model else msgspec.structs.replace(token, model=self.leg.model))

    def was_refused(self, error: Exception) -> bool:
        """Whether the leg found fault with what it was asked."""
        return isinstance(error, ProviderError) and error.kind is ErrorKind.BAD_REQUEST and not self.committed

    def on_error(self, error: Exception) -> None:
        if self.finished:
            self.on_completed()  # the answer is whole: what breaks after it is no failure
        elif not self.ended:
            self.end(error)
            self.fallback.on_failure(self, error)

    def on_completed(self) -> None:
        if self.ended:
            return
        if not self.finished:
            said = "the stream completed without its end"
            self.on_error(ProviderError(ErrorKind.TRUNCATED, said, provider=self.leg.provider))
            return
        self.end(None)
        self.fallback.complete()

    def end(self, error: Exception | None) -> None:
        """Nothing is handed on any more."""
        if self.ended:
            return
        self.ended = True
        self.on_end()
        self.upstream.dispose()
        self.note(error)

    def note(self, error: Exception | None) -> None:
        """Note the attempt, unless the leg noted its own, which it has by now."""
        exchange = self.fallback.exchange
        if exchange is not None and len(exchange.attempts) == self.noted_before:
            self.ongoing.note(error, finished=self.finished)


def _nothing() -> None:
    pass
