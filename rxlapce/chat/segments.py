"""Where a Markdown text that still grows can be parted, so that what is above need not be laid out again.

A screen lays out every block of a widget whenever one of them grows: an answer in one widget costs O(blocks) a drawing,
0.14 s at 19,000 characters (2026-11-23, Textual 8.2, two busy virtual CPUs). Parted, only the last part grows.
"""

from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: A part gets at least so many characters; what has no place to be cut at, such as one long list, gets more.
PART_CHARS: Final = 2000

_PARSER: Final = MarkdownIt("gfm-like")


def cut_of(text: str) -> int:
    """Where `text` can be cut, in characters from its beginning; 0 where it cannot, or is too short to need it.

    A cut is after a blank line at which every block has ended, whatever is still to come: not inside a fence, nor after
    a list, a quotation or HTML that what follows could continue. What is read of the two parts is what is read of the
    whole, but for references that one part makes to the other. O(text) with at most three parsings.
    """
    cut = len(text)
    for _ in range(3):
        cut = text.rfind("\n\n", PART_CHARS, cut)
        if cut < 0:
            return 0
        if _begins_a_block(text, cut + 2) and _is_closed(text[: cut + 2]):
            return cut + 2
    return 0


def parts_of(text: str) -> list[str]:
    """A whole text in parts that join to it."""
    parts: list[str] = []
    while (cut := _first_cut(text)) > 0:
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def open_fence(text: str) -> str:
    """What ends the code that `text` ends in, which stands in no list or quotation; "" if it ends otherwise."""
    last = _last_block(text)
    return last.markup if last is not None and last.type == "fence" and not _is_fence_closed(last, text) else ""


def fence_end(text: str) -> int:
    """Where the last code of `text` that has ended does so, whatever is still to come; 0 if there is none."""
    lines = text.splitlines(keepends=True)
    for token in reversed(_PARSER.parse(text)):
        if token.type == "fence" and token.level == 0 and token.map is not None:
            code = "".join(lines[: token.map[1]])
            if code.endswith("\n") and _is_fence_closed(token, code):
                return len(code)
    return 0


def _first_cut(text: str) -> int:
    """The first place after `PART_CHARS` at which a growing text would have been cut."""
    at = text.find("\n\n", PART_CHARS)
    while at >= 0:
        if _begins_a_block(text, at + 2) and _is_closed(text[: at + 2]):
            return at + 2
        at = text.find("\n\n", at + 1)
        if at > 16 * PART_CHARS:  # one list without an end: each try reads all of it
            return 0
    return 0


def _begins_a_block(text: str, at: int) -> bool:
    """Whether what stands there is no item of a list, no quotation, and not indented."""
    return at < len(text) and (text[at].isalpha() or text[at] in "#`")


def _is_closed(text: str) -> bool:
    """Whether no block of `text`, which ends in a blank line, can go on."""
    last = _last_block(text)
    if last is None:
        return False
    if last.type == "fence":
        return _is_fence_closed(last, text)
    return last.type in (
        "paragraph_close",
        "heading_close",
        "hr",
        "table_close",
        "bullet_list_close",
        "ordered_list_close",
    )


def _last_block(text: str) -> Token | None:
    return next((token for token in reversed(_PARSER.parse(text)) if token.level == 0), None)


def _is_fence_closed(fence: Token, text: str) -> bool:
    line = text.rstrip().rpartition("\n")[2].strip()
    return line.startswith(fence.markup) and not line.strip(fence.markup[0])
