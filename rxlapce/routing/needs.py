"""What a request needs of a model: pictures, tools, room."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from rxlapce.requests import ChatRequest, Message

#: Bytes of UTF-8 a token, whatever the script: o200k takes 5.1 of English, 4.4 of Python, 3.5 of Markdown and Chinese,
#: 3.4 of Polish, 4 to 5 of German, Korean and Greek, 7.1 of Russian, 2.3 of JSON that is full of numbers; cl100k,
#: Claude 2's and Llama 3's about the same of English and code, and from 1.6 to 6.4 of the rest (2026-11-22; the
#: Universal Declaration of Human Rights, this project's files). Four characters a token, the usual rule, would find a
#: third of Chinese. An estimate too small is corrected by the provider's error, after which the next model is asked;
#: one too large would leave out a model that has the room. So nothing is added to be safe.
BYTES_A_TOKEN: Final = 4
#: A picture of a thousand by a thousand points, roughly: vendors count from 85 to 1,600.
IMAGE_TOKENS: Final = 800
#: What an answer takes whose length nobody bounds.
ANSWER_TOKENS: Final = 500


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request needs. `prompt_tokens` and `answer_tokens` are estimates; see this module's constants.

    `tools`: it offers tools, or tells of their calls; who knows no tools understands neither.
    `answer_is_bounded`: the request itself says how long its answer may be at most.
    """

    images: bool
    tools: bool
    prompt_tokens: int
    answer_tokens: int
    answer_is_bounded: bool = False

    @property
    def tokens(self) -> int:
        """What prompt and answer take together."""
        return self.prompt_tokens + self.answer_tokens


def needs_of(request: ChatRequest) -> Needs:
    """What `request` needs. Linear in its length, and never raises: what cannot be sent is told by the asking.

    Counted is what the vocabulary has words for; members of `extra` are not looked at.
    """
    images = sum(part.image is not None for message in request.messages for part in message.parts)
    size = sum(_sizes(request.messages))
    size += sum(_size(tool.name) + _size(tool.description) + _json_size(tool.parameters) for tool in request.tools)
    if request.response_format is not None:
        size += _json_size(request.response_format.json_schema)
    return Needs(
        images=images > 0,
        tools=bool(request.tools) or any(_tells_of_calls(message) for message in request.messages),
        prompt_tokens=-(-size // BYTES_A_TOKEN) + images * IMAGE_TOKENS,
        answer_tokens=ANSWER_TOKENS if request.max_tokens is None else request.max_tokens,
        answer_is_bounded=request.max_tokens is not None,
    )


def _tells_of_calls(message: Message) -> bool:
    return (
        message.role == "tool" or bool(message.tool_calls) or any(part.tool_call is not None for part in message.parts)
    )


def _sizes(messages: Iterable[Message]) -> Iterable[int]:
    for message in messages:
        yield _size(message.content)
        for call in message.tool_calls:
            yield _size(call.name) + _size(call.arguments)
        for part in message.parts:
            if part.tool_call is not None:
                yield _size(part.tool_call.name) + _size(part.tool_call.arguments)
            else:
                yield _size(part.text or part.reasoning or (part.opaque.raw if part.opaque is not None else ""))


def _size(text: str) -> int:
    """Bytes of UTF-8; a lone surrogate counts as the three that its replacement takes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _json_size(value: dict[str, Any] | None) -> int:
    """Bytes of JSON; 0 for None, and for what is no JSON."""
    if value is None:
        return 0
    try:
        return len(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return 0
