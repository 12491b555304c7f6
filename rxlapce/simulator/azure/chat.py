"""Chat completions as Azure OpenAI sends them, recorded in 2025 and 2026: sorted members and the content filter.

The first chunk has no choices, no id and no model, but what the filter found in the prompt; each choice then says what
it found in the answer so far.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.openai.chat_completions import FINISH_REASONS, ChatCompletion, Line, encode
from rxlapce.simulator.reply import End, Reply
from rxlapce.simulator.wire import PADDINGS, VARIANT_MASK, Part, WireEvent, paddings

_CATEGORIES: Final = ("hate", "self_harm", "sexual", "violence")
#: Characters of a padded line without its line end, modulo 16.
_LINE_RESIDUE: Final = 0


def filter_results(*, blocked: bool = False, prompt: bool = False) -> dict[str, Any]:
    """What the content filter found: nothing, or violence."""
    found: dict[str, Any] = {name: {"filtered": False, "severity": "safe"} for name in _CATEGORIES}
    if blocked:
        found["violence"] = {"filtered": True, "severity": "medium"}
    if prompt:
        found["jailbreak"] = {"detected": False, "filtered": False}
    return dict(sorted(found.items()))


PROMPT_FILTER_RESULTS: Final = [{"prompt_index": 0, "content_filter_results": filter_results(prompt=True)}]

_SAFE: Final = encode(filter_results())
_BLOCKED: Final = encode(filter_results(blocked=True))


class AzureChatCompletion(ChatCompletion):
    """One response to a chat completions request to Azure."""

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        super().__init__(asked, chance)
        self._endings: dict[int, Sequence[bytes]] = {}  # by the length of the padding in them

    def headers(self) -> dict[str, str]:
        """Azure's own, and the limits of one deployment."""
        limits = ("x-ratelimit-limit-requests", "x-ratelimit-limit-tokens")
        remaining = ("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens")
        kept = (*limits, *remaining, "x-request-id")
        request_id = self._headers["x-request-id"].removeprefix("req_")
        return {name: self._headers[name] for name in kept} | {
            "apim-request-id": request_id,
            "x-ms-region": "Simulated",
            "x-ms-deployment-name": self._asked.model,
        }

    def _prelude(self) -> Iterator[WireEvent]:
        first: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        yield Part.FRAME, b"data: " + encode(first | {"prompt_filter_results": PROMPT_FILTER_RESULTS}) + b"\n\n"

    def _choice(self, index: int, delta: bytes, end: End | None = None) -> bytes:
        found = _BLOCKED if end is End.CONTENT_FILTER else _SAFE if delta and b'"role"' not in delta else b"{}"
        word = b"null" if end is None else b'"%s"' % FINISH_REASONS[end].encode()
        return b'{"content_filter_results":%s,"delta":{%s},"finish_reason":%s,"index":%d,"logprobs":null}' % (
            found,
            delta,
            word,
            index,
        )

    def _open_line(self, choice: bytes, usage: bytes | None = None) -> Line:
        line = b'data: {"choices":[' + choice + b"]," + encode({"created": self._created, "id": self._id})[1:-1]
        line += b"," + encode({"model": self._asked.model})[1:-1]
        after: dict[str, Any] = {"object": "chat.completion.chunk", "system_fingerprint": self._fingerprint}
        ending = b"," + encode(after)[1:-1]
        if usage is not None or self._asked.include_usage:
            ending += b',"usage":' + (usage or b"null")
        ending += b"}"
        if not self._asked.obfuscate:
            return line, (ending + b"\n\n",) * (VARIANT_MASK + 1)
        line += b',"obfuscation":"'
        length = (_LINE_RESIDUE - len((line + b'"' + ending).decode())) % PADDINGS
        endings = self._endings.get(length) if usage is None else None
        if endings is None:
            endings = [padding + b'"' + ending + b"\n\n" for padding in paddings(length)]
            if usage is None:
                self._endings[length] = endings
        return line, endings

    def malformed(self) -> bytes:
        """A chunk that breaks off inside a string."""
        return b'data: {"choices":[{"content_filter_results":{},"delta":{"content":"\n\n'

    def _whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        whole = super()._whole(replies)
        return dict(sorted((whole | {"prompt_filter_results": PROMPT_FILTER_RESULTS}).items()))

    def _whole_choice(self, index: int, reply: Reply) -> dict[str, Any]:
        found = filter_results(blocked=reply.end is End.CONTENT_FILTER)
        return dict(sorted((super()._whole_choice(index, reply) | {"content_filter_results": found}).items()))
