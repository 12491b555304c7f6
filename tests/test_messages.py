import json
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.control import Control
from rxlapce.errors import BadMessageType, BadPayload, ErrorKind, ProviderError
from rxlapce.messages import (
    NUMBERS,
    TAGS,
    TYPES,
    AnsweredCall,
    Cancel,
    Chat,
    ChatResponse,
    ChatStream,
    Complete,
    CompleteResponse,
    CompleteStream,
    Credit,
    Disconnect,
    Draining,
    ErrorBody,
    Handshake,
    HandshakeAck,
    Heartbeat,
    ModelEntry,
    ModelList,
    Models,
    ProtocolFailure,
    RingGrant,
    Status,
    StreamChunk,
    StreamDone,
    StreamError,
    Unlisted,
    WireMessage,
    decode,
    encode,
)
from rxlapce.requests import ChatRequest, CompletionRequest, Message, RequestedCall, Tool
from rxlapce.status import ClientStatus, ModelStatus, ProviderStatus, StatusReport, UserStatus
from rxlapce.tokens import Finish, FinishKind, Text, ToolCall, Usage, UsageReport

Receiver = Literal["daemon", "client"]

CHAT = ChatRequest(
    model="acme/large",
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="user", content="wörd \u2028 \U0001f600"),
        Message(role="assistant", tool_calls=(RequestedCall(id="c1", name="f", arguments='{"a": 1}'),)),
        Message(role="tool", content="2", tool_call_id="c1"),
    ),
    max_tokens=1,
    temperature=0.0,
    top_p=1.0,
    stop=("END",),
    seed=0,
    n=2,
    tools=(Tool(name="f", description="d", parameters={"type": "object", "properties": {"a": {"type": "integer"}}}),),
    tool_choice="f",
    extra={"x": [1, None, {"y": True}]},
)
COMPLETION = CompletionRequest(
    model="acme/small", prompt="def f(", max_tokens=16, stop=("\n\n",), extra={"suffix": ")"}
)
USAGE = Usage(input=0, output=3, total=3)

#: One of each type, with every member off its default where it has one.
EXAMPLES: list[WireMessage] = [
    ProtocolFailure(error="BadMagic", message="no frame"),
    Heartbeat(echo=True),
    Handshake(versions=(1, 2), client="lapce 1", transport="shm", features=("sign",), nonce="0" * 64, key="me"),
    HandshakeAck(
        version=1, server="rxlapce 0", transport="shm", features=("a", "b"), ring=RingGrant(capacity=65536),
        max_streams=8, reason="because", nonce="f" * 64,
    ),
    Disconnect(reason="shutdown"),
    Draining(within_s=5.0),
    Status(),
    StatusReport(
        version="1", pid=1, uptime_s=2.5, draining=True, memory_bytes=1, open_files=2, max_open_files=3, tasks=4,
        connections=5, max_connections=6, requests=7, max_requests=8, refused={"connections": 1}, window_s=10.0,
        tokens_per_s=1.5,
        models=(ModelStatus(model="a/b", errors={"timeout": 1}, first_token_s=0.5, breaker="open", cause="x"),),
        providers=(ProviderStatus(name="a", usable=False, reason="r", origin="A_KEY"),),
        clients=(ClientStatus(number=1, client="c", user="uid 1", transport="shm", signed=True),),
        users=(UserStatus(name="ada", requests=1, total=2, tokens=3, refused=1),),
    ),
    Models(providers=("a",)),
    ModelList(
        models=(ModelEntry(name="fast", asks=("a/b",)), ModelEntry(name="a/b", provider="a")),
        unlisted=(Unlisted(provider="c", message="no key"),),
    ),
    Cancel(),
    Complete(request=COMPLETION),
    Chat(request=CHAT),
    CompleteStream(request=COMPLETION, credit=5),
    ChatStream(request=CHAT, credit=0),
    Credit(frames=2**31),
    CompleteResponse(text="x", finish=FinishKind.STOP, finish_raw="stop", model="m", usage=USAGE),
    ChatResponse(
        text="t", finish=FinishKind.TOOL_CALLS, finish_raw="tool_use", reasoning="r", refusal="",
        tool_calls=(AnsweredCall(id=None, name="f", arguments="{}"),), model="m", usage=USAGE,
    ),
    StreamChunk(0, Text("hi")),
    StreamDone(7, Finish(FinishKind.LENGTH, "max_tokens", "m")),
    StreamError(3, ErrorBody("timeout", "same", "flow", "late", 0.0, 200, "acme", "req", "{}", 0)),
]  # fmt: skip
BY_NUMBER = [(NUMBERS[type(message)], message) for message in EXAMPLES]
NAMES = [type(message).__name__ for message in EXAMPLES]


def receiver_of(number: int) -> Receiver:
    to = TYPES[number][1]
    return "client" if to == "both" else to


def members(message: WireMessage) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode(message))
    return decoded


def example(kind: type[WireMessage]) -> dict[str, Any]:
    return next(members(message) for message in EXAMPLES if type(message) is kind)


def refusal(number: int, payload: object) -> str:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with pytest.raises(BadPayload) as caught:
        decode(number, data, receiver=receiver_of(number))
    return str(caught.value)


def test_there_is_an_example_of_every_type() -> None:
    assert sorted(number for number, _ in BY_NUMBER) == sorted(TYPES)


@pytest.mark.parametrize(("number", "message"), BY_NUMBER, ids=NAMES)
def test_every_type_comes_back_as_it_was(number: int, message: WireMessage) -> None:
    payload = encode(message)
    assert decode(number, payload, receiver=receiver_of(number)) == message
    assert decode(number, memoryview(payload), receiver=receiver_of(number)) == message
    assert json.loads(payload)["type"] == TAGS[number]


def test_control_messages_also_go_the_way_of_the_mixin() -> None:
    controls: list[Any] = [message for message in EXAMPLES if isinstance(message, Control)]  # typed as unknown there
    assert len(controls) == 18
    for message in controls:
        assert message.from_dict(message.to_dict()) == message


@pytest.mark.parametrize(("number", "message"), BY_NUMBER, ids=NAMES)
def test_a_type_that_does_not_go_to_the_receiver_is_refused(number: int, message: WireMessage) -> None:
    to = TYPES[number][1]
    wrong: list[Receiver] = [side for side in ("daemon", "client") if to not in (side, "both")]
    assert len(wrong) == (0 if to == "both" else 1)
    for side in wrong:
        with pytest.raises(BadMessageType, match=f"{number:#06x} does not go to the {side}; known: 0x0"):
            decode(number, encode(message), receiver=side)


@pytest.mark.parametrize("number", [0, 0x0001, 0x02FF, 0xFFFF])
def test_a_number_that_is_not_in_the_table_is_refused(number: int) -> None:
    with pytest.raises(BadMessageType, match=f"{number:#06x}"):
        decode(number, b"{}", receiver="daemon")


@pytest.mark.parametrize(("number", "message"), BY_NUMBER, ids=NAMES)
def test_a_tag_other_than_the_numbers_is_refused(number: int, message: WireMessage) -> None:
    honest = members(message)
    other = refusal(number, {**honest, "type": "something_else"})
    assert "something_else" in other
    refusal(number, {**honest, "type": 3})
    if isinstance(message, Control):  # msgspec forgives a missing tag where only one class can come
        assert "type" in refusal(number, {name: value for name, value in honest.items() if name != "type"})


@pytest.mark.parametrize(("number", "message"), BY_NUMBER, ids=NAMES)
def test_members_that_are_not_known_are_ignored(number: int, message: WireMessage) -> None:
    payload = json.dumps({**members(message), "from_the_future": {"a": [1]}}).encode()
    assert decode(number, payload, receiver=receiver_of(number)) == message


REQUIRED = [
    (NUMBERS[kind], name)
    for kind, names in {
        ProtocolFailure: ("error", "message"),
        Complete: ("request",),
        Chat: ("request",),
        CompleteStream: ("request",),
        ChatStream: ("request",),
        Credit: ("frames",),
        CompleteResponse: ("text", "finish"),
        ChatResponse: ("text", "finish"),
        StreamChunk: ("seq", "token"),
        StreamDone: ("seq", "finish"),
        StreamError: ("seq", "error"),
    }.items()
    for name in names
]


@pytest.mark.parametrize(("number", "name"), REQUIRED)
def test_a_missing_member_is_named(number: int, name: str) -> None:
    payload = example(TYPES[number][0])
    del payload[name]
    assert f"`{name}`" in refusal(number, payload)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        (Heartbeat, ("echo",), "false"),
        (Heartbeat, ("echo",), 1),
        (Handshake, ("versions",), 1),
        (Handshake, ("versions", 0), "1"),
        (Handshake, ("transport",), "carrier pigeon"),
        (HandshakeAck, ("ring", "capacity"), 1.5),
        (Disconnect, ("reason",), None),
        (Chat, ("request", "messages", 0, "role"), "robot"),
        (Chat, ("request", "messages", 1, "content"), 3),
        (Chat, ("request", "temperature"), "0.5"),
        (Chat, ("request", "max_tokens"), 1.5),
        (Chat, ("request", "stop"), "END"),
        (Chat, ("request", "extra"), []),
        (Complete, ("request", "prompt"), None),
        (ChatStream, ("credit",), "5"),
        (Credit, ("frames",), True),
        (CompleteResponse, ("finish",), "done"),
        (ChatResponse, ("tool_calls", 0, "arguments"), {}),
        (StreamChunk, ("seq",), "0"),
        (StreamChunk, ("token", "text"), None),
        (StreamChunk, ("token", "type"), "unheard_of"),
        (StreamDone, ("finish", "kind"), "done"),
        (StreamError, ("error", "status"), "200"),
        (StreamError, ("error", "delivered_chars"), "5"),
    ],
)
def test_a_wrong_type_is_refused_with_its_path(
    kind: type[WireMessage], path: tuple[str | int, ...], value: object
) -> None:
    payload: Any = example(kind)
    inner = payload
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    told = refusal(NUMBERS[kind], payload)
    assert f"`${steps}`" in told or f"`{'$' + steps.removesuffix('.type')}" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""),
        ("messages", []),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("top_p", 1.1),
        ("max_tokens", 0),
        ("max_tokens", 2**31),
        ("n", 0),
        ("n", 129),
    ],
)
def test_a_request_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    payload = example(Chat)
    payload["request"][name] = value
    told = refusal(NUMBERS[Chat], payload)
    assert f"{name} must" in told
    assert "$.request" in told


@pytest.mark.parametrize("frames", [0, -1, 2**31 + 1])
def test_credit_out_of_range_is_refused(frames: int) -> None:
    assert "frames must be from 1" in refusal(NUMBERS[Credit], {"type": "credit", "frames": frames})


@pytest.mark.parametrize("kind", [ChatStream, CompleteStream])
@pytest.mark.parametrize("credit", [-1, 2**31 + 1])
def test_a_stream_asked_for_with_credit_out_of_range_is_refused(kind: type[WireMessage], credit: int) -> None:
    assert "credit must be from 0" in refusal(NUMBERS[kind], {**example(kind), "credit": credit})


DEEP = b"[" * 100_000
NO_JSON_OBJECT = {
    "empty": b"",
    "cut": b"{",
    "array": b"[]",
    "null": b"null",
    "more behind it": b'{"type":"chat"} x',
    "no UTF-8 in a string": b'{"type":"chat","request":"\xff"}',
    "no UTF-8": b"\xff",
    "too deep": b'{"type":"chat","request":{"model":"m","messages":[{"role":"user"}],"extra":{"a":' + DEEP,
    "too large a number": b'{"type":"chat","request":{"model":"m","messages":[],"temperature":1e400}}',
}


@pytest.mark.parametrize("payload", NO_JSON_OBJECT.values(), ids=NO_JSON_OBJECT)
def test_what_is_no_json_object_is_a_bad_payload(payload: bytes) -> None:
    refusal(NUMBERS[Chat], payload)


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b'{"type":"stream_chunk","seq":0,"token":{"type":"text","text":"\xff"}}']
)
def test_a_stream_frame_that_is_no_json_is_a_bad_payload(payload: bytes) -> None:
    refusal(NUMBERS[StreamChunk], payload)


@given(st.binary(max_size=60), st.sampled_from(sorted(TYPES)))
def test_any_bytes_are_a_message_or_a_bad_payload(payload: bytes, number: int) -> None:
    try:
        message = decode(number, payload, receiver=receiver_of(number))
    except BadPayload:
        return
    assert type(message) is TYPES[number][0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data(), st.sampled_from(EXAMPLES), json_values)
def test_any_value_in_any_member_is_a_message_or_a_bad_payload(
    data: st.DataObject, message: WireMessage, value: object
) -> None:
    payload = members(message)
    payload[data.draw(st.sampled_from(sorted(payload)))] = value
    number = NUMBERS[type(message)]
    try:
        decoded = decode(number, json.dumps(payload).encode(), receiver=receiver_of(number))
    except BadPayload:
        return
    assert type(decoded) is type(message)


@given(
    st.builds(
        ChatRequest,
        model=st.text(min_size=1),
        messages=st.lists(
            st.builds(
                Message,
                role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
                content=st.text(),
                tool_call_id=st.none() | st.text(),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        max_tokens=st.none() | st.integers(1, 2**31 - 1),
        temperature=st.none() | st.floats(0, 2),
        seed=st.none() | st.integers(-(2**63), 2**63 - 1),
        stop=st.lists(st.text(), max_size=2).map(tuple),
        extra=st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5), max_size=3),
    )
)
def test_any_request_comes_back_as_it_was(request: ChatRequest) -> None:
    message = ChatStream(request=request)
    assert decode(NUMBERS[ChatStream], encode(message), receiver="daemon") == message


@given(st.integers(0, 2**63), st.sampled_from([Text("a"), ToolCall(0), UsageReport(USAGE)]))
def test_a_chunk_is_the_token_with_its_number(seq: int, token: Text | ToolCall | UsageReport) -> None:
    payload = encode(StreamChunk(seq, token))
    assert json.loads(payload) == {"type": "stream_chunk", "seq": seq, "token": msgspec.to_builtins(token)}


def test_a_provider_error_fits_the_wire_field_by_field() -> None:
    error = ProviderError(ErrorKind.RATE_LIMIT, "slow", retry_after_s=0.0, status=429, raw="{}")
    message = StreamError(0, ErrorBody(**error.to_dict()))
    assert msgspec.to_builtins(message)["error"] == error.to_dict()


def test_an_older_daemon_s_error_does_not_say_how_much_was_delivered() -> None:
    payload = example(StreamError)
    del payload["error"]["delivered_chars"]
    message = decode(NUMBERS[StreamError], json.dumps(payload).encode(), receiver="client")
    assert isinstance(message, StreamError)
    assert message.error.delivered_chars is None


def test_a_completion_is_one_user_message_to_a_chat_model() -> None:
    chat = COMPLETION.as_chat()
    assert chat.messages == (Message(role="user", content="def f("),)
    assert (chat.model, chat.max_tokens, chat.stop, chat.extra) == ("acme/small", 16, ("\n\n",), {"suffix": ")"})
    with pytest.raises(ValueError, match="temperature"):
        CompletionRequest(model="m", prompt="p", temperature=9)
