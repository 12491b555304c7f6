"""YAML text to nodes, and what is said to a text that is none: where, what, and what usually lies behind it.

Bounds, besides that of the file: `MAX_DEPTH` mappings and lists in each other, and `MAX_VALUES` values where an anchor
stands for many. No node holds itself.
"""

import itertools
import re
from typing import Final

import yaml

from rxlapce.errors import ConfigError, Problem

#: The deepest that anything of ours is, is 7; PyYAML itself ends in a RecursionError at some 300.
MAX_DEPTH: Final = 40
#: A file of 256 KiB without anchors has at most half as many.
MAX_VALUES: Final = 200_000
#: What PyYAML says -> what usually lies behind it; the first that is found is told.
_HINTS: Final = {
    r"character '\\t' that cannot start": "YAML is indented with blanks, never with tabs",
    r"character '.' that cannot start": "a text that begins so needs quotes",
    r"mapping values are not allowed": "a text that holds ': ' needs quotes, and a line is indented like its siblings",
    r"could not find expected ':'": "a name needs a colon and a blank after it",
    r"expected <block end>, but found '<scalar>'": "nothing may follow a text in quotes; '' is a quote inside of '...'",
    r"expected <block end>|'<document start>'": "a line is indented like its siblings",
    r"expected ',' or '.', but got": "a comma is missing, or the bracket is not closed",
    r"unexpected end of stream": "the quote is not closed",
    r"expected the node content": "a value is missing; a text that begins so needs quotes",
    r"sequence entries are not allowed": "the first '-' of a list stands in a line of its own",
    r"expected alphabetic or numeric character": "a text that begins with * or & needs quotes",
    r"undefined alias": "&NAME must stand before *NAME; a text that begins with * needs quotes",
    r"expected a single document": "a file is one document: take the line --- out",
    r"unknown escape character": "in double quotes \\ begins an escape: take single quotes",
    r"tag": "a text that begins with ! needs quotes",
    r"block scalar": "nothing else stands in the line of | or >; a text that begins so needs quotes",
}
#: Where PyYAML, like YAML itself, ends a line.
LINE_ENDS: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


def parse(text: str, file: str) -> yaml.Node:
    """The one document of `text`, which is called `file` in errors. Raises `ConfigError` where it is no YAML."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        raise _error(file, line, column, f"not YAML: {_told(error)}") from None
    except yaml.reader.ReaderError as error:
        raise _unprintable(text, file, error) from None
    if node is None:
        raise _error(file, 0, 0, "the document is empty")
    _check_size(node, file)
    return node


def _error(file: str, line: int, column: int, message: str) -> ConfigError:
    """The error of a place, counted from 0."""
    problem = Problem(file, line + 1, column + 1, "", message)
    return ConfigError(str(problem), [problem])


def _told(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, where what it speaks of began, and a hint."""
    whole = ", ".join(filter(None, (error.context, error.problem)))
    # The context says which of PyYAML's methods was at work, but for an anchor that stands twice.
    said = error.problem if error.problem and whole.startswith("while") else whole
    said = said.replace("'\\x00'", "nothing more").replace("'<stream end>'", "the end of the file")
    begun, found = error.context_mark, error.problem_mark
    if begun is not None and found is not None and begun.line != found.line:
        said += f" (it began in line {begun.line + 1})"
    hints = (hint for pattern, hint in _HINTS.items() if re.search(pattern, whole))
    return "; ".join((said, *itertools.islice(hints, 1)))


def _unprintable(text: str, file: str, error: yaml.reader.ReaderError) -> ConfigError:
    """A character that no YAML may hold; such as those with which a terminal is told to do something."""
    before = LINE_ENDS.split(text[: error.position])
    message = f"not YAML: holds the character U+{error.character:04X}, which no text file has"
    return _error(file, len(before) - 1, len(before[-1]), message)


class _Loader(yaml.SafeLoader):
    """PyYAML's, which would go as deep as Python's stack does."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node. Raises `MarkedYAMLError` for one too deep."""
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            raise yaml.MarkedYAMLError(None, None, f"nested more than {MAX_DEPTH} deep", parent.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _check_size(root: yaml.Node, file: str) -> None:
    """Raise `ConfigError` for a node that holds itself, and for more values than a file can hold without anchors."""
    sizes: dict[int, int] = {}
    inside: set[int] = set()
    stack: list[tuple[yaml.Node, bool]] = [(root, False)]
    while stack:
        node, seen = stack.pop()
        mark = node.start_mark
        if seen:
            size = sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
            inside.discard(id(node))
            if size > MAX_VALUES:
                raise _error(file, mark.line, mark.column, f"with its anchors it has more than {MAX_VALUES} values")
        elif id(node) in inside:
            raise _error(file, mark.line, mark.column, "it holds itself: its *NAME stands inside of its &NAME")
        elif id(node) not in sizes:
            inside.add(id(node))
            stack.append((node, True))
            stack += ((child, False) for child in _children(node))


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
