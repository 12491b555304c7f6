"""The interfaces between the parts, as Protocols; none of them needs a base class."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from rxlapce.errors import ProviderError
from rxlapce.requests import ChatRequest
from rxlapce.tokens import StreamToken

#: Seconds on some steady clock, for differences only.
Clock = Callable[[], float]

E_contra = TypeVar("E_contra", contravariant=True)


class StreamDecoder(Protocol[E_contra]):
    """One stream's mapping from events to tokens, with the state that this takes. Pure: no I/O, no clock.

    The end of a stream is said once: by `feed` returning True, or by `close` returning; either has then appended the
    `Finish`. After a raise or a True nothing more is fed.
    """

    model: str | None
    """The model as the stream names it; None until it does."""

    def feed(self, event: E_contra, out: list[StreamToken]) -> bool:
        """Append what the event says to `out`; return True when the answer has ended and `Finish` is in `out`.

        Raises `ProviderError` when the event ends the stream in an error; what the event said besides is in `out`.
        """
        ...

    def close(self, out: list[StreamToken]) -> None:
        """The bytes have ended. Append what was held back and `Finish`, if the answer is whole without a terminator.

        Raises `ProviderError` of kind `truncated` if it is not; held-back tokens (usage so far) are in `out`.
        """
        ...


class Dialect(Protocol[E_contra]):
    """What is said to a provider and what it says: bodies, events, errors. It knows no URL and no key."""

    name: str

    def decoder(self) -> StreamDecoder[E_contra]:
        """A fresh decoder for one stream."""
        ...

    def chat_body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        """The request's JSON body, for `model` under the provider's own name.

        Raises `ProviderError` of kind `bad_request` for what the dialect cannot say: nothing is dropped in silence.
        """
        ...

    def read_answer(self, body: bytes) -> list[StreamToken]:
        """The tokens of a unary (not streamed) answer, `Finish` last. Raises `ProviderError`."""
        ...

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The error that an HTTP response of `status` means. `headers` has lower-case names. Any body is possible."""
        ...


class TokenCounter(Protocol):
    """What a dialect adds where its vendor counts a prompt's tokens without answering it."""

    def count_body(self, request: ChatRequest, model: str) -> bytes:
        """The JSON body that asks for the count. Raises `ProviderError` (bad_request) as `chat_body` does."""
        ...

    def read_count(self, body: bytes) -> int:
        """The number of input tokens that a successful response tells. Raises `ProviderError` (protocol)."""
        ...
