"""Time and misbehaviour, without a socket: `recite` gives the steps that the server would perform."""

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.simulator import Close, Step, parse, recite
from rxlapce.simulator.asked import Asked
from rxlapce.simulator.openai.chat_completions import ChatCompletion
from rxlapce.simulator.play import BATCH_BYTES, play
from rxlapce.simulator.recital import Recited as Dialect
from rxlapce.simulator.tokenizer import seeded
from rxlapce.simulator.wire import Part
from rxlapce.testing.thoroughness import examples

DIALECTS: tuple[Dialect, ...] = ("chat_completions", "responses", "completions", "messages", "ollama")
LAST: dict[Dialect, bytes] = {
    "chat_completions": b"data: [DONE]\n\n",
    "responses": b"event: response.completed\n",
    "completions": b"data: [DONE]\n\n",
    "messages": b"event: message_stop\n",
    "ollama": b'"done":true',
}
#: How the error of a stream begins.
ERRORS: dict[Dialect, tuple[bytes, ...]] = {
    "chat_completions": (b'data: {"error":',),
    "responses": (b'event: error\ndata: {"type":"error",',),
    "completions": (b'data: {"error":',),
    "messages": (b'event: error\ndata: {"type": "error",',),
    "ollama": (b'{"error":"',),
}


def run(model: str, dialect: Dialect = "chat_completions", prompt: str = "hi") -> tuple[list[Step], Close]:
    *steps, close = recite(prompt, model=model, dialect=dialect)
    assert isinstance(close, Close)
    return [step for step in steps if isinstance(step, Step)], close


def joined(steps: list[Step]) -> bytes:
    return b"".join(step.data for step in steps)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_paced_stream_has_the_first_token_after_ttft_and_one_token_a_step(dialect: Dialect) -> None:
    steps, close = run("sim:tps=10,ttft=2,tokens=5", dialect)
    assert [step.delay_s for step in steps if step.tokens] == [2.0, 0.1, 0.1, 0.1, 0.1]
    assert [step.delay_s for step in steps if not step.tokens] == [0.0] * (len(steps) - 5)
    assert close is Close.COMPLETED


def test_start_up_events_come_before_the_silence() -> None:
    steps, _ = run("sim:ttft=2,tokens=5")
    assert b'"role":"assistant"' in steps[0].data
    assert (steps[0].delay_s, steps[0].tokens) == (0.0, 0)


def test_jitter_varies_the_gaps_within_its_bound_and_keeps_their_mean() -> None:
    steps, _ = run("sim:tps=100,jitter=0.5,tokens=2000")
    gaps = [step.delay_s for step in steps if step.tokens][1:]
    assert 0.005 <= min(gaps) < 0.006
    assert 0.014 < max(gaps) <= 0.015
    assert sum(gaps) / len(gaps) == pytest.approx(0.01, rel=0.03)


def test_without_a_pace_many_events_go_out_in_one_write_of_bounded_size() -> None:
    steps, _ = run("sim:tokens=10000")
    assert sum(step.tokens for step in steps) == 10_000
    assert max(len(step.data) for step in steps) < BATCH_BYTES + 1024
    assert sum(step.tokens for step in steps) / len(steps) > 50


def test_a_long_answer_is_made_as_it_is_taken() -> None:
    steps = recite("hi", model="sim:tokens=1000000000")
    assert all(isinstance(step, Step) for step in islice(steps, 3))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [("stall", Close.SILENCE), ("cut", Close.CUT), ("reset", Close.RESET), ("end", Close.COMPLETED)],
)
def test_a_breaking_fault_comes_after_exactly_so_many_tokens(dialect: Dialect, fault: str, expected: Close) -> None:
    whole = joined(run("sim:tokens=9", dialect)[0])
    for after in (0, 4, 9, 50):
        steps, close = run(f"sim:tokens=9,fault={fault},after={after}", dialect)
        assert close is expected
        assert sum(step.tokens for step in steps) == min(after, 9)
        assert LAST[dialect] not in joined(steps)
        assert len(joined(steps)) < len(whole)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_event_ends_the_body(dialect: Dialect) -> None:
    steps, close = run("sim:tokens=9,fault=error,after=4", dialect)
    said = joined(steps)
    last = said[max(said.rfind(mark) for mark in ERRORS[dialect]) :]
    assert last.startswith(ERRORS[dialect])
    assert last.count(b"\n\n") == 1 + (dialect == "responses") - (dialect == "ollama")
    assert sum(step.tokens for step in steps) == 4
    assert close is Close.COMPLETED


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_malformed_event_stands_between_whole_ones(dialect: Dialect) -> None:
    steps, close = run("sim:tokens=9,fault=malformed,after=4", dialect)
    broken = [event for event in joined(steps).split(b"\n") if event.endswith(b'":"')]
    assert len(broken) == 1
    assert sum(step.tokens for step in steps) == 9
    assert (close, LAST[dialect] in joined(steps)) == (Close.COMPLETED, True)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_huge_event_has_so_many_bytes_of_text(dialect: Dialect) -> None:
    steps, _ = run("sim:tokens=9,fault=huge,after=4,size=100000", dialect)
    assert b"x" * 100_000 in joined(steps)
    assert LAST[dialect] in joined(steps)


@pytest.mark.parametrize(
    ("dialect", "finish"), [("chat_completions", b'"finish_reason":"stop"'), ("messages", b'"stop_reason":"end_turn"')]
)
def test_the_finish_and_the_last_event_can_be_left_out(dialect: Dialect, finish: bytes) -> None:
    plain, no_finish, no_done = (
        joined(run(f"sim:tokens=3,fault={fault}", dialect)[0]) for fault in ("none", "no_finish", "no_done")
    )
    assert (finish in plain, LAST[dialect] in plain) == (True, True)
    assert (finish in no_finish, LAST[dialect] in no_finish) == (False, True)
    assert (finish in no_done, LAST[dialect] in no_done) == (True, False)


def test_keep_alives_fill_the_silence_and_do_not_add_to_it() -> None:
    steps, _ = run("sim:ttft=1,keepalive=0.4,tokens=2")
    before = [step for step in steps if step.data == b": keep-alive\n\n"]
    assert len(before) == 2
    first = next(step for step in steps if step.tokens)
    assert first.delay_s + sum(step.delay_s for step in before) == pytest.approx(1.0)
    pings, _ = run("sim:ttft=1,keepalive=0.4,tokens=2", "messages")
    assert sum(step.data.startswith(b"event: ping") for step in pings) == 3


def test_a_stall_with_keep_alives_goes_on_for_ever() -> None:
    steps = recite("hi", model="sim:fault=stall,after=1,keepalive=5,tps=1")
    assert [step.tokens for step in islice(steps, 3, 100) if isinstance(step, Step)] == [0] * 97


def test_crlf_ends_every_line() -> None:
    plain, crlf = (joined(run(f"sim:tokens=30,crlf={on}")[0]) for on in (0, 1))
    assert crlf.count(b"\r\n") == crlf.count(b"\n") == plain.count(b"\n") > 30


def test_byte_by_byte_cuts_inside_a_character() -> None:
    steps, _ = run("sim:split=1", prompt="What is backpressure?")
    assert {len(step.data) for step in steps} == {1}
    assert "🐢".encode() in joined(steps)


@given(size=st.integers(0, 50), crlf=st.booleans(), tps=st.sampled_from([0, 1000]), dialect=st.sampled_from(DIALECTS))
@settings(max_examples=examples(25), deadline=None)
def test_splitting_changes_neither_bytes_nor_tokens_nor_time(size: int, crlf: bool, tps: int, dialect: Dialect) -> None:
    def steps(model: str) -> Iterator[Step]:
        return (step for step in recite("🦀?", model=model, dialect=dialect) if isinstance(step, Step))

    options = f"crlf={int(crlf)},tps={tps},tokens=12"
    whole, cut = (list(steps(f"sim:{options}{extra}")) for extra in ("", f",split={size}"))
    # The model's suffix is part of the request that the ids are made from, so only the text is compared.
    assert sum(step.tokens for step in whole) == sum(step.tokens for step in cut) == 12
    assert sum(step.delay_s for step in whole) == pytest.approx(sum(step.delay_s for step in cut))
    assert joined(whole).count(b"\n") == joined(cut).count(b"\n")


class Binary(ChatCompletion):
    """A framing that is no text and has no keep-alive."""

    text_lines: ClassVar[bool] = False
    keepalive: ClassVar[bytes] = b""


def test_a_binary_framing_has_no_line_ends_to_change_and_no_keep_alives() -> None:
    events = [(Part.TOKEN, b"\x00\n"), (Part.FINISH, b"\r\n")]
    wire = Binary(Asked(model="sim", options="", prompt="", heard=""), seeded(1))
    *steps, close = play(wire, events, parse("crlf=1,ttft=3,keepalive=1"), seeded(1))
    assert [step for step in steps if isinstance(step, Step)] == [Step(3.0, b"\x00\n", 1), Step(0.0, b"\r\n")]
    assert close is Close.COMPLETED
    *_, stalled = play(wire, events, parse("fault=stall,after=0,keepalive=1"), seeded(1))
    assert stalled is Close.SILENCE


def test_the_last_event_is_left_out_whatever_it_is() -> None:
    events = [(Part.TOKEN, b"a"), (Part.FINISH, b"b"), (Part.USAGE, b"c")]
    wire = Binary(Asked(model="sim", options="", prompt="", heard=""), seeded(1))
    steps = play(wire, events, parse("fault=no_done"), seeded(1))
    assert b"".join(step.data for step in steps if isinstance(step, Step)) == b"ab"
