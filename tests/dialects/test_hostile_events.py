"""Whatever comes, a decoder gives tokens and exactly one end, and raises nothing but `ProviderError`."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.dialects import DIALECTS
from rxlapce.errors import ProviderError
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Finish, StreamToken, Usage, UsageReport

#: The members' names that the dialects know, so that garbage reaches the places where they are read.
KNOWN_NAMES = """
    choices delta message content index finish_reason usage error model tool_calls function name arguments id type text
    thinking signature reasoning reasoning_details reasoning_content refusal function_call annotations logprobs
    content_block partial_json stop_reason citations prompt_filter_results content_filter_results code metadata raw
    prompt_tokens completion_tokens prompt_tokens_details cached_tokens input_tokens output_tokens input custom
"""
KNOWN_WORDS = """
    content_block_start content_block_delta content_block_stop message_start message_delta message_stop error ping
    text text_delta thinking thinking_delta tool_use input_json_delta signature_delta reasoning.text stop
"""
NAMES: st.SearchStrategy[str] = st.sampled_from(KNOWN_NAMES.split())
WORDS: st.SearchStrategy[str] = st.sampled_from(KNOWN_WORDS.split())
NUMBERS = st.integers(-2, 3) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES: st.SearchStrategy[Any] = st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
SOME: st.SearchStrategy[Any] = st.dictionaries(NAMES, VALUES, max_size=4)
INDICES: st.SearchStrategy[Any] = st.integers(0, 2)
CHOICE: dict[str, st.SearchStrategy[Any]] = {"index": INDICES, "delta": SOME}
CHOICE_BESIDES: dict[str, st.SearchStrategy[Any]] = {
    "finish_reason": WORDS | st.none(),
    "usage": VALUES,
    "error": VALUES,
    "logprobs": VALUES,
}
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "type": WORDS,
    "index": INDICES,
    "model": LEAVES,
    "delta": SOME | VALUES,
    "content_block": SOME,
    "message": SOME,
    "usage": SOME | VALUES,
    "error": VALUES,
    "choices": st.lists(st.fixed_dictionaries(CHOICE, optional=CHOICE_BESIDES), max_size=3),
}
OBJECTS: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=MEMBERS)
EVENTS = st.lists(
    st.builds(
        Event,
        st.builds(json.dumps, OBJECTS) | st.builds(json.dumps, VALUES) | st.text(max_size=8) | st.just("[DONE]"),
        st.sampled_from(["message", "error", "content_block_delta"]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("api", DIALECTS)
@settings(max_examples=examples(12), deadline=None)
@given(events=EVENTS)
def test_any_events_have_exactly_one_end(api: str, events: list[Event]) -> None:
    decoder, out = DIALECTS[api]().decoder(), list[StreamToken]()
    failed = ended = False
    try:
        for event in events:
            ended = decoder.feed(event, out)
            if ended:
                break
        else:
            decoder.close(out)
    except ProviderError:
        failed = True
    finishes = [position for position, token in enumerate(out) if isinstance(token, Finish)]
    assert finishes == ([] if failed else [len(out) - 1])
    assert sum(isinstance(token, UsageReport) for token in out) <= 1


def _unary(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("api", DIALECTS)
@settings(max_examples=examples(10), deadline=None)
@given(
    body=st.builds(_unary, OBJECTS) | st.builds(_unary, VALUES) | st.binary(max_size=20), status=st.integers(300, 599)
)
def test_any_body_is_an_answer_or_a_provider_error(api: str, body: bytes, status: int) -> None:
    dialect = DIALECTS[api]()
    try:
        tokens = dialect.read_answer(body)
    except ProviderError:
        pass  # the other of the two outcomes that are allowed
    else:
        assert isinstance(tokens[-1], Finish)
    error = dialect.read_error(status, {"retry-after": body.decode("latin-1")}, body)
    assert error.status == status
    assert error.message
    assert "\n" not in error.message


@settings(max_examples=examples(8), deadline=None)
@given(counts=st.dictionaries(NAMES, st.integers(0, 100) | st.none()))
def test_usage_reports_what_the_provider_counted(counts: dict[str, int | None]) -> None:
    events: dict[str, Callable[[], list[Event]]] = {
        "openai.chat.completions": lambda: [Event(json.dumps({"choices": [], "usage": counts})), Event("[DONE]")],
        "anthropic.messages": lambda: [
            Event(json.dumps({"type": "message_delta", "usage": counts})),
            Event('{"type":"message_stop"}'),
        ],
    }
    names = {
        "openai.chat.completions": ("prompt_tokens", "completion_tokens"),
        "anthropic.messages": ("input_tokens", "output_tokens"),
    }
    for api, make in events.items():
        decoder, out = DIALECTS[api]().decoder(), list[StreamToken]()
        for event in make():
            try:
                decoder.feed(event, out)
            except ProviderError:
                pytest.fail("usage is never fatal")
        usage: Usage = next((token.usage for token in out if isinstance(token, UsageReport)), Usage())
        reported = usage.reported
        assert (reported.input_tokens, reported.output_tokens) in (
            (counts.get(names[api][0]), counts.get(names[api][1])),
            (None, None),  # some member was of a wrong type: the object is passed through as it is
        )
