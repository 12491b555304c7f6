"""Payloads as nobody of ours writes them: those that say the same in another way, and those that are no message."""

import json
from typing import Any, Final

from vectors_messages import UNICODE

from rxlapce import messages as m

#: A vector's name, the type of its frame, its payload.
Payload = tuple[str, type[m.WireMessage], str | bytes]


def _array(depth: int) -> str:
    """Empty arrays, one in the other."""
    return "[" * depth + "]" * depth


def _asking(content: object = "Hi", *, beside: dict[str, Any] | None = None, **request: object) -> str:
    """A `chat_stream` with these members of its request, and those of `beside` next to it."""
    turn = {"role": "user", "content": content}
    asked = {"model": "a/b", "messages": [turn], **request}
    return json.dumps({"type": "chat_stream", "request": asked, **(beside or {})}, separators=(",", ":"))


#: What no message has, wherever it stands.
_NOVEL: Final[dict[str, Any]] = {"novelty": {"deep": [1, "x", None]}, "another": True}
_MORE: Final = json.dumps(_NOVEL, separators=(",", ":"))[1:-1]
_TEXT: Final = '{"type":"text","text":"a"}'
_ESCAPED: Final = json.dumps(UNICODE).replace("/", "\\/")
#: Deeper than any reader of ours goes; so it must give up, and not run out of stack.
_DEEP: Final = _array(30_000)


def _novel_everywhere() -> str:
    turn = {"role": "user", "content": "Hi", **_NOVEL}
    return json.dumps({"type": "chat_stream", "request": {"model": "a/b", "messages": [turn], **_NOVEL}, **_NOVEL})


SOUND: Final[tuple[Payload, ...]] = (
    (
        "unknown-members-done",
        m.StreamDone,
        f'{{{_MORE},"type":"stream_done","seq":0,"finish":{{{_MORE},"type":"finish","kind":"stop"}}}}',
    ),
    ("unknown-members-ack", m.HandshakeAck, f'{{"type":"handshake_ack",{_MORE},"max_streams":4}}'),
    ("unknown-members-list", m.ModelList, f'{{"type":"models","models":[{{"name":"a",{_MORE}}}]}}'),
    ("unknown-members-handshake", m.Handshake, f'{{{_MORE},"type":"handshake"}}'),
    ("unknown-members-chat", m.ChatStream, _novel_everywhere()),
    ("type-last", m.Disconnect, '{"reason":"order","type":"disconnect"}'),
    ("type-last-done", m.StreamDone, '{"finish":{"kind":"stop","type":"finish"},"seq":0,"type":"stream_done"}'),
    ("white-space", m.Disconnect, ' {\n "type" :\t"disconnect" ,\r\n"reason": "" } \n'),
    ("white-space-credit", m.Credit, '\n{ "type" : "credit" , "frames" : 5 }\t'),
    ("escapes", m.Disconnect, f'{{"type":"disconnect","reason":{_ESCAPED}}}'),
    ("whole-number-for-a-number", m.Draining, '{"type":"draining","within_s":5}'),
    ("exponent", m.Draining, '{"type":"draining","within_s":12.5E-1}'),
    ("nested-64", m.Disconnect, f'{{"type":"disconnect","novelty":{_array(64)}}}'),
    ("nested-64-credit", m.Credit, f'{{"type":"credit","frames":1,"novelty":{_array(64)}}}'),
)

REFUSED: Final[tuple[Payload, ...]] = (
    # no JSON
    ("empty", m.Disconnect, ""),
    ("white-space", m.Disconnect, " \n"),
    ("cut-off", m.Disconnect, '{"type":"disconnect","reason":"'),
    ("two-values", m.Disconnect, '{"type":"disconnect"}{"type":"disconnect"}'),
    ("single-quotes", m.Disconnect, "{'type':'disconnect'}"),
    ("comma-at-the-end", m.Disconnect, '{"type":"disconnect",}'),
    ("comment", m.Disconnect, '{"type":"disconnect"/**/}'),
    ("byte-order-mark", m.Disconnect, b'\xef\xbb\xbf{"type":"disconnect"}'),
    ("utf-16", m.Disconnect, '{"type":"disconnect"}'.encode("utf-16-le")),
    ("control-character", m.Disconnect, '{"type":"disconnect","reason":"\n"}'),
    ("nan", m.Draining, '{"type":"draining","within_s":NaN}'),
    ("infinity", m.Draining, '{"type":"draining","within_s":-Infinity}'),
    ("number-too-large", m.Draining, '{"type":"draining","within_s":1e999}'),
    ("leading-zero", m.Draining, '{"type":"draining","within_s":01}'),
    ("deeply-nested", m.Disconnect, f'{{"type":"disconnect","novelty":{_DEEP}}}'),
    ("deeply-nested-chunk", m.StreamChunk, f'{{"type":"stream_chunk","seq":0,"token":{_TEXT},"novelty":{_DEEP}}}'),
    ("deeply-nested-chat", m.ChatStream, _asking(extra={"x": 0}).replace('{"x":0}', f'{{"x":{_DEEP}}}')),
    # no Unicode
    ("not-utf-8", m.Disconnect, b'{"type":"disconnect","reason":"\xff"}'),
    ("overlong-utf-8", m.Disconnect, b'{"type":"disconnect","reason":"\xc0\x80"}'),
    ("surrogate-in-utf-8", m.Disconnect, b'{"type":"disconnect","reason":"\xed\xa0\x80"}'),
    ("lone-high-surrogate", m.Disconnect, '{"type":"disconnect","reason":"\\ud800"}'),
    ("lone-low-surrogate", m.Disconnect, '{"type":"disconnect","reason":"\\udc00x"}'),
    ("lone-surrogate-chunk", m.StreamChunk, '{"type":"stream_chunk","seq":0,"token":{"type":"text","text":"\\ud83d"}}'),
    # another message than the header says
    ("array", m.Disconnect, '["disconnect"]'),
    ("null", m.Disconnect, "null"),
    ("wrong-tag", m.Disconnect, '{"type":"heartbeat"}'),
    ("wrong-tag-chunk", m.StreamChunk, f'{{"type":"stream_done","seq":0,"token":{_TEXT}}}'),
    ("tag-of-other-case", m.Disconnect, '{"type":"Disconnect"}'),
    ("tag-a-number", m.Disconnect, '{"type":18}'),
    ("no-tag", m.Disconnect, '{"reason":"x"}'),
    # a member that is missing
    ("missing-member", m.ProtocolFailure, '{"type":"error","error":"BadMagic"}'),
    ("missing-member-deep", m.HandshakeAck, '{"type":"handshake_ack","transport":"shm","ring":{}}'),
    ("missing-frames", m.Credit, '{"type":"credit"}'),
    ("missing-token", m.StreamChunk, '{"type":"stream_chunk","seq":0}'),
    ("missing-type-of-token", m.StreamChunk, '{"type":"stream_chunk","seq":0,"token":{"text":"a"}}'),
    ("missing-request", m.ChatStream, '{"type":"chat_stream"}'),
    # a member of another type
    ("null-for-string", m.Disconnect, '{"type":"disconnect","reason":null}'),
    ("null-for-object", m.StreamError, '{"type":"error","seq":0,"error":null}'),
    ("number-for-string", m.Disconnect, '{"type":"disconnect","reason":1}'),
    ("number-for-content", m.ChatStream, _asking(1)),
    ("string-for-boolean", m.Heartbeat, '{"type":"heartbeat","echo":"true"}'),
    ("number-for-boolean", m.Heartbeat, '{"type":"heartbeat","echo":1}'),
    ("string-for-number", m.Draining, '{"type":"draining","within_s":"5"}'),
    ("string-for-seq", m.StreamChunk, f'{{"type":"stream_chunk","seq":"0","token":{_TEXT}}}'),
    ("fraction-for-seq", m.StreamChunk, f'{{"type":"stream_chunk","seq":0.5,"token":{_TEXT}}}'),
    ("fraction-for-frames", m.Credit, '{"type":"credit","frames":1.5}'),
    ("string-for-object", m.HandshakeAck, '{"type":"handshake_ack","ring":"1048576"}'),
    ("object-for-array", m.HandshakeAck, '{"type":"handshake_ack","features":{}}'),
    ("wrong-element", m.HandshakeAck, '{"type":"handshake_ack","features":["drain",1]}'),
    ("wrong-element-of-versions", m.Handshake, '{"type":"handshake","versions":["1"]}'),
    # a word, or a number, that is not allowed
    ("unknown-transport", m.HandshakeAck, '{"type":"handshake_ack","transport":"tcp"}'),
    ("unknown-token", m.StreamChunk, '{"type":"stream_chunk","seq":0,"token":{"type":"novelty"}}'),
    ("unknown-finish", m.StreamDone, '{"type":"stream_done","seq":0,"finish":{"type":"finish","kind":"x"}}'),
    ("unknown-role", m.ChatStream, _asking().replace("user", "robot")),
    ("frames-zero", m.Credit, '{"type":"credit","frames":0}'),
    ("frames-negative", m.Credit, '{"type":"credit","frames":-1}'),
    ("frames-past-the-bound", m.Credit, '{"type":"credit","frames":2147483649}'),
    ("credit-negative", m.ChatStream, _asking(beside={"credit": -1})),
    ("temperature-past-the-bound", m.ChatStream, _asking(temperature=2.5)),
    ("no-messages", m.ChatStream, _asking(messages=[])),
    ("no-model", m.ChatStream, _asking(model="")),
)
