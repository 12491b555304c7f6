"""What a model says, made safe for a terminal."""

#: C0 without tab and line feed, DEL, C1: with these a text moves the cursor, sets the clipboard, renames the window.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def printable(text: str) -> str:
    """`text` without control characters but tab and line feed.

    An escape sequence is harmless without its first character, also where it is cut between two tokens.
    """
    return text.translate(_CONTROLS)
