"""OpenAI's legacy completions, byte for byte: chunks of text as recorded from the API in 2025 and 2026.

The finish reason comes with an empty text of its own. There are no tools, no reasoning and no padding.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, ClassVar, Final

import msgspec

from rxlapce.simulator.asked import (
    NOWHERE,
    Asked,
    BadBody,
    Where,
    check_choices,
    check_max_tokens,
    decode_body,
    joined,
    stops_of,
)
from rxlapce.simulator.openai.chat_completions import DONE, FINISH_REASONS, encode
from rxlapce.simulator.options import split_model
from rxlapce.simulator.reply import Reply, prompt_tokens
from rxlapce.simulator.tokenizer import alphanumeric
from rxlapce.simulator.wire import MEMO_SIZE, SSE_TYPE, Part, WireEvent, created_at, openai_headers


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _CompletionsBody(msgspec.Struct):
    model: str | None = None
    prompt: str | list[str | int] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None


_decoder: Final = msgspec.json.Decoder(_CompletionsBody)


def read_completions(body: bytes, where: Where = NOWHERE) -> Asked:
    """A completions request; a model in the path (Azure's deployments) wins. Raises `BadBody`.

    A prompt of token numbers is heard as nothing. Without `max_tokens` the answer is as long as it likes, other than at
    OpenAI, where that means 16.
    """
    said = decode_body(_decoder, body)
    name = where.model or said.model
    if name is None:
        raise BadBody("you must provide a model parameter")
    check_max_tokens(said.max_tokens)
    prompts = [said.prompt] if isinstance(said.prompt, str) else said.prompt or []
    text = joined(prompt for prompt in prompts if isinstance(prompt, str))
    model, options = split_model(name)
    return Asked(
        model=model,
        options=options,
        prompt=text,
        heard=text,
        stream=bool(said.stream),
        include_usage=said.stream_options is not None and said.stream_options.include_usage,
        choices=check_choices(said.n),
        max_tokens=said.max_tokens,
        stop=stops_of(said.stop),
    )


class Completion:
    """One response to a completions request."""

    stream_type: ClassVar[str] = SSE_TYPE
    text_lines: ClassVar[bool] = True
    keepalive: ClassVar[bytes] = b": keep-alive\n\n"

    def __init__(self, asked: Asked, chance: random.Random) -> None:
        self._asked = asked
        self._prompt_tokens = prompt_tokens(asked)
        self._id = f"cmpl-{alphanumeric(chance, 29)}"
        self._created = created_at(chance)
        self._headers = openai_headers(chance, self._prompt_tokens)
        members = {"id": self._id, "object": "text_completion", "created": self._created}
        self._head = b"data: " + encode(members)[:-1] + b',"choices":['
        self._model = b',"model":' + encode(asked.model)
        self._tail = b"]" + self._model + (b',"usage":null' if asked.include_usage else b"") + b"}\n\n"

    def headers(self) -> dict[str, str]:
        """The API's own headers; the limits are those of a generous account."""
        return self._headers

    def events(self, replies: Sequence[Reply]) -> Iterator[WireEvent]:
        """The choices in turn, piece by piece, each one's finish, the usage if asked for, and `[DONE]`."""
        yield from self._prelude()
        choices = [self._tokens(index, reply) for index, reply in enumerate(replies)]
        if len(choices) == 1:
            yield from choices[0]
        else:
            yield from (event for event in chain.from_iterable(zip_longest(*choices)) if event is not None)
        for index, reply in enumerate(replies):
            yield Part.FINISH, self._head + self._choice(index, b'""', FINISH_REASONS[reply.end]) + self._tail
        if self._asked.include_usage:
            yield Part.USAGE, self._head + b"]" + self._model + b',"usage":' + encode(self._usage(replies)) + b"}\n\n"
        yield Part.DONE, DONE

    def _prelude(self) -> Iterator[WireEvent]:
        """What comes before the first choice."""
        yield from ()

    def _tokens(self, index: int, reply: Reply) -> Iterator[WireEvent]:
        memo: dict[str, bytes] = {}
        for piece in reply.text_pieces():
            line = memo.get(piece)
            if line is None:
                if len(memo) >= MEMO_SIZE:
                    memo.clear()
                memo[piece] = line = self._head + self._choice(index, encode(piece)) + self._tail
            yield Part.TOKEN, line

    def _choice(self, index: int, text: bytes, finish: str | None = None) -> bytes:
        return b'{"text":%s,"index":%d,"logprobs":null,"finish_reason":%s}' % (text, index, encode(finish))

    def malformed(self) -> bytes:
        """A chunk that breaks off inside a string."""
        return self._head + b'{"text":"\n\n'

    def error(self) -> bytes:
        """The error object as a `data:` line, as in chat completions."""
        message = "The server had an error while processing your request. Sorry about that!"
        error = {"message": message, "type": "server_error", "param": None, "code": None}
        return b"data: " + encode({"error": error}) + b"\n\n"

    def huge(self, size_bytes: int) -> bytes:
        """A chunk whose text is so many letters."""
        return self._head + self._choice(0, b'"%s"' % (b"x" * size_bytes)) + self._tail

    def unary(self, replies: Sequence[Reply]) -> bytes:
        """The whole answer, indented by two as the API sends it."""
        return msgspec.json.format(encode(self._whole(replies)), indent=2) + b"\n"

    def _whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._asked.model,
            "choices": [
                {
                    "text": "".join(reply.text_pieces()),
                    "index": index,
                    "logprobs": None,
                    "finish_reason": FINISH_REASONS[reply.end],
                }
                for index, reply in enumerate(replies)
            ],
            "usage": self._usage(replies),
        }

    def _usage(self, replies: Sequence[Reply]) -> dict[str, int]:
        """The pieces of text: nothing else is said here."""
        output = sum(reply.text_tokens for reply in replies)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": output,
            "total_tokens": self._prompt_tokens + output,
        }
