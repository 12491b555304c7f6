"""The shapes of decoded JSON, for values whose type a provider does not keep to."""

from typing import Any, TypeGuard

import msgspec

from rxlapce.errors import ErrorKind, ProviderError


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Whether it is a JSON array."""
    return isinstance(value, list)


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON array; none if it is no array."""
    return [member for member in value if is_object(member)] if is_array(value) else []


def text_of(value: Any) -> str | None:
    """The string if it is one and not empty: many servers write "" for what they do not say."""
    return value if isinstance(value, str) and value else None


def loads(text: str | bytes) -> Any:
    """The value of a JSON text; None if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def dumps(value: Any) -> str:
    """The JSON text of a value, compact.

    Raises `ProviderError` (protocol) for one that was read where the stack was less deep, and is too deep itself now.
    """
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise ProviderError(ErrorKind.PROTOCOL, "a value is nested too deep to be passed on") from None
