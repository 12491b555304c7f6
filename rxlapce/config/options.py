"""Settings from a mapping of the file: a dataclass's fields, each read by its type, so that a new one needs no line.

What the fields say of themselves (`registry.option`) is checked, and is a part of what was expected: units and ranges.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

from rxlapce.config.document import Place, is_told, together
from rxlapce.errors import ConfigError
from rxlapce.registry import Told, told_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # which only type checkers have

T = TypeVar("T", bound="DataclassInstance")
K = TypeVar("K")
V = TypeVar("V")

_UNTOLD: Final = Told()


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What a setting may be: one of `choices`, else a value of `kind`; and null, if `optional`; if `many`, a list.

    `kind` is int, float, bool or str, or the `StrEnum` of which the choices are. `told` has its unit and range.
    """

    kind: type[Any]
    choices: tuple[str, ...]
    optional: bool
    many: bool = False
    told: Told = _UNTOLD

    def read(self, at: Place) -> Any:
        """The value at `at`. Raises `ConfigError` for anything that is not of this kind, or out of its range."""
        if self.optional and at.is_null():
            return None
        also = "null" if self.optional else ""
        if self.many:
            one = dataclasses.replace(self, many=False, optional=False)
            items = enumerate(at.items(self.expected))
            return tuple(gathered({number: partial(one.read, item) for number, item in items}).values())
        if self.choices:
            return self.kind(at.choice(self.choices, also=also))
        if self.kind is bool:
            return at.flag(also=also)
        if self.kind in (int, float):
            value = at.integer(self._one, also=also) if self.kind is int else at.number(self._one, also=also)
            if not self.told.holds(value):
                raise at.wrong(self.expected)
            return value
        return at.text(self.expected)

    @property
    def expected(self) -> str:
        """What may stand there, in the words of an error."""
        said = self._many if self.many else self._one
        return f"{said} or null" if self.optional else said

    @property
    def _one(self) -> str:
        if self.choices:
            return " or ".join(self.choices)
        said = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[self.kind]
        unit = f" of {self.told.unit}" if self.told.unit else ""
        return " ".join(filter(None, (said + unit, self.told.range)))

    @property
    def _many(self) -> str:
        if self.choices:
            return f"a list of {' or '.join(self.choices)}"
        return {int: "a list of whole numbers", float: "a list of numbers", str: "a list of texts"}[self.kind]


def option_of(hint: Any, told: Told | None = None) -> Option | None:
    """How a field of the type `hint` is read; None for a type that is neither a value nor a tuple of such."""
    arms = [hint] if get_origin(hint) in (Literal, tuple) or isinstance(hint, type) else list(get_args(hint))
    values = [arm for arm in arms if arm is not NoneType]
    optional, told = NoneType in arms, told or _UNTOLD
    if values and all(get_origin(arm) is Literal for arm in values):
        choices = tuple(str(choice) for arm in values for choice in get_args(arm))
        return Option(str, choices, optional, told=told)
    if len(values) != 1:
        return None
    if get_origin(values[0]) is tuple:
        each, *rest = get_args(values[0])
        one = option_of(each, told) if rest == [...] else None
        return None if one is None or one.many else dataclasses.replace(one, many=True, optional=optional)
    if not isinstance(values[0], type):
        return None
    if issubclass(values[0], StrEnum):
        return Option(values[0], tuple(values[0]), optional, told=told)
    return Option(values[0], (), optional, told=told) if values[0] in (int, float, bool, str) else None


def options_of(kind: "type[DataclassInstance]") -> dict[str, Option]:
    """The fields of the dataclass that hold a value each, or a tuple of values, by name, in their order."""
    hints, told = get_type_hints(kind), told_of(kind)
    found = {field.name: option_of(hints[field.name], told[field.name]) for field in dataclasses.fields(kind)}
    return {name: option for name, option in found.items() if option is not None}


def sections_of(kind: "type[DataclassInstance]") -> dict[str, "type[DataclassInstance]"]:
    """The fields of the dataclass that are dataclasses themselves, by name: a mapping each."""
    hints = get_type_hints(kind)
    return {
        field.name: hint
        for field in dataclasses.fields(kind)
        if isinstance(hint := hints[field.name], type) and dataclasses.is_dataclass(hint)
    }


def read_settings(at: Place, base: T, *, without: Collection[str] = ()) -> T:
    """`base` with what the mapping at `at` sets; a member `without` is not known here. Dataclasses in it are mappings.

    Raises `ConfigError`, with all that is wrong, for unknown and doubled names, for values of another type or out of
    range, and with what the dataclass itself says to its values.
    """
    kind, before = type(base), len(at.gathered)
    members = at.members([name for name in _names(kind) if name not in without])
    reading = _values(options_of(kind), members)
    for name in sections_of(kind).keys() & members.keys():
        reading[name] = partial(read_settings, members[name], getattr(base, name))
    return _made(type(base), partial(dataclasses.replace, base), reading, members, at, at.gathered[before:])


def read_options(at: Place, kind: type[T]) -> T:
    """A `kind` as the mapping at `at` sets it; what it leaves out has its default.

    Raises `ConfigError` as `read_settings`, and for what is left out and has none.
    """
    before = len(at.gathered)
    members = at.members(_names(kind))
    reading = _values(options_of(kind), members)
    for name, section in sections_of(kind).items():
        if name in members:
            reading[name] = partial(read_options, members[name], section)
    for name in (name for name in required_of(kind) - members.keys() if not is_told(name, at.gathered[before:])):
        reading[name] = partial(_missing, at, name, told_of(kind)[name].help)
    return _made(kind, kind, reading, members, at, at.gathered[before:], required_of(kind))


def required_of(kind: "type[DataclassInstance]") -> set[str]:
    """The fields without a default."""
    missing = dataclasses.MISSING
    return {each.name for each in dataclasses.fields(kind) if each.default is missing is each.default_factory}


def laid_over(base: T, members: Mapping[str, Place], at: Place, told: Sequence[ConfigError] = ()) -> T:
    """`base` with those of its values that are among the `members` of the mapping at `at`; others are not looked at.

    Raises `ConfigError` as `read_settings`. `told` is what was gathered about the names of this mapping: what the
    dataclass then says to its values together may come of it, and is not told besides.
    """
    reading = _values(options_of(type(base)), members)
    return _made(type(base), partial(dataclasses.replace, base), reading, members, at, told)


def gathered(reading: Mapping[K, Callable[[], V]]) -> dict[K, V]:
    """What each of `reading` gives, by the same keys. Raises one `ConfigError` with the errors of all of them."""
    values, errors = _attempted(reading)
    if errors:
        raise together(errors)
    return values


def _attempted(reading: Mapping[K, Callable[[], V]]) -> tuple[dict[K, V], list[ConfigError]]:
    """What those of `reading` give that give something, and the errors of the others."""
    values: dict[K, V] = {}
    errors: list[ConfigError] = []
    for key, read in reading.items():
        try:
            values[key] = read()
        except ConfigError as error:
            errors.append(error)
    return values, errors


def _names(kind: "type[DataclassInstance]") -> list[str]:
    readable = {*options_of(kind), *sections_of(kind)}
    return [each.name for each in dataclasses.fields(kind) if each.name in readable]


def _values(options: Mapping[str, Option], members: Mapping[str, Place]) -> dict[str, Callable[[], Any]]:
    return {name: partial(option.read, members[name]) for name, option in options.items() if name in members}


def _missing(at: Place, name: str, meaning: str) -> Any:
    raise at.error(f"{name} is missing" + (f": {meaning}" if meaning else ""))


def _made(
    kind: type[T],
    make: Callable[..., T],
    reading: Mapping[str, Callable[[], Any]],
    members: Mapping[str, Place],
    at: Place,
    told: Sequence[ConfigError],
    needs: AbstractSet[str] = frozenset(),
) -> T:
    """What `make` makes of what is read. Its `ValueError` is told at the first member that it names, else at `at`.

    Where something else is wrong that error is told only if it speaks of members that were said and are right: else it
    may speak of a default, in the place of what was meant.
    """
    values, errors = _attempted(reading)
    made: T | None = None
    if values.keys() >= needs:
        try:
            made = make(**values)
        except ValueError as error:
            options = options_of(kind)
            named = [word for word in re.findall(r"\w+", str(error)) if word in options]
            if not (errors or told) or (named and values.keys() >= set(named)):
                place = next((members[name] for name in named if name in members), at)
                errors.append(place.error(str(error)))
    if errors:
        raise together(errors)
    if made is None:
        raise together(told)  # again: it is told once
    return made
