"""What the editor's side makes of failures: the daemon's, and those of its own subscribers."""

import asyncio
from enum import StrEnum
from typing import TypeVar

from rxlapce.bridge.stream import Incoming
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.messages import ErrorBody

Word = TypeVar("Word", bound=StrEnum)


def tell_error(incoming: Incoming, error: Exception, request_id: int) -> None:
    """End a stream in `error`."""
    try:
        incoming.receiver.on_error(error)
    except Exception as bug:  # noqa: BLE001 - RxPY raises for a subscriber without on_error; the others must hear too
        report(bug, request_id)


def report(error: Exception, request_id: int) -> None:
    """Hand an exception of a subscriber's own callback to the loop's exception handler."""
    context = {"message": f"a subscriber of stream {request_id} raised", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


def provider_error(body: ErrorBody) -> ProviderError:
    """The error that the daemon's frame carries; a newer daemon's word becomes `internal`, `never` or `flow`."""
    error = ProviderError(
        _word(ErrorKind, body.kind, ErrorKind.INTERNAL),
        body.message,
        retry=_word(Retry, body.retry, Retry.NEVER),
        phase=_word(Phase, body.phase, Phase.FLOW),
        retry_after_s=body.retry_after_s,
        status=body.status,
        provider=body.provider,
        request_id=body.request_id,
        raw=body.raw,
    )
    error.delivered_chars = body.delivered_chars
    return error


def _word(words: type[Word], said: str, otherwise: Word) -> Word:
    try:
        return words(said)
    except ValueError:
        return otherwise
