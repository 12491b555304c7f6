import gc
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.tokens import (
    VISIBLE,
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Reported,
    Seam,
    SeamWord,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)

counts = st.none() | st.integers(0, 2**40)
choices = st.integers(0, 127)
words = st.none() | st.text()
usages = st.builds(
    Usage,
    input=counts,
    cached_input=counts,
    cache_write=counts,
    output=counts,
    reasoning=counts,
    total=counts,
    cost_usd=st.none() | st.floats(0, 1e6),
    source=st.sampled_from(UsageSource),
    reported=st.builds(Reported, *[counts] * 6),
)
ends = st.builds(ChoiceEnd, choices, st.sampled_from(FinishKind), words)
tokens: st.SearchStrategy[StreamToken] = st.one_of(
    st.builds(Text, st.text(), choices),
    st.builds(Reasoning, st.text(), words, choices),
    st.builds(Refusal, st.text(), choices),
    st.builds(ToolCall, choices, words, words, st.text(), choices),
    st.builds(UsageReport, usages),
    st.builds(Finish, st.sampled_from(FinishKind), words, words, st.lists(ends, max_size=3).map(tuple)),
    st.builds(Seam, choices, st.text()),
    st.builds(Opaque, st.text(), st.text(), choices),
)


@given(tokens)
def test_every_token_comes_back_from_json_as_it_was(token: StreamToken) -> None:
    assert msgspec.json.decode(msgspec.json.encode(token), type=StreamToken) == token


@pytest.mark.parametrize(
    ("token", "json"),
    [
        (Text("hi"), b'{"type":"text","text":"hi"}'),
        (Text("", choice=2), b'{"type":"text","text":"","choice":2}'),
        (Reasoning("r", "sig"), b'{"type":"reasoning","text":"r","signature":"sig"}'),
        (Refusal("no"), b'{"type":"refusal","text":"no"}'),
        (ToolCall(0), b'{"type":"tool_call","index":0}'),
        (ToolCall(1, "c", "f", "{"), b'{"type":"tool_call","index":1,"id":"c","name":"f","arguments_delta":"{"}'),
        (UsageReport(Usage()), b'{"type":"usage","usage":{}}'),
        (UsageReport(Usage(input=0)), b'{"type":"usage","usage":{"input":0}}'),
        (UsageReport(Usage(cost_usd=0.0)), b'{"type":"usage","usage":{"cost_usd":0.0}}'),
        (
            UsageReport(Usage(reported=Reported(output_tokens=0))),
            b'{"type":"usage","usage":{"reported":{"output_tokens":0}}}',
        ),
        (Finish(FinishKind.STOP), b'{"type":"finish","kind":"stop"}'),
        (
            Finish(FinishKind.LENGTH, others=(ChoiceEnd(1, FinishKind.STOP),)),
            b'{"type":"finish","kind":"length","others":[{"choice":1,"kind":"stop","raw":null}]}',
        ),
        (Seam(1, "restart"), b'{"type":"seam","leg":1,"reason":"restart"}'),
        (Opaque("k", "{}"), b'{"type":"opaque","kind":"k","raw":"{}"}'),
    ],
)
def test_json_has_the_tag_and_leaves_out_only_defaults(token: StreamToken, json: bytes) -> None:
    assert msgspec.json.encode(token) == json


def test_zero_is_not_missing() -> None:
    zero, missing = Usage(input=0, cost_usd=0.0), Usage()
    assert zero != missing
    for usage in (zero, missing):
        assert msgspec.json.decode(msgspec.json.encode(usage), type=Usage) == usage


@pytest.mark.parametrize(
    "json",
    [
        b'{"type":"text"}',
        b'{"text":"hi"}',
        b'{"type":"txet","text":"hi"}',
        b'{"type":"text","text":1}',
        b'{"type":"text","text":"a","choice":"0"}',
        b'{"type":"finish","kind":"stopped"}',
        b'{"type":"usage","usage":{"source":"guess"}}',
        b'{"type":"usage","usage":{"input":1.5}}',
    ],
)
def test_what_is_no_token_is_refused(json: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json, type=StreamToken)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("continue: b answers, a broke off (truncated)", SeamWord.CONTINUE),
        ("rewind: b answers: at last", SeamWord.REWIND),
        ("restart:", SeamWord.RESTART),
        ("restart", SeamWord.RESTART),
        ("Restart: b answers", SeamWord.CONTINUE),
        ("restart anew: b answers", SeamWord.CONTINUE),
        ("b broke off: restart", SeamWord.CONTINUE),
        ("", SeamWord.CONTINUE),
    ],
)
def test_a_seam_s_word_is_before_the_first_colon_and_an_unknown_one_is_continue(reason: str, word: SeamWord) -> None:
    assert Seam(1, reason).word is word


@given(tokens)
def test_tokens_are_frozen_and_not_tracked_by_the_collector(token: StreamToken) -> None:
    field: Any = token.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(token, field, None)
    assert not gc.is_tracked(token)


def test_what_a_user_would_see_is_all_but_bookkeeping() -> None:
    assert set(get_args(StreamToken)) - set(VISIBLE) == {UsageReport, Finish, Seam}
