from hypothesis import given
from hypothesis import strategies as st

from rxlapce.answer import Answer, AnswerBuilder, TurnBuilder, WholeCall
from rxlapce.requests import Message, OpaquePart, Part, RequestedCall
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


# -- the turn to send back --------------------------------------------------------------------------------------------


def turn(*tokens: StreamToken) -> Message:
    builder = TurnBuilder()
    for token in tokens:
        builder.add(token)
    return builder.message()


def opaque(kind: str) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw="{}"))


def call(call_id: str, name: str, arguments: str) -> Part:
    return Part(tool_call=RequestedCall(id=call_id, name=name, arguments=arguments))


def test_a_turn_keeps_every_piece_in_its_place() -> None:
    message = turn(
        Reasoning("th"),
        Reasoning("ink"),
        Reasoning("", "sig-1"),
        Opaque("redacted_thinking", "{}"),
        Reasoning("again", "sig-2"),
        Text("He"),
        Text("llo"),
        ToolCall(0, "a", "f"),
        ToolCall(1, "b", "g", "[1,"),
        ToolCall(0, None, None, "{}"),
        Text("Bye"),
        ToolCall(1, None, None, "2]"),
        UsageReport(Usage()),
        Finish(FinishKind.TOOL_CALLS),
    )
    assert message == Message(
        role="assistant",
        parts=(
            Part(reasoning="think", signature="sig-1"),
            opaque("redacted_thinking"),
            Part(reasoning="again", signature="sig-2"),
            Part(text="Hello"),
            call("a", "f", "{}"),
            call("b", "g", "[1,2]"),
            Part(text="Bye"),
        ),
    )


def test_a_turn_of_text_alone_is_its_content() -> None:
    assert turn(Text("No"), Refusal("."), Finish(FinishKind.STOP)) == Message(role="assistant", content="No.")


def test_a_turn_of_nothing_is_empty() -> None:
    assert turn(Text(""), Reasoning(""), Finish(FinishKind.STOP)) == Message(role="assistant")


def test_a_signature_without_a_thought_is_kept_and_two_are_two() -> None:
    parts = (Part(reasoning="", signature="a"), Part(reasoning="", signature="b"))
    assert turn(Reasoning("", "a"), Reasoning("", "b")) == Message(role="assistant", parts=parts)


def test_an_empty_piece_of_text_parts_no_thought() -> None:
    message = turn(Reasoning("th"), Text(""), Reasoning("ink", "sig"))
    assert message.parts == (Part(reasoning="think", signature="sig"),)


def test_a_turn_is_the_first_choice() -> None:
    others = (Text("x", 1), Reasoning("y", None, 1), ToolCall(0, "z", "f", "{}", 1), Opaque("k", "{}", 1))
    assert turn(Text("a"), *others, Text("b")) == Message(role="assistant", content="ab")


def test_a_call_without_id_is_named_after_its_index() -> None:
    assert turn(ToolCall(2, None, "f", "{}")).calls() == (RequestedCall(id="call_2", name="f", arguments="{}"),)


def test_a_turn_taken_midway_does_not_part_what_follows() -> None:
    builder = TurnBuilder()
    builder.add(Reasoning("th"))
    assert builder.message().parts == (Part(reasoning="th"),)
    builder.add(Reasoning("ink", "sig"))
    builder.add(Text("He"))
    assert builder.message().parts == (Part(reasoning="think", signature="sig"), Part(text="He"))
    builder.add(Text("llo"))
    assert builder.message().parts == (Part(reasoning="think", signature="sig"), Part(text="Hello"))


def test_an_answer_has_its_first_choice_as_a_turn() -> None:
    assert fold(Text("a"), ToolCall(0, "c", "f", "{}"), Text("x", 1)).turn == turn(
        Text("a"), ToolCall(0, "c", "f", "{}")
    )


@given(st.lists(st.tuples(st.sampled_from([Text, Reasoning]), st.text(max_size=3))))
def test_a_turn_loses_no_text_and_taking_it_often_changes_nothing(
    pieces: list[tuple[type[Text] | type[Reasoning], str]],
) -> None:
    builder = TurnBuilder()
    for make, text in pieces:
        builder.add(make(text))
        builder.message()
    message = builder.message()
    assert message == turn(*(make(text) for make, text in pieces))
    assert message.text == "".join(text for make, text in pieces if make is Text)
    thoughts = [part.reasoning for part in message.pieces() if part.reasoning is not None]
    assert "".join(thoughts) == "".join(text for make, text in pieces if make is Reasoning)
