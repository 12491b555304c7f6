import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.notification import OnError, OnNext
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler
from reactivex.testing.recorded import Recorded

from rxlapce.errors import ErrorKind, ProviderError, Retry
from rxlapce.operators.redact import MAX_TEXTS, RedactStats, redact
from rxlapce.secret import MASK
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

on_error, on_completed = ReactiveTest.on_error, ReactiveTest.on_completed
KEY = {"key": r"sk-[a-z]{4}"}
FINISH = Finish(FinishKind.STOP)
USAGE = UsageReport(Usage(output=3))


def on_next(time_s: int, token: StreamToken) -> Recorded[StreamToken]:
    return Recorded(time_s, OnNext(token))


def run(
    operator: Callable[[Observable[StreamToken]], Observable[StreamToken]], *sent: Recorded[StreamToken]
) -> list[Recorded[StreamToken]]:
    """What comes out; and the source is disposed when it ends, or with the subscription."""
    scheduler = TestScheduler()
    source = scheduler.create_hot_observable(*sent)
    got = scheduler.start(lambda: source.pipe(operator)).messages
    (subscription,) = source.subscriptions
    ended = bool(got) and not isinstance(got[-1].value, OnNext)
    assert subscription.unsubscribe == (got[-1].time if ended else 1000)
    return got


def passed(
    operator: Callable[[Observable[StreamToken]], Observable[StreamToken]], *sent: StreamToken
) -> list[StreamToken]:
    """The tokens that come out of a stream of `sent` that then completes."""
    got = run(operator, *(on_next(210 + place, token) for place, token in enumerate(sent)), on_completed(900))
    assert got[-1] == on_completed(900)
    return [message.value.value for message in got if isinstance(message.value, OnNext)]


def failure(got: list[Recorded[StreamToken]]) -> ProviderError:
    assert isinstance(got[-1].value, OnError)
    assert isinstance(got[-1].value.exception, ProviderError)
    return got[-1].value.exception


def test_marbles_a_secret_split_over_tokens_is_replaced_and_all_else_flows() -> None:
    sent = [Text("a s"), Text("k-ab"), Text("cd"), Text("e b")]
    got = run(redact(KEY), *(on_next(210 + place, token) for place, token in enumerate(sent)), on_completed(220))
    assert got == [
        on_next(210, Text("a ")),
        on_next(213, Text(f"{MASK}e b")),
        on_completed(220),
    ]


def test_a_token_without_a_match_is_the_one_that_came() -> None:
    token = Text("plain")
    (got,) = passed(redact(KEY), token)
    assert got is token


def test_marbles_what_is_held_leaves_before_the_finish() -> None:
    assert passed(redact(KEY), Text("disk s"), USAGE, FINISH) == [Text("disk "), USAGE, Text("s"), FINISH]


def test_what_is_held_leaves_before_a_seam() -> None:
    seam = Seam(1, "the first broke off")
    assert passed(redact(KEY), Text("s"), seam, Text("k-abcd")) == [Text("s"), seam, Text("k-abcd")]


@pytest.mark.parametrize("end", [on_completed(220), on_error(220, ValueError("x"))])
def test_marbles_what_is_held_leaves_before_the_end(end: Recorded[StreamToken]) -> None:
    got = run(redact({"word": "sk-[a-z]{2,}"}), on_next(210, Text("a sk-ab")), on_next(211, Text("c")), end)
    assert got == [on_next(210, Text("a ")), on_next(220, Text(MASK)), end]


def test_texts_are_independent_by_kind_and_choice() -> None:
    sent: list[StreamToken] = [
        Text("sk-"),
        Text("sk-", 1),
        Reasoning("sk-"),
        Refusal("sk-"),
        Text("ab"),
        Text("no", 1),
        Text("cd."),
    ]
    sent_last: list[StreamToken] = [Text(" x", 1), Reasoning("abcd!"), Refusal("abcd!"), FINISH]
    assert passed(redact(KEY), *sent, *sent_last) == [
        Text(f"{MASK}."),
        Text("sk-no x", 1),
        Reasoning(f"{MASK}!"),
        Refusal(f"{MASK}!"),
        FINISH,
    ]


def test_a_token_of_another_kind_does_not_wait() -> None:
    call, opaque = ToolCall(0, "c", "f", "sk-abcd"), Opaque("k", "sk-abcd")
    assert passed(redact(KEY), Text("sk-"), call, opaque, Text("abcd")) == [call, opaque, Text(MASK)]


def test_an_unchanged_reasoning_keeps_its_signature_and_a_changed_one_loses_it() -> None:
    sent = [
        Reasoning("say s"),
        Reasoning("", "one"),
        Reasoning("sk-ab"),
        Reasoning("cd", "two"),
        Reasoning("x", "three"),
    ]
    assert passed(redact(KEY), *sent) == [
        Reasoning("say "),
        Reasoning("s", "one"),
        Reasoning(MASK),
        Reasoning("x", "three"),
    ]


def test_reasoning_can_be_left_alone() -> None:
    token = Reasoning("sk-abcd", "sig")
    assert passed(redact(KEY, reasoning=False), token) == [token]


def test_what_was_found_is_counted_by_name_and_finish_and_usage_are_untouched() -> None:
    stats = RedactStats()
    finish = Finish(FinishKind.STOP, "sk-abcd", "sk-abcd", (ChoiceEnd(1, FinishKind.STOP, "sk-abcd"),))
    patterns = {**KEY, "pin": r"\b\d{4}\b"}
    got = passed(redact(patterns, replacement="#", stats=stats), Text("sk-abcd 1234 sk-efgh "), USAGE, finish)
    assert got == [Text("# # # "), USAGE, finish]
    assert (stats.found, stats.total) == ({"key": 2, "pin": 1}, 3)


def test_marbles_a_pattern_that_explodes_fails_the_stream_once_and_leaks_nothing() -> None:
    operator = redact({"bad": r"(?:x|xx|x\w)+-y"}, timeout_s=0.02)
    got = run(
        operator, on_next(210, Text("a ")), on_next(211, Text("x" * 60)), on_next(212, Text("b")), on_completed(213)
    )
    assert got[:-1] == [on_next(210, Text("a "))]
    assert got[-1].time == 211
    error = failure(got)
    assert (error.kind, error.retry) == (ErrorKind.INTERNAL, Retry.NEVER)
    assert error.message == "redact: the patterns took longer than 0.02 s on one piece of text"


def test_an_endless_candidate_fails_the_stream() -> None:
    pieces = [on_next(210 + place, Text("x" * 20_000)) for place in range(5)]
    got = run(redact({"tag": "<.*>"}), on_next(209, Text("<")), *pieces)
    assert got[:-1] == [on_next(210, Text(MASK))]
    assert "more than 65536 characters" in failure(got).message


def test_texts_without_number_fail_the_stream() -> None:
    got = run(redact(KEY), *(on_next(210, Text("a", choice)) for choice in range(MAX_TEXTS + 1)))
    assert len(got) == MAX_TEXTS + 1
    assert failure(got).message == f"redact: more than {MAX_TEXTS} texts at once"


def test_disposing_drops_what_is_held_and_reaches_the_source() -> None:
    source: Subject[StreamToken] = Subject()
    got: list[object] = []
    subscription = source.pipe(redact(KEY)).subscribe(got.append, got.append, lambda: got.append("end"))
    source.on_next(Text("sk-"))
    subscription.dispose()
    assert (got, source.observers) == ([], [])


def test_disposing_from_inside_on_next_stops_before_the_next_token() -> None:
    source: Subject[StreamToken] = Subject()
    got: list[StreamToken] = []

    def on_token(token: StreamToken) -> None:
        got.append(token)
        subscription.dispose()

    subscription = source.pipe(redact(KEY)).subscribe(on_token)
    source.on_next(Text("s"))
    source.on_next(FINISH)
    assert got == [Text("s")]


def test_each_subscription_has_its_own_texts() -> None:
    source: Subject[StreamToken] = Subject()
    redacted = source.pipe(redact(KEY))
    first: list[StreamToken] = []
    second: list[StreamToken] = []
    redacted.subscribe(first.append)
    source.on_next(Text("sk-ab"))
    redacted.subscribe(second.append)
    source.on_next(Text("cd!"))
    assert (first, second) == ([Text(f"{MASK}!")], [Text("cd!")])


# -- tool arguments ---------------------------------------------------------------------------------------------------


def arguments_of(tokens: list[StreamToken], index: int = 0) -> str:
    return "".join(t.arguments_delta for t in tokens if isinstance(t, ToolCall) and t.index == index)


def call(*pieces: str) -> list[StreamToken]:
    first: list[StreamToken] = [ToolCall(0, "c1", "f", "")]
    return first + [ToolCall(0, arguments_delta=piece) for piece in pieces]


def test_arguments_are_replaced_inside_strings_and_stay_as_they_were_written() -> None:
    operator = redact(KEY, replacement='"\\', arguments=True)
    pieces = ['{"a": "x s', "k-ab\\u00", '63d, \\"sk-no\\"", "\\ud83d', '\\ude00": [1, "sk-', '"]}']
    got = passed(operator, *call(*pieces), FINISH)
    assert got[0] == ToolCall(0, "c1", "f", "")
    assert arguments_of(got) == '{"a": "x \\"\\\\, \\"sk-no\\"", "\\ud83d\\ude00": [1, "sk-"]}'


def test_two_calls_do_not_mix_and_what_is_cut_off_comes_out() -> None:
    sent = [ToolCall(0, "a", "f", '{"k":"sk-'), ToolCall(1, "b", "f", '{"k":"sk-'), ToolCall(0, arguments_delta='ab"}')]
    got = passed(redact(KEY, arguments=True), *sent, ToolCall(1, arguments_delta="abcd\\u0"), FINISH)
    assert arguments_of(got) == '{"k":"sk-ab"}'
    assert arguments_of(got, 1) == f'{{"k":"{MASK}\\u0'
    assert got[-1] == FINISH


@dataclass
class Pairs:
    """An object as `object_pairs_hook` gives it: two names may become one by what is replaced in them."""

    pairs: list[tuple[str, "Json"]]


Json = None | int | str | list["Json"] | Pairs
NAMES = st.text("sk-ab", max_size=8)


def nested(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(Pairs)


VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.integers() | st.text('sk-abcd"\\\n/\x00é😀', max_size=12), nested, max_leaves=6
)


def redacted_value(value: Json, pattern: str) -> Json:
    match value:
        case str():
            return re.sub(pattern, MASK, value)
        case Pairs():
            return Pairs([(re.sub(pattern, MASK, name), redacted_value(inner, pattern)) for name, inner in value.pairs])
        case list():
            return [redacted_value(inner, pattern) for inner in value]
        case _:
            return value


def as_json(value: Json, *, ascii_only: bool) -> str:
    match value:
        case Pairs():
            pairs = (
                f"{as_json(name, ascii_only=ascii_only)}: {as_json(inner, ascii_only=ascii_only)}"
                for name, inner in value.pairs
            )
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(as_json(inner, ascii_only=ascii_only) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=ascii_only)


@given(value=VALUES, ascii_only=st.booleans(), size=st.integers(1, 9))
def test_arguments_stay_json_and_each_string_is_what_substituting_in_it_gives(
    value: Json, ascii_only: bool, size: int
) -> None:
    patterns = {"key": "sk-[a-d]{1,4}", "odd": r'"\\|😀k|\x00+'}
    text = as_json(value, ascii_only=ascii_only)
    got = passed(redact(patterns, arguments=True), *call(*(text[at : at + size] for at in range(0, len(text), size))))
    assert json.loads(arguments_of(got), object_pairs_hook=Pairs) == redacted_value(value, "|".join(patterns.values()))


@example(junk='"\\u[', size=1)
@given(junk=st.text('{}[]"\\u12x sk-abcd', max_size=30), size=st.integers(1, 5))
def test_arguments_that_are_no_json_lose_nothing_but_matches(junk: str, size: int) -> None:
    pieces = [junk[at : at + size] for at in range(0, len(junk), size)]
    whole = arguments_of(passed(redact({"none": "Q"}, arguments=True), *call(*pieces)))
    assert whole == junk


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_match_chars": 0}, "max_match_chars"),
        ({"max_match_chars": 65_537}, "max_match_chars"),
        ({"timeout_s": 0.0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
    ],
)
def test_bounds_out_of_range_are_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        redact(KEY, **options)


def test_an_unusable_pattern_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="'mine'"):
        redact({"mine": "("})
