"""What endpoints that count a prompt's tokens answer."""

import msgspec

from rxlapce.errors import ErrorKind, ProviderError


class _Count(msgspec.Struct):
    input_tokens: int


def read_input_tokens(body: bytes) -> int:
    """The `input_tokens` of an answer. Raises `ProviderError` (protocol) if it holds none."""
    try:
        return msgspec.json.decode(body, type=_Count).input_tokens
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, f"the answer holds no count of tokens: {error}") from None
