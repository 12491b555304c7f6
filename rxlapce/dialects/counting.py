"""What endpoints that count a prompt's tokens answer."""

from typing import Any

import msgspec

from rxlapce.errors import ErrorKind, ProviderError


def read_count(body: bytes, member: str) -> int:
    """The whole number in `member` of the answer. Raises `ProviderError` (protocol) if it holds none."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(said.get(member), int)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderError(ErrorKind.PROTOCOL, f"the answer holds no count of tokens in {member}: {error}") from None
