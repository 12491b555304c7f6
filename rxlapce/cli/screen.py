"""What a model says, made safe for a terminal, and for who reads line by line."""

import msgspec

#: C0 without tab and line feed, DEL, C1: with these a text moves the cursor, sets the clipboard, renames the window.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def printable(text: str) -> str:
    """`text` without control characters but tab and line feed.

    An escape sequence is harmless without its first character, also where it is cut between two tokens.
    """
    return text.translate(_CONTROLS)


#: JSON leaves these as they are, and some readers (Python's `splitlines` among them) end a line there.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def json_line(value: object) -> str:
    """`value` as JSON that is one line for every reader."""
    return msgspec.json.encode(value).decode().translate(_LINE_ENDS)
