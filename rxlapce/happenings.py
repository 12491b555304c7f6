"""What happens to a request on its way, one frozen record each: told by its stages to whoever watches its `Exchange`.

    FirstToken      the first token that a reader sees is about to be handed on
    Retrying        the same model is asked again, after a wait
    FallingBack     the next model is asked
    Answered        the answer is whole: its `Finish` is about to be handed on
    Failed          what the client is told is this error

None of them is told more often than once an attempt, so that watching costs nothing a token.
"""

from collections.abc import Callable
from dataclasses import dataclass


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

    `seam` says what becomes of what the reader has: "" where that is nothing, else a `SeamWord`.
    """

    provider: str
    model: str
    to_provider: str
    to_model: str
    error: Exception
    seam: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The attempt that gave the answer has been noted; its connection may still be read to the end."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What a request ended in."""

    error: Exception


Happening = FirstToken | Retrying | FallingBack | Answered | Failed

#: Told on the loop, in the midst of things: it returns at once and raises nothing.
Watcher = Callable[[Happening], None]
