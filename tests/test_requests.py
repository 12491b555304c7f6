"""Turns without what only the provider that said them understands."""

import json

import pytest

from rxlapce.requests import Message, OpaquePart, Part, RequestedCall

CALL = Part(tool_call=RequestedCall(id="c1", name="look", arguments="{}"))
SEARCH = Part(tool_call=RequestedCall(id="c2", name="web_search", arguments='{"query":"q"}'))


def opaque(kind: str, **members: str) -> Part:
    return Part(opaque=OpaquePart(kind=kind, raw=json.dumps({"type": kind, **members})))


def test_a_plain_turn_has_no_thoughts_and_no_opaque_pieces() -> None:
    thought, text = Part(reasoning="hm", signature="s"), Part(text="Yes.")
    turn = Message(role="assistant", parts=(thought, opaque("redacted_thinking", data="x"), text, CALL))
    assert turn.plain() == Message(role="assistant", parts=(text, CALL))
    assert Message(role="user", content="Q").plain() == Message(role="user", content="Q")


@pytest.mark.parametrize(
    "told",
    [
        opaque("server_tool_use", id="c2", name="web_search"),  # Anthropic
        opaque("mcp_tool_use", id="c2", name="web_search"),
        opaque("server_tool_use", toolUseId="c2", name="nova_grounding"),  # Converse
    ],
)
def test_a_plain_turn_has_no_calls_that_the_provider_ran_itself(told: Part) -> None:
    result = opaque("web_search_tool_result", tool_use_id="c2")
    turn = Message(role="assistant", parts=(told, SEARCH, result, Part(text="So."), CALL))
    assert turn.plain() == Message(role="assistant", parts=(Part(text="So."), CALL))


@pytest.mark.parametrize(
    "told",
    [
        opaque("custom_tool_call", call_id="c1", name="look"),  # the client's to run
        opaque("function_call", call_id="c1", id="fc_1", name="look"),
        opaque("server_tool_use", id="other"),
        opaque("server_tool_use"),
        Part(opaque=OpaquePart(kind="server_tool_use", raw="nothing")),
        Part(opaque=OpaquePart(kind="server_tool_use", raw="[1]")),
    ],
)
def test_a_plain_turn_keeps_the_calls_of_the_clients_tools(told: Part) -> None:
    turn = Message(role="assistant", parts=(told, CALL), tool_calls=(RequestedCall(id="c3", name="f", arguments=""),))
    assert [call.id for call in turn.plain().calls()] == ["c1", "c3"]
