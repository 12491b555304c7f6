import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.answer import Answer, AnswerBuilder, TurnBuilder, WholeCall
from rxlapce.requests import Message, OpaquePart, Part, RequestedCall
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Seam,
    SeamWord,
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


def test_opaque_tokens_are_kept_in_order() -> None:
    first, second = Opaque("citation", "{}"), Opaque("citation", "[]", choice=1)
    assert fold(first, Text("a"), second).opaque == (first, second)


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


# -- seams ------------------------------------------------------------------------------------------------------------

SAID = (
    Reasoning("th"),
    Text("He"),
    Refusal("n"),
    Opaque("k", "{}"),
    Text("x", 1),
    UsageReport(Usage(output=3)),
    ToolCall(0, "a", "f", "{"),
    Text("llo"),
    Reasoning("ink", "sig"),
    Refusal("o"),
    Opaque("k", "[]"),
    ToolCall(0, None, None, "}"),
    ToolCall(1, "b", "g", "[]"),
    Text("y", 1),
    Text("z", 2),
    UsageReport(Usage(output=9)),
)


def test_continue_keeps_what_was_said_and_the_text_goes_on() -> None:
    answer = fold(Text("He"), Opaque("k", "{}"), Text("l"), Seam(1, "continue: b answers"), Text("lo"))
    assert (answer.text, answer.opaque, answer.tokens) == ("Hello", (Opaque("k", "{}"),), 5)
    assert answer.turn.text == "Hello"
    assert answer.turn.parts[-1] == Part(text="llo")


def test_a_word_that_is_not_known_keeps_everything() -> None:
    assert fold(*SAID, Seam(1, "of tomorrow: who knows")).choices == fold(*SAID).choices


def test_restart_forgets_what_every_choice_said() -> None:
    answer = fold(*SAID, Seam(1, "restart: b answers"))
    assert (answer.choices, answer.opaque, answer.turn) == (fold().choices, (), Message(role="assistant"))
    assert fold(*SAID, Seam(1, "restart: b answers"), Text("new")).turn == Message(role="assistant", content="new")


def test_rewind_forgets_everything_from_the_first_call_on() -> None:
    answer = fold(*SAID, Seam(1, "rewind: b answers"))
    before = fold(*SAID[:6])
    assert (answer.choices, answer.opaque, answer.turn) == (before.choices, before.opaque, before.turn)
    assert [(choice.text, choice.tool_calls) for choice in answer.choices] == [("He", ()), ("x", ())]


def test_text_before_a_call_that_was_rewound_is_one_piece_with_what_follows() -> None:
    said = (Text("a"), ToolCall(0, "c", "f"), Text("?"), Seam(1, "rewind: b answers"), Text("b"))
    assert turn(*said) == Message(role="assistant", content="ab")


def test_a_thought_before_a_call_that_was_rewound_goes_on() -> None:
    seam = Seam(1, "rewind: b answers")
    assert turn(Reasoning("th"), ToolCall(0, "c", "f"), seam, Reasoning("ink", "sig")) == turn(
        Reasoning("think", "sig")
    )


def test_a_refusal_that_began_behind_the_first_call_is_rewound_whole() -> None:
    answer = fold(Text("a"), ToolCall(0, "c", "f"), Refusal("n"), Seam(1, "rewind: b answers"))
    assert answer.choices[0].refusal is None


def test_rewind_without_a_call_keeps_everything() -> None:
    answer = fold(Text("a"), Seam(1, "rewind: b answers"), Text("b"))
    assert (answer.text, answer.turn.content) == ("ab", "ab")


@pytest.mark.parametrize("word", ["rewind", "restart"])
def test_calls_of_the_leg_that_follows_are_new_ones_though_they_are_counted_from_0(word: str) -> None:
    answer = fold(ToolCall(0, "a", "f", "{"), Seam(1, f"{word}: b answers"), ToolCall(0, "b", "g", "[]"))
    assert answer.choices[0].tool_calls == (WholeCall("b", "g", "[]"),)
    assert answer.turn.calls() == (RequestedCall(id="b", name="g", arguments="[]"),)


def test_a_second_rewind_goes_back_to_the_first_call_since_the_first_one() -> None:
    answer = fold(
        *(Text("a"), ToolCall(0, "c", "f"), Text("?"), Seam(1, "rewind: b answers")),
        *(Text("b"), ToolCall(0, "d", "g"), Text("!"), Seam(2, "rewind: c answers")),
        Text("c"),
    )
    assert (answer.text, answer.choices[0].tool_calls, answer.turn.content) == ("abc", (), "abc")


@pytest.mark.parametrize("word", ["continue", "rewind", "restart"])
def test_what_was_discarded_still_counts_as_tokens_and_the_last_usage_holds(word: str) -> None:
    answer = fold(*SAID, Seam(1, f"{word}: b answers"))
    assert (answer.tokens, answer.usage) == (len(SAID) + 1, Usage(output=9))


def kept_of(tokens: list[StreamToken]) -> list[StreamToken]:
    """What a reader who obeys the seams has in the end: a log that is cut.

    Usage reports are nothing that was said: a seam leaves them.
    """
    log: list[StreamToken] = []
    for token in tokens:
        if not isinstance(token, Seam):
            log.append(token)
            continue
        match token.word:
            case SeamWord.RESTART:
                log[:] = [late for late in log if isinstance(late, UsageReport)]
            case SeamWord.REWIND:
                log[first_call(log) :] = [late for late in log[first_call(log) :] if isinstance(late, UsageReport)]
            case SeamWord.CONTINUE:
                pass
    return log


def first_call(log: list[StreamToken]) -> int:
    return next((place for place, token in enumerate(log) if isinstance(token, ToolCall)), len(log))


letters, few = st.text("abc", max_size=2), st.sampled_from([0, 0, 0, 1, 2])
said: st.SearchStrategy[StreamToken] = st.one_of(
    st.builds(Text, letters, few),
    st.builds(Reasoning, letters, st.none() | letters, few),
    st.builds(Refusal, letters, few),
    st.builds(ToolCall, few, st.none() | letters, st.none() | letters, letters, few),
    st.builds(Opaque, letters, st.just("{}"), few),
    st.builds(UsageReport, st.builds(Usage, output=few)),
    st.builds(Seam, few, st.sampled_from(["rewind: x", "rewind: y", "restart: x", "continue: x", "of tomorrow: x"])),
)


@settings(max_examples=examples(300))
@given(st.lists(said, max_size=20), st.booleans())
def test_the_answer_is_that_of_what_a_reader_keeps(tokens: list[StreamToken], finishes: bool) -> None:
    end = [Finish(FinishKind.STOP, model="m", others=(ChoiceEnd(1, FinishKind.LENGTH),))] if finishes else []
    whole, kept = fold(*tokens, *end), fold(*kept_of(tokens), *end)
    assert whole.tokens == len(tokens) + len(end)
    assert msgspec.structs.replace(whole, tokens=kept.tokens) == kept
    assert turn(*tokens) == turn(*kept_of(tokens)) == whole.turn


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
