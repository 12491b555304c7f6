"""What `fallback` is told: the models to ask, in order, and what to do when one fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reactivex import Observable

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.happenings import FallingBack
from rxlapce.operators.continuation import Continuation
from rxlapce.operators.verdict import OF_KEY
from rxlapce.registry import check_ranges, option
from rxlapce.tokens import SeamWord, StreamToken

__all__ = [
    "AfterCommit",
    "FallbackPolicy",
    "Leg",
    "SeamWord",
    "falling_back",
    "may_ask_elsewhere",
    "may_ask_other_key",
    "next_place",
    "with_others",
]


class AfterCommit(StrEnum):
    """What becomes of an answer that breaks off when the reader has seen a part of it."""

    FAIL = "fail"
    CONTINUE = "continue"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackPolicy:
    """What is tried elsewhere, and when.

    `on_content_filter`: whether a refusal by one provider's content filter sends the request to the next one.
    `overlap_chars`, from 0: the longest repetition that is cut off a continuation. `max_kept_chars`: of a longer answer
    the text is not kept, and so it cannot be continued.
    """

    after_commit: AfterCommit = option(
        AfterCommit.FAIL, help="what becomes of an answer that breaks off when a part of it has been seen"
    )
    on_content_filter: bool = option(
        default=False, help="whether a refusal by one provider's content filter is tried at the next model"
    )
    overlap_chars: int = option(
        256, help="the longest repetition that is cut off the rest of an answer", unit="characters", at_least=0
    )
    max_kept_chars: int = option(
        1_000_000, help="a longer answer is not kept, and so not continued", unit="characters", at_least=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One of the models to ask, in order; or one of the `key`s by which a model is asked, then by its name.

    `open(None)` gives the answer from its beginning as a cold Observable, `open(continuation)` the rest of one; a
    `retry_stream` belongs in there. `accepts_prefill`: whether the model goes on with an assistant's turn.
    """

    provider: str
    model: str
    open: Callable[[Continuation | None], Observable[StreamToken]]
    accepts_prefill: bool = False
    key: str = ""

    @property
    def name(self) -> str:
        """`provider/model`, and the key where there are several."""
        name = f"{self.provider}/{self.model}"
        return f"{name} by key {self.key}" if self.key else name

    def differs_by_key(self, other: "Leg") -> bool:
        """Whether it is the same model, asked by another key."""
        return bool(self.key) and (self.provider, self.model) == (other.provider, other.model)


#: These are about one provider's account or one model's window, whatever is said of retries.
ELSEWHERE: Final = frozenset({ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA, ErrorKind.CONTEXT_LENGTH})


def may_ask_elsewhere(error: Exception, policy: FallbackPolicy) -> bool:
    """Whether another provider may answer what ended in `error`; what is wrong with the request itself stays wrong."""
    if not isinstance(error, ProviderError) or error.kind is ErrorKind.CANCELLED:
        return False
    if error.kind is ErrorKind.CONTENT_FILTER:
        return policy.on_content_filter
    return error.kind in ELSEWHERE or error.retry is not Retry.NEVER


def may_ask_other_key(error: Exception) -> bool:
    """Whether the same model, asked by another key of its provider, may answer what ended in `error`.

    So it is with all that is about an account (refused, out of credit, over a quota or a limit), and with what was not
    even sent: a key's own quota or circuit holds nothing against the others. An outage is everybody's.
    """
    if not isinstance(error, ProviderError):
        return False
    if error.phase is Phase.ADMIT:
        return error.kind not in (ErrorKind.BAD_REQUEST, ErrorKind.CANCELLED)
    return error.retry is Retry.OTHER_KEY or error.kind in OF_KEY or error.kind is ErrorKind.RATE_LIMIT


def next_place(legs: Sequence[Leg], place: int, error: Exception) -> int | None:
    """Which of `legs` to open when the one at `place` ended in `error`; None if none is left.

    The next one, but no other key of the same model where that would fail of the same.
    """
    failed, following = legs[place], place + 1
    if not may_ask_other_key(error):
        while following < len(legs) and failed.differs_by_key(legs[following]):
            following += 1
    return following if following < len(legs) else None


def falling_back(left: Leg, leg: Leg, error: Exception, seam: str) -> FallingBack:
    """What those who watch a request are told when `leg` is asked for what `left` failed of."""
    return FallingBack(
        provider=left.provider,
        model=left.model,
        to_provider=leg.provider,
        to_model=leg.model,
        error=error,
        seam=seam,
        key=left.key,
        to_key=leg.key,
    )


def with_others(error: Exception, tried: Sequence[tuple[Leg, Exception]]) -> Exception:
    """`error`, with a word on what else was tried; the same object if nothing was."""
    others = [
        f"{leg.name} ({other.kind} in phase {other.phase})" if isinstance(other, ProviderError) else leg.name
        for leg, other in tried
        if other is not error
    ]
    if not others or not isinstance(error, ProviderError):
        return error
    told = ProviderError(
        error.kind,
        f"{error.message}; also tried: {', '.join(others)}",
        retry=error.retry,
        phase=error.phase,
        retry_after_s=error.retry_after_s,
        status=error.status,
        provider=error.provider,
        request_id=error.request_id,
        raw=error.raw,
    )
    told.__cause__ = error
    return told
