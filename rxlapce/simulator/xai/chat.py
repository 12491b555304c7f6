"""Chat completions as xAI sends them, recorded in 2026: bare chunks, whole tool calls, and what the answer cost.

`completion_tokens` leaves out the reasoning, which `total_tokens` has. A tick is a ten-billionth of a US dollar.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rxlapce.simulator.openai.chat_completions import FINISH_REASONS, ChatCompletion, Line, encode
from rxlapce.simulator.reply import End, Reply
from rxlapce.simulator.wire import VARIANT_MASK, Part, WireEvent

#: Prices of a small model: 0.2 US dollars a million tokens of input, 0.5 of output.
_TICKS_PER_INPUT: Final = 2_000
_TICKS_PER_OUTPUT: Final = 5_000


def cost_in_ticks(prompt: int, output: int) -> int:
    """What so many tokens cost, in ten-billionths of a US dollar."""
    return prompt * _TICKS_PER_INPUT + output * _TICKS_PER_OUTPUT


class XaiChatCompletion(ChatCompletion):
    """One response to a chat completions request to xAI."""

    def _make_id(self) -> str:
        return str(uuid.UUID(bytes=self._chance.randbytes(16)))

    def _call_id(self) -> str:
        return f"call_{self._chance.randrange(10**8):08}"

    def _members(self, kind: str) -> dict[str, Any]:
        members = {"id": self._id, "object": kind, "created": self._created, "model": self._asked.model}
        return members if kind == "chat.completion.chunk" else members | {"system_fingerprint": self._fingerprint}

    def headers(self) -> dict[str, str]:
        """The id of the request and the limits of the team."""
        kept = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-request-id")
        return {name: self._headers[name].removeprefix("req_") for name in kept}

    def _said(self, index: int, reply: Reply) -> Iterator[WireEvent]:
        """The tokens, the first with the role; a tool call comes whole."""
        first = True
        for event in self._pieces(index, reply):
            yield (event[0], event[1].replace(b'"}}]', b'","role":"assistant"}}]', 1)) if first else event
            first = False
        if first:
            yield Part.FRAME, self._delta(index, b'"role":"assistant","content":""')
        for number, call in enumerate(reply.calls):
            function = {"name": call.name, "arguments": call.arguments}
            whole = {"id": self._call_id(), "function": function, "index": number, "type": "function"}
            yield Part.TOKEN, self._delta(index, b'"tool_calls":[%s]' % encode(whole))

    def _pieces(self, index: int, reply: Reply) -> Iterator[WireEvent]:
        if not self._asked.hide_reasoning:
            yield from self._tokens(index, self._reasoning, reply.reasoning_pieces())
        yield from self._tokens(index, self._text, reply.text_pieces())

    def _reasoning(self, piece: str) -> bytes:
        return b'"reasoning_content":' + encode(piece)

    def _choice(self, index: int, delta: bytes, end: End | None = None) -> bytes:
        finish = b"" if end is None else b',"finish_reason":"%s"' % FINISH_REASONS[end].encode()
        return b'{"index":%d,"delta":{%s}%s}' % (index, delta, finish)

    def _open_line(self, choice: bytes, usage: bytes | None = None) -> Line:
        counted = b"" if usage is None else b',"usage":' + usage
        end = b',"system_fingerprint":"%s"}\n\n' % self._fingerprint.encode()
        return self._head + choice + b"]" + counted + end, (b"",) * (VARIANT_MASK + 1)

    def _counted(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The usage, asked for or not."""
        yield Part.USAGE, self._line(b"", encode(self._usage(replies)))

    def error(self) -> bytes:
        """An error without an object: a code and words."""
        said = {"code": "The service is currently unavailable", "error": "The model is at capacity. Please try again."}
        return b"data: " + encode(said) + b"\n\n"

    def _whole_message(self, reply: Reply) -> dict[str, Any]:
        message = super()._whole_message(reply)
        message.pop("annotations")
        return message | {"content": message["content"] or message["refusal"] or "", "refusal": None}

    def _usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        output = sum(reply.output_tokens for reply in replies)
        reasoning = sum(reply.reasoning_tokens for reply in replies)
        prompt = self._prompt_tokens
        images = min(85 * self._asked.images, prompt)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output - reasoning,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {
                "text_tokens": prompt - images,
                "audio_tokens": 0,
                "image_tokens": images,
                "cached_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "num_sources_used": 0,
            "cost_in_usd_ticks": cost_in_ticks(prompt, output),
        }
