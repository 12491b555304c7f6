"""What `fallback` is told: the models to ask, in order, and what to do when one fails."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reactivex import Observable

from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.operators.continuation import Continuation
from rxlapce.tokens import SeamWord, StreamToken

__all__ = ["AfterCommit", "FallbackPolicy", "Leg", "SeamWord", "may_ask_elsewhere"]


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

    after_commit: AfterCommit = AfterCommit.FAIL
    on_content_filter: bool = False
    overlap_chars: int = 256
    max_kept_chars: int = 1_000_000

    def __post_init__(self) -> None:
        if self.overlap_chars < 0 or self.max_kept_chars < 0:
            raise ValueError("overlap_chars and max_kept_chars must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One of the models to ask, in order.

    `open(None)` gives the answer from its beginning as a cold Observable, `open(continuation)` the rest of one; a
    `retry_stream` belongs in there. `accepts_prefill`: whether the model goes on with an assistant's turn.
    """

    provider: str
    model: str
    open: Callable[[Continuation | None], Observable[StreamToken]]
    accepts_prefill: bool = False

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


#: These are about one provider's account or one model's window, whatever is said of retries.
ELSEWHERE: Final = frozenset({ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA, ErrorKind.CONTEXT_LENGTH})


def may_ask_elsewhere(error: Exception, policy: FallbackPolicy) -> bool:
    """Whether another provider may answer what ended in `error`; what is wrong with the request itself stays wrong."""
    if not isinstance(error, ProviderError) or error.kind is ErrorKind.CANCELLED:
        return False
    if error.kind is ErrorKind.CONTENT_FILTER:
        return policy.on_content_filter
    return error.kind in ELSEWHERE or error.retry is not Retry.NEVER
