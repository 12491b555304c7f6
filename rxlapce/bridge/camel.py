"""Our types as JSON with camelCase members, both ways.

`twin` makes of a dataclass or Struct of ours the Struct that has the same members under camelCase names, all the way
down. msgspec then reads and writes that, strictly, and its errors name the path as the JSON has it. What a `dict` holds
(a JSON Schema, a provider's own members) is somebody else's and stays as it is.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import msgspec

from rxlapce.errors import BadPayload
from rxlapce.tokens import StreamToken

#: A JSON path at the end of a message of msgspec's.
_PATH = re.compile(r"`(\$[^`]*)`$")
_TOKENS: tuple[type[msgspec.Struct], ...] = typing.get_args(StreamToken)


def camel(name: str) -> str:
    """`max_tokens` as `maxTokens`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_twins: dict[type[Any], type[Any]] = {}


def twin(kind: type[Any]) -> type[Any]:
    """The Struct that is `kind` in camelCase: `kind` itself if no name in it would change. One for each, kept."""
    if kind not in _twins:
        _twins[kind] = _make_twin(kind)
    return _twins[kind]


def _make_twin(kind: type[Any]) -> type[Any]:
    fields: list[tuple[str, Any, Any]] = []
    hints = typing.get_type_hints(kind)
    for name, default, factory in _fields(kind):
        if factory not in (dataclasses.MISSING, msgspec.NODEFAULT):
            default = msgspec.field(default_factory=factory)
        elif default is dataclasses.MISSING:
            default = msgspec.NODEFAULT
        fields.append((name, _renamed(hints[name]), default))
    unchanged = all(camel(name) == name and hint == hints[name] for name, hint, _ in fields)
    is_struct = issubclass(kind, msgspec.Struct)
    if is_struct and unchanged:
        return kind
    return msgspec.defstruct(
        kind.__name__,
        [(name, hint) if default is msgspec.NODEFAULT else (name, hint, default) for name, hint, default in fields],
        tag=kind.__struct_config__.tag if is_struct else None,
        omit_defaults=is_struct and kind.__struct_config__.omit_defaults,
        rename="camel",
        kw_only=True,
    )


def _fields(kind: type[Any]) -> list[tuple[str, Any, Any]]:
    """Name, default and factory of each member."""
    if issubclass(kind, msgspec.Struct):
        return [(one.name, one.default, one.default_factory) for one in msgspec.structs.fields(kind)]
    return [(one.name, one.default, one.default_factory) for one in dataclasses.fields(kind)]


def _renamed(hint: Any) -> Any:
    """`hint` with each type of ours replaced by its twin."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return reduce(_either, (_renamed(part) for part in parts))
    if origin is tuple:
        return types.GenericAlias(tuple, (_renamed(parts[0]), ...))
    return twin(hint) if _is_ours(hint) else hint


def _either(one: Any, other: Any) -> Any:
    return one | other


def _is_ours(hint: Any) -> bool:
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, msgspec.Struct))


# -- from ours to the twin's and back ---------------------------------------------------------------------------------

_Convert = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _converter(source: type[Any], to: type[Any]) -> _Convert:
    if source is to:
        return _same
    return lambda value: msgspec.convert(value, to, from_attributes=True)


#: msgspec does not look for an object's type in a tagged union: the tokens are converted by hand, each to its own.
_TWIN_TOKENS: Mapping[type[Any], _Convert] = {kind: _converter(kind, twin(kind)) for kind in _TOKENS}
_OUR_TOKENS: Mapping[type[Any], _Convert] = {twin(kind): _converter(twin(kind), kind) for kind in _TOKENS}


class CamelCase:
    """Reads and writes one dataclass of ours as a JSON object with camelCase members."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._twin = twin(kind)
        self._decoder = msgspec.json.Decoder(self._twin)
        self._token_at = next((name for name, hint in typing.get_type_hints(kind).items() if hint == StreamToken), None)

    def to_json(self, message: Any) -> bytes:
        """The JSON text."""
        return msgspec.json.encode(self._to_twin(message))

    def to_dict(self, message: Any) -> dict[str, Any]:
        """The same as builtin types."""
        members: dict[str, Any] = msgspec.to_builtins(self._to_twin(message))
        return members

    def read(self, text: msgspec.Raw | bytes, at: str) -> Any:
        """The message of a JSON text that stands at the path `at`. Raises `BadPayload` with the path."""
        with _Telling(at):
            return self._of_twin(self._decoder.decode(text))

    def of_dict(self, members: Mapping[str, Any], at: str) -> Any:
        """The message of builtin types. Raises as `read` does."""
        with _Telling(at):
            return self._of_twin(msgspec.convert(members, self._twin))

    def _to_twin(self, message: Any) -> Any:
        if self._token_at is None:
            return msgspec.convert(message, self._twin, from_attributes=True)
        members = {one.name: getattr(message, one.name) for one in dataclasses.fields(self._kind)}
        token = members[self._token_at]
        members[self._token_at] = _TWIN_TOKENS[type(token)](token)
        return self._twin(**members)

    def _of_twin(self, found: Any) -> Any:
        if self._token_at is None:
            return msgspec.convert(found, self._kind, from_attributes=True)
        members = {one.name: getattr(found, one.name) for one in dataclasses.fields(self._kind)}
        token = members[self._token_at]
        members[self._token_at] = _OUR_TOKENS[type(token)](token)
        return self._kind(**members)


class _Telling:
    """Turns msgspec's errors into `BadPayload`, with the path as the whole document has it."""

    def __init__(self, at: str) -> None:
        self._at = at

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if not isinstance(error, msgspec.DecodeError | RecursionError | ValueError):
            return
        text = str(error)
        found = _PATH.search(text)
        if found is None:
            raise BadPayload(f"{text} - at `{self._at}`") from None
        path = re.sub(r"[a-z0-9]+(?:_[a-z0-9]+)+", lambda name: camel(name[0]), found[1])
        raise BadPayload(f"{text[: found.start()]}`{self._at}{path[1:]}`") from None
