from collections.abc import Callable

import pytest

from rxlapce.codec.event import Event
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.notebook.marks import LaneEnd, MarkKind, Outcome, Span, SpanKind, State
from rxlapce.notebook.messages import Detail, Gone
from rxlapce.notebook.trace import MAX_BYTES, MAX_ENDS, MAX_ITEM_BYTES, MAX_MARKS, Trace
from rxlapce.tokens import Text


def made(lanes: int = 1, *, max_marks: int = MAX_MARKS, max_bytes: int = MAX_BYTES) -> Trace:
    trace = Trace("a title", max_marks=max_marks, max_bytes=max_bytes)
    for number in range(lanes):
        trace.lane(f"lane {number}")
        trace.begin(number, 0.0)
    return trace


def detail(trace: Trace, seq: int) -> Detail:
    found = trace.detail(seq)
    assert isinstance(found, Detail)
    return found


def test_a_mark_knows_what_passed_when_and_of_what_it_came() -> None:
    trace = made(2)
    cause = trace.mark(0, 0.5, b"data: hi\n\n")
    trace.mark(1, 0.6, Text("hi"), cause)
    bytes_mark, text_mark = trace.kept
    assert (bytes_mark.kind, bytes_mark.label, bytes_mark.size) == (MarkKind.BYTES, "data: hi⏎⏎", 10)
    assert (text_mark.kind, text_mark.t, text_mark.lane, text_mark.cause) == (MarkKind.TEXT, 0.6, 1, 0)
    assert [total.size for total in trace.totals] == [10, 2]
    assert trace.items() == [Text("hi")]


def test_the_oldest_marks_are_folded_when_there_are_too_many() -> None:
    trace = made(max_marks=3)
    for number in range(5):
        trace.mark(0, number / 64, number)
    assert [mark.seq for mark in trace.kept] == [2, 3, 4]
    assert trace.kept_from == 2
    assert [(one.t0, one.counts) for one in trace.bins()] == [(0.0, {"value": 1}), (1 / 64, {"value": 1})]
    assert trace.find(1) is None
    assert trace.detail(1) == Gone(1)


def test_the_oldest_marks_are_folded_when_their_items_hold_too_much() -> None:
    trace = made(max_bytes=1_000)
    for _ in range(10):
        trace.mark(0, 0.0, b"x" * 400)
    assert len(trace.kept) == 2
    assert trace.kept_bytes == 800


def test_one_item_that_is_too_large_is_let_go_of_and_its_mark_is_kept() -> None:
    trace = made()
    trace.mark(0, 0.0, b"x" * (MAX_ITEM_BYTES + 1))
    assert trace.kept[0].item is None
    assert trace.kept[0].size == MAX_ITEM_BYTES + 1
    assert trace.kept_bytes == 0


@pytest.mark.parametrize(("max_marks", "max_bytes"), [(0, 1), (1, 0)])
def test_a_trace_that_keeps_nothing_is_refused(max_marks: int, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one mark"):
        Trace(max_marks=max_marks, max_bytes=max_bytes)


def test_the_state_follows_what_happens_and_stays_at_the_end() -> None:
    trace = made()
    states = [trace.state]
    trace.mark(0, 0.1, 1)
    states.append(trace.state)
    assert states == [State.WAITING, State.RUNNING]
    trace.finish(0.2, Outcome.CANCELLED)
    trace.finish(0.3, Outcome.FAILED, ValueError("late"))
    trace.mark(0, 0.4, 2)
    assert (trace.state, trace.error, trace.next_seq) == (State.CANCELLED, None, 1)


def test_lanes_that_are_live_at_the_end_were_cancelled() -> None:
    trace = made(2)
    trace.end(1, 0.2, Outcome.COMPLETED)
    trace.finish(0.3, Outcome.COMPLETED)
    assert trace.ends == [LaneEnd(1, 0.2, Outcome.COMPLETED), LaneEnd(0, 0.3, Outcome.CANCELLED)]


def test_a_lane_that_is_subscribed_to_again_ends_again() -> None:
    trace = made()
    trace.end(0, 0.1, Outcome.FAILED, ValueError("first"))
    trace.begin(0, 0.2)
    trace.end(0, 0.3, Outcome.COMPLETED)
    trace.end(0, 0.4, Outcome.CANCELLED)  # of no subscription
    assert [end.outcome for end in trace.ends] == [Outcome.FAILED, Outcome.COMPLETED]


def test_ends_are_bounded_and_the_last_one_of_a_lane_is_noted() -> None:
    trace = made()
    for number in range(MAX_ENDS + 5):
        trace.end(0, float(number), Outcome.COMPLETED)
        trace.begin(0, float(number))
    trace.finish(2_000.0, Outcome.FAILED, ValueError("x"))
    assert len(trace.ends) == MAX_ENDS + 1
    assert trace.ends[-1] == LaneEnd(0, 2_000.0, Outcome.CANCELLED)


def test_an_error_is_told_without_a_key_and_on_one_line() -> None:
    trace = made()
    key = "sk-ant-" + "a1B2" * 10
    trace.end(0, 0.1, Outcome.FAILED, ValueError(f"refused:\n{key}\x1b[31m \u202e"))
    error = trace.ends[0].error
    assert error == "ValueError: refused: [redacted]\\x1b[31m \\u202e"


def test_an_error_of_a_provider_is_told_with_its_kind_and_a_broken_one_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    trace = made(2)
    trace.end(0, 0.1, Outcome.FAILED, ProviderError(ErrorKind.OVERLOADED, "too much", provider="openai", status=529))
    trace.end(1, 0.1, Outcome.FAILED, Broken())
    assert trace.ends[0].error == "openai: too much (overloaded in phase flow, HTTP 529)"
    assert trace.ends[1].error == "Broken: (its message cannot be read)"


def test_a_wait_far_longer_than_usual_is_a_stall_while_it_goes_on_and_after() -> None:
    trace = made()
    for number in range(6):
        trace.mark(0, number * 0.1, number)
    assert trace.spans(0.5 + 0.6) == []
    assert trace.spans(0.5 + 0.7) == [Span(0, SpanKind.STALL, 0.5)]
    trace.mark(0, 1.5, 6)
    assert trace.spans(1.5) == [Span(0, SpanKind.STALL, 0.5, 1.5)]
    trace.mark(0, 1.6, 7)
    assert trace.spans(1.7) == [Span(0, SpanKind.STALL, 0.5, 1.5)]


def test_the_wait_for_a_first_mark_is_no_stall_nor_are_slow_streams() -> None:
    trace = made()
    assert trace.spans(100.0) == []
    for number in range(1, 6):
        trace.mark(0, number * 10.0, number)
    assert trace.spans(60.0) == []
    assert trace.spans(50.0 + 63.0) == [Span(0, SpanKind.STALL, 50.0)]


def test_marks_of_one_read_say_nothing_of_the_pace() -> None:
    trace = made()
    for read in range(5):
        for token in range(20):
            trace.mark(0, read * 0.2 + token * 1e-5, token)
    assert trace.spans(0.8 + 1.0) == []
    assert trace.spans(0.8 + 1.3) != []


def test_a_stall_ends_with_its_lane() -> None:
    trace = made()
    for number in range(5):
        trace.mark(0, number * 0.01, number)
    trace.end(0, 3.0, Outcome.FAILED, ValueError("x"))
    assert trace.spans(9.0) == [Span(0, SpanKind.STALL, 0.04, 3.0)]


def test_while_the_gate_is_closed_nothing_stalls_and_the_first_lane_shows_it() -> None:
    trace = made(2)
    for number in range(6):
        for lane in (0, 1):
            trace.mark(lane, number * 0.01, number)
    trace.pause(0.06)
    assert trace.spans(9.0) == [Span(0, SpanKind.PAUSED, 0.06)]
    trace.resume(9.0)
    assert trace.spans(9.1) == [Span(0, SpanKind.PAUSED, 0.06, 9.0)]
    assert trace.spans(9.5) == [
        Span(0, SpanKind.PAUSED, 0.06, 9.0),
        Span(0, SpanKind.STALL, 9.0),
        Span(1, SpanKind.STALL, 9.0),
    ]


def test_a_gate_that_turns_for_hours_leaves_few_spans() -> None:
    trace = made()
    for number in range(20_000):
        trace.pause(number * 0.2)
        trace.resume(number * 0.2 + 0.1)
    spans = trace.spans(9_999.0)
    assert len(spans) < 2_500
    assert all(span.t1 is not None and span.t1 > span.t0 for span in spans)
    assert spans == sorted(spans, key=lambda span: span.t0)


def test_bins_are_bounded_and_stay_on_one_grid() -> None:
    trace = made(max_marks=1)
    for number in range(5_000):
        trace.mark(0, number * 0.05, number)
    found = trace.bins()
    assert len(found) <= 512
    assert {one.t1 - one.t0 for one in found} == {0.5}
    assert sum(one.counts["value"] for one in found) == 4_999


def test_the_first_change_is_told_once() -> None:
    trace = made()
    told: list[str] = []

    def hear(word: str) -> Callable[[], None]:
        return lambda: told.append(word)

    trace.on_change = hear("mark")
    trace.mark(0, 0.1, 1)
    trace.mark(0, 0.2, 2)
    trace.on_change = hear("end")
    trace.finish(0.3, Outcome.COMPLETED)
    assert told == ["mark", "end"]


def test_the_detail_of_a_token_has_the_bytes_that_it_was_made_of() -> None:
    trace = made(3)
    data = '{"content": "grüße"}'
    chunk = b": keep-alive\n\n" * 200 + f"data: {data}\n\n".encode()
    read = trace.mark(0, 0.5, chunk)
    event = trace.mark(1, 0.5, Event(data), read)
    trace.mark(2, 0.5004, Text("grüße"), event)
    found = detail(trace, 2)
    assert (found.title, found.text, found.cut) == ("lane 2: text 2 at 0.500 s, 5 characters", "grüße", False)
    assert found.chain == [1, 0]
    assert found.raw is not None
    assert "67 72 c3 bc c3  9f 65" in found.raw
    assert found.raw.splitlines()[0].startswith("00000ad0  ")
    assert found.raw.splitlines()[-1] == "(62 of 2,830 bytes)"


def test_a_dump_has_offsets_hex_and_text() -> None:
    trace = made()
    trace.mark(0, 0.0, b"data: \xff\x00hello there")
    assert detail(trace, 0).raw == (
        "00000000  64 61 74 61 3a 20 ff 00  68 65 6c 6c 6f 20 74 68  data: ..hello th\n"
        "00000010  65 72 65                                          ere"
    )


def test_a_detail_is_bounded_and_holds_nothing_that_moves_the_text_around_it() -> None:
    trace = made()
    trace.mark(0, 0.0, "\x1b[2J\u202e" + "é" * 100_000)
    found = detail(trace, 0)
    assert found.cut
    assert len(found.text) == 4_000
    assert found.text.startswith("\\x1b[2J\\u202eé")


def test_a_cause_that_was_dropped_just_is_not_found() -> None:
    trace = made(2, max_marks=1)
    trace.mark(1, 0.1, Text("x"), trace.mark(0, 0.0, b"x"))
    found = detail(trace, 1)
    assert (found.chain, found.raw) == ([], None)


def test_marks_from_a_number_on() -> None:
    trace = made(max_marks=3)
    for number in range(6):
        trace.mark(0, 0.0, number)
    assert [[mark.seq for mark in trace.since(seq)] for seq in (0, 4, 6, 9)] == [[3, 4, 5], [4, 5], [], []]
