"""The stages that change what is said: `redact` and `coalesce_text`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rxlapce.operators.coalesce import DEFAULT_MAX_CHARS, coalesce_text
from rxlapce.operators.redact import DEFAULT_TIMEOUT_S, redact
from rxlapce.operators.redact_patterns import PERSONAL, SECRETS, compile_patterns
from rxlapce.operators.redact_window import MAX_CANDIDATE_CHARS
from rxlapce.registry import SECONDS, Kind, Shape, check_ranges, option
from rxlapce.routing.traffic import Operator
from rxlapce.routing.way import MakeTokens, Setup, Site
from rxlapce.secret import MASK


class Find(StrEnum):
    """Ready-made patterns."""

    SECRETS = "secrets"
    """Keys and tokens in the shapes that their issuers document."""
    PERSONAL = "personal"
    """Payment cards and mail addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactOptions:
    """What is replaced, and where it is looked for."""

    find: tuple[Find, ...] = option(
        (Find.SECRETS,), help="ready-made patterns: secrets (keys and tokens), personal (cards and mail addresses)"
    )
    patterns: tuple[str, ...] = option((), help="regular expressions besides, in the syntax of Python's `re`")
    replacement: str = option(MASK, help="what stands in the place of a match")
    max_match_chars: int = option(
        512,
        help="so much is held back while a match is not decided",
        unit="characters",
        at_least=1,
        at_most=MAX_CANDIDATE_CHARS,
    )
    reasoning: bool = option(default=True, help="whether thoughts are looked at too")
    arguments: bool = option(default=False, help="whether the texts in tools' arguments are looked at too")
    timeout_s: float = option(
        DEFAULT_TIMEOUT_S, help="a search that takes longer ends the stream in an error", unit=SECONDS, above=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        for pattern in self.patterns:
            try:
                compile_patterns({pattern: pattern})
            except ValueError as error:
                raise ValueError(f"patterns: {error}") from error
        if not self.by_name:
            raise ValueError("patterns: there is nothing to find: say some, or find: [secrets]")

    @property
    def by_name(self) -> dict[str, str]:
        """All patterns, in the order in which they win; those of the file by their places, from 1."""
        ready = {Find.SECRETS: SECRETS, Find.PERSONAL: PERSONAL}
        own = {f"pattern {number}": pattern for number, pattern in enumerate(self.patterns, 1)}
        return own | {name: pattern for find in self.find for name, pattern in ready[find].items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoalesceOptions:
    """How much is merged, and for how long a piece waits."""

    max_delay_s: float = option(
        0.02,
        help="so long the first piece of a merge waits; 0: until the event loop's next round",
        unit=SECONDS,
        at_least=0,
    )
    max_chars: int = option(DEFAULT_MAX_CHARS, help="a merge grows no larger", unit="characters", at_least=1)

    def __post_init__(self) -> None:
        check_ranges(self)


def _redact(options: RedactOptions, _: Setup) -> MakeTokens:
    operator = redact(
        options.by_name,
        replacement=options.replacement,
        max_match_chars=options.max_match_chars,
        reasoning=options.reasoning,
        arguments=options.arguments,
        timeout_s=options.timeout_s,
    )  # compiled once, for all requests

    def make(_: Site) -> Operator:
        return operator

    return make


def _coalesce(options: CoalesceOptions, _: Setup) -> MakeTokens:
    operator = coalesce_text(options.max_delay_s, options.max_chars)

    def make(_: Site) -> Operator:
        return operator

    return make


REDACT: Final = Kind(
    name="redact",
    summary="Replaces what matches a pattern, however it was cut into tokens",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=RedactOptions,
    make=_redact,
    bound="65,536 characters of a text that are not decided, 256 texts; past either the stream ends in an error",
    example='redact: {find: [secrets, personal], patterns: ["PROJ-[0-9]{4,8}"]}',
)
COALESCE_TEXT: Final = Kind(
    name="coalesce_text",
    summary="Makes few larger pieces of text of many small ones",
    takes=Shape.TOKENS,
    gives=Shape.TOKENS,
    options=CoalesceOptions,
    make=_coalesce,
    bound="`max_chars` characters, for `max_delay_s` at most",
    example="coalesce_text: {max_delay_s: 0.05}",
)
