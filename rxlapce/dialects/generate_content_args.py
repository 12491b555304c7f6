"""Streamed arguments of a Gemini function call: pieces with JSON paths, put together into one JSON text.

Vertex AI streams them on request (`streamFunctionCallArguments`). A piece is `{"jsonPath": "$.list[0].name",
"stringValue": "Bos", "willContinue": true}`; the next piece of the same path goes on with the string.
Source: Vertex AI's reference, "PartialArg"; the paths are the definite ones of RFC 9535.
"""

import re
from typing import Any, Final

from rxlapce.dialects.json_values import dumps, is_object

MAX_DEPTH: Final = 64
_VALUES: Final = ("stringValue", "numberValue", "boolValue")
_STEP: Final = re.compile(r"""\.(\w[\w-]*)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")


class _Text:
    """A string under way. Joined at the end: each piece is copied once."""

    __slots__ = ("pieces",)

    def __init__(self, start: str) -> None:
        self.pieces = [start]

    def value(self) -> str:
        """What it says."""
        return "".join(self.pieces)


class _Node:
    """An object or a list under way: its members by name, or its elements by number."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: dict[str | int, Any] = {}

    def takes(self, step: str | int) -> bool:
        """Whether a member can stand there: names and numbers do not mix, and elements come in order."""
        if isinstance(step, int):
            return step <= len(self.members) and isinstance(next(iter(self.members), 0), int)
        return 0 not in self.members

    def value(self) -> Any:
        """The JSON value."""
        values = {
            step: inner.value() if isinstance(inner, _Node | _Text) else inner for step, inner in self.members.items()
        }
        return list(values.values()) if 0 in values else values


class StreamedArguments:
    """The arguments so far. Memory: their own size. Time: linear in the pieces."""

    __slots__ = ("_open", "_root")

    def __init__(self) -> None:
        self._root = _Node()
        self._open: str | None = None  # the path whose string goes on

    def text(self) -> str:
        """The arguments as compact JSON."""
        return dumps(self._root.value())

    def update(self, whole: dict[str, Any]) -> None:
        """Take arguments that came whole."""
        self._root.members.update(whole)

    def add(self, piece: Any) -> bool:
        """Take a piece; False, with nothing changed, if it cannot be understood.

        That is one without a path of at most `MAX_DEPTH` names and indices, or whose path leads through a value that
        is no object or list, or past a list's end.
        """
        path = piece.get("jsonPath") if is_object(piece) else None
        steps = _steps(path) if isinstance(path, str) else None
        if not steps or not is_object(piece) or not self._reaches(steps):
            return False
        value = next((piece[name] for name in _VALUES if piece.get(name) is not None), None)
        node = self._root
        for step in steps[:-1]:
            node = node.members.setdefault(step, _Node())
        known = node.members.get(steps[-1])
        if path == self._open and isinstance(known, _Text) and isinstance(value, str):
            known.pieces.append(value)
        else:
            node.members[steps[-1]] = _Text(value) if isinstance(value, str) else value
        self._open = path if piece.get("willContinue") else None
        return True

    def _reaches(self, steps: list[str | int]) -> bool:
        node: Any = self._root
        for step in steps:
            if not isinstance(node, _Node) or not node.takes(step):
                return False
            node = node.members[step] if step in node.members else _Node()
        return True


def _steps(path: str) -> list[str | int] | None:
    """The names and indices of a path; None if it is none of this kind."""
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path) and len(steps) < MAX_DEPTH:
        match = _STEP.match(path, at)
        if match is None:
            return None
        name, index, *quoted = match.groups()
        if index is not None:
            steps.append(int(index))
        elif name is not None:
            steps.append(name)
        else:
            steps.append(re.sub(r"\\(.)", r"\1", next(text for text in quoted if text is not None)))
        at = match.end()
    return steps if at == len(path) else None
