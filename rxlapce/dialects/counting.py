"""What endpoints that count a prompt's tokens answer."""

from typing import Any

import msgspec

from rxlapce.dialects.json_values import is_object
from rxlapce.errors import ErrorKind, ProviderError


def read_input_tokens(body: bytes) -> int:
    """The `input_tokens` of an answer. Raises `ProviderError` (protocol) if it holds none."""
    return read_count(body, "input_tokens")


def read_count(body: bytes, member: str) -> int:
    """The number that an answer has in `member`. Raises `ProviderError` (protocol) if it holds none."""
    try:
        value: Any = msgspec.json.decode(body)
        return msgspec.convert(value.get(member) if is_object(value) else None, int)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, f"the answer holds no count of tokens in {member}: {error}") from None
