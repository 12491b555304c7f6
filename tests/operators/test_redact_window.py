import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.operators.redact_patterns import PERSONAL, SECRETS, compile_patterns
from rxlapce.operators.redact_window import MAX_CANDIDATE_CHARS, CandidateTooLong, Fate, Window
from rxlapce.testing.thoroughness import examples

# Bounded patterns over a small alphabet, so that random text hits them, with everything that looks past a match's end.
PATTERNS = [
    ["ab{2,3}c?"],
    ["ab", "abc"],
    ["abc", "ab"],
    ["a(?:bc)?"],
    [r"a[^c]{0,5}c|b"],
    [r"\bab\b"],
    [r"ab\B"],
    [r"ab$"],
    [r"^ab", r"c\Z"],
    [r"ab(?!c)"],
    [r"ab(?=c\b)"],
    [r"(?<=ab)c{1,3}", "b"],
    [r"(?<!a)b{1,2}?c?"],
    [r"(?P<x>[ab]{1,2})-(?P=x)"],
    [r"(?i)aB", r"(?i:C)b"],
    [r"[a-b\]$]{2,4}c"],
    [r"a.c", r"(?s:b.c)"],
    [r"[ab]+c+"],
    ["a++b"],
]
TEXT = st.text("abc- \nAB", max_size=24)


def whole(patterns: Sequence[str], text: str) -> str:
    """What is right: the substitution in the whole text at once, by Python's own `re`."""

    def one(pattern: str) -> str:
        return f"(?i:{pattern[4:]})" if pattern.startswith("(?i)") else f"(?:{pattern})"

    return re.sub("|".join(map(one, patterns)), "#", text)


def window(patterns: Sequence[str], max_match_chars: int = 512, found: list[str] | None = None) -> Window:
    names = [] if found is None else found
    matcher = compile_patterns({str(number): pattern for number, pattern in enumerate(patterns)})
    return Window(matcher, max_match_chars, 5.0, names.append)


def shown(decided: list[tuple[Fate, str]]) -> str:
    return "".join(text if fate is Fate.KEEP else "#" * (fate is Fate.MASK) for fate, text in decided)


@settings(max_examples=examples(25), deadline=None)
@given(text=TEXT, cuts=st.lists(st.integers(0, 24), max_size=6))
@pytest.mark.parametrize("patterns", PATTERNS, ids=" , ".join)
def test_every_cut_gives_what_the_whole_text_gives(patterns: list[str], text: str, cuts: list[int]) -> None:
    sliding = window(patterns)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    out = "".join(shown(sliding.feed(piece)) for piece in pieces) + shown(sliding.close())
    assert out == whole(patterns, text)
    assert sliding.held_chars == 0


@settings(max_examples=examples(20), deadline=None)
@given(text=TEXT)
@pytest.mark.parametrize("patterns", PATTERNS, ids=" , ".join)
def test_nothing_is_held_that_no_continuation_could_change(patterns: list[str], text: str) -> None:
    """Some way to go on shows the held text otherwise than it stands there."""
    sliding = window(patterns)
    plain = shown(sliding.feed(text))
    held = text[len(text) - sliding.held_chars :]
    plain += held
    if not held or patterns == ["ab", "abc"]:  # there the second never matches, which the operator cannot know
        return
    endings = (
        "",
        "a",
        "b",
        "c",
        " ",
        "bc",
        "bbc",
        "cc",
        "-a",
        "-b",
        "ab",
        "aab",
        "ba",
        "-ab",
        "-ba",
        "-aa",
        "-bb",
        "b-",
    )
    more = [*endings, *(f"{one}{two}" for one in ("aaaa", "bb", "cc", "c", "b ") for two in endings)]
    assert not all(whole(patterns, text + rest).startswith(plain) for rest in more)


def test_plain_text_is_never_held() -> None:
    sliding = window([r"\bsk-[a-z]{4,}"])
    for piece in ("the ", "quick", " brown, ", "fox"):
        assert sliding.feed(piece) == [(Fate.KEEP, piece)]
        assert sliding.held_chars == 0


def test_only_the_beginning_of_a_match_is_held() -> None:
    found: list[str] = []
    sliding = window([r"\bsk-[a-z]{4}"], found=found)
    assert shown(sliding.feed("a key: s")) == "a key: "
    assert sliding.held_chars == 1
    assert shown(sliding.feed("k-ab")) == ""
    assert shown(sliding.feed("cdef")) == "#ef"
    assert found == ["0"]


def test_a_match_longer_than_the_bound_leaks_nothing_and_is_replaced_once() -> None:
    sliding = window([r"<[a-z]*>"], max_match_chars=10)
    out = [shown(sliding.feed(piece)) for piece in ("x<", "a" * 9, "b", "c" * 500, ">y")]
    assert out == ["x", "", "#", "", "y"]


def test_a_candidate_that_was_none_loses_only_what_was_masked() -> None:
    sliding = window([r"<[a-z]*>"], max_match_chars=10)
    out = [shown(sliding.feed(piece)) for piece in ("x<", "a" * 10, "bcd", "! <q>.")]
    assert out == ["x", "#", "", "bcd! #."]


def test_a_match_that_begins_inside_a_masked_candidate_is_dropped_to_its_end() -> None:
    sliding = window([r"<[a-z-]*>", r"--[a-z]{6}!"], max_match_chars=10)
    out = [shown(sliding.feed(piece)) for piece in ("<aaaaa", "bb--sec", "ret! z")]
    assert out == ["", "#", " z"]


def test_a_greedy_match_at_the_end_is_masked_at_its_bound_and_swallowed_until_it_ends() -> None:
    sliding = window([r"sk-[a-z]{3,}"], max_match_chars=8)
    out = [shown(sliding.feed(piece)) for piece in ("sk-abc", "defghijk", *("lmn",) * 50, " end")]
    assert out == ["", "#", *[""] * 50, " end"]


def test_an_endless_candidate_fails_at_the_memory_bound() -> None:
    sliding = window([r"<.*>"], max_match_chars=10)
    sliding.feed("<")
    for _ in range(MAX_CANDIDATE_CHARS // 512 - 1):
        sliding.feed("x" * 512)
    sliding.feed("x" * 511)
    with pytest.raises(CandidateTooLong, match="65536 characters"):
        sliding.feed("x")


def test_a_long_candidate_by_small_pieces_is_not_quadratic() -> None:
    sliding = window([r"<[^>]*>"])
    sliding.feed("<")
    began_s = time.perf_counter()
    for _ in range(15_000):
        sliding.feed("abcd")
    assert shown(sliding.feed(">" * 10_000)).startswith(">")
    assert time.perf_counter() - began_s < 2  # 0.02 s where this was written; quadratic would be 10


def test_a_pattern_that_explodes_is_a_timeout() -> None:
    sliding = Window(compile_patterns({"bad": r"(?:x|xx|x\w)+-y"}), 512, 0.02, lambda _: None)
    with pytest.raises(TimeoutError):
        sliding.feed("x" * 60)


def test_context_for_lookbehinds_outlives_what_is_forgotten() -> None:
    sliding = window([r"(?<=key: )\w+", "^x"], max_match_chars=10)
    out = "".join(shown(sliding.feed(piece)) for piece in ["x" * 3, *["words "] * 50, "key: ", "abc def"])
    assert out == "#xx" + "words " * 50 + "key: # def"


def test_the_first_listed_pattern_wins_and_is_counted() -> None:
    found: list[str] = []
    matcher = compile_patterns({"long": r"(?P<inner>a)b", "short": "a"})
    sliding = Window(matcher, 10, 1.0, found.append)
    assert shown(sliding.feed("abac")) == "##c"
    assert found == ["long", "short"]


def test_an_empty_match_hides_nothing() -> None:
    assert shown(window([r"(?=ab)", "c"]).feed("xabc ")) == "xab# "


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "no regular expression"),
        ("x*", "matches the empty text"),
        ("$", "matches the empty text"),
        (r"(a)\1", "counts groups"),
        (r"(a)?(?(1)b|c)", "counts groups"),
        ("(?m)^a$", "only a, i and s"),
        ("(?x: a )", "only a, i and s"),
        (r"\p{L}", "no regular expression"),
    ],
)
def test_a_pattern_that_cannot_be_exact_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_patterns({"p": pattern})


def test_no_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compile_patterns({})


@pytest.mark.parametrize("text", ["a{e<=1}", "a{", "a{x}"])
def test_a_brace_that_re_takes_literally_stays_literal(text: str) -> None:
    sliding = window([text.replace("{", "{")])
    assert shown(sliding.feed(f"a {text} ")) + shown(sliding.close()) == "a # "


def joined(*parts: str) -> str:
    """Keys that no scanner of this repository takes for real."""
    return "".join(parts)


SAMPLES = {
    "private_key": [
        joined("-----BEGIN ", "RSA PRIVATE KEY-----\nMIIEow+/=\n", "-----END RSA PRIVATE KEY-----"),
        joined("-----BEGIN ", "PRIVATE KEY-----\n", "MIIE" * 1000, "\n-----END PRIVATE KEY-----"),
        joined("-----BEGIN ", "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk cut off"),
    ],
    "anthropic_key": [joined("sk-", "ant-", "api03-", "Ab_9" * 20)],
    "openai_key": [joined("sk-", "proj-", "Ab-9" * 12), joined("sk-", "x9Y8" * 12), joined("sk-or-", "v1-", "0a" * 32)],
    "aws_access_key_id": [joined("AKIA", "IOSFODNN7EXAMPLE"), joined("ASIA", "IOSFODNN7EXAMPLE")],
    "aws_secret_access_key": [
        joined("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        joined('AWS_SECRET_KEY="', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ],
    "github_token": [joined("ghp_", "aB3d" * 9), joined("github_pat_", "11A_" * 20)],
    "slack_token": [joined("xoxb-", "123456789012-", "abcDEF"), joined("xapp-", "1-A0B1C2D3-4567")],
    "slack_webhook": [joined("https://hooks.slack.com/", "services/T00000000/B00000000/XXXXXXXX")],
    "google_api_key": [joined("AIza", "SyA-1234567890abcdefghijklmnopqrstu")],
    "stripe_key": [joined("sk_", "live_", "4eC39HqLyjWDarjtT1zdp7dc")],
    "json_web_token": [
        joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P")
    ],
    "bearer_token": [joined("Bearer ", "abcdef0123456789.~+/", "=="), joined("authorization: bearer ", "a" * 30)],
    "payment_card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "email": ["ada.lovelace+x@mail.example.co.uk"],
}
ALL = {**SECRETS, **PERSONAL}


def test_every_ready_made_pattern_has_samples() -> None:
    assert list(SAMPLES) == list(ALL)


@pytest.mark.parametrize(
    ("name", "secret"), [(name, secret) for name, secrets in SAMPLES.items() for secret in secrets]
)
@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.heavy), 7, 5000])
def test_a_ready_made_pattern_finds_its_secret_however_cut(name: str, secret: str, size: int) -> None:
    found: list[str] = []
    sliding = Window(compile_patterns(ALL), 512, 5.0, found.append)
    text = f"here: {secret}" if secret.endswith("cut off") else f"here: {secret}, and on."
    out = "".join(shown(sliding.feed(text[at : at + size])) for at in range(0, len(text), size))
    out += shown(sliding.close())
    assert found == [name]
    secret_part = secret.rpartition(": ")[2].rpartition("= ")[2].rpartition('="')[2]
    assert secret_part not in out
    assert out.startswith("here: ")
    assert out.endswith(("#", "#, and on."))


@pytest.mark.parametrize(
    "text",
    [
        "The risk-free ask-me-anything disk-1 of sk-learn; task-oriented.",
        "A bearer of bad news; bearer bonds. AKIAX is no key, nor is eyJ.",
        "Order 12345, version 1.2.3.4, call +49 30 1234567, on 2026-11-22 at 10:11:12; pi is 3.14159265358979.",
        "def f(x): return x @ y  # me@localhost",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_ready_made_patterns_leave_ordinary_text_alone(text: str) -> None:
    sliding = Window(compile_patterns(ALL), 512, 5.0, lambda _: None)
    assert shown(sliding.feed(text)) + shown(sliding.close()) == text
