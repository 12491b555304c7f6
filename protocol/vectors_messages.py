"""Messages for the vectors: every type with all its members, and again with none that may be left out."""

import dataclasses
import json
from typing import Any, Final, TypeGuard

import msgspec
from vectors_wire import REQUEST, RESPONSE, STREAM_PART, Sent

from rxlapce import messages as m
from rxlapce import requests as r
from rxlapce import status as s
from rxlapce import tokens as t

UNICODE: Final = 'naïve ‖ 日本語 𝄞 👩‍💻 \u0000 \u2028 " \\ / \u007f é é'
NONCE: Final = bytes(range(32))

_USAGE: Final = t.Usage(
    input=120,
    cached_input=100,
    cache_write=7,
    output=40,
    reasoning=16,
    total=160,
    cost_usd=0.00125,
    source=t.UsageSource.PARTIAL,
    reported=t.Reported(
        input_tokens=120,
        output_tokens=40,
        total_tokens=160,
        cached_input_tokens=100,
        cache_creation_input_tokens=7,
        reasoning_tokens=16,
    ),
)
_CALL: Final = r.RequestedCall(id="call_1", name="read_file", arguments='{"path":"a.py"}')
_PARTS: Final = (
    r.Part(text=UNICODE, cache="5m"),
    r.Part(image=r.Image(url="https://example.com/a.png", detail="high")),
    r.Part(image=r.Image(data="iVBORw0KGgo=", media_type="image/png")),
    r.Part(reasoning="First, the file.", signature="c2lnbmF0dXJl"),
    r.Part(tool_call=_CALL),
    r.Part(opaque=r.OpaquePart(kind="redacted_thinking", raw='{"data":"eA=="}')),
)
_SCHEMA: Final = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
_CHAT: Final = r.ChatRequest(
    model="openai/gpt-x",
    messages=(
        r.Message(role="system", content="Be brief."),
        r.Message(role="user", parts=_PARTS[:3]),
        r.Message(role="assistant", parts=_PARTS[3:], tool_calls=(_CALL,)),
        r.Message(role="tool", content="print(1)", tool_call_id="call_1"),
    ),
    api="responses",
    max_tokens=4096,
    temperature=0.5,
    top_p=0.9,
    top_k=40,
    presence_penalty=-0.5,
    frequency_penalty=1.5,
    stop=("\n\n", "END"),
    seed=-7,
    n=2,
    tools=(r.Tool(name="read_file", description="Read a file.", parameters=_SCHEMA, cache="1h"),),
    tool_choice="auto",
    parallel_tool_calls=False,
    response_format=r.ResponseFormat(json_schema=_SCHEMA, name="file", strict=False),
    reasoning_effort="high",
    reasoning_tokens=1024,
    extra={"metadata": {"nested": [1, 2.5, True, None, {"deep": UNICODE}]}},
)
_COMPLETION: Final = r.CompletionRequest(
    model="ollama/coder",
    prompt=f"def f():\n    # {UNICODE}\n",
    api="completions",
    max_tokens=16,
    temperature=0.0,
    top_p=1.0,
    stop=("\n",),
    seed=0,
    extra={"suffix": "return 1"},
)
_LEAN_CHAT: Final = r.ChatRequest(model="simulator/sim", messages=(r.Message(role="user", content="Hi"),))
_LEAN_COMPLETION: Final = r.CompletionRequest(model="simulator/sim", prompt="def f():")
_REPORT: Final = s.StatusReport(
    version="1.2.3",
    pid=4321,
    uptime_s=86400.5,
    draining=True,
    memory_bytes=50_000_000,
    open_files=40,
    max_open_files=1024,
    tasks=12,
    connections=2,
    max_connections=256,
    requests=3,
    max_requests=256,
    refused={"max_requests": 1},
    window_s=10.0,
    tokens_per_s=123.4,
    models=(
        s.ModelStatus(
            model="openai/gpt-x",
            running=1,
            waiting=2,
            attempts=10,
            finished=6,
            failed=2,
            cancelled=1,
            errors={"rate_limit": 2},
            tokens=1234,
            tokens_per_s=123.4,
            first_token_s=0.25,
            breaker="half_open",
            cause="rate_limit",
        ),
    ),
    providers=(s.ProviderStatus(name="ollama", usable=False, reason="no server at its address", origin="a default"),),
    clients=(
        s.ClientStatus(
            number=1,
            client="editor",
            user="uid 1000",
            transport="shm",
            signed=True,
            requests=3,
            age_s=60.25,
            unread_bytes=100,
            ring_bytes=4096,
        ),
    ),
    users=(s.UserStatus(name="ada", requests=3, total=40, tokens=1234, refused=2),),
    config=s.ConfigStatus(file="/etc/rxlapce.yaml", age_s=12.5, error="/etc/rxlapce.yaml:1:1: not YAML"),
)
_ANSWER: Final = m.ChatResponse(
    text=UNICODE,
    finish=t.FinishKind.TOOL_CALLS,
    finish_raw="tool_use",
    reasoning="First, the file.",
    refusal="No.",
    tool_calls=(m.AnsweredCall(id="call_1", name="read_file", arguments='{"path":"a.py"}'),),
    model="gpt-x-2026",
    usage=_USAGE,
    turn=r.Message(role="assistant", parts=_PARTS, tool_calls=(_CALL,), tool_call_id="call_0"),
)
_ERROR: Final = m.ErrorBody(
    kind="rate_limit",
    retry="same",
    phase="headers",
    message=f"Slow down. {UNICODE}",
    retry_after_s=1.5,
    status=429,
    provider="openai",
    request_id="req_1",
    raw='{"error":{"message":"slow down"}}',
    delivered_chars=0,
)

#: One of each type with every member set.
FULL: Final[tuple[m.WireMessage, ...]] = (
    m.ProtocolFailure(error="BadMagic", message="a frame starts with 43 50 41 4c, not 00"),
    m.Heartbeat(echo=True),
    m.Handshake(
        versions=(1, 2), client=UNICODE, transport="shm", features=("sign", "drain"), nonce=NONCE.hex(), key="laptop"
    ),
    m.HandshakeAck(
        version=1,
        server="rxlapce/1.2.3",
        transport="shm",
        features=("drain", "sign"),
        ring=m.RingGrant(capacity=1 << 20),
        max_streams=256,
        reason="why not",
        nonce=NONCE[::-1].hex(),
    ),
    m.Disconnect(reason="shutdown"),
    m.Draining(within_s=5.5),
    m.Status(),
    _REPORT,
    m.Cancel(),
    m.Complete(request=_COMPLETION),
    m.Chat(request=_CHAT),
    m.CompleteStream(request=_COMPLETION, credit=0),
    m.ChatStream(request=_CHAT, credit=2**31),
    m.Credit(frames=2**31),
    m.Models(providers=("openai", "ollama")),
    m.CompleteResponse(text=UNICODE, finish=t.FinishKind.LENGTH, finish_raw="max_tokens", model="m", usage=_USAGE),
    _ANSWER,
    m.StreamDone(
        0,
        t.Finish(t.FinishKind.STOP, "end_turn", "gpt-x", others=(t.ChoiceEnd(1, t.FinishKind.LENGTH, "length"),)),
    ),
    m.StreamError(0, _ERROR),
    m.ModelList(
        models=(
            m.ModelEntry(name="fast", asks=("openai/gpt-x", "ollama/coder")),
            m.ModelEntry(name="openai/gpt-x", provider="openai"),
        ),
        unlisted=(m.Unlisted(provider="ollama", message="no server at its address"),),
    ),
)
#: The same without what has a default.
LEAN: Final[tuple[m.WireMessage, ...]] = (
    m.ProtocolFailure(error="ProtocolError", message=""),
    m.Heartbeat(),
    m.Handshake(),
    m.HandshakeAck(),
    m.Disconnect(),
    m.Draining(),
    m.Status(),
    s.StatusReport(version="1.2.3", pid=1, uptime_s=0.0),
    m.Cancel(),
    m.Complete(request=_LEAN_COMPLETION),
    m.Chat(request=_LEAN_CHAT),
    m.CompleteStream(request=_LEAN_COMPLETION),
    m.ChatStream(request=_LEAN_CHAT),
    m.Credit(frames=1),
    m.Models(),
    m.CompleteResponse(text="", finish=t.FinishKind.STOP),
    m.ChatResponse(text="", finish=t.FinishKind.STOP),
    m.StreamChunk(0, t.Text("")),
    m.StreamDone(0, t.Finish(t.FinishKind.STOP)),
    m.StreamError(0, m.ErrorBody("internal", "never", "flow", "")),
    m.ModelList(),
)
#: Every kind of token that a chunk carries, with all its members and with few.
TOKENS: Final[tuple[t.StreamToken, ...]] = (
    t.Text(UNICODE, choice=1),
    t.Reasoning("So", signature="c2ln", choice=1),
    t.Refusal("No.", choice=1),
    t.ToolCall(1, "call_1", "read_file", '{"pa', choice=1),
    t.Opaque("citations_delta", '{"url":"https://example.com"}', choice=1),
    t.UsageReport(_USAGE),
    t.Seam(1, "continue: openai/gpt-x answers"),
    t.Text("a"),
    t.Reasoning(""),
    t.Refusal(""),
    t.ToolCall(0),
    t.Opaque("ping", "{}"),
    t.UsageReport(t.Usage()),
    t.Seam(2, "restart"),
)


def flags_of(message: m.WireMessage) -> int:
    """The flags that its sender sets."""
    to = m.TYPES[m.NUMBERS[type(message)]][1]
    if isinstance(message, m.StreamChunk):
        return RESPONSE | STREAM_PART
    return REQUEST if to == "daemon" else RESPONSE


def frame(message: m.WireMessage, request_id: int = 0, flags: int | None = None) -> Sent:
    """A message as its sender sends it, with every member there."""
    used = flags_of(message) if flags is None else flags
    return Sent(m.NUMBERS[type(message)], used, request_id, m.encode(message))


def lean_frame(message: m.WireMessage, request_id: int = 0) -> Sent:
    """A message without the members that have their default."""
    tag = m.TAGS[m.NUMBERS[type(message)]]
    payload = json.dumps({"type": tag, **lean(message)}, separators=(",", ":")).encode()
    return Sent(m.NUMBERS[type(message)], flags_of(message), request_id, payload)


def lean(thing: Any) -> Any:
    """The JSON value of a message or of a part of one, without the members that have their default."""
    if isinstance(thing, msgspec.Struct):
        plain: list[tuple[str, Any, Any]] = [
            (one.name, one.default, one.default_factory) for one in msgspec.structs.fields(thing)
        ]
        tag = thing.__struct_config__.tag
        start: dict[str, Any] = {} if tag is None else {"type": tag}
    elif dataclasses.is_dataclass(thing):
        plain = [(one.name, one.default, one.default_factory) for one in dataclasses.fields(thing)]
        start = {}
    elif _are_several(thing):
        return [lean(one) for one in thing]
    else:
        return thing
    for name, default, factory in plain:
        value = getattr(thing, name)
        if factory not in (msgspec.NODEFAULT, dataclasses.MISSING):
            default = factory()
        if value != default:
            start[name] = lean(value)
    return start


def _are_several(thing: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(thing, tuple)


def text(request_id: int, seq: int, said: str) -> Sent:
    """A chunk of text."""
    return frame(m.StreamChunk(seq, t.Text(said)), request_id)


def done(request_id: int, seq: int) -> Sent:
    """The end of a stream."""
    return frame(m.StreamDone(seq, t.Finish(t.FinishKind.STOP, "stop", "sim")), request_id)
