"""The verdict on what a reader got, by streams that are right and streams that are wrong in one thing each."""

import pytest

from rxlapce.crashtest.verdict import Expected, Judgement, Reading, Verdict, combined, judge
from rxlapce.errors import ConnectionLost, ErrorKind, ProviderError
from rxlapce.tokens import Finish, FinishKind, Seam, StreamToken, Text, ToolCall, Usage, UsageReport

EXPECTED = Expected(text="one two three")
WHOLE: list[StreamToken] = [
    Text("one "),
    Text("two "),
    Text("three"),
    UsageReport(Usage(output=3)),
    Finish(FinishKind.STOP),
]
CALL = Expected(text="one ", calls=(("measure", '{"pipe":"a"}'),))


def reading(tokens: list[StreamToken], *ends: Exception | None) -> Reading:
    made = Reading()
    for token in tokens:
        made.on_next(token)
    for end in ends:
        if end is None:
            made.on_completed()
        else:
            made.on_error(end)
    return made


def broken(delivered_chars: int | None = None) -> ProviderError:
    error = ProviderError(ErrorKind.TRUNCATED, "the connection broke off")
    error.delivered_chars = delivered_chars
    return error


def reason_of(judged: Judgement) -> str:
    assert judged.verdict is Verdict.FAIL
    assert judged.reason is not None
    return judged.reason


# -- whole ------------------------------------------------------------------------------------------------------------


def test_all_of_the_text_with_one_finish_last_is_whole() -> None:
    assert judge(reading(WHOLE, None), EXPECTED) == Judgement(Verdict.WHOLE)


@pytest.mark.parametrize(
    "tokens",
    [
        [Text("one "), Seam(1, "continue: b answers"), *WHOLE[1:]],
        [Text("one "), Seam(1, "restart: b answers"), *WHOLE],
        [Text("one "), ToolCall(0, "1", "measure", "{"), Seam(1, "rewind: b answers"), *WHOLE[1:]],
    ],
    ids=["continue", "restart", "rewind"],
)
def test_a_reader_who_obeys_the_seams_has_the_whole(tokens: list[StreamToken]) -> None:
    assert judge(reading(tokens, None), EXPECTED).verdict is Verdict.WHOLE


def test_a_tool_call_must_be_whole_too() -> None:
    begun: list[StreamToken] = [Text("one "), ToolCall(0, "1", "measure", '{"pipe":')]
    end = Finish(FinishKind.TOOL_CALLS)
    assert judge(reading([*begun, ToolCall(0, None, None, '"a"}'), end], None), CALL).verdict is Verdict.WHOLE
    assert "tool calls" in reason_of(judge(reading([*begun, end], None), CALL))
    assert "tool calls" in reason_of(judge(reading([Text("one "), end], None), CALL))


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([*WHOLE[:2], *WHOLE[3:]], "5 characters are missing at the end"),
        ([WHOLE[0], *WHOLE[2:]], "from character 5 on it says 'hree' and not 'wo three'"),
        ([WHOLE[0], *WHOLE], "from character 4 on it says 'one two three' and not 'two three'"),
        (
            [*WHOLE[:2], Seam(1, "continue: b answers"), *WHOLE[1:]],
            "from character 9 on it says 'wo three' and not 'hree'",
        ),
        ([*WHOLE[:2], Seam(1, "restart: b answers"), *WHOLE[2:]], "from character 0 on it says 'three'"),
        ([*WHOLE[:3], Text("!"), *WHOLE[3:]], "1 characters too many at the end"),
        (WHOLE[:-1], "completed with 0 Finish"),
        ([*WHOLE, Finish(FinishKind.STOP)], "completed with 2 Finish"),
        ([*WHOLE[:3], Finish(FinishKind.STOP), UsageReport(Usage(output=3))], "not its last token"),
        ([*WHOLE[:3], Finish(FinishKind.LENGTH)], "ended by length and not by stop"),
        ([*WHOLE[:3], ToolCall(0, "1", "measure", "{}"), Finish(FinishKind.STOP)], "tool calls"),
    ],
    ids=[
        "end missing",
        "gap",
        "doubled",
        "doubled at a seam",
        "lost at a seam",
        "too long",
        "no finish",
        "two finishes",
        "finish not last",
        "cut by length",
        "a call too many",
    ],
)
def test_an_answer_that_calls_itself_whole_and_is_not_fails(tokens: list[StreamToken], said: str) -> None:
    assert said in reason_of(judge(reading(tokens, None), EXPECTED))


# -- one clear error --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "delivered"), [([], None), ([], 0), (WHOLE[:2], 8)])
def test_one_error_that_knows_what_was_delivered_is_clean(tokens: list[StreamToken], delivered: int | None) -> None:
    assert judge(reading(tokens, broken(delivered)), EXPECTED) == Judgement(Verdict.CLEAN_ERROR)


@pytest.mark.parametrize("delivered", [None, 0, 7, 9])
def test_an_error_that_counts_wrongly_fails(delivered: int | None) -> None:
    said = reason_of(judge(reading(WHOLE[:2], broken(delivered)), EXPECTED))
    assert said == f"its error says that {delivered} characters were delivered, and it was 8"


def test_delivered_characters_are_those_that_a_seam_has_left() -> None:
    tokens: list[StreamToken] = [Text("lost"), Seam(1, "restart: b answers"), Text("one ")]
    assert judge(reading(tokens, broken(4)), EXPECTED).verdict is Verdict.CLEAN_ERROR


def test_an_error_after_text_that_is_no_beginning_of_the_answer_fails() -> None:
    assert "no beginning" in reason_of(judge(reading([Text("one one ")], broken(8)), EXPECTED))


def test_an_error_after_a_finish_fails() -> None:
    assert "had said that it was whole" in reason_of(judge(reading(WHOLE, broken(13)), EXPECTED))


def test_an_error_of_another_sort_fails() -> None:
    said = reason_of(judge(reading([], ConnectionLost("the daemon closed the connection")), EXPECTED))
    assert "ConnectionLost" in said


def test_an_error_without_a_word_fails() -> None:
    assert "says nothing" in reason_of(judge(reading([], ProviderError(ErrorKind.INTERNAL, " ")), EXPECTED))


# -- no order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((), "it has no end"),
        ((None, None), "it ended 2 times"),
        ((None, broken(13)), "it ended 2 times"),
        ((broken(13), broken(13)), "it ended 2 times"),
        ((broken(13), None), "it ended 2 times"),
    ],
)
def test_a_stream_ends_exactly_once(ends: tuple[Exception | None, ...], said: str) -> None:
    assert reason_of(judge(reading(WHOLE, *ends), EXPECTED)) == said


@pytest.mark.parametrize("end", [None, broken(13)])
def test_nothing_comes_after_the_end(end: Exception | None) -> None:
    late = reading(WHOLE[:3] if end else WHOLE, end)
    late.on_next(Text("!"))
    assert reason_of(judge(late, EXPECTED)) == "1 tokens came after its end"


def test_a_stream_that_nobody_waits_for_any_more_fails() -> None:
    hung = reading(WHOLE[:2])
    hung.hung, hung.took_s = True, 1.25
    assert reason_of(judge(hung, EXPECTED)) == "it had not ended after 1.2 s"


def test_a_reader_who_left_needs_no_end() -> None:
    left = reading(WHOLE[:2])
    left.cancelled = True
    assert judge(left, EXPECTED).verdict is Verdict.WHOLE
    left.on_completed()
    left.on_completed()
    assert judge(left, EXPECTED).verdict is Verdict.FAIL


def test_of_several_answers_the_worst_counts() -> None:
    whole, clean, fail = Judgement(Verdict.WHOLE), Judgement(Verdict.CLEAN_ERROR), Judgement(Verdict.FAIL, "first")
    assert combined([whole, clean, whole]) is clean
    assert combined([clean, fail, whole, Judgement(Verdict.FAIL, "second")]) is fail
    assert combined([whole, whole]) is whole
