"""Steady answers: the same from everyone, and gone on with from wherever they broke off."""

from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.operators.continuation import GO_ON, continued
from rxlapce.providers.http import HttpClient
from rxlapce.requests import Message
from rxlapce.simulator import Options, Simulator, parse, recite
from rxlapce.simulator.anthropic.messages_request import read_messages
from rxlapce.simulator.asked import NOWHERE, Asked, Where
from rxlapce.simulator.bedrock.asked import read_converse, read_invoke
from rxlapce.simulator.google.asked import read_generate
from rxlapce.simulator.ollama.request import read_chat as read_ollama
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import read_completions
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.play import Step
from rxlapce.simulator.recital import Recited
from rxlapce.simulator.reply import End, Reply
from rxlapce.simulator.steady import Given, give
from rxlapce.simulator.tokenizer import after, seeded
from rxlapce.testing.askers import everyone
from rxlapce.testing.asking import heard

PROMPT: Final = "What is backpressure? 🦀"
SIXTY: Final = "steady=1,tokens=60"
Turns = list[tuple[str, str]]


def chat_of(turns: Turns) -> dict[str, Any]:
    return {"model": "sim", "max_tokens": 4096, "messages": [{"role": role, "content": text} for role, text in turns]}


def parted(turns: Turns) -> dict[str, Any]:
    parts = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    return {"model": "sim", "max_tokens": 4096, "messages": parts}


def cut_in_parts(turns: Turns) -> dict[str, Any]:
    """A turn in pieces that join to it."""
    pieces = [[text[:3], text[3:]] if role == "assistant" else [text] for role, text in turns]
    messages = [
        {"role": role, "content": [{"type": "text", "text": piece} for piece in said if piece]}
        for (role, _), said in zip(turns, pieces, strict=True)
    ]
    return {"model": "sim", "messages": messages}


def items(turns: Turns) -> dict[str, Any]:
    kinds = {"user": "input_text", "assistant": "output_text"}
    said = [{"role": role, "content": [{"type": kinds[role], "text": text}]} for role, text in turns]
    return {"model": "sim", "input": said, "instructions": "Be brief."}


def contents(turns: Turns) -> dict[str, Any]:
    roles = {"user": "user", "assistant": "model"}
    thought = [{"text": "Let me see.", "thought": True}]
    return {
        "contents": [
            {"role": roles[role], "parts": (thought if role == "assistant" else []) + [{"text": text}]}
            for role, text in turns
        ]
    }


def blocks(turns: Turns) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": [{"text": text}]} for role, text in turns]}


def history(turns: Turns) -> dict[str, Any]:
    """Command R's: the last turn is the user's, and stands alone."""
    roles = {"user": "USER", "assistant": "CHATBOT"}
    past = [{"role": roles[role], "message": text} for role, text in turns[:-1]]
    return {"message": turns[-1][1], "chat_history": past}


VERSION: Final = {"anthropic_version": "bedrock-2023-05-31"}
GENERATE: Final = Where(path="/v1beta/models/sim:streamGenerateContent", model="sim")


def invoking(model: str) -> Where:
    return Where(path=f"/model/{model}/invoke", model=model)


#: Wire format -> its reader, where its requests go, and how it writes turns.
FORMATS: Final[dict[str, tuple[Callable[[bytes, Where], Asked], Where, Callable[[Turns], dict[str, Any]]]]] = {
    "chat completions": (read_chat, NOWHERE, chat_of),
    "chat completions in parts": (read_chat, NOWHERE, cut_in_parts),
    "responses": (read_responses, NOWHERE, items),
    "messages": (read_messages, NOWHERE, chat_of),
    "messages in parts": (read_messages, NOWHERE, parted),
    "generateContent": (read_generate, GENERATE, contents),
    "converse": (read_converse, Where(path="/model/sim/converse", model="sim"), blocks),
    "claude invoked": (read_invoke, invoking("claude"), lambda turns: without_model(chat_of(turns)) | VERSION),
    "nova invoked": (read_invoke, invoking("amazon.nova"), blocks),
    "jamba invoked": (read_invoke, invoking("ai21.jamba"), lambda turns: without_model(chat_of(turns))),
    "ollama": (read_ollama, NOWHERE, chat_of),
}


def without_model(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "model"}


def asked(form: str, turns: Turns) -> Asked:
    read, where, write = FORMATS[form]
    return read(msgspec.json.encode(write(turns)), where)


def given(asked: Asked, options: str = SIXTY, *, seed: int = 5, chance: int = 0) -> Given:
    return give(asked, parse(options), seeded(chance), seed=seed)


def text_of(given: Given) -> str:
    (reply,) = given.replies
    return spoken(reply)


def spoken(reply: Reply) -> str:
    pieces = list(reply.text_pieces())
    assert len(pieces) == reply.text_tokens
    return "".join(pieces)


ANSWER: Final = text_of(given(asked("ollama", [("user", PROMPT)])))


# -- the same from everyone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_hears_the_same_conversation_and_is_answered_alike(form: str) -> None:
    history = [("user", "Hello."), ("assistant", "Good morning."), ("user", PROMPT)]
    for turns in ([("user", PROMPT)], history):
        answer = given(asked(form, turns), chance=len(form))
        assert (text_of(answer), answer.continued) == (ANSWER, False)


def test_only_the_seed_and_the_prompt_decide() -> None:
    read = read_chat(msgspec.json.encode(chat_of([("user", PROMPT)]) | {"model": "other", "temperature": 1}))
    assert text_of(given(read, chance=9)) == ANSWER
    others = {text_of(given(asked("ollama", [("user", PROMPT)]), seed=seed)) for seed in range(20)}
    assert ANSWER in others
    assert len(others) > 1
    assert text_of(given(asked("ollama", [("user", "Hello!")]))) != ANSWER


def test_without_it_the_request_itself_decides_and_nothing_is_continued() -> None:
    answers = {text_of(given(asked("ollama", [("user", PROMPT)]), "tokens=60", chance=number)) for number in range(20)}
    assert len(answers) > 1
    begun = given(asked("ollama", [("user", PROMPT), ("assistant", ANSWER[:50])]), "tokens=60", chance=1)
    assert not begun.continued
    assert text_of(begun) in answers


def test_what_tools_returned_is_part_of_the_prompt() -> None:
    turns = [
        {"role": "user", "content": "the weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "tool_call_id": "1", "content": "22 degrees"},
    ]
    first = text_of(given(read_chat(msgspec.json.encode({"model": "sim", "messages": turns})), "steady=1"))
    assert "22 degrees" in first
    begun = [*turns, {"role": "assistant", "content": first[:40]}]
    rest = given(read_chat(msgspec.json.encode({"model": "sim", "messages": begun})), "steady=1")
    assert (first[:40] + text_of(rest), rest.continued) == (first, True)


# -- the rest of a begun answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("asking", [[], [("user", GO_ON)]], ids=["prefill", "go on"])
def test_a_begun_answer_is_gone_on_with_from_every_character(form: str, asking: Turns) -> None:
    for cut in range(1, len(ANSWER) + 1):
        if not ANSWER[:cut].strip():
            continue
        rest = given(asked(form, [("user", PROMPT), ("assistant", ANSWER[:cut]), *asking]))
        assert rest.continued
        assert text_of(rest) == ANSWER[cut:]
        assert rest.replies[0].end is End.STOP


def test_command_r_is_asked_to_go_on_in_its_own_history() -> None:
    turns = [("user", PROMPT), ("assistant", ANSWER[:77]), ("user", GO_ON)]
    rest = given(read_invoke(msgspec.json.encode(history(turns)), invoking("cohere.command-r")))
    assert (text_of(rest), rest.continued) == (ANSWER[77:], True)


def test_an_answer_can_be_gone_on_with_again_and_again() -> None:
    said = ""
    for cut in (40, 41, 120, 200):
        rest = given(asked("messages", [("user", PROMPT), ("assistant", said)] if said else [("user", PROMPT)]))
        said += text_of(rest)[: cut - len(said)]
    assert said == ANSWER[:200]


@pytest.mark.parametrize("text", ["Something else", ANSWER + " And so on.", ANSWER[1:40], ANSWER[:40] + "\n"])
def test_a_turn_that_is_no_beginning_of_the_answer_is_an_ordinary_turn(text: str) -> None:
    turns = [("user", PROMPT), ("assistant", text), ("user", "And what is a stream?")]
    answer = given(asked("chat completions", turns))
    assert not answer.continued
    assert "And what is a stream?" in text_of(answer).splitlines()[0]
    prefilled = given(asked("chat completions", turns[:2]))
    assert (prefilled.continued, text_of(prefilled)) == (False, ANSWER)


@pytest.mark.parametrize("form", FORMATS)
def test_after_a_whole_answer_a_user_may_ask_something_new_or_to_go_on(form: str) -> None:
    """An answer can break off after its last character, before its end is told."""
    new = given(asked(form, [("user", PROMPT), ("assistant", ANSWER), ("user", "And what is a stream?")]))
    assert not new.continued
    assert "And what is a stream?" in text_of(new).splitlines()[0]
    for asking in ([("user", GO_ON)], [("user", "Please continue.")], []):
        rest = given(asked(form, [("user", PROMPT), ("assistant", ANSWER), *asking]))
        assert (rest.continued, text_of(rest), rest.replies[0].end) == (True, "", End.STOP)


def test_an_unfinished_answer_is_gone_on_with_whatever_the_user_says() -> None:
    rest = given(asked("messages", [("user", PROMPT), ("assistant", ANSWER[:-1]), ("user", "And then?")]))
    assert (rest.continued, text_of(rest)) == (True, ANSWER[-1])


def test_a_user_who_brings_results_does_not_ask_to_go_on() -> None:
    used: list[dict[str, Any]] = [
        {"type": "text", "text": ANSWER[:30]},
        {"type": "tool_use", "id": "t", "name": "look", "input": {}},
    ]
    result = [{"type": "tool_result", "tool_use_id": "t", "content": "cold"}]
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": used},
        {"role": "user", "content": result},
    ]
    answer = given(read_messages(msgspec.json.encode({"model": "sim", "max_tokens": 9000, "messages": turns})))
    assert not answer.continued
    assert "cold" in text_of(answer)


def test_the_limit_of_tokens_counts_anew_and_the_cut_piece_counts_as_one() -> None:
    cut = ANSWER.index("pressure") + 4
    turns = chat_of([("user", PROMPT), ("assistant", ANSWER[:cut])])
    whole = given(read_chat(msgspec.json.encode(turns)))
    short = given(read_chat(msgspec.json.encode(turns | {"max_tokens": 3})))
    assert text_of(whole).startswith(text_of(short))
    assert text_of(short).startswith("sure")
    assert (short.replies[0].text_tokens, short.replies[0].end) == (3, End.LENGTH)


@pytest.mark.parametrize(("overlap", "again"), [(0, 0), (1, 1), (12, 12), (500, 90)])
def test_the_last_words_can_be_said_again(overlap: int, again: int) -> None:
    turns = [("user", PROMPT), ("assistant", ANSWER[:90]), ("user", GO_ON)]
    rest = given(asked("responses", turns), f"{SIXTY},overlap={overlap}")
    assert text_of(rest) == ANSWER[90 - again :]
    assert text_of(given(asked("responses", turns[:1]), f"{SIXTY},overlap={overlap}")) == ANSWER


def test_of_several_choices_none_is_continued() -> None:
    body = chat_of([("user", PROMPT), ("assistant", ANSWER[:50])]) | {"n": 2}
    answer = given(read_chat(msgspec.json.encode(body)))
    assert (len(answer.replies), answer.continued) == (2, False)
    assert spoken(answer.replies[0]) == ANSWER


def test_a_filtered_answer_ends_where_it_would_have() -> None:
    options = "steady=1,finish=content_filter"
    first = text_of(given(asked("messages", [("user", PROMPT)]), options))
    rest = given(asked("messages", [("user", PROMPT), ("assistant", first[:20])]), options)
    assert (first[:20] + text_of(rest), rest.replies[0].end) == (first, End.CONTENT_FILTER)


# -- a text to go on from -------------------------------------------------------------------------------------------


def completing(prompt: str) -> Asked:
    return read_completions(msgspec.json.encode({"model": "sim", "prompt": prompt}))


@pytest.mark.parametrize("prompt", [PROMPT, "def add(a, b):\n    ", "You ask: *“Me", "`*` ", "word " * 40, "\n\n", ""])
def test_a_prompt_with_what_came_of_its_answer_is_gone_on_with(prompt: str) -> None:
    whole = given(completing(prompt))
    assert not whole.continued
    answer = text_of(whole)
    for cut in range(1, len(answer) + 1):
        rest = given(completing(prompt + answer[:cut]))
        assert (text_of(rest), rest.continued) == (answer[cut:], True), answer[:cut]


def test_a_prompt_alone_is_no_continuation_and_a_long_one_is_soon_read() -> None:
    long = "You ask: “Why?” Yes. It is as it is. Think. *“ " * 2_000
    answer = given(completing(long))
    assert not answer.continued
    assert text_of(answer)


def test_a_turn_and_a_prompt_of_the_same_words_have_the_same_answer() -> None:
    assert text_of(given(completing(PROMPT))) == ANSWER


def test_pieces_are_cut_anywhere() -> None:
    pieces = ("ab", "", "c", "def")
    for cut in range(8):
        assert "".join(after(iter(pieces), cut)) == "abcdef"[cut:]


def test_a_recited_stream_can_be_steady_too() -> None:
    """The two dialects differ in every byte of their frames; the pieces of text between them must not."""

    def said(dialect: Recited) -> list[str]:
        steps = recite(PROMPT, dialect=dialect, model=f"sim:{SIXTY},tps=1")
        lines = [step.data for step in steps if isinstance(step, Step) and step.tokens]
        events = [msgspec.json.decode(line.removeprefix(b"data: ")) for line in lines]
        return [event["choices"][0]["text"] if "choices" in event else event["message"]["content"] for event in events]

    assert said("ollama") == said("completions")
    assert len(said("ollama")) == 60


# -- over the wire, by real requests --------------------------------------------------------------------------------

#: Takes one turn alone, or writes turns into one text, whose words then decide.
TURNLESS: Final = {"completions", "meta.llama3-sim"}


@pytest.mark.parametrize("overlap", [0, 9])
async def test_everyone_goes_on_where_another_broke_off(http: HttpClient, overlap: int) -> None:
    def steady(_model: str) -> Options:
        return parse(f"{SIXTY},overlap={overlap}")

    async with Simulator(seed=5, by_model=steady) as first, Simulator(seed=5, by_model=steady) as second:
        breaking, going_on = (
            [asker for asker in everyone(http, simulator) if not TURNLESS & {asker.api, asker.model}]
            for simulator in (first, second)
        )
        for one, other in zip(breaking, going_on[5:] + going_on[:5], strict=True):
            pair = f"{one}, {other}"
            broken = one.ask(one.request(), "fault=cut,after=40")
            error = await broken.end()
            assert isinstance(error, ProviderError), pair
            assert (error.kind, first.served[-1].tokens) == (ErrorKind.TRUNCATED, 40), pair
            text = heard(broken.items).text
            assert ANSWER.startswith(text), pair
            for prefill in (True, False):
                rest = other.ask(continued(other.request(), Message(role="assistant", content=text), prefill=prefill))
                assert await rest.end() is None, pair
                sent = text.rstrip() if prefill else text
                assert heard(rest.items).text == ANSWER[len(sent) - overlap :], pair
                assert second.served[-1].continued, pair
            assert not first.served[-1].continued, pair


@pytest.mark.parametrize("stream", [True, False])
async def test_a_unary_answer_is_continued_as_a_streamed_one(
    simulator: Simulator, client: aiohttp.ClientSession, stream: bool
) -> None:
    whole = chat_of([("user", PROMPT)]) | {"model": f"sim:{SIXTY}"}
    async with client.post("/v1/chat/completions", json=whole | {"stream": False}) as response:
        text = (await response.json())["choices"][0]["message"]["content"]
    begun = chat_of([("user", PROMPT), ("assistant", text[:100])]) | {"model": f"sim:{SIXTY}", "stream": stream}
    async with client.post("/v1/messages", json=begun) as response:
        await response.read()
    assert [served.continued for served in simulator.served] == [False, True]
    (reply,) = simulator.served[1].replies
    assert text[:100] + spoken(reply) == text
