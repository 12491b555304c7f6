"""What of a request is refused, in each vendor's words, and what is accepted."""

from typing import Any

import msgspec
import pytest

from rxlapce.simulator.anthropic.messages_request import read_count, read_messages
from rxlapce.simulator.asked import Asked, BadBody, Where
from rxlapce.simulator.example import example
from rxlapce.simulator.openai.chat_request import read_chat
from rxlapce.simulator.openai.completions import read_completions
from rxlapce.simulator.openai.responses_request import read_responses
from rxlapce.simulator.tokenizer import seeded

USER = {"role": "user", "content": "the weather?"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "22 degrees"}
USED: dict[str, Any] = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "cold"}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "cold"}


def chat(*turns: Any, **members: Any) -> Asked:
    return read_chat(msgspec.json.encode({"model": "sim", "messages": turns, **members}))


def messages(*turns: Any, **members: Any) -> Asked:
    return read_messages(msgspec.json.encode({"model": "sim", "max_tokens": 4096, "messages": turns, **members}))


def responses(*items: Any, **members: Any) -> Asked:
    return read_responses(msgspec.json.encode({"model": "sim", "input": items, **members}))


@pytest.mark.parametrize(
    ("turns", "param"),
    [([USER, ANSWERED], "messages.[1].role"), ([USER, CALLED, ANSWERED, ANSWERED], "messages.[3].role")],
)
def test_a_tool_turn_that_answers_no_call_is_refused(turns: list[Any], param: str) -> None:
    with pytest.raises(BadBody, match="must be a response to a preceeding message") as caught:
        chat(*turns)
    assert caught.value.param == param


@pytest.mark.parametrize("turns", [[USER, CALLED], [USER, CALLED, USER]])
def test_a_call_that_no_tool_turn_answers_is_refused(turns: list[Any]) -> None:
    with pytest.raises(BadBody, match="did not have response messages: c1"):
        chat(*turns)


def test_a_tool_history_is_taken_up_in_every_dialect() -> None:
    assert chat(USER, CALLED, ANSWERED).tool_results == ("22 degrees",)
    assert messages(USER, USED, RESULT).tool_results == ("cold",)
    assert responses(USER, CALL, OUTPUT).tool_results == ("cold",)
    assert responses(USER, CALL, OUTPUT, USER).tool_results == ()


def test_anthropic_refuses_results_without_calls_and_calls_without_results() -> None:
    with pytest.raises(BadBody, match="unexpected `tool_use_id` found in `tool_result` blocks: t1"):
        messages(USER, RESULT)
    with pytest.raises(BadBody, match="without `tool_result` blocks immediately after: t1"):
        messages(USER, USED, USER)
    with pytest.raises(BadBody, match='Unexpected role "system"'):
        messages({"role": "system", "content": "Be brief."}, USER)


@pytest.mark.parametrize(
    ("thinking", "words"),
    [
        ({"type": "enabled"}, "budget_tokens: Field required"),
        ({"type": "enabled", "budget_tokens": 1000}, "greater than or equal to 1024"),
        ({"type": "enabled", "budget_tokens": 4096}, "`max_tokens` must be greater than"),
    ],
)
def test_anthropic_refuses_a_budget_that_does_not_fit(thinking: dict[str, Any], words: str) -> None:
    with pytest.raises(BadBody, match=words):
        messages(USER, thinking=thinking)


def test_responses_refuses_what_openai_refuses() -> None:
    with pytest.raises(BadBody, match="No tool call found for function call output with call_id c1"):
        responses(USER, OUTPUT)
    with pytest.raises(BadBody, match="No tool output found for function call c1"):
        responses(USER, CALL, USER)
    with pytest.raises(BadBody, match="must be provided"):
        responses()
    with pytest.raises(BadBody, match="Expected a value >= 16, but got 5"):
        responses(USER, max_output_tokens=5)


@pytest.mark.parametrize("read", [read_chat, read_completions, read_responses])
def test_a_model_must_be_named_in_the_body_or_in_the_path(read: Any) -> None:
    body = msgspec.json.encode({"messages": [USER], "input": "hi", "prompt": "hi"})
    with pytest.raises(BadBody, match="model"):
        read(body)
    asked = read(body, Where(path="/", model="gpt:tokens=3"))
    assert (asked.model, asked.options) == ("gpt", "tokens=3")


def test_unknown_members_are_accepted() -> None:
    assert chat(USER, provider={"sort": "price"}, models=["a"], verbosity="low").prompt == "the weather?"
    assert responses(USER, truncation="auto", prompt_cache_key="k", whatever={}).prompt == "the weather?"
    assert messages(USER, metadata={"user_id": "u"}, service_tier="auto").prompt == "the weather?"


@pytest.mark.parametrize(
    ("asked", "thinks"),
    [
        (chat(USER, reasoning_effort="minimal"), True),
        (chat(USER, reasoning_effort="none"), False),
        (chat(USER, reasoning={"enabled": True}), True),
        (chat(USER, reasoning={"effort": "none"}), False),
        (responses(USER, reasoning={"effort": "high"}), True),
        (responses(USER, reasoning={"effort": "none"}), False),
        (messages(USER, thinking={"type": "adaptive"}), True),
        (messages(USER, thinking={"type": "disabled"}), False),
    ],
)
def test_an_effort_other_than_none_makes_it_think(asked: Asked, thinks: bool) -> None:
    assert asked.thinking is thinks


def test_openai_shows_its_reasoning_only_as_a_summary_that_is_asked_for() -> None:
    assert responses(USER, reasoning={"effort": "low"}).hide_reasoning
    assert not responses(USER, reasoning={"effort": "low", "summary": "auto"}).hide_reasoning
    assert responses(USER, include=["reasoning.encrypted_content"]).encrypted


def test_counting_needs_no_limit() -> None:
    body = msgspec.json.encode({"model": "sim", "messages": [USER], "system": "Be brief."})
    assert read_count(body).heard == "Be brief.\nthe weather?"


# -- answers that fit a schema --------------------------------------------------------------------------------------


def fitting(schema: dict[str, Any], prompt: str = "") -> Any:
    return msgspec.json.decode(example(schema, prompt, seeded(1)))


def test_references_are_followed_within_the_schema() -> None:
    schema = {
        "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}}},
        "type": "object",
        "properties": {"from": {"$ref": "#/$defs/Place"}, "to": {"type": "array", "items": {"$ref": "#/$defs/Place"}}},
    }
    assert fitting(schema, "from Oslo to Lima") == {"from": {"city": "Oslo"}, "to": [{"city": "Lima"}]}


def test_a_schema_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}, "name": {"type": "string"}}, "required": ["name"]}
    value, depth = fitting(node), 0
    while "next" in value:
        value, depth = value["next"], depth + 1
    assert 1 < depth < 20
    assert fitting({"anyOf": [{"$ref": "#"}, {"type": "null"}]}) is None
    assert fitting({"$ref": "#"}) == {}
    assert "next" in fitting(node | {"required": ["next"]})


def test_a_member_may_have_any_value() -> None:
    assert fitting({"properties": {"a": True, "b": {"minItems": 2, "type": "array"}}}) == {"a": {}, "b": ["b", "b"]}
