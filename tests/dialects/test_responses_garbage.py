"""Whatever comes as responses, generateContent or legacy completions: tokens and one end, and only `ProviderError`."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.dialects import DIALECTS
from rxlapce.errors import ProviderError
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Finish, StreamToken, ToolCall, UsageReport

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "b", "[DONE]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type", "a", "error"]), inner),
    max_leaves=6,
)
#: No member is certain to be there.
NOTHING: dict[str, st.SearchStrategy[Any]] = {}
RESPONSE_TYPES = """
    response.created response.completed response.incomplete response.failed response.cancelled error keepalive
    response.output_item.added response.output_item.done response.output_text.delta response.refusal.delta
    response.reasoning_text.delta response.reasoning_summary_text.delta response.function_call_arguments.delta
    response.function_call_arguments.done response.custom_tool_call_input.delta response.output_text.annotation.added
    response.web_search_call.searching
"""
ITEM_TYPES = ["message", "reasoning", "function_call", "custom_tool_call", "mcp_call"]
PART: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": st.sampled_from(["output_text", "refusal", "x"])},
    optional={"text": JSON, "refusal": JSON, "annotations": JSON, "logprobs": JSON},
)
ITEM: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEM_TYPES) | JSON},
    optional={
        "id": JSON,
        "call_id": JSON,
        "name": JSON,
        "arguments": JSON,
        "input": JSON,
        "content": st.lists(PART | JSON, max_size=3) | JSON,
        "summary": JSON,
        "encrypted_content": JSON,
    },
)
RESPONSE: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={
        "status": st.sampled_from(["completed", "incomplete", "failed", "queued"]) | JSON,
        "output": st.lists(ITEM | JSON, max_size=3) | JSON,
        "usage": JSON | st.fixed_dictionaries({"input_tokens": JSON, "input_tokens_details": JSON}),
        "error": JSON,
        "incomplete_details": JSON | st.fixed_dictionaries({"reason": JSON}),
        "model": JSON,
    },
)
RESPONSES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": st.sampled_from(RESPONSE_TYPES.split())},
    optional={
        "delta": st.sampled_from(["", "x"]) | JSON,
        "output_index": st.integers(0, 2),
        "item_id": st.sampled_from(["i", "j"]),
        "item": ITEM | JSON,
        "response": RESPONSE | JSON,
        "arguments": JSON,
        "input": JSON,
        "annotation": JSON,
        "logprobs": JSON,
    },
)
ARGUMENT: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"jsonPath": st.sampled_from(["$.a", "$.a[0]", "$.a[1].b", "$['c d'].e", "$", "$.a[9]", ""]) | JSON},
    optional={"stringValue": JSON, "numberValue": JSON, "nullValue": JSON, "willContinue": st.booleans()},
)
CALL: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={"name": JSON, "id": JSON, "args": JSON, "willContinue": JSON, "partialArgs": st.lists(ARGUMENT) | JSON},
)
GEMINI_PART: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={
        "text": st.sampled_from(["", "x"]) | JSON,
        "thought": st.booleans() | JSON,
        "thoughtSignature": JSON,
        "functionCall": CALL | JSON,
        "inlineData": JSON,
    },
)
CANDIDATE: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={
        "content": st.fixed_dictionaries({"parts": st.lists(GEMINI_PART | JSON, max_size=3) | JSON}) | JSON,
        "index": st.integers(-1, 2) | JSON,
        "finishReason": st.sampled_from(["STOP", "SAFETY", "X", 1, 0, 99]) | JSON,
        "safetyRatings": JSON,
        "groundingMetadata": JSON,
    },
)
GEMINI: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={
        "candidates": st.lists(CANDIDATE | JSON, max_size=2) | JSON,
        "usageMetadata": st.dictionaries(st.sampled_from(["promptTokenCount", "totalTokenCount"]), JSON) | JSON,
        "promptFeedback": st.fixed_dictionaries({"blockReason": JSON}) | JSON,
        "modelVersion": JSON,
        "error": JSON,
        "novelty": JSON,
    },
)
CHOICE_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.sampled_from(["", "x"]) | JSON,
    "index": st.integers(0, 2) | JSON,
    "finish_reason": st.sampled_from(["stop", "error", None]) | JSON,
}
CHOICE: st.SearchStrategy[Any] = st.fixed_dictionaries(NOTHING, optional=CHOICE_MEMBERS)
COMPLETION: st.SearchStrategy[Any] = st.fixed_dictionaries(
    NOTHING,
    optional={
        "choices": st.lists(CHOICE | JSON, max_size=2) | JSON,
        "usage": JSON,
        "error": JSON,
        "completion": st.sampled_from(["", "x"]) | JSON,
        "stop_reason": st.sampled_from(["max_tokens", None]) | JSON,
        "stop": JSON,
        "type": JSON,
    },
)
SAID: dict[str, st.SearchStrategy[Any]] = {
    "openai.responses": RESPONSES,
    "gemini.streamGenerateContent": GEMINI,
    "openai.completions": COMPLETION,
    "anthropic.complete": COMPLETION,
}


def _event(value: Any, name: str) -> Event:
    return Event(json.dumps(value), name)


@pytest.mark.parametrize("api", SAID)
@settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_any_events_have_exactly_one_end(api: str, data: st.DataObject) -> None:
    names = st.sampled_from(["message", "error"])
    values = st.builds(_event, SAID[api] | JSON, names) | st.builds(Event, st.sampled_from(["[DONE]", "", "{"]))
    decoder, out = DIALECTS[api]().decoder(), list[StreamToken]()
    failed = False
    try:
        for event in data.draw(st.lists(values, max_size=6)):
            if decoder.feed(event, out):
                break
        else:
            decoder.close(out)
    except ProviderError:
        failed = True
    finishes = [position for position, token in enumerate(out) if isinstance(token, Finish)]
    assert finishes == ([] if failed else [len(out) - 1])
    assert sum(isinstance(token, UsageReport) for token in out) <= 1
    firsts = [token.index for token in out if isinstance(token, ToolCall) and token.choice == 0]
    assert sorted(set(firsts)) == list(range(len(set(firsts))))


@pytest.mark.parametrize("api", SAID)
@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_any_body_is_an_answer_or_a_provider_error(api: str, data: st.DataObject) -> None:
    value = data.draw(RESPONSE | JSON if api == "openai.responses" else SAID[api] | st.lists(SAID[api], max_size=2))
    try:
        tokens = DIALECTS[api]().read_answer(json.dumps(value).encode())
    except ProviderError:
        pass  # the other of the two outcomes that are allowed
    else:
        assert isinstance(tokens[-1], Finish)
    assert DIALECTS[api]().read_error(429, {}, json.dumps(value).encode()).status == 429
