"""A YAML document, read strictly: every wrong thing is told with its place, what was expected, and what came.

A document is not made into Python objects, which would lose where each came from, drop doubled keys in silence, and
make `no` False: its nodes are walked. YAML 1.1's surprises are errors that say how YAML read it and what to write:
`no`, and of numbers all that is not plainly decimal (1_000, 010, 0x10, 1:30, 1e3, .inf).

Source: https://yaml.org/spec/1.1/ (the version that PyYAML reads), sections 3.2.1.3 and 10.
"""

import difflib
import math
import re
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import yaml

from rxlapce.config.parse import parse
from rxlapce.errors import ConfigError, Problem

MAX_SHOWN_CHARS: Final = 60
_PREFIX: Final = "tag:yaml.org,2002:"
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,14})")
_TOO_LONG: Final = re.compile(r"[-+]?[1-9][0-9]{15,}")
#: What YAML calls a plain word that is more than a text.
_READ_AS: Final = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "nothing",
    "timestamp": "a date",
}


def together(errors: Sequence[ConfigError]) -> ConfigError:
    """One error that tells all of `errors`, in the order of the file; each place once, though aliases repeat it."""
    if len(errors) == 1:
        return errors[0]
    unplaced = [str(error) for error in errors if not error.problems]
    once: dict[tuple[str, int, int, str], Problem] = {}
    for each in (problem for error in errors for problem in error.problems):
        once.setdefault((each.file, each.line, each.column, each.message), each)
    problems = sorted(once.values(), key=lambda each: (each.line, each.column))
    return ConfigError("\n".join((*unplaced, *map(str, problems))), problems)


def is_told(name: str, told: Iterable[ConfigError]) -> bool:
    """Whether `told` are about a name that was meant to be `name`: that it is missing is then no second error."""
    return any(f"did you mean {name}?" in str(error) or ", got <<, " in str(error) for error in told)


class Problems:
    """What is wrong in a document, gathered while the rest of it is read on."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    @contextmanager
    def collect(self) -> Generator[None]:
        """Keep the `ConfigError` of the block, which ends there, and go on after it."""
        try:
            yield
        except ConfigError as error:
            self.found.append(error)

    def raise_any(self) -> None:
        """Raise one `ConfigError` with all that was found, in the order of the file; return if nothing was."""
        if self.found:
            raise together(self.found)


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a document, and where it stands: `path` of keys from the top, line and column from 1.

    `key` is the node of its name, if it is a member. With `problems`, `collect` gathers what is wrong and reading goes
    on; without, the first error ends it.
    """

    file: str
    path: str
    node: yaml.Node
    problems: Problems | None = field(default=None, compare=False, repr=False)
    key: yaml.Node | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        where = self.node.start_mark
        said = f"{self.file}:{where.line + 1}:{where.column + 1}"
        return f"{said}: {self.path}" if self.path else said

    def error(self, message: str) -> ConfigError:
        """The error that `message` tells of this place."""
        where = self.node.start_mark
        problem = Problem(self.file, where.line + 1, where.column + 1, self.path, message)
        return ConfigError(str(problem), (problem,))

    def name_error(self, message: str) -> ConfigError:
        """The error that `message` tells of this member's name, where that stands."""
        return self.error(message) if self.key is None else replace(self, node=self.key).error(message)

    @contextmanager
    def collect(self) -> Generator[None]:
        """A block whose `ConfigError` ends it alone: the error is gathered, if this document's are.

        An error that tells no place of its own is about this one. What the block sets must be set before it too, for
        whoever reads on.
        """
        try:
            yield
        except ConfigError as error:
            placed = error if error.problems else self.error(str(error))
            if self.problems is None:
                raise placed from None
            self.problems.found.append(placed)

    @property
    def gathered(self) -> Sequence[ConfigError]:
        """The errors that have been gathered until now, of the whole document."""
        return () if self.problems is None else self.problems.found

    def wrong(
        self, expected: str, *, nearest: Iterable[str] = (), got: str | None = None, name: str | None = None
    ) -> ConfigError:
        """The error that `expected` should stand here; the nearest right name is added.

        What came is `name`, if it is the name of this place that is wrong, else what stands here; `got` shows it.
        """
        said = self._plain() if name is None else name
        shown = got if got is not None else _short(name) if name is not None else self._shown()
        error = self.error if name is None else self.name_error
        return error(f"expected {expected}, got {shown}{did_you_mean(said, nearest)}")

    def members(self, known: Collection[str] | None = None) -> dict[str, "Place"]:
        """The mapping's values by their names.

        Raises `ConfigError` for anything but a mapping, a doubled name, and one not in `known`; where errors are
        gathered the last two are, and the rest is read on.
        """
        if not isinstance(self.node, yaml.MappingNode) or not self.is_mapping():
            raise self.wrong("a mapping (name: value)")
        found: dict[str, Place] = {}
        lines: dict[str, int] = {}
        for key, value in self.node.value:
            at = self._at(self.path, key)
            with at.collect():
                name = at.text("a name")
                if known is not None and name not in known:
                    listed = ", ".join(known)
                    raise at.error(f"unknown name {_short(name)}; known: {listed}{did_you_mean(name, known)}")
                if name in found:
                    raise at.error(f"{_short(name)} stands here a second time; the first is in line {lines[name]}")
                lines[name] = key.start_mark.line + 1
                found[name] = self._at(f"{self.path}.{name}" if self.path else name, value, key)
        return found

    def items(self, expected: str = "a list") -> list["Place"]:
        """The list's items. Raises `ConfigError` for anything but a list."""
        if not isinstance(self.node, yaml.SequenceNode) or self._tag() != "seq":
            raise self.wrong(expected)
        return [self._at(f"{self.path}[{number}]", item) for number, item in enumerate(self.node.value)]

    def text(self, expected: str = "a text") -> str:
        """The text. Raises `ConfigError` for what YAML reads as something else, quoted or not."""
        if not self.is_text():
            said, tag = self._plain(), self._tag()
            advice = f"{said}, which YAML reads as {_READ_AS.get(tag)}: put it in quotes if it is a text"
            raise self.wrong(expected, got=advice if tag in _READ_AS and said else None)
        return str(self.node.value)

    def flag(self, *, also: str = "") -> bool:
        """True or false. Raises `ConfigError` for anything but these two words; `also` as in `choice`."""
        if self._tag() == "bool" and isinstance(self.node, yaml.ScalarNode) and self.node.value in ("true", "false"):
            return bool(self.node.value == "true")
        expected = _or("true or false", also)
        raise self.wrong(expected, got=_short(self._plain()) if self._tag() == "bool" else None)

    def integer(self, expected: str = "a whole number", *, also: str = "") -> int:
        """The whole number, of at most 15 decimal digits. Raises `ConfigError` for any other; `also` as in `choice`."""
        if self._tag() == "int" and _WHOLE.fullmatch(self._plain()):
            return int(self._plain())
        raise self._wrong_number(_or(expected, also))

    def number(self, expected: str = "a number", *, also: str = "") -> float:
        """The finite decimal number, whole or not. Raises `ConfigError` for any other; `also` as in `choice`."""
        said = self._plain()
        if self._tag() == "int" and _WHOLE.fullmatch(said):
            return float(said)
        if self._tag() == "float" and (value := _finite(said)) is not None:
            return value
        raise self._wrong_number(_or(expected, also))

    def is_null(self) -> bool:
        """Whether it says null; an empty place, where something was forgotten, does not."""
        return self._tag() == "null" and self._plain() != ""

    def is_mapping(self) -> bool:
        """Whether `members` gives them."""
        return isinstance(self.node, yaml.MappingNode) and self._tag() == "map"

    def is_list(self) -> bool:
        """Whether `items` gives them."""
        return isinstance(self.node, yaml.SequenceNode) and self._tag() == "seq"

    def is_text(self) -> bool:
        """Whether `text` gives it."""
        return self._tag() == "str" and isinstance(self.node, yaml.ScalarNode)

    def choice(self, choices: Collection[str], *, also: str = "") -> str:
        """One of `choices`. Raises `ConfigError` for any other; `also` is what else could have stood here."""
        listed = _or(" or ".join(choices), also)
        said = self.text(listed)
        if said not in choices:
            raise self.wrong(listed, nearest=choices)
        return said

    def text_of(self, document: str) -> str:
        """What stands here in the text of the document, as it is written there."""
        return document[self.node.start_mark.index : self.node.end_mark.index].strip()

    def _at(self, path: str, node: yaml.Node, key: yaml.Node | None = None) -> "Place":
        return Place(self.file, path, node, self.problems, key)

    def _wrong_number(self, expected: str) -> ConfigError:
        """What stands here is not the number `expected`; or it is one, but not written so that all read the same."""
        said, tag = self._plain(), self._tag()
        if not said or tag not in (*_READ_AS, "str"):
            return self.wrong(expected)
        if tag == "str":
            value = _finite(said) if isinstance(self.node, yaml.ScalarNode) and self.node.style is None else None
            if value is None:
                return self.wrong(expected)
            return self.wrong(expected, got=f"{_short(said)}, which YAML reads as a text: write {_decimal(value)}")
        if _TOO_LONG.fullmatch(said):
            return self.wrong(f"{expected}, of at most 15 digits", got=_cut(said))
        value = _as_yaml(said) if tag in ("int", "float") else None
        if value is None or _finite(said) == value:  # 5.0 where a whole number is expected; a date; no; .inf
            return self.wrong(expected)
        return self.wrong(
            expected, got=f"{_cut(said)}, which YAML reads as {_decimal(value)}: write that if it is meant"
        )

    def _tag(self) -> str:
        return str(self.node.tag).removeprefix(_PREFIX)

    def _plain(self) -> str:
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""

    def _shown(self) -> str:
        said, tag = self._plain(), self._tag()
        match tag:
            case "map":
                return "a mapping"
            case "seq":
                return "a list"
            case "str":
                return _short(said)
            case "null":
                return said or "nothing"
            case "merge":
                return f"{said}, which is not supported: write the members out"
            case _ if tag in _READ_AS:
                return _cut(said)
            case _:
                return f"a value with the tag {_short(str(self.node.tag))}"


def read_document(text: str, file: str, problems: Problems | None = None) -> Place:
    """The one document of `text`, which is called `file` in errors, with where its `problems` are gathered.

    Raises `ConfigError` where it is no YAML.
    """
    return Place(file, "", parse(text, file), problems)


def _or(expected: str, also: str) -> str:
    return f"{expected} or {also}" if also else expected


def _finite(said: str) -> float | None:
    """The number, written as everybody writes one; None for any other, and for what is none."""
    try:
        value = float(said)
    except ValueError:
        return None
    begins = said.lstrip("+-")[:2]
    plain = said.isascii() and "_" not in said and not (begins[:1] == "0" and begins[1:].isdigit())
    return value if plain and math.isfinite(value) else None


def _as_yaml(said: str) -> float | None:
    """The number as which YAML reads a plain word; None for one that is not finite."""
    try:
        value = yaml.safe_load(said)
    except (ValueError, yaml.YAMLError):  # of more digits than Python takes; a tag that does not fit
        return None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _decimal(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."


def _short(text: str) -> str:
    return repr(_cut(text))


def did_you_mean(said: str, names: Iterable[str]) -> str:
    """The end of an error that names what is nearest to `said`; "" if nothing is near."""
    near = difflib.get_close_matches(said, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""
