"""Figures as people read them, and texts at a width of the terminal's."""

from rich.cells import cell_len, set_cell_size

from rxlapce.cli.screen import printable

_STEPS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float) -> str:
    """Two units at most: `4 s`, `2 min 10 s`, `3 h 5 min`, `12 d 1 h`."""
    whole = int(seconds)
    for size, unit, smaller, its_unit in _STEPS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {its_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(count: int) -> str:
    """Bytes in the largest binary unit that it fills: `512 B`, `84.2 MiB`."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` cells of a terminal, from 1: cut with an ellipsis, or filled up. One line."""
    plain = printable(" ".join(text.split()))
    if cell_len(plain) > width:
        return set_cell_size(plain, width - 1) + "…"
    return set_cell_size(plain, width)
