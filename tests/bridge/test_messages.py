"""The UI's messages: what goes out as JSON comes back as it was, in camelCase, and nothing else is taken."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxlapce.bridge.messages import (
    INBOUND,
    MAX_ID,
    OUTBOUND,
    Cancel,
    ConnectionState,
    ConnectionStatus,
    InboundMessage,
    InvalidMessage,
    ListModels,
    ModelsListed,
    OutboundMessage,
    Ping,
    Pong,
    ProviderChat,
    ProviderChatResponse,
    ProviderChatStream,
    ProviderComplete,
    ProviderCompleteResponse,
    ProviderCompleteStream,
    ProviderFailure,
    ProviderStreamChunk,
    ProviderStreamDone,
    Reconnect,
    Status,
    StatusTold,
    decode_inbound,
    decode_outbound,
    encode,
    request_id,
)
from rxlapce.errors import BadPayload
from rxlapce.messages import AnsweredCall, ChatResponse, CompleteResponse, ErrorBody, ModelEntry, Unlisted
from rxlapce.requests import ChatRequest, CompletionRequest, Image, Message, Part, RequestedCall, ResponseFormat, Tool
from rxlapce.status import ClientStatus, ModelStatus, ProviderStatus, StatusReport
from rxlapce.testing.thoroughness import examples
from rxlapce.tokens import (
    ChoiceEnd,
    Finish,
    FinishKind,
    Opaque,
    Reasoning,
    Refusal,
    Reported,
    Seam,
    StreamToken,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    UsageSource,
)

SCHEMA = {"type": "object", "properties": {"max_tokens": {"type": "integer"}}, "additional_things": True}

# -- strategies -------------------------------------------------------------------------------------------------------

text = st.text(max_size=12)
maybe = st.none() | text
ids = st.integers(0, MAX_ID)
counts = st.integers(0, 2**40)
maybe_count = st.none() | counts
calls = st.builds(RequestedCall, id=text, name=text, arguments=text)
pictures = st.builds(Image, url=text, detail=st.sampled_from(("auto", "low", "high", None)))
parts = (
    st.builds(Part, text=text, cache=st.sampled_from(("5m", "1h", None)))
    | st.builds(Part, image=pictures)
    | st.builds(Part, reasoning=text, signature=maybe)
    | st.builds(Part, tool_call=calls)
)
roles = st.sampled_from(("system", "developer", "user", "assistant", "tool"))
turns = st.builds(Message, role=roles, content=text, tool_calls=st.lists(calls, max_size=2).map(tuple)) | st.builds(
    Message, role=roles, parts=st.lists(parts, max_size=2).map(tuple), tool_call_id=maybe
)
#: Somebody else's names are no matter of ours: these can be told from our own.
foreign = st.text(st.characters(codec="utf-8", exclude_characters="_"), max_size=9)
extras = st.dictionaries(foreign, st.none() | st.booleans() | counts | text, max_size=2)
chats = st.builds(
    ChatRequest,
    model=st.text(min_size=1, max_size=9),
    messages=st.lists(turns, min_size=1, max_size=3).map(tuple),
    max_tokens=st.none() | st.integers(1, 9999),
    top_p=st.none() | st.floats(0, 1),
    stop=st.lists(st.text(min_size=1, max_size=3), max_size=2).map(tuple),
    tools=st.lists(st.builds(Tool, name=st.text(min_size=1, max_size=5), parameters=extras), max_size=2).map(tuple),
    response_format=st.none() | st.builds(ResponseFormat, json_schema=st.none() | extras),
    reasoning_effort=st.sampled_from(("low", "max", None)),
    extra=extras,
)
completions = st.builds(
    CompletionRequest, model=st.text(min_size=1, max_size=9), prompt=text, max_tokens=st.none() | st.integers(1, 99)
)
reported = st.builds(Reported, input_tokens=maybe_count, cached_input_tokens=maybe_count)
usages = st.builds(
    Usage,
    input=maybe_count,
    cached_input=maybe_count,
    cost_usd=st.none() | st.floats(0, 9),
    source=st.sampled_from(UsageSource),
    reported=reported,
)
ends = st.builds(ChoiceEnd, choice=st.integers(1, 9), kind=st.sampled_from(FinishKind), raw=maybe)
finishes = st.builds(
    Finish, kind=st.sampled_from(FinishKind), raw=maybe, model=maybe, others=st.lists(ends, max_size=2).map(tuple)
)
tokens: st.SearchStrategy[StreamToken] = st.one_of(
    st.builds(Text, text=text, choice=st.integers(0, 3)),
    st.builds(Reasoning, text=text, signature=maybe),
    st.builds(Refusal, text=text),
    st.builds(ToolCall, index=st.integers(0, 9), id=maybe, name=maybe, arguments_delta=text),
    st.builds(UsageReport, usage=usages),
    finishes,
    st.builds(Seam, leg=st.integers(1, 9), reason=text),
    st.builds(Opaque, kind=text, raw=text),
)
answered = st.builds(AnsweredCall, id=maybe, name=maybe, arguments=text)
answers = st.builds(
    ChatResponse,
    text=text,
    finish=st.sampled_from(FinishKind),
    finish_raw=maybe,
    tool_calls=st.lists(answered, max_size=2).map(tuple),
    usage=st.none() | usages,
    turn=st.none() | turns,
)
errors = st.builds(
    ErrorBody,
    kind=text,
    retry=text,
    phase=text,
    message=text,
    retry_after_s=st.none() | st.floats(0, 99),
    delivered_chars=maybe_count,
)
reports = st.builds(
    StatusReport,
    version=text,
    pid=counts,
    uptime_s=st.floats(0, 1e9),
    refused=st.dictionaries(foreign, counts, max_size=2),
    models=st.lists(
        st.builds(ModelStatus, model=text, first_token_s=st.none() | st.floats(0, 9), errors=extras.map(lambda _: {})),
        max_size=2,
    ).map(tuple),
    providers=st.lists(st.builds(ProviderStatus, name=text, usable=st.none() | st.booleans()), max_size=2).map(tuple),
    clients=st.lists(
        st.builds(ClientStatus, number=counts, client=text, user=text, transport=text, ring_bytes=counts), max_size=2
    ).map(tuple),
)

OUTBOUND_STRATEGIES: dict[type[OutboundMessage], st.SearchStrategy[OutboundMessage]] = {
    ProviderChat: st.builds(ProviderChat, id=ids, request=chats),
    ProviderChatStream: st.builds(ProviderChatStream, id=ids, request=chats),
    ProviderComplete: st.builds(ProviderComplete, id=ids, request=completions),
    ProviderCompleteStream: st.builds(ProviderCompleteStream, id=ids, request=completions),
    Cancel: st.builds(Cancel, id=ids),
    ListModels: st.builds(ListModels, id=ids, providers=st.none() | st.lists(text, max_size=2).map(tuple)),
    Status: st.builds(Status, id=ids),
    Ping: st.builds(Ping, id=ids),
    Reconnect: st.builds(Reconnect),
}
INBOUND_STRATEGIES: dict[type[InboundMessage], st.SearchStrategy[InboundMessage]] = {
    ProviderChatResponse: st.builds(ProviderChatResponse, id=ids, response=answers),
    ProviderCompleteResponse: st.builds(
        ProviderCompleteResponse,
        id=ids,
        response=st.builds(CompleteResponse, text=text, finish=st.sampled_from(FinishKind), usage=st.none() | usages),
    ),
    ProviderStreamChunk: st.builds(ProviderStreamChunk, id=ids, seq=counts, token=tokens),
    ProviderStreamDone: st.builds(ProviderStreamDone, id=ids, seq=counts, finish=finishes),
    ProviderFailure: st.builds(ProviderFailure, id=ids, error=errors),
    ModelsListed: st.builds(
        ModelsListed,
        id=ids,
        models=st.lists(st.builds(ModelEntry, name=text, provider=maybe), max_size=2).map(tuple),
        unlisted=st.lists(st.builds(Unlisted, provider=text, message=text), max_size=2).map(tuple),
    ),
    StatusTold: st.builds(StatusTold, id=ids, report=reports),
    Pong: st.builds(Pong, id=ids),
    ConnectionStatus: st.builds(
        ConnectionStatus, state=st.sampled_from(ConnectionState), reason=maybe, transport=st.sampled_from(("shm", None))
    ),
    InvalidMessage: st.builds(InvalidMessage, message=text, id=st.none() | ids),
}


def names(line: bytes) -> set[str]:
    """Every member name of a JSON text."""
    found: set[str] = set()

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.update(name for name, _ in pairs)

    json.loads(line, object_pairs_hook=note)
    return found


# -- round trips ------------------------------------------------------------------------------------------------------


def test_every_message_is_tried() -> None:
    assert set(OUTBOUND_STRATEGIES) == set(OUTBOUND.values())
    assert set(INBOUND_STRATEGIES) == set(INBOUND.values())


@pytest.mark.parametrize("kind", OUTBOUND.values(), ids=OUTBOUND)
@settings(max_examples=examples(15))
@given(data=st.data())
def test_what_a_ui_says_comes_back_as_it_was_in_camel_case(kind: type[OutboundMessage], data: st.DataObject) -> None:
    message = data.draw(OUTBOUND_STRATEGIES[kind])
    line = encode(message)
    assert b"\n" not in line
    assert decode_outbound(line) == message
    assert kind.from_dict(message.to_dict()) == message
    told = json.loads(line)
    assert told == {"method": kind.method, "params": json.loads(json.dumps(message.to_dict()))}
    assert not [name for name in names(line) if "_" in name]


@pytest.mark.parametrize("kind", INBOUND.values(), ids=INBOUND)
@settings(max_examples=examples(15))
@given(data=st.data())
def test_what_a_bridge_says_comes_back_as_it_was_in_camel_case(kind: type[InboundMessage], data: st.DataObject) -> None:
    message = data.draw(INBOUND_STRATEGIES[kind])
    line = encode(message)
    assert b"\n" not in line
    assert decode_inbound(line) == message
    assert kind.from_dict(message.to_dict()) == message
    assert not [name for name in names(line) if "_" in name]


def test_somebody_elses_json_is_left_as_it_is() -> None:
    request = ChatRequest(
        model="a/b",
        messages=(Message(role="user", content="x"),),
        tools=(Tool(name="f", parameters=SCHEMA),),
        response_format=ResponseFormat(json_schema=SCHEMA),
        extra={"safety_settings": [{"block_none": 1}]},
    )
    line = encode(ProviderChat(id=1, request=request))
    told = json.loads(line)["params"]["request"]
    assert told["tools"][0]["parameters"] == told["responseFormat"]["jsonSchema"] == SCHEMA
    assert told["extra"] == {"safety_settings": [{"block_none": 1}]}
    decoded = decode_outbound(line)
    assert isinstance(decoded, ProviderChat)
    assert decoded.request == request


def test_members_that_are_not_known_are_ignored_and_params_may_be_missing() -> None:
    assert decode_outbound('{"id":7,"params":{"id":1,"new":{}},"method":"ping"}') == Ping(id=1)
    assert decode_outbound(b'{"method":"reconnect"}') == Reconnect()


# -- what is refused --------------------------------------------------------------------------------------------------

CHAT = '{"method":"providerChat","params":{"id":1,"request":{"model":"m","messages":'
REFUSED = [
    ("", "Input data was truncated"),
    ("[]", "Expected `object`, got `array`"),
    ("{}", "Object missing required field `method`"),
    ('{"method":"pong","params":{"id":1}}', "unknown method 'pong'; known: providerChat, "),
    ('{"method":"ping"}', "Object missing required field `id` - at `$.params`"),
    ('{"method":"ping","params":{"id":true}}', "Expected `int`, got `bool` - at `$.params.id`"),
    ('{"method":"ping","params":{"id":-1}}', "id must be from 0 to 9007199254740991, not -1 - at `$.params`"),
    (
        CHAT + '[{"role":"user"}],"maxTokens":"9"}}}',
        "Expected `int | null`, got `str` - at `$.params.request.maxTokens`",
    ),
    (
        CHAT + '[{"role":"user"}],"maxTokens":0}}}',
        "max_tokens must be from 1",
    ),
    (
        CHAT + '[{"role":"user","toolCalls":[{"id":"a","name":"b"}]}]}}}',
        "Object missing required field `arguments` - at `$.params.request.messages[0].toolCalls[0]`",
    ),
    (
        CHAT + '[{"role":"user","parts":[{"toolCall":null}]}]}}}',
        "reasoning, tool_call, opaque - at `$.params.request.messages[0].parts[0]`",
    ),
    (
        '{"method":"listModels","params":{"id":1,"providers":"openai"}}',
        "Expected `array | null`, got `str` - at `$.params.providers`",
    ),
]


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_is_no_message_is_refused_with_its_path(line: str, words: str) -> None:
    with pytest.raises(BadPayload) as refused:
        decode_outbound(line)
    assert words in str(refused.value)


@pytest.mark.parametrize("line", [b'{"method":"\xff"}', b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_json_are_refused(line: bytes) -> None:
    with pytest.raises(BadPayload):
        decode_outbound(line)
    assert request_id(line) is None


def test_a_token_of_no_known_type_is_refused() -> None:
    with pytest.raises(BadPayload, match=r"Invalid value 'smell' - at `\$\.params\.token\.type`"):
        decode_inbound('{"method":"providerStreamChunk","params":{"id":1,"seq":0,"token":{"type":"smell"}}}')


@settings(max_examples=examples(40))
@given(st.recursive(st.none() | st.booleans() | counts | text, lambda inner: st.lists(inner) | extras, max_leaves=6))
def test_any_params_are_a_message_or_refused(params: Any) -> None:
    for method in OUTBOUND:
        line = json.dumps({"method": method, "params": params})
        with contextlib.suppress(BadPayload):
            assert isinstance(decode_outbound(line), OUTBOUND[method])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"method":"providerChat","params":{"id":5,"request":3}}', 5),
        ('{"method":"nonsense","params":{"id":0}}', 0),
        ('{"method":"ping","params":{"id":-1}}', None),
        ('{"method":"ping","params":{"id":9007199254740992}}', None),
        ('{"method":"ping","params":{"id":"5"}}', None),
        ('{"method":"ping","params":5}', None),
        ("5", None),
    ],
)
def test_the_id_of_what_is_no_message_is_found_where_there_is_one(line: str, found: int | None) -> None:
    assert request_id(line) == found
