r"""What `redact` looks for: patterns made ready for text that is still coming, and ready-made ones.

Python's `re` cannot tell "no match" from "no match yet"; the `regex` module can, by partial matching. It does so only
where a character is *wanted* past the end, only if nothing matches in full, and takes the end for granted in `\b`, `$`
and a greedy repeat. So a pattern P is compiled twice:

- as P: its complete matches, as they would be in the whole text;
- as P followed by a character that cannot exist: never a complete match, but a partial one at the first place from
  where *some* way through P reaches the end of the text. Before that place, nothing that comes can change anything.

and `\b`, `\B`, `$`, `\Z` are first written as the lookarounds that they stand for, which do want a character.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import regex

#: Wants one more character and takes none. (`[^\s\S]` would be plainer, but `regex` lets it match.)
_NEVER: Final = "(?!x)x"

_LOOKAROUNDS: Final = {
    r"\b": r"(?:(?<=\w)(?!\w)|(?<!\w)(?=\w))",
    r"\B": r"(?:(?<=\w)(?=\w)|(?<!\w)(?!\w))",
    r"\Z": r"(?![\s\S])",
    r"$": r"(?=\n?(?![\s\S]))",
}

_PIECE: Final = re.compile(
    r"""
      (?P<group>  \\[1-9] | \(\?\(                                    )   # what counts groups
    | (?P<escape> \\.                                                 )
    | (?P<class>  \[ \^? \]? (?: \\. | [^\]\\] )* \]                  )
    | (?P<flags>  \(\? [aiLmsux]* -? [imsx]* [:)]                     )
    | (?P<end>    \$                                                  )
    | (?P<brace>  \{ (?! \d+ (?:,\d*)? \} | ,\d+ \} )                 )   # a literal to `re`, fuzzy matching to `regex`
    | (?P<other>  .                                                   )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Matcher:
    """All patterns of one `redact` as one alternation."""

    complete: "regex.Pattern[str]"
    undecided: "regex.Pattern[str]"
    names: Mapping[str, str]
    """The pattern's name by the name of its group."""


def compile_patterns(patterns: Mapping[str, str]) -> Matcher:
    """Make one matcher of `patterns`, regular expressions by name, in the syntax that `re` and `regex` share.

    Of several that match at one place the first listed wins, as in `a|b`. Raises `ValueError` with the pattern's name
    for: no pattern at all; one that `re` refuses; one that matches the empty text; references to groups by number and
    the flags `L`, `m`, `u`, `x`, which would not survive being put together.
    """
    if not patterns:
        raise ValueError("redact needs at least one pattern")
    parts: list[str] = []
    names: dict[str, str] = {}
    for number, (name, pattern) in enumerate(patterns.items()):
        group = f"redact_{number}"
        names[group] = name
        parts.append(f"(?P<{group}>{_prepared(name, pattern)})")
    whole = "|".join(parts)
    try:
        return Matcher(regex.compile(whole), regex.compile(f"(?:{whole}){_NEVER}"), MappingProxyType(names))
    except regex.error as error:
        raise ValueError(f"these patterns cannot be put together: {error}") from error


def _prepared(name: str, pattern: str) -> str:
    """`pattern` with nothing in it that takes the end of the text for granted."""
    try:
        plain = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {name!r} is no regular expression: {error}") from error
    if plain.search("") is not None:
        raise ValueError(f"pattern {name!r} matches the empty text, so it would be found everywhere")
    opening, closing = "", ""
    pieces: list[str] = []
    for piece in _PIECE.finditer(pattern):
        text = piece.group()
        match piece.lastgroup:
            case "group":
                raise ValueError(f"pattern {name!r}: {text!r} counts groups; name them, (?P<n>...) and (?P=n)")
            case "flags" if set(text) & set("Lmux"):
                raise ValueError(f"pattern {name!r}: of the flags only a, i and s can be used, not {text!r}")
            case "flags" if text.endswith(")"):  # `re` allows these at the start alone: they hold for this pattern only
                opening, closing = f"{text[:-1]}:", ")"
            case "class":
                pieces.append(text[0] + text[1:].replace("[", r"\["))  # [: would begin a POSIX class of `regex`
            case "brace":
                pieces.append(r"\{")
            case _:
                pieces.append(_LOOKAROUNDS.get(text, text))
    return opening + "".join(pieces) + closing


#: Keys and tokens in the shapes that their issuers document, to be passed to `redact` whole or in part.
#: Before a letter `(?<!\w)` is what `\b` is, and takes a third of the time.
SECRETS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A key that the answer's end cuts off is one too, so the end of the text ends it.
        "private_key": (
            r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"[\s\S]*?(?:-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
        "anthropic_key": r"(?<!\w)sk-ant-[A-Za-z0-9_-]{20,}",
        "openai_key": r"(?<!\w)sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}",
        "aws_access_key_id": r"(?<!\w)(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",
        "aws_secret_access_key": (
            r"(?i:aws_?secret_?(?:access_?)?key)[\"']?\s{0,4}[:=]\s{0,4}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
        ),
        "github_token": r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})",
        "slack_token": r"(?<!\w)xox[abeoprs]-[A-Za-z0-9-]{10,}|(?<!\w)xapp-[0-9]-[A-Za-z0-9-]{10,}",
        "slack_webhook": r"(?<!\w)https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}",
        "google_api_key": r"(?<!\w)AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
        "stripe_key": r"(?<!\w)[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        "json_web_token": r"(?<!\w)eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        "bearer_token": r"(?<!\w)(?i:bearer)[ \t]{1,4}[A-Za-z0-9._~+/-]{16,}={0,2}",
    }
)

#: Data of persons. Not exact: 13 to 19 digits may be no card. An address holds back each word until it ends.
PERSONAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "payment_card": r"(?<![\d.-])(?:\d[ -]?){12,18}\d(?![\d-])",
        "email": (
            r"(?<!\w)[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1"
            r",63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
        ),
    }
)
