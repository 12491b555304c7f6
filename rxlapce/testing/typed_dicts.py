"""Whether JSON fits a TypedDict, at every depth: unknown members too, which only type checkers see otherwise."""

import types
from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from rxlapce.dialects.json_values import is_array, is_object

_SCALARS = {str: (str,), int: (int,), float: (int, float), bool: (bool,), types.NoneType: (types.NoneType,)}


def misfits(value: Any, hint: Any, path: str = "$") -> list[str]:
    """Where `value` does not fit the type `hint`, each with its JSON path; for a union of its likeliest member.

    Knows TypedDicts (also those of typing_extensions), unions, literals, lists by whatever name, mappings and scalars.
    All other types, such as open files, fit no JSON.
    """
    if hint in (Any, object):
        return []
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Annotated, Required, NotRequired):
        return misfits(value, arguments[0], path)
    if origin in (Union, types.UnionType):
        likely = [member for member in arguments if _is_tagged_as(value, member)] or arguments
        return max((misfits(value, member, path) for member in likely), key=_likelihood)
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if _is_typed_dict(hint):
        return _members(value, hint, path)
    if hint in _SCALARS:
        fits = isinstance(value, _SCALARS[hint]) and (hint is bool or not isinstance(value, bool))
        return [] if fits else [f"{path}: {value!r} is no {hint.__name__}"]
    if isinstance(origin, type) and issubclass(origin, Mapping) and is_object(value):
        return [wrong for name, inner in value.items() for wrong in misfits(inner, arguments[1], f"{path}.{name}")]
    if is_array(value) and len(arguments) == 1:  # list, Iterable, Sequence, and what vendors name so
        return [wrong for at, inner in enumerate(value) for wrong in misfits(inner, arguments[0], f"{path}[{at}]")]
    return [f"{path}: {value!r} is no {hint}"]


def _is_tagged_as(value: Any, hint: Any) -> bool:
    """Whether the object has a literal's value wherever the TypedDict wants one: its `type`, its `role`."""
    if not is_object(value) or not _is_typed_dict(hint):
        return False
    literals = {name: member for name, member in get_type_hints(hint).items() if get_origin(member) is Literal}
    return all(value[name] in get_args(member) for name, member in literals.items() if name in value)


def _likelihood(wrong: list[str]) -> tuple[int, int, int]:
    """How likely that was meant of which this is wrong: nothing, or the deeper and the less."""
    first = wrong[0].partition(": ")[0] if wrong else ""
    return (not wrong, first.count(".") + first.count("["), -len(wrong))


def _is_typed_dict(hint: Any) -> TypeGuard[type]:
    """By what makes one: `typing.is_typeddict` does not know those of typing_extensions."""
    return hasattr(hint, "__total__") and isinstance(hint, type)


def _members(value: Any, hint: type, path: str) -> list[str]:
    if not is_object(value):
        return [f"{path}: {value!r} is no {hint.__name__}"]
    hints = get_type_hints(hint, include_extras=True)
    wrong = [f"{path}.{name}: no member of {hint.__name__}" for name in value if name not in hints]
    # Not `__required_keys__`, which is wrong where annotations are strings.
    wrong += [
        f"{path}: {hint.__name__} needs {name}"
        for name, member in hints.items()
        if name not in value and get_origin(member) is Required
    ]
    for name in value.keys() & hints.keys():
        wrong += misfits(value[name], hints[name], f"{path}.{name}")
    return wrong
