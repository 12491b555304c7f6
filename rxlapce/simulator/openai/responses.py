"""OpenAI's Responses, byte for byte: typed events as recorded from the API in 2026.

Every event has its number. A delta pads itself (`obfuscation`) so that text and padding together are a multiple of 16
characters. Who speaks it in another way (xAI, OpenRouter) overrides a method here.
"""

import base64
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import msgspec

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.reply import Call, End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import alphanumeric, hexadecimal, tokenize
from rxlapce.simulator.wire import (
    MEMO_SIZE,
    PADDINGS,
    SSE_TYPE,
    VARIANT_MASK,
    Part,
    WireEvent,
    created_at,
    openai_headers,
    paddings,
)

encode: Final = msgspec.json.Encoder().encode

_PADDINGS: Final = [paddings(length) for length in range(PADDINGS)]
#: Why a response is `incomplete`.
INCOMPLETE: Final = {End.LENGTH: "max_output_tokens", End.CONTENT_FILTER: "content_filter"}
#: What the service says when it fails in mid-stream.
_FAILURE: Final = (
    "The server had an error processing your request. Sorry about that! You can retry your request, or contact us "
    "through our help center at help.openai.com if you keep seeing this error."
)
#: Seconds that an answer is said to have taken.
_TOOK_S: Final = 1


class ResponsesAnswer:
    """One response to a Responses request."""

    stream_type: ClassVar[str] = SSE_TYPE
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = b'event: keepalive\ndata: {"type":"keepalive"}\n\n'

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._chance = chance
        self._created = created_at(chance)
        self._suffix = hexadecimal(chance, 34)
        self._id = self._make_id()
        self._prompt_tokens = prompt_tokens(asked)
        self._headers = openai_headers(chance, self._prompt_tokens)
        self._sealed = "gAAAAAB" + base64.urlsafe_b64encode(chance.randbytes(384)).decode()
        self._nested_errors = chance.random() < 0.5
        self._variant = chance.randrange(VARIANT_MASK)
        self._number = 0

    def _make_id(self) -> str:
        return f"resp_{hexadecimal(self._chance, 16)}{self._suffix}"

    def _item_id(self, kind: str) -> str:
        return f"{kind}_{hexadecimal(self._chance, 16)}{self._suffix}"

    def _call_id(self) -> str:
        return f"call_{alphanumeric(self._chance, 24)}"

    def headers(self) -> dict[str, str]:
        """The API's own headers; the limits are those of a generous account."""
        return self._headers

    # -- streamed ---------------------------------------------------------------------------------------------------

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The start, each item with its deltas, and the whole response at the end, which is what ends the stream."""
        reply = replies[0]
        self._number = 0
        yield from self._prelude()
        start = self._response("in_progress", [])
        yield Part.FRAME, self._event("response.created", {"response": start})
        yield Part.FRAME, self._event("response.in_progress", {"response": start})
        output: list[dict[str, Any]] = []
        for index, (item, call) in enumerate(self._items(reply)):
            output.append(item)
            yield Part.FRAME, self._event("response.output_item.added", {"item": item, "output_index": index})
            yield from self._inside(index, item, reply, call)
            yield Part.FRAME, self._event("response.output_item.done", {"item": item, "output_index": index})
        response = self._finished(reply, output)
        yield Part.FINISH, self._event(f"response.{response['status']}", {"response": response})
        yield from self._trailer()

    def _prelude(self) -> Iterator[WireEvent]:
        """What comes before the first event."""
        yield from ()

    def _trailer(self) -> Iterator[WireEvent]:
        """What comes after the last event."""
        yield from ()

    def _inside(self, index: int, item: dict[str, Any], reply: Reply, call: Call | None) -> Iterator[WireEvent]:
        """The events between an item's start and end; the item is whole after them."""
        if call is not None:
            return self._call(index, item, reply, call)
        return (self._reasoning if item["type"] == "reasoning" else self._message)(index, item, reply)

    def _reasoning(self, index: int, item: dict[str, Any], reply: Reply) -> Iterator[WireEvent]:
        place = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        kind = "response.reasoning_summary_text"
        if not self._asked.hide_reasoning:
            part = {"type": "summary_text", "text": ""}
            yield Part.FRAME, self._event("response.reasoning_summary_part.added", place | {"part": part})
            yield from self._deltas(f"{kind}.delta", place, {}, reply.reasoning_pieces())
        self._complete(item, reply, None)
        for whole in item["summary"]:
            yield Part.FRAME, self._event(f"{kind}.done", place | {"text": whole["text"]})
            yield Part.FRAME, self._event("response.reasoning_summary_part.done", place | {"part": whole})

    def _message(self, index: int, item: dict[str, Any], reply: Reply) -> Iterator[WireEvent]:
        place = {"content_index": 0, "item_id": item["id"], "output_index": index}
        empty = _part(reply, "")
        said = "refusal" if reply.end is End.REFUSAL else "text"
        more: dict[str, Any] = {} if reply.end is End.REFUSAL else {"logprobs": []}
        kind = "response.refusal" if reply.end is End.REFUSAL else "response.output_text"
        yield Part.FRAME, self._event("response.content_part.added", place | {"part": empty})
        yield from self._deltas(f"{kind}.delta", place, more, reply.text_pieces())
        self._complete(item, reply, None)
        part = item["content"][0]
        yield Part.FRAME, self._event(f"{kind}.done", place | more | {said: part[said]})
        yield Part.FRAME, self._event("response.content_part.done", place | {"part": part})

    def _call(self, index: int, item: dict[str, Any], reply: Reply, call: Call) -> Iterator[WireEvent]:
        place = {"item_id": item["id"], "output_index": index}
        kind = "response.function_call_arguments"
        yield from self._deltas(f"{kind}.delta", place, {}, iter(tokenize(call.arguments)))
        self._complete(item, reply, call)
        yield Part.FRAME, self._event(f"{kind}.done", place | {"arguments": call.arguments})

    def _deltas(
        self, kind: str, place: dict[str, Any], more: dict[str, Any], pieces: Iterator[str]
    ) -> Iterator[WireEvent]:
        """The hot loop: an event is a remembered line, a prepared padding and its number. 1.5 times a chat chunk."""
        obfuscate = self._asked.obfuscate
        line_start = self._line_start(kind)
        # Members in alphabetical order after the type: some before the delta, some between it and its padding.
        members = sorted((place | more).items())
        before = b"".join(_member(name, value) + b"," for name, value in members if name < "delta")
        middle = b"".join(b"," + _member(name, value) for name, value in members if "delta" < name < "obfuscation")
        tail = b"".join(
            b"," + _member(name, value) for name, value in members if "obfuscation" < name < "sequence_number"
        )
        end = b"".join(b"," + _member(name, value) for name, value in members if name > "sequence_number") + b"}\n\n"
        tail = (b'"' if obfuscate else b"") + tail + b',"sequence_number":'
        memo: dict[str, tuple[bytes, Sequence[bytes]]] = {}
        token, variant, number = Part.TOKEN, self._variant, self._number
        for piece in pieces:
            rendered = memo.get(piece)
            if rendered is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                line = line_start + before + b'"delta":' + encode(piece) + middle
                if obfuscate:
                    line += b',"obfuscation":"'
                memo[piece] = rendered = (line, _PADDINGS[-len(piece) % PADDINGS] if obfuscate else _PADDINGS[0])
            variant += 1
            self._number = number = number + 1
            yield token, b"%b%b%b%d%b" % (rendered[0], rendered[1][variant & VARIANT_MASK], tail, number - 1, end)

    def _line_start(self, kind: str) -> bytes:
        """An event up to its second member."""
        return f'event: {kind}\ndata: {{"type":"{kind}",'.encode()

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        numbered = dict(sorted((members | {"sequence_number": self._number}).items()))
        self._number += 1
        return self._line_start(kind) + encode(numbered)[1:] + b"\n\n"

    # -- what is said -----------------------------------------------------------------------------------------------

    def _items(self, reply: Reply) -> Iterator[tuple[dict[str, Any], Call | None]]:
        """The items of the output as they are when they start, and the call that one is."""
        if reply.reasoning_tokens:
            item: dict[str, Any] = {"id": self._item_id("rs"), "type": "reasoning", "content": []}
            if self._asked.encrypted:
                item["encrypted_content"] = self._sealed
            yield item | {"summary": []}, None
        if reply.text_tokens or not (reply.calls or reply.reasoning_tokens):
            started: dict[str, Any] = {"type": "message", "status": "in_progress", "content": [], "role": "assistant"}
            yield {"id": self._item_id("msg")} | started, None
        for call in reply.calls:
            started = {"type": "function_call", "status": "in_progress", "arguments": ""}
            names = {"call_id": self._call_id(), "name": call.name}
            yield {"id": self._item_id("fc")} | started | names, call

    def _complete(self, item: dict[str, Any], reply: Reply, call: Call | None) -> None:
        """Make an item what it is at its end. Its text is made here again, so that the stream need not keep it."""
        if item["type"] == "reasoning":
            if not self._asked.hide_reasoning:
                text = "".join(reply.reasoning_pieces())
                item["summary"] = [{"type": "summary_text", "text": text}]
            return
        item["status"] = "incomplete" if reply.end in INCOMPLETE else "completed"
        if call is None:
            item["content"] = [_part(reply, "".join(reply.text_pieces()))]
        else:
            item["arguments"] = call.arguments

    def _response(self, status: str, output: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
        """The response object, which repeats most of the request."""
        response: dict[str, Any] = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "model": self._asked.model,
            "output": output,
            "service_tier": "auto" if status == "in_progress" else "default",
            "usage": None,
        }
        return response | dict(self._asked.repeated) | members

    def _finished(self, reply: Reply, output: list[dict[str, Any]]) -> dict[str, Any]:
        reason = INCOMPLETE.get(reply.end)
        details = None if reason is None else {"reason": reason}
        return self._response(
            "completed" if reason is None else "incomplete",
            output,
            completed_at=self._created + _TOOK_S if reason is None else None,
            incomplete_details=details,
            usage=self._usage(reply),
        )

    def _usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "input_tokens": self._prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "total_tokens": self._prompt_tokens + reply.output_tokens,
        }

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def malformed(self) -> bytes:
        """A delta that breaks off inside a string."""
        return self._line_start("response.output_text.delta") + b'"content_index":0,"delta":"\n\n'

    def error(self) -> bytes:
        """The error event in one of its two shapes, as the seed has it, and the failed response after it."""
        said = {"code": "server_error", "message": _FAILURE, "param": None}
        nested = {"error": {"type": "server_error", **said}}
        failed = self._response("failed", [], error={"code": "server_error", "message": _FAILURE})
        first = self._event("error", nested if self._nested_errors else said)
        return first + self._event("response.failed", {"response": failed})

    def huge(self, size_bytes: int) -> bytes:
        """A delta of so many letters."""
        place = {"content_index": 0, "item_id": self._item_id("msg"), "output_index": 0}
        return self._event("response.output_text.delta", place | {"delta": "x" * size_bytes, "logprobs": []})

    # -- unary ------------------------------------------------------------------------------------------------------

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole response, indented by two as the API sends it."""
        output: list[dict[str, Any]] = []
        for item, call in self._items(replies[0]):
            self._complete(item, replies[0], call)
            output.append(item)
        response = self._finished(replies[0], output)
        return msgspec.json.format(encode(response), indent=2) + b"\n"


def _member(name: str, value: Any) -> bytes:
    return b'"%s":%s' % (name.encode(), encode(value))


def _part(reply: Reply, text: str) -> dict[str, Any]:
    """The only part of a message."""
    if reply.end is End.REFUSAL:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def count_response(asked: Asked) -> bytes:
    """The answer to a request that only counts its input."""
    return encode({"object": "response.input_tokens", "input_tokens": prompt_tokens(asked)})
