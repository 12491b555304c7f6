from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.operators.continuation import GO_ON, Continuation, Delivered, Overlap, continued
from rxlapce.requests import ChatRequest, Message, OpaquePart, Part, RequestedCall
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import Opaque, Reasoning, Refusal, StreamToken, Text, ToolCall

ASKED = ChatRequest(
    model="acme/m1", messages=(Message(role="system", content="s"), Message(role="user", content="u")), max_tokens=9
)


# -- the request ------------------------------------------------------------------------------------------------------


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


def test_a_prefill_ends_the_conversation_in_the_assistants_turn() -> None:
    request = continued(ASKED, said("Once upon"), prefill=True)
    assert request.messages == (*ASKED.messages, said("Once upon"))
    assert (request.model, request.max_tokens) == (ASKED.model, 9)


def test_a_prefill_has_no_white_space_at_its_end() -> None:
    assert continued(ASKED, said("Once upon \n\t"), prefill=True).messages[-1] == said("Once upon")


def test_a_user_turn_asks_to_go_on_after_the_exact_text() -> None:
    request = continued(ASKED, said("Once upon "), prefill=False)
    assert request.messages == (*ASKED.messages, said("Once upon "), Message(role="user", content=GO_ON))


@pytest.mark.parametrize("prefill", [True, False])
def test_a_request_that_ended_in_the_assistants_turn_still_has_one_such_turn(prefill: bool) -> None:
    asked = ChatRequest(model="m", messages=(Message(role="user", content="u"), said("{")))
    messages = continued(asked, said('"a"'), prefill=prefill).messages
    assert messages[:2] == (Message(role="user", content="u"), said('{"a"'))
    assert len(messages) == (2 if prefill else 3)


def test_a_call_of_the_history_is_not_merged_with_the_answer() -> None:
    call = Message(role="assistant", tool_calls=(RequestedCall(id="c", name="f", arguments="{}"),))
    asked = ChatRequest(model="m", messages=(Message(role="user", content="u"), call))
    assert continued(asked, said("a"), prefill=True).messages == (*asked.messages, said("a"))


def test_only_the_text_of_what_was_delivered_is_said() -> None:
    parts = (
        Part(reasoning="hm", signature="s"),
        Part(text="Let me "),
        Part(opaque=OpaquePart(kind="citation", raw="{}")),
        Part(text="look."),
        Part(tool_call=RequestedCall(id="c", name="f", arguments="{")),
    )
    delivered = Message(role="assistant", parts=parts)
    assert continued(ASKED, delivered, prefill=True).messages[-1] == said("Let me look.")


@pytest.mark.parametrize("nothing", ["", " \n"])
@pytest.mark.parametrize("prefill", [True, False])
def test_nothing_is_not_to_be_gone_on_with(nothing: str, prefill: bool) -> None:
    with pytest.raises(ValueError, match="nothing of the answer"):
        continued(ASKED, said(nothing), prefill=prefill)


def test_a_continuation_makes_the_request_of_its_way_of_asking() -> None:
    for prefill in (True, False):
        made = Continuation(text="Once", prefill=prefill).request(ASKED)
        assert made == continued(ASKED, said("Once"), prefill=prefill)


# -- what was delivered -----------------------------------------------------------------------------------------------


def delivered(*tokens: StreamToken, max_chars: int = 100) -> Delivered:
    record = Delivered(max_chars)
    for token in tokens:
        record.add(token)
    return record


def test_text_is_kept_up_to_the_first_tool_call() -> None:
    record = delivered(Reasoning("hm"), Text("a"), Opaque("k", "{}"), Text("b"), ToolCall(0, "c", "f"), Text("late"))
    assert (record.text, record.has_calls, record.can_go_on, record.chars) == ("ab", True, True, 6)


def test_after_a_rewind_text_is_kept_again() -> None:
    record = delivered(Text("a"), ToolCall(0, "c", "f"), Text("late"))
    record.rewind()
    assert (record.text, record.has_calls, record.chars) == ("a", False, 1)
    record.add(Text("b"))
    assert record.text == "ab"


def test_after_a_restart_nothing_is_there() -> None:
    record = delivered(Text("a"), Refusal("no"), ToolCall(0, "c", "f"))
    record.clear()
    assert (record.text, record.has_calls, record.can_go_on, record.chars) == ("", False, True, 0)


@pytest.mark.parametrize(
    "token",
    [
        Refusal("no"),
        Text("x", choice=1),
        ToolCall(0, choice=1),
        Reasoning("x", choice=1),
        Opaque("k", "{}", choice=1),
        Text("x" * 100),
    ],
)
def test_what_nobody_can_go_on_from(token: StreamToken) -> None:
    record = delivered(Text("a"), token, Text("b"))
    assert (record.can_go_on, record.text) == (False, "")
    record.rewind()
    assert not record.can_go_on


def test_the_bound_itself_may_be_kept() -> None:
    assert delivered(Text("x" * 100)).can_go_on


def test_with_no_room_text_is_only_counted() -> None:
    record = delivered(Text("abc"), max_chars=0)
    assert (record.chars, record.text, record.can_go_on) == (3, "", False)


# -- overlap ----------------------------------------------------------------------------------------------------------


def after(before: str, *pieces: str, max_chars: int = 256, restated: bool = False) -> list[str]:
    overlap = Overlap(before, max_chars=max_chars, restated=restated)
    new = [token.text for piece in pieces for token in overlap.feed(Text(piece))]
    return new + [token.text for token in overlap.close()]


@pytest.mark.parametrize(
    ("before", "pieces", "new"),
    [
        ("The quick brown fox", ["brown fox", " jumps"], [" jumps"]),
        ("The quick brown fox", ["brown fox jumps"], [" jumps"]),
        ("The quick brown fox", [" jumps"], [" jumps"]),
        ("The quick brown fox", ["brown f", "at"], ["brown f", "at"]),
        ("The quick brown fox", ["fox jumps"], ["fox jumps"]),  # short enough for chance
        ("hello", ["lo"], ["lo"]),
        ("a rule: -----------", ["---------", "--"], ["---------", "--"]),
        ("x\n                ", ["                y"], ["                y"]),
        ("The quick brown fox", ["The quick brown fox"], []),
        ("The quick brown fox", ["The quick ", "brown"], ["The quick ", "brown"]),
        ("", ["anything"], ["anything"]),
    ],
)
def test_what_is_repeated_is_cut_off(before: str, pieces: list[str], new: list[str]) -> None:
    assert after(before, *pieces) == new


def test_the_longest_repetition_counts() -> None:
    assert after("abcdefgh abcdefgh", "abcdefgh abcdefgh ijk") == [" ijk"]


def test_a_repetition_longer_than_the_bound_is_not_looked_for() -> None:
    text = "".join(chr(200 + n) for n in range(40))
    assert after(text, text, "x", max_chars=39) == [text, "x"]
    assert after(text, text, "x", max_chars=40) == ["x"]
    assert after(text, text, "x", max_chars=0) == [text, "x"]


def test_white_space_that_a_prefill_went_without_is_not_said_twice() -> None:
    assert after("Once \n", " \n", "upon", restated=True) == ["upon"]
    assert after("Once \n", " ", "\nupon", restated=True) == ["upon"]
    assert after("Once \n", "upon", restated=True) == ["upon"]
    assert after("Once \n", " ", "upon", restated=True) == [" ", "upon"]
    assert after("Once \n", " \n", "upon") == [" \n", "upon"]


def test_a_cut_token_keeps_its_choice_and_whole_ones_are_the_same() -> None:
    overlap, whole = Overlap("The quick brown fox"), Text("!")
    assert overlap.feed(Text("brown fo", 0)) == []
    assert not overlap.decided
    assert overlap.feed(Text("x j", 0)) == [Text(" j")]
    assert overlap.decided
    assert overlap.feed(whole)[0] is whole


def test_only_what_could_be_a_repetition_is_held() -> None:
    overlap = Overlap("The quick brown fox")
    assert overlap.feed(Text("z")) == [Text("z")]
    assert overlap.is_empty


WORDS = st.lists(st.integers(0, 3000), min_size=3, max_size=40, unique=True).map(
    lambda numbers: "".join("".join(chr(0x4E00 + 6 * number + n) for n in range(6)) + " " for number in numbers)
)
"""Texts in which no character but the space comes twice, so that nothing in them repeats by chance."""


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


@given(WORDS, st.integers(0), st.integers(8, 200), st.lists(st.integers(0), max_size=12), st.booleans())
@settings(max_examples=examples(120), deadline=None)
def test_a_text_cut_anywhere_and_repeated_by_any_length_joins_to_itself(
    text: str, cut: int, repeated: int, cuts: list[int], repeats: bool
) -> None:
    cut %= len(text) + 1
    before = text[:cut]
    start = max(0, cut - repeated) if repeats and cut >= 8 else cut
    assert before + "".join(after(before, *split(text[start:], cuts))) == text


@given(WORDS, st.integers(0), st.integers(0, 60), st.lists(st.integers(0), max_size=12))
@settings(max_examples=examples(80), deadline=None)
def test_a_prefilled_text_joins_to_itself(text: str, cut: int, repeated: int, cuts: list[int]) -> None:
    before = text[: cut % (len(text) + 1)]
    sent = before.rstrip()
    start = len(sent) - repeated if 8 <= repeated <= len(sent) else len(sent)
    assert before + "".join(after(before, *split(text[start:], cuts), restated=True)) == text


@given(
    st.text("ab \n-", max_size=60), st.text("ab \n-", max_size=60), st.lists(st.integers(0), max_size=8), st.booleans()
)
@settings(max_examples=examples(120), deadline=None)
def test_whatever_comes_only_a_repetition_is_lost_and_the_cuts_do_not_matter(
    before: str, text: str, cuts: list[int], restated: bool
) -> None:
    new = "".join(after(before, *split(text, cuts), restated=restated))
    assert text.endswith(new)
    lost = text[: len(text) - len(new)]
    assert before.endswith(lost)
    assert new == "".join(after(before, text, restated=restated))


@given(WORDS, st.lists(st.integers(0), max_size=12), st.integers(8, 40))
@settings(max_examples=examples(100), deadline=None)
def test_no_more_is_held_than_the_bound_and_one_token(text: str, cuts: list[int], bound: int) -> None:
    overlap, came, gone = Overlap(text, max_chars=bound), 0, 0
    for piece in split(text[-bound:] + text, cuts):
        came += len(piece)
        gone += sum(len(token.text) for token in overlap.feed(Text(piece)))
        if came > bound:
            assert overlap.decided
            assert overlap.is_empty
