"""What happens to a request on its way, one frozen record each: told by its stages to whoever watches its `Exchange`.

    Begun           a `log_tap` was subscribed to
    FirstToken      the first token that a reader sees is about to be handed on
    Retrying        the same model is asked again, after a wait
    FallingBack     the next model is asked
    Answered        the answer is whole: its `Finish` is about to be handed on
    Failed          what the client is told is this error
    Ended           what a `log_tap`, or an `audit_tap`, watched is over

None of them is told more often than once an attempt, so that watching costs nothing a token.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rxlapce.errors import ErrorKind
from rxlapce.tokens import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Somebody has subscribed to the stream. Who will answer it may not be known yet: then both names are ""."""

    request_id: str
    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """A model has begun to speak; told once a request, whoever goes on with the answer."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """`error` ended the last attempt; the one that comes has the number `attempt`, from 2, and begins in `wait_s`."""

    provider: str
    model: str
    attempt: int
    error: Exception
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FallingBack:
    """`error` is what the model failed of; `to_provider` and `to_model` are asked now.

    `seam` says what becomes of what the reader has: "" where that is nothing, else a `SeamWord`. `key` and `to_key` are
    the names of the providers' keys, "" where there is one alone: the next model may be the same by another key.
    """

    provider: str
    model: str
    to_provider: str
    to_model: str
    error: Exception
    seam: str = ""
    key: str = ""
    to_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The attempt that gave the answer has been noted; its connection may still be read to the end."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request ended in `error`; the names are those of who was asked last."""

    provider: str
    model: str
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A stream as it went, from its subscription to its end; times are in seconds.

    `outcome` is `completed`, `disposed`, or `failed`, which has an `error_kind`. `first_token_s` is None where no token
    came that a reader would see. `tokens` counts all kinds; `usage` is the last that was told.
    """

    request_id: str
    user: str
    client: str
    provider: str
    model: str
    outcome: str
    error_kind: ErrorKind | None
    took_s: float
    first_token_s: float | None
    tokens: int
    usage: Usage | None


Happening = Begun | FirstToken | Retrying | FallingBack | Answered | Failed | Ended

#: Told on the loop, in the midst of things: it returns at once and raises nothing.
Watcher = Callable[[Happening], None]
