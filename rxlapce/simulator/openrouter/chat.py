"""Chat completions as OpenRouter sends them, recorded in 2025 and 2026: comments, the provider, and the cost.

Comments come while the provider behind it is still working. The usage comes last, in a chunk that repeats the finish.
An error in mid-stream is a chunk like any other with an `error` in it; `[DONE]` follows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from rxlapce.simulator.openai.chat_completions import DONE, FINISH_REASONS, ChatCompletion, Line, encode
from rxlapce.simulator.reply import End, Reply
from rxlapce.simulator.tokenizer import alphanumeric
from rxlapce.simulator.wire import VARIANT_MASK, Part, WireEvent

PROCESSING: Final = b": OPENROUTER PROCESSING\n\n"
PROVIDER: Final = "Simulator"

#: US dollars a token.
_INPUT_PRICE: Final = 2.5e-07
_OUTPUT_PRICE: Final = 1e-06


def costs(prompt: int, output: int) -> dict[str, Any]:
    """The members of a usage that tell what it cost, in US dollars."""
    spent, earned = round(prompt * _INPUT_PRICE, 9), round(output * _OUTPUT_PRICE, 9)
    details = {"upstream_inference_cost": round(spent + earned, 9)}
    parts = {"upstream_inference_prompt_cost": spent, "upstream_inference_completions_cost": earned}
    return {"cost": round(spent + earned, 9), "is_byok": False, "cost_details": details | parts}


def real_model(model: str) -> str:
    """The name with its vendor, under which the answer comes back."""
    return model if "/" in model else f"simulator/{model}"


class OpenRouterChatCompletion(ChatCompletion):
    """One response to a chat completions request to OpenRouter."""

    keepalive: ClassVar[bytes] = PROCESSING

    def _make_id(self) -> str:
        return f"gen-{self._created}-{alphanumeric(self._chance, 20)}"

    def _members(self, kind: str) -> dict[str, Any]:
        members = {"id": self._id, "object": kind, "created": self._created}
        return members | {"model": real_model(self._asked.model), "provider": PROVIDER}

    def headers(self) -> dict[str, str]:
        """The id under which the answer can be looked up later."""
        return {"x-generation-id": self._id}

    def _prelude(self) -> Iterator[WireEvent]:
        yield Part.FRAME, PROCESSING
        yield Part.FRAME, PROCESSING

    def _text(self, piece: str) -> bytes:
        return b'"content":' + encode(piece) + b',"role":"assistant"'

    def _refusal(self, piece: str) -> bytes:
        return b'"content":"","role":"assistant","refusal":' + encode(piece)

    def _reasoning(self, piece: str) -> bytes:
        delta = {"content": "", "role": "assistant", **self._whole_reasoning(piece)}
        return encode(delta)[1:-1]

    def _whole_reasoning(self, text: str) -> dict[str, Any]:
        detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
        return {"reasoning": text, "reasoning_details": [detail]}

    def _choice(self, index: int, delta: bytes, end: End | None = None) -> bytes:
        word = b"null" if end is None else b'"%s"' % FINISH_REASONS[end].encode()
        delta = delta or b'"content":"","role":"assistant"'
        return b'{"index":%d,"delta":{%s},"finish_reason":%s,"native_finish_reason":%s}' % (index, delta, word, word)

    def _open_line(self, choice: bytes, usage: bytes | None = None) -> Line:
        counted = b"" if usage is None else b',"usage":' + usage
        return self._head + choice + b"]" + counted + b"}\n\n", (b"",) * (VARIANT_MASK + 1)

    def _counted(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The usage, asked for or not, in a chunk with the last finish again."""
        last = len(replies) - 1
        choice = self._choice(last, b"", replies[last].end)
        yield Part.USAGE, self._line(choice, encode(self._usage(replies)))

    def error(self) -> bytes:
        """A chunk with an error and the finish reason `error`, then `[DONE]`."""
        error = {
            "code": 502,
            "message": "Provider returned error",
            "metadata": {"raw": "upstream connect error", "provider_name": PROVIDER},
        }
        choice = b'{"index":0,"delta":{"content":"","role":"assistant"},"finish_reason":"error",'
        choice += b'"native_finish_reason":"error"}'
        head = self._head.removesuffix(b',"choices":[') + b',"error":' + encode(error)
        return head + b',"choices":[' + choice + b"]}\n\n" + DONE

    def _whole_choice(self, index: int, reply: Reply) -> dict[str, Any]:
        choice = super()._whole_choice(index, reply)
        return choice | {"native_finish_reason": choice["finish_reason"]}

    def _usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        usage = super()._usage(replies)
        usage |= costs(usage["prompt_tokens"], usage["completion_tokens"])
        usage["prompt_tokens_details"] = {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0}
        return usage
