"""What Gemini says, before any framing: whole GenerateContentResponses, as recorded in 2025 and 2026.

Every chunk repeats the counts so far and the last ones win; thoughts are not among the candidates' tokens. Function
calls come whole, and `finishReason` is STOP after them too.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Final, Protocol

from rxlapce.simulator.asked import Asked
from rxlapce.simulator.google.json import pretty
from rxlapce.simulator.reply import Call, End, Reply, prompt_tokens
from rxlapce.simulator.tokenizer import alphanumeric, tokenize
from rxlapce.simulator.wire import MEMO_SIZE, Part

FINISH_REASONS: Final = {
    End.STOP: "STOP",
    End.STOP_SEQUENCE: "STOP",
    End.LENGTH: "MAX_TOKENS",
    End.TOOL_CALLS: "STOP",
    End.CONTENT_FILTER: "SAFETY",
    End.REFUSAL: "STOP",  # Gemini refuses in plain words
}
_CATEGORIES: Final = ("SEXUALLY_EXPLICIT", "HATE_SPEECH", "HARASSMENT", "DANGEROUS_CONTENT")
#: The older models give no ids to their calls.
_WITHOUT_IDS: Final = ("gemini-1", "gemini-2")

Dump = Callable[[Any], str]


class Style(Protocol):
    """What differs between the Gemini API and Vertex AI."""

    headers: ClassVar[Mapping[str, str]]
    """The response's, content type aside."""

    bare_errors: ClassVar[bool]
    """Whether an error in mid-stream is bare JSON among the events."""

    def candidate(self, index: int, parts: Sequence[Any] | None, finish: str | None = None) -> dict[str, Any]:
        """A candidate with what is new of it."""
        ...

    def counts(self, prompt: int, said: Any, thoughts: Any, total: Any, *, last: bool) -> dict[str, Any]:
        """The counts so far; a count of 0 is left out."""
        ...

    def error(self) -> dict[str, Any]:
        """The error in mid-stream."""
        ...

    def members(self, model: str, response_id: str) -> dict[str, Any]:
        """What stands in every chunk."""
        ...

    def response_id(self, chance: random.Random) -> str:
        """The answer's id."""
        ...


class Generation:
    """One answer. `dump` writes a value in the framing's white space."""

    def __init__(self, asked: Asked, chance: random.Random, style: Style, dump: Dump) -> None:
        self._style = style
        self._dump = dump
        self._chance = chance
        self._members = style.members(asked.model, style.response_id(chance))
        self._signature = base64.b64encode(b"\x0a" + chance.randbytes(143)).decode()
        self._always_signs = "gemini-3" in asked.model
        self._call_ids = not any(name in asked.model for name in _WITHOUT_IDS)
        self._hides = asked.hide_reasoning
        self._prompt = prompt_tokens(asked)
        self._said = self._thoughts = 0  # tokens of all candidates so far

    # -- streamed ---------------------------------------------------------------------------------------------------

    def chunks(self, replies: Sequence[Reply]) -> Iterator[tuple[Part, bytes]]:
        """The stream's chunks with their part in it: candidates in turn, and one chunk with all their ends."""
        if _is_blocked(replies[0]):
            yield Part.FINISH, self._dump(self._blocked()).encode()
            return
        candidates = [self._candidate(index, reply) for index, reply in enumerate(replies)]
        for turn in zip_longest(*candidates):
            yield from (chunk for chunk in turn if chunk is not None)
        ends = [
            self._style.candidate(
                index,
                None if reply.end is End.CONTENT_FILTER else [self._signed({"text": ""}, reply, first=not reply.calls)],
                FINISH_REASONS[reply.end],
            )
            for index, reply in enumerate(replies)
        ]
        yield Part.FINISH, self._chunk(ends, last=True)

    def _candidate(self, index: int, reply: Reply) -> Iterator[tuple[Part, bytes]]:
        if self._hides:
            self._thoughts += reply.reasoning_tokens
        else:
            yield from self._pieces(index, reply.reasoning_pieces(), thought=True)
        yield from self._pieces(index, reply.text_pieces(), thought=False)
        for number, call in enumerate(reply.calls):
            self._said += len(tokenize(call.arguments))
            part = self._signed(self._call(call), reply, first=number == 0)
            yield Part.TOKEN, self._chunk([self._style.candidate(index, [part])], last=False)

    def _pieces(self, index: int, pieces: Iterator[str], *, thought: bool) -> Iterator[tuple[Part, bytes]]:
        """The hot loop: an event is a template with a remembered piece and the counts put in. 2 to 5 us each."""
        memo: dict[str, str] = {}
        template = ""
        for piece in pieces:
            if thought:
                self._thoughts += 1
            else:
                self._said += 1
            template = template or self._template(index, thought=thought)
            text = memo.get(piece)
            if text is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = text = self._dump(piece)
            total = self._prompt + self._said + self._thoughts
            said = {"text": text, "said": self._said, "thoughts": self._thoughts, "total": total}
            yield Part.TOKEN, (template % said).encode()

    def _template(self, index: int, *, thought: bool) -> str:
        """A chunk in which `%(text)s` stands for the text, and so on for the counts of candidates, thoughts and all.

        A count that is 0 now is left out.
        """
        part = {"text": "\0text", "thought": True} if thought else {"text": "\0text"}
        usage = self._style.counts(
            self._prompt, self._said and "\0said", self._thoughts and "\0thoughts", "\0total", last=False
        )
        chunk = self._dump(self._response([self._style.candidate(index, [part])], usage)).replace("%", "%%")
        for name in ("text", "said", "thoughts", "total"):
            chunk = chunk.replace(json.dumps(f"\0{name}"), f"%({name})s")
        return chunk

    def _chunk(self, candidates: Sequence[dict[str, Any]], *, last: bool) -> bytes:
        return self._dump(self._response(candidates, self._counts(last=last))).encode()

    def _response(self, candidates: Sequence[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        return {"candidates": candidates, "usageMetadata": usage, **self._members}

    def _counts(self, *, last: bool) -> dict[str, Any]:
        total = self._prompt + self._said + self._thoughts
        return self._style.counts(self._prompt, self._said, self._thoughts, total, last=last)

    # -- parts ------------------------------------------------------------------------------------------------------

    def _call(self, call: Call) -> dict[str, Any]:
        said: dict[str, Any] = {"name": call.name, "args": json.loads(call.arguments)}
        if self._call_ids:
            said["id"] = alphanumeric(self._chance, 8).lower()
        return {"functionCall": said}

    def _signed(self, part: dict[str, Any], reply: Reply, *, first: bool) -> dict[str, Any]:
        """The part with a signature if it is the first of its answer to carry one and there was any thinking."""
        signs = first and (self._always_signs or reply.reasoning_tokens > 0)
        return part | {"thoughtSignature": self._signature} if signs else part

    def _blocked(self) -> dict[str, Any]:
        """The answer to a prompt that is blocked: no candidates, and a feedback that says why."""
        feedback = {"blockReason": "SAFETY", "safetyRatings": safety_ratings(blocked=True)}
        return {"promptFeedback": feedback, "usageMetadata": self._counts(last=True), **self._members}

    # -- what goes wrong --------------------------------------------------------------------------------------------

    def error(self) -> bytes:
        """The error in mid-stream."""
        return (pretty if self._style.bare_errors else self._dump)(self._style.error()).encode()

    def huge(self, size_bytes: int) -> bytes:
        """A chunk with so many letters."""
        return self._chunk([self._style.candidate(0, [{"text": "x" * size_bytes}])], last=False)

    # -- unary ------------------------------------------------------------------------------------------------------

    def whole(self, replies: Sequence[Reply]) -> bytes:
        """The answer in one piece, which is indented whatever the framing."""
        if _is_blocked(replies[0]):
            return pretty(self._blocked()).encode() + b"\n"
        candidates = [
            self._style.candidate(index, self._whole_parts(reply), FINISH_REASONS[reply.end])
            for index, reply in enumerate(replies)
        ]
        return pretty(self._response(candidates, self._counts(last=True))).encode() + b"\n"

    def _whole_parts(self, reply: Reply) -> list[dict[str, Any]]:
        self._thoughts += reply.reasoning_tokens
        self._said += reply.output_tokens - reply.reasoning_tokens
        parts: list[dict[str, Any]] = []
        if reply.reasoning_tokens and not self._hides:
            parts.append({"text": "".join(reply.reasoning_pieces()), "thought": True})
        if reply.text_tokens or not reply.calls:
            parts.append(self._signed({"text": "".join(reply.text_pieces())}, reply, first=not reply.calls))
        parts += [self._signed(self._call(call), reply, first=number == 0) for number, call in enumerate(reply.calls)]
        return parts


def safety_ratings(*, blocked: bool = False) -> list[dict[str, Any]]:
    """What the filters found: nothing, or that the second one struck."""
    return [
        {"category": f"HARM_CATEGORY_{category}", "probability": "HIGH" if blocked and number == 1 else "NEGLIGIBLE"}
        for number, category in enumerate(_CATEGORIES)
    ]


def _is_blocked(reply: Reply) -> bool:
    """A filter that strikes before anything is said has struck the prompt."""
    return reply.end is End.CONTENT_FILTER and not reply.text_tokens and not reply.reasoning_tokens
