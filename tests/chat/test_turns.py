"""One question and its answer, without a screen."""

import pytest

from rxlapce.chat.conversation import Conversation, Wishes
from rxlapce.chat.turns import SEAMS, Standing, Turn, to_send_back
from rxlapce.messages import ErrorBody
from rxlapce.requests import Message, Part, RequestedCall
from rxlapce.tokens import (
    Finish,
    FinishKind,
    Reasoning,
    Reported,
    Seam,
    SeamWord,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
)

LOST = ErrorBody(kind="truncated", retry="same", phase="flow", message="the answer broke off")
STOP = Finish(kind=FinishKind.STOP, raw="stop", model="x-1")


def turn_of(*tokens: StreamToken) -> Turn:
    """A turn asked at 100 s that got one token a second from 101 s on."""
    turn = Turn("why?", "a/x", 100.0)
    for number, token in enumerate(tokens, 1):
        turn.add(token, 100.0 + number)
    return turn


def test_standing_goes_from_waiting_by_thoughts_to_the_end() -> None:
    turn = turn_of()
    seen = [turn.standing]
    for token in (Reasoning(text="hm"), Text(text="so"), STOP):
        turn.add(token, 101.0)
        seen.append(turn.standing)
    assert seen == [Standing.WAITING, Standing.THINKING, Standing.ANSWERING, Standing.DONE]


def test_times_are_from_asking_and_run_on_until_the_end() -> None:
    turn = turn_of(Reasoning(text="hm"), Reasoning(text="hm"), Text(text="so"), Text(text="."))
    running = turn.shown(110.0)
    assert (running.first_s, running.took_s, running.thought_s) == (1.0, 10.0, 1.0)
    turn.add(STOP, 105.0)
    assert turn.shown(200.0).took_s == 5.0


def test_time_of_thoughts_runs_while_one_is_thought() -> None:
    assert turn_of(Reasoning(text="hm")).shown(104.5).thought_s == 3.5


def test_speed_is_by_the_providers_count_where_it_saw_more() -> None:
    usage = Usage(input=5, output=31, total=36, reported=Reported(output_tokens=31))
    turn = turn_of(Text(text="many words"), Text(text="at once"), Text(text="."), UsageReport(usage=usage), STOP)
    assert turn.shown().per_s == 15.0
    assert turn_of(Text(text="a"), Text(text="b"), Text(text="c")).shown().per_s == 1.0


def test_speed_leaves_out_thoughts_that_were_never_told() -> None:
    usage = Usage(output=103, reasoning=100)
    turn = turn_of(Text(text="a"), Text(text="b"), Text(text="c"), UsageReport(usage=usage), STOP)
    assert turn.shown().per_s == 1.0


@pytest.mark.parametrize(
    ("word", "kept"), [(SeamWord.CONTINUE, "one two"), (SeamWord.REWIND, "one two"), (SeamWord.RESTART, "two")]
)
def test_a_seam_is_told_and_obeyed(word: SeamWord, kept: str) -> None:
    call = ToolCall(index=0, id="c", name="look")
    turn = turn_of(Text(text="one "), call, Seam(leg=1, reason=f"{word}: it broke\noff"), Text(text="two"))
    shown = turn.shown()
    assert shown.text.replace("  ", " ") == kept
    assert shown.seams == (f"{SEAMS[word]} (it broke off)",)
    assert len(shown.calls) == (1 if word is SeamWord.CONTINUE else 0)


def test_cancelled_is_no_failure_and_both_keep_what_came() -> None:
    for kind, standing in (("cancelled", Standing.CANCELLED), ("truncated", Standing.FAILED)):
        turn = turn_of(Text(text="half"))
        turn.fail(ErrorBody(kind=kind, retry="never", phase="flow", message="m"), 103.0)
        assert (turn.standing, turn.shown().text) == (standing, "half")


def test_nothing_comes_after_an_end() -> None:
    turn = turn_of(Text(text="half"))
    turn.fail(LOST, 103.0)
    turn.add(Text(text=" more"), 104.0)
    turn.fail(ErrorBody(kind="cancelled", retry="never", phase="flow", message="m"), 105.0)
    shown = turn.shown()
    assert (shown.text, shown.error, shown.standing) == ("half", LOST, Standing.FAILED)


def test_conversation_tells_what_was_said_before_and_leaves_out_what_got_no_answer() -> None:
    conversation = Conversation()
    said: list[tuple[str, list[StreamToken]]] = [
        ("one?", [Text(text="1"), STOP]), ("two?", []), ("three?", [Text(text="th")])
    ]  # fmt: skip
    for question, tokens in said:
        conversation.ask(question, "a/x", Wishes(), 0.0)
        turn = conversation.turn
        assert turn is not None
        for token in tokens:
            turn.add(token, 1.0)
        turn.fail(LOST, 2.0)  # without effect on the first
        conversation.settle()
    request = conversation.ask("four?", "a/x", Wishes(system="be brief", max_tokens=9), 3.0)
    told = [(message.role, message.text) for message in request.messages]
    assert told == [
        ("system", "be brief"),
        ("user", "one?"), ("assistant", "1"),
        ("user", "three?"), ("assistant", "th"),
        ("user", "four?"),
    ]  # fmt: skip
    assert (request.max_tokens, request.temperature) == (9, None)


def test_only_an_answer_that_is_not_whole_is_asked_again() -> None:
    conversation = Conversation()
    assert not conversation.can_ask_again
    conversation.ask("one?", "a/x", Wishes(), 0.0)
    assert not conversation.can_ask_again
    assert conversation.turn is not None
    conversation.turn.fail(LOST, 1.0)
    conversation.settle()
    assert conversation.again() == "one?"
    assert conversation.empty
    conversation.ask("one?", "a/x", Wishes(), 2.0)
    conversation.turn.add(STOP, 3.0)
    conversation.settle()
    assert not conversation.can_ask_again
    with pytest.raises(RuntimeError, match="whole"):
        conversation.again()


def test_thoughts_go_back_to_the_model_that_had_them_and_to_no_other() -> None:
    said = Message(role="assistant", parts=(Part(reasoning="hm", signature="s"), Part(text="so")))
    same = to_send_back(said, whole=True, same_model=True)
    assert same == said
    for whole, same_model in ((True, False), (False, True)):
        assert to_send_back(said, whole=whole, same_model=same_model) == Message(role="assistant", content="so")
    thoughts = Message(role="assistant", parts=(Part(reasoning="hm"),))
    assert to_send_back(thoughts, whole=False, same_model=True) is None


def test_a_call_that_nobody_ran_goes_back_in_words() -> None:
    call = RequestedCall(id="c", name="look", arguments="{}")
    back = to_send_back(Message(role="assistant", parts=(Part(tool_call=call),)), whole=True, same_model=True)
    assert back is not None
    assert back.calls() == ()
    assert "look" in back.text
