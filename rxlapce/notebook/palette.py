"""The colours of all diagrams, in one place: by kind, for a light ground and a dark one.

They began as those of Okabe and Ito (2008), which have eight, and were moved until every two kinds that share a lane
stay apart for common sight and for protan, deutan and tritan eyes (simulated after Machado and others, 2009), and each
stands out from its ground by 3 to 1 and more, as WCAG 2.2 asks of graphics (1.4.11). A test holds them to that.
"""

from typing import Final, NamedTuple

from rxlapce.notebook.marks import MarkKind, Outcome, SpanKind


class Tint(NamedTuple):
    """One colour, as `#rrggbb`, on a light ground and on a dark one."""

    light: str
    dark: str


KINDS: Final[dict[MarkKind, Tint]] = {
    MarkKind.BYTES: Tint("#727679", "#9b9899"),
    MarkKind.EVENT: Tint("#57636d", "#a8bcc9"),
    MarkKind.TEXT: Tint("#0b67c3", "#56b4e9"),
    MarkKind.REASONING: Tint("#a95e9d", "#bd75b0"),
    MarkKind.REFUSAL: Tint("#8c1d40", "#da9f9a"),
    MarkKind.TOOL_CALL: Tint("#da7a0a", "#ef8b00"),
    MarkKind.USAGE: Tint("#655e00", "#c9c66c"),
    MarkKind.FINISH: Tint("#219669", "#3de6cf"),
    MarkKind.SEAM: Tint("#bf6402", "#d55e00"),
    MarkKind.OPAQUE: Tint("#3a2a7a", "#857ce5"),
    MarkKind.VALUE: Tint("#1f94cb", "#3f9bd0"),
}

SPANS: Final[dict[SpanKind, Tint]] = {
    SpanKind.STALL: Tint("#b4530a", "#f0a35e"),
    SpanKind.PAUSED: Tint("#4f6b8f", "#8fb3e0"),
}

OUTCOMES: Final[dict[Outcome, Tint]] = {
    Outcome.COMPLETED: Tint("#3d4650", "#c4ccd4"),
    Outcome.FAILED: Tint("#c01c28", "#ff7b72"),
    Outcome.CANCELLED: Tint("#727679", "#9b9899"),
}

#: What is not data: the ground, what is written on it, what is written small, and lines.
GROUND: Final[dict[str, Tint]] = {
    "ground": Tint("#ffffff", "#111111"),
    "ink": Tint("#1f2328", "#e6e8eb"),
    "muted": Tint("#5b646d", "#a3abb3"),
    "line": Tint("#d0d7de", "#3d444d"),
}


def tints() -> dict[str, Tint]:
    """All of them by name, kinds of marks, of spans, outcomes and the ground: no two share a name."""
    return {
        **{kind.value: tint for kind, tint in KINDS.items()},
        **{kind.value: tint for kind, tint in SPANS.items()},
        **{outcome.value: tint for outcome, tint in OUTCOMES.items()},
        **GROUND,
    }


def as_json() -> dict[str, dict[str, str]]:
    """`tints` as a page gets them: name -> {"light": "#rrggbb", "dark": "#rrggbb"}."""
    return {name: tint._asdict() for name, tint in tints().items()}
