from hypothesis import given
from hypothesis import strategies as st

from rxlapce.answer import Answer, AnswerBuilder, WholeCall
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


def fold(*tokens: StreamToken) -> Answer:
    builder = AnswerBuilder()
    for token in tokens:
        builder.add(token)
    return builder.answer()


def test_an_answer_of_nothing_has_one_empty_choice() -> None:
    answer = fold()
    (choice,) = answer.choices
    assert (choice.index, choice.text, choice.reasoning, choice.refusal, choice.tool_calls) == (0, "", "", None, ())
    assert (choice.finish_kind, choice.finish_raw, answer.usage, answer.model, answer.tokens) == (None,) * 4 + (0,)
    assert answer.text == ""


def test_text_reasoning_and_refusal_are_joined_each_for_itself() -> None:
    answer = fold(Reasoning("th"), Text("He"), Reasoning("ink", "sig"), Text("llo"), Refusal("n"), Refusal("o"))
    (choice,) = answer.choices
    assert (choice.text, choice.reasoning, choice.refusal) == ("Hello", "think", "no")
    assert answer.tokens == 6


def test_an_empty_refusal_is_not_a_missing_one() -> None:
    assert fold(Refusal("")).choices[0].refusal == ""


def test_interleaved_tool_calls_come_whole_and_by_index() -> None:
    answer = fold(
        ToolCall(1, "b", "g"),
        ToolCall(0, "a", "f"),
        ToolCall(0, None, None, '{"x":'),
        ToolCall(1, None, None, "[1,"),
        ToolCall(0, None, None, " 1}"),
        ToolCall(1, None, None, "2]"),
    )
    assert answer.choices[0].tool_calls == (WholeCall("a", "f", '{"x": 1}'), WholeCall("b", "g", "[1,2]"))


def test_an_id_or_name_that_comes_late_is_taken_and_the_first_one_stays() -> None:
    answer = fold(ToolCall(0, None, None, "{"), ToolCall(0, "a"), ToolCall(0, "z", "f", "}"))
    assert answer.choices[0].tool_calls == (WholeCall("a", "f", "{}"),)


def test_interleaved_choices_stay_apart_and_each_has_its_end() -> None:
    answer = fold(
        Text("a", choice=0),
        Text("x", choice=2),
        ToolCall(0, "c", "f", "{}", choice=1),
        Text("b", choice=0),
        Text("y", choice=2),
        Finish(
            FinishKind.STOP,
            "stop",
            "model-1",
            (ChoiceEnd(1, FinishKind.TOOL_CALLS, "tool_calls"), ChoiceEnd(2, FinishKind.LENGTH)),
        ),
    )
    assert [(choice.index, choice.text, choice.finish_kind, choice.finish_raw) for choice in answer.choices] == [
        (0, "ab", FinishKind.STOP, "stop"),
        (1, "", FinishKind.TOOL_CALLS, "tool_calls"),
        (2, "xy", FinishKind.LENGTH, None),
    ]
    assert answer.choices[1].tool_calls == (WholeCall("c", "f", "{}"),)
    assert answer.model == "model-1"
    assert answer.text == "ab"


def test_a_later_usage_report_replaces_an_earlier_one() -> None:
    assert fold(UsageReport(Usage(input=3, output=1)), UsageReport(Usage(output=0))).usage == Usage(output=0)


def test_a_model_known_beforehand_stays_unless_the_finish_names_one() -> None:
    builder = AnswerBuilder()
    builder.model = "asked"
    builder.add(Finish(FinishKind.STOP))
    assert builder.answer().model == "asked"
    builder.add(Finish(FinishKind.STOP, model="answered"))
    assert builder.answer().model == "answered"


def test_opaque_tokens_are_kept_and_a_seam_changes_nothing() -> None:
    opaque = Opaque("citation", "{}")
    answer = fold(Text("a"), opaque, Seam(1, "restart"), Text("b"))
    assert (answer.opaque, answer.text, answer.tokens) == ((opaque,), "ab", 4)


def test_an_answer_taken_midway_is_not_changed_by_what_follows() -> None:
    builder = AnswerBuilder()
    builder.add(Text("a"))
    midway = builder.answer()
    builder.add(Text("b"))
    assert (midway.text, builder.answer().text) == ("a", "ab")


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3))))
def test_however_choices_interleave_each_is_its_own_pieces_in_order(pieces: list[tuple[int, str]]) -> None:
    answer = fold(*(Text(text, choice) for choice, text in pieces))
    for choice in answer.choices:
        assert choice.text == "".join(text for index, text in pieces if index == choice.index)
    assert {choice.index for choice in answer.choices} == {0, *(index for index, _ in pieces)}
