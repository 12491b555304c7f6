"""Settings from a mapping of the file: a dataclass's fields, each read by its type, so that a new one needs no line."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rxlapce.config.document import Place
from rxlapce.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

T = TypeVar("T", bound="DataclassInstance")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What a setting may be: one of `choices`, else a value of `kind`; and null, if `optional`.

    `kind` is int, float, bool or str, or the `StrEnum` of which the choices are.
    """

    kind: type[Any]
    choices: tuple[str, ...]
    optional: bool

    def read(self, at: Place) -> Any:
        """The value at `at`. Raises `ConfigError` for anything that is not of this kind."""
        if self.optional and at.is_null():
            return None
        also = "null" if self.optional else ""
        if self.choices:
            return self.kind(at.choice(self.choices, also=also))
        if self.kind is bool:
            return at.flag(also=also)
        if self.kind is int:
            return at.integer(also=also)
        if self.kind is float:
            return at.number(also=also)
        return at.text("a text" + (" or null" if self.optional else ""))


def option_of(hint: Any) -> Option | None:
    """How a field of the type `hint` is read; None for a type that holds others."""
    arms = [hint] if get_origin(hint) is Literal or isinstance(hint, type) else list(get_args(hint))
    values = [arm for arm in arms if arm is not NoneType]
    optional = NoneType in arms
    if values and all(get_origin(arm) is Literal for arm in values):
        return Option(str, tuple(str(choice) for arm in values for choice in get_args(arm)), optional)
    if len(values) != 1 or not isinstance(values[0], type):
        return None
    if issubclass(values[0], StrEnum):
        return Option(values[0], tuple(values[0]), optional)
    return Option(values[0], (), optional) if values[0] in (int, float, bool, str) else None


def options_of(kind: "type[DataclassInstance]") -> dict[str, Option]:
    """The fields of the dataclass that hold one value each, by name, in their order."""
    hints = get_type_hints(kind)
    found = {field.name: option_of(hints[field.name]) for field in dataclasses.fields(kind)}
    return {name: option for name, option in found.items() if option is not None}


def read_settings(at: Place, base: T, *, without: Collection[str] = ()) -> T:
    """`base` with what the mapping at `at` sets; a member `without` is not known here.

    Raises `ConfigError` for unknown and doubled names, for values of another type, and with what the dataclass itself
    says to its values.
    """
    names = [name for name in options_of(type(base)) if name not in without]
    return laid_over(base, at.members(names), at)


def laid_over(base: T, members: Mapping[str, Place], at: Place) -> T:
    """`base` with those of its fields that are among the `members` of the mapping at `at`; others are not looked at."""
    options = options_of(type(base))
    return checked(
        at,
        members,
        lambda: dataclasses.replace(
            base, **{name: option.read(members[name]) for name, option in options.items() if name in members}
        ),
    )


def checked(at: Place, members: Mapping[str, Place], make: Callable[[], T]) -> T:
    """What `make` makes. Its `ValueError` is told with the place of the member that it begins with, else with `at`."""
    try:
        return make()
    except ValueError as error:
        said = str(error)
        place = next((place for name, place in members.items() if said.startswith(f"{name} must")), at)
        raise ConfigError(f"{place}: {said}") from None
