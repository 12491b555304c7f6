"""InvokeModel's streams as they were recorded, mutated and cut; and whatever else comes."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.codec.eventstream import MessageEvents
from rxlapce.dialects import BedrockInvoke, Converse
from rxlapce.dialects.bedrock_invoke_decoder import InvokeDecoder
from rxlapce.errors import ProviderError
from rxlapce.operators.decode import eventstream_decode
from rxlapce.operators.token_map import token_map
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Finish, Reported, StreamToken, UsageReport

STREAMS = Path(os.environ.get("RXLAPCE_STREAMS") or Path(__file__).parents[2].parent / "shared" / "streams")
needs_streams = pytest.mark.skipif(not STREAMS.is_dir(), reason="no recorded streams: set RXLAPCE_STREAMS")


def chunk(payload: Any) -> Event:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Event(json.dumps({"bytes": base64.b64encode(text).decode(), "p": "abc"}), "chunk")


def decode(events: Iterable[Event]) -> tuple[list[StreamToken], bool]:
    """The tokens, and whether the stream failed."""
    decoder, out = InvokeDecoder(), list[StreamToken]()
    try:
        for event in events:
            if decoder.feed(event, out):
                return out, False
        decoder.close(out)
    except ProviderError:
        return out, True
    return out, False


# -- recordings -------------------------------------------------------------------------------------------------------


def recorded(api: str) -> list[dict[str, Any]]:
    manifest = STREAMS / "manifest.json"
    entries: list[dict[str, Any]] = json.loads(manifest.read_bytes()) if manifest.is_file() else []
    return [entry for entry in entries if entry["api"] == api and entry["file"].endswith(".eventstream")]


@needs_streams
def test_recorded_chunks_hold_the_payloads_that_the_sdk_saw() -> None:
    entries = recorded("bedrock.invoke-with-response-stream")
    assert len(entries) == 19
    for entry in entries:
        events = MessageEvents().feed((STREAMS / entry["file"]).read_bytes())
        payloads = [base64.b64decode(json.loads(event.data)["bytes"]) for event in events if event.event == "chunk"]
        assert hashlib.sha256(b"\n".join(payloads)).hexdigest() == entry["expected"]["payload_sha256"], entry["file"]


@needs_streams
def test_recorded_streams_without_a_vendors_usage_get_bedrocks_metrics() -> None:
    counted = 0
    for entry in recorded("bedrock.invoke-with-response-stream"):
        metrics = entry["expected"].get("invocation_metrics")
        if metrics is None or entry["expected"]["usage"] is not None:
            continue
        events = MessageEvents().feed((STREAMS / entry["file"]).read_bytes())
        usage = next(token.usage for token in decode(events)[0] if isinstance(token, UsageReport))
        assert (usage.input, usage.output) == (metrics["inputTokenCount"], metrics["outputTokenCount"]), entry["file"]
        assert usage.reported == Reported()
        counted += 1
    assert counted == 5


def run(body: bytes, dialect: BedrockInvoke | Converse) -> tuple[list[StreamToken], list[Exception], int]:
    """Through the operators: tokens, errors, completions."""
    tokens, errors, completions = list[StreamToken](), list[Exception](), list[None]()
    pieces = [body[at : at + 997] for at in range(0, len(body), 997)]
    stream = reactivex.from_iterable(pieces).pipe(eventstream_decode(), token_map(dialect))
    stream.subscribe(tokens.append, errors.append, lambda: completions.append(None))
    return tokens, errors, len(completions)


@needs_streams
@settings(max_examples=examples(40), deadline=None)
@given(
    which=st.integers(0, 100),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3),
    end=st.integers(0, 10_000) | st.none(),
    both=st.booleans(),
)
def test_mutated_and_cut_recordings_have_exactly_one_end(
    which: int, flips: list[tuple[int, int]], end: int | None, both: bool
) -> None:
    entries = [*recorded("bedrock.invoke-with-response-stream"), *recorded("bedrock.converse-stream")]
    entry = sorted(entries, key=lambda entry: entry["bytes"])[which % 30]  # without the longest, to stay quick
    body = bytearray((STREAMS / entry["file"]).read_bytes())
    for at, mask in flips:
        body[at % len(body)] ^= mask
    if end is not None:
        del body[end % len(body) :]
    native: BedrockInvoke | Converse = BedrockInvoke() if "invoke" in entry["api"] else Converse()
    other: BedrockInvoke | Converse = Converse() if "invoke" in entry["api"] else BedrockInvoke()
    for dialect in (native, other) if both else (native,):
        tokens, errors, completions = run(bytes(body), dialect)
        assert len(errors) + completions == 1
        assert all(isinstance(error, ProviderError) for error in errors)
        assert sum(isinstance(token, Finish) for token in tokens) == completions
        if flips and dialect is native:
            assert errors or end is not None or len(flips) > 1


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.floats(0, 1) | st.sampled_from(["a", "", "stop", "ERROR"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "data", "message", "content", "delta", "reason", "stop_reason", "finishReason"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
KEYS = """
    outputText results generation outputs choices completion completions is_finished event_type generations tool_calls
    text finish_reason stop_reason completionReason inputTextTokenCount generation_token_count type messageStop metadata
    contentBlockDelta amazon-bedrock-invocationMetrics amazon-bedrock-guardrailAction
"""
NAMES: st.SearchStrategy[str] = st.sampled_from(KEYS.split())
PAYLOADS: st.SearchStrategy[Event] = st.dictionaries(NAMES, VALUES, max_size=5).map(chunk)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    PAYLOADS, PAYLOADS, st.binary(max_size=6).map(chunk), st.builds(Event, st.text(max_size=5), st.just("chunk"))
)


@settings(max_examples=examples(80), deadline=None)
@given(events=st.lists(EVENTS, max_size=6))
def test_any_chunks_have_exactly_one_end(events: list[Event]) -> None:
    out, failed = decode(events)
    finishes = [position for position, token in enumerate(out) if isinstance(token, Finish)]
    assert finishes == ([] if failed else [len(out) - 1])
    assert sum(isinstance(token, UsageReport) for token in out) <= 1
