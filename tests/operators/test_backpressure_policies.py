from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.subject import Subject

from rxlapce.answer import AnswerBuilder
from rxlapce.errors import ProviderError
from rxlapce.flow import FlowControl
from rxlapce.operators.backpressure import MAX_MERGED_CHARS, BufferStats, Policy, buffer_with_backpressure
from rxlapce.tokens import (
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

FINISH = Finish(FinishKind.STOP)


@dataclass
class Heard:
    """What a reader hears that was away while everything came, and then returned."""

    got: list[StreamToken] = field(default_factory=list[StreamToken])
    ends: list[Exception | None] = field(default_factory=list[Exception | None])
    stats: BufferStats = field(default_factory=BufferStats)

    @property
    def words(self) -> str:
        return " ".join(token.text for token in self.got if isinstance(token, Text))


def late(policy: Policy, *tokens: StreamToken, high_water: int, capacity: int) -> Heard:
    heard, source, gate = Heard(), Subject[StreamToken](), FlowControl()
    buffer = buffer_with_backpressure(
        upstream=FlowControl(), downstream=gate, policy=policy, high_water=high_water, low_water=0, capacity=capacity,
        stats=heard.stats,
    )  # fmt: skip
    source.pipe(buffer).subscribe(heard.got.append, heard.ends.append, lambda: heard.ends.append(None))
    gate.close("reader")
    for token in tokens:
        source.on_next(token)
    source.on_completed()
    gate.open("reader")
    return heard


def words(count: int) -> list[StreamToken]:
    return [Text(str(number)) for number in range(count)]


# -- coalesce ---------------------------------------------------------------------------------------------------------


def coalesced(*tokens: StreamToken, high_water: int = 1, capacity: int = 64) -> Heard:
    return late(Policy.COALESCE, *tokens, high_water=high_water, capacity=capacity)


def test_text_merges_only_past_high_water() -> None:
    heard = coalesced(*words(6), high_water=3)
    assert heard.got == [Text("0"), Text("1"), Text("2345")]
    assert heard.stats.coalesced == 3


@pytest.mark.parametrize(
    "tokens",
    [
        (Text("a"), Text("b", choice=1)),
        (Text("a"), Reasoning("b")),
        (Text("a"), Refusal("b")),
        (Refusal("a"), Refusal("b")),
        (Opaque("k", "1"), Opaque("k", "2")),
        (Reasoning("a", "sig"), Reasoning("b")),
        (Reasoning("a", "sig"), Reasoning("", "sig2")),
        (ToolCall(0, "id0", "f", "{"), ToolCall(1, None, None, "}")),
        (ToolCall(0, "id0", "f", "{"), ToolCall(0, "id1", "f", "}")),
        (ToolCall(0, "id0", "f"), ToolCall(0, None, None, "{}", choice=1)),
        (Text("a"), Seam(1, "restart"), Text("b")),
    ],
)
def test_what_does_not_belong_together_stays_apart(tokens: tuple[StreamToken, ...]) -> None:
    assert coalesced(*tokens).got == list(tokens)


def test_reasoning_keeps_its_signature() -> None:
    heard = coalesced(Reasoning("a"), Reasoning("b"), Reasoning("", "sig"), Reasoning("c"), Reasoning("d", "sig2"))
    assert heard.got == [Reasoning("ab", "sig"), Reasoning("cd", "sig2")]


def test_pieces_of_one_tool_call_join_exactly() -> None:
    heard = coalesced(
        ToolCall(0, "id0", "f"),
        ToolCall(0, None, None, '{"a":'),
        ToolCall(0, None, None, ""),
        ToolCall(0, "id0", "f", ' "\\u00e4"}'),
        choice_one := ToolCall(0, "id1", "g", "{}", choice=1),
    )
    assert heard.got == [ToolCall(0, "id0", "f", '{"a": "\\u00e4"}'), choice_one]


def test_a_merged_token_has_a_bound_of_its_own() -> None:
    piece = Text("x" * (MAX_MERGED_CHARS // 2))
    heard = coalesced(piece, piece, Text("y"), piece)
    assert heard.got == [Text(piece.text * 2), Text("y" + piece.text)]


def test_past_the_bound_of_what_cannot_merge_the_stream_fails() -> None:
    heard = coalesced(*(Text("x", choice=number % 2) for number in range(5)), capacity=3)
    assert len(heard.got) == 3
    (error,) = heard.ends
    assert isinstance(error, ProviderError)
    assert "neighbours do not merge" in error.message


token_lists = st.lists(
    st.one_of(
        st.builds(Text, st.text(max_size=3), st.integers(0, 1)),
        st.builds(Reasoning, st.text(max_size=3), st.none() | st.just("sig"), st.integers(0, 1)),
        st.builds(ToolCall, st.integers(0, 1), st.none() | st.just("i"), st.none(), st.text(max_size=3)),
        st.builds(Refusal, st.text(max_size=3)),
        st.builds(Opaque, st.just("k"), st.just("{}")),
    ),
    max_size=30,
)


@given(token_lists)
def test_merging_changes_no_answer(tokens: list[StreamToken]) -> None:
    heard = coalesced(*tokens, FINISH)
    assert whole(heard.got) == whole([*tokens, FINISH])
    assert signatures(heard.got) == signatures(tokens)
    assert len(heard.got) == len(tokens) + 1 - heard.stats.coalesced


def whole(tokens: list[StreamToken]) -> object:
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    answer = builder.answer()
    return answer.choices, answer.opaque


def signatures(tokens: list[StreamToken]) -> list[str]:
    return [token.signature for token in tokens if isinstance(token, Reasoning) and token.signature]


# -- dropping ---------------------------------------------------------------------------------------------------------


def dropping(policy: Policy, *tokens: StreamToken) -> Heard:
    return late(policy, *tokens, high_water=2, capacity=3)


def usage(total: int) -> UsageReport:
    return UsageReport(Usage(total=total))


def test_drop_oldest_keeps_the_last_and_counts() -> None:
    heard = dropping(Policy.DROP_OLDEST, *words(8))
    assert heard.words == "5 6 7"
    assert heard.stats == BufferStats(max_queued=3, dropped=5)


def test_drop_newest_keeps_the_first_and_counts() -> None:
    heard = dropping(Policy.DROP_NEWEST, *words(8))
    assert heard.words == "0 1 2"
    assert heard.stats == BufferStats(max_queued=3, dropped=5)


@pytest.mark.parametrize(("policy", "kept"), [(Policy.DROP_OLDEST, [Text("3")]), (Policy.DROP_NEWEST, [Text("0")])])
def test_usage_and_finish_are_never_dropped(policy: Policy, kept: list[StreamToken]) -> None:
    heard = dropping(policy, *words(4), usage(1), FINISH)
    assert heard.got == [*kept, usage(1), FINISH]


@pytest.mark.parametrize("policy", [Policy.DROP_OLDEST, Policy.DROP_NEWEST])
def test_of_many_usage_reports_the_latest_stays_and_the_bound_holds(policy: Policy) -> None:
    heard = dropping(policy, *(usage(n) for n in range(9)), Text("a"), FINISH)
    assert heard.got == [usage(7), usage(8), FINISH]
    assert heard.stats.max_queued == 3


# -- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "marks",
    [
        {"high_water": 4, "low_water": 4},
        {"high_water": 4, "low_water": -1},
        {"high_water": 9, "capacity": 8, "low_water": 1},
        {"high_water": 1, "low_water": 0, "capacity": 1},
    ],
)
def test_water_marks_out_of_order_are_refused(marks: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="low_water < high_water <= capacity"):
        buffer_with_backpressure(upstream=FlowControl(), downstream=FlowControl(), **marks)  # type: ignore[arg-type]  # ints


def test_one_gate_for_both_sides_is_refused() -> None:
    gate = FlowControl()
    with pytest.raises(ValueError, match="wait for itself"):
        buffer_with_backpressure(upstream=gate, downstream=gate)
